# SPDX-License-Identifier: Apache-2.0
"""Pedestrians: people who walk, stand, wait or look at their phones, and what they carry."""

from __future__ import annotations

import numpy as np

from depth_dpt_core.data.synth.geometry.mesh import Mesh, MeshBuilder
from depth_dpt_core.data.synth.people.belongings import add_belongings, draw_load
from depth_dpt_core.data.synth.people.body import Body, Joints, Points, body, joints
from depth_dpt_core.data.synth.people.figure import figure
from depth_dpt_core.data.synth.people.outfit import outfit

_CHILDREN = 0.12  # share
_WALKING = 0.62
# one step of a leg, from one touch of its heel to the next (after Winter, 2009); degrees:
# share of the time, hip forward, knee bent, toes up
_GAIT = np.array(
    [
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        [25, 22, 15, 6, -4, -11, -7, 8, 21, 27, 25],
        [5, 15, 17, 10, 6, 10, 38, 60, 52, 22, 5],
        [18, 0, 0, 0, -3, -16, -48, -50, -22, 6, 18],
    ]
)


def person(rng: np.random.Generator) -> Mesh:
    """Adult of 1.5 to 1.95 m or child of 1.0 to 1.5 m on foot, facing +z."""
    adult = bool(rng.random() > _CHILDREN)
    who = body(rng, adult=adult)
    walking = bool(rng.random() < _WALKING)
    load = draw_load(rng, adult=adult)
    pose = walk(who, rng, load=load) if walking else stand(who, rng, load=load)
    clothes = outfit(rng, female=who.female, long=load not in ("pushchair", "dog"))
    builder = MeshBuilder()
    builder.add_mesh(figure(pose, who, clothes, rng))
    add_belongings(builder, load, pose, who, rng)
    return builder.build()


def walk(who: Body, rng: np.random.Generator, *, load: str = "") -> Joints:
    """Some moment of a step."""
    vigour = rng.uniform(0.75, 1.1)
    phase = (rng.random() + np.array([0.0, 0.5])) % 1
    hip, knee, toe = (np.radians(np.interp(phase, _GAIT[0], row)) * vigour for row in _GAIT[1:])
    thigh, shank = _swung(hip) * who.thigh, _swung(hip - knee) * who.shank
    roots = np.array([[-1.0, 0, 0], [1.0, 0, 0]]) * who.hip
    knees = roots + thigh
    ankles = knees + shank
    toes = np.stack([np.array([-0.08, 0.08]), np.sin(toe), np.cos(toe)], 1)
    lean = rng.uniform(0.0, 0.1)
    lift = _standing_height(who, ankles, toes)
    arms = -0.75 * hip + rng.uniform(-0.1, 0.1)
    bend = rng.uniform(0.1, 0.5) + 0.4 * np.maximum(arms, 0)
    shoulders = np.array([0.0, np.cos(lean), np.sin(lean)]) * who.trunk + roots / who.hip * (
        who.shoulder + 0.03
    )
    wrists = shoulders + _swung(arms) * who.upper_arm + _swung(arms + bend) * who.forearm
    up = np.array([0.0, lift, 0.0])
    return joints(
        who,
        up,
        lean=lean,
        knees=knees + up,
        ankles=ankles + up,
        toes=toes,
        wrists=_hands(who, load, lift, lean, wrists + up, rng),
        nod=rng.uniform(-0.1, 0.25),
    )


def stand(who: Body, rng: np.random.Generator, *, load: str = "") -> Joints:
    """Waiting, arms hanging, in the pockets, crossed or with a phone."""
    apart = rng.uniform(0.04, 0.09, 2) * who.stature
    ankles = np.stack([apart * [-1, 1], np.full(2, who.ankle), rng.normal(0, 0.05, 2)], 1)
    sway = rng.normal(0, 0.02)
    room = np.sqrt((0.995 * who.leg) ** 2 - (apart.max() + abs(sway) - who.hip) ** 2 - 0.01)
    height = who.ankle + room
    toes = np.stack([rng.uniform(0.1, 0.45, 2) * [-1, 1], np.zeros(2), np.ones(2)], 1)
    lean = rng.normal(0.0, 0.04)
    shoulder = np.array([[-1.0, 0, 0], [1.0, 0, 0]]) * who.shoulder
    top = np.array([0.0, height, 0.0]) + shoulder
    top = top + np.array([0.0, np.cos(lean), np.sin(lean)]) * who.trunk
    size = who.stature / 1.75
    hang = top + np.array([[-0.06, 0, 0.04], [0.06, 0, 0.04]]) * size
    hang[:, 1] -= who.arm * 0.985
    hang[:, 2] += rng.uniform(-0.04, 0.08, 2)
    gesture = rng.choice(
        ["hang", "pockets", "phone", "call", "crossed"], p=[0.4, 0.2, 0.2, 0.08, 0.12]
    )
    wrists, nod = hang, rng.uniform(-0.1, 0.2)
    if gesture == "pockets":
        wrists = np.array([[-0.19, 0.03, 0.08], [0.19, 0.03, 0.08]]) * size + [0, height, 0]
    elif gesture == "phone":
        wrists[1] = top[1] + np.array([-0.14, -0.22, 0.30]) * size
        nod = 0.5
    elif gesture == "call":
        wrists[1] = top[1] + np.array([-0.05, 0.14, 0.06]) * size
    elif gesture == "crossed":
        wrists = top.mean(0) + np.array([[0.10, -0.25, 0.18], [-0.10, -0.22, 0.21]]) * size
    return joints(
        who,
        [sway, height, 0],
        lean=lean,
        ankles=ankles,
        toes=toes,
        wrists=_hands(who, load, height, lean, wrists, rng),
        nod=nod,
    )


def _hands(
    who: Body, load: str, height: float, lean: float, free: Points, rng: np.random.Generator
) -> Points:
    """Wrists [2,3], where the load wants them rather than `free`."""
    size = who.stature / 1.75
    chest = np.array([0.0, height + np.cos(lean) * who.trunk, np.sin(lean) * who.trunk])
    wrists: Points = free.copy()
    if load == "umbrella":
        wrists[1] = chest + np.array([0.16, -0.22, 0.24]) * size
    elif load == "pushchair":
        grip = np.array([[-0.2, 0, 0], [0.2, 0, 0]]) + [0, rng.uniform(0.95, 1.02), 0.42]
        wrists = grip - [0, 0.02, 0.06]
    elif load == "dog":
        wrists[1] = chest + np.array([0.25, -0.42, 0.16]) * size
    elif load == "shopping":
        wrists[1] = chest + [who.shoulder + 0.07, -who.arm * 0.98, 0.02]
    return wrists


def _swung(angle: Points) -> Points:
    """Unit vectors [2,3] of limbs that hang down, swung forward by `angle` [2]."""
    return np.stack([0 * angle, -np.cos(angle), np.sin(angle)], 1)


def _standing_height(who: Body, ankles: Points, toes: Points) -> float:
    """Height of the pelvis that puts the lowest heel or toe on the ground."""
    level = np.sqrt(toes[:, 0] ** 2 + toes[:, 2] ** 2)
    sole = ankles[:, 1] - who.ankle * level
    along = np.array([[-0.042], [0.108]]) * who.stature  # heel and ball of the foot
    return float(-(sole + along * toes[:, 1]).min())
