# SPDX-License-Identifier: Apache-2.0
"""Bicycles, parked or ridden, facing +z."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.cycles.riding import (
    BLACK,
    STEEL,
    Mount,
    add_wheel,
    fender,
    leaned,
    seated,
)
from depth_dpt_core.data.synth.geometry.limbs import blades, chains
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import box, taper
from depth_dpt_core.data.synth.people.body import Body, body
from depth_dpt_core.data.synth.people.figure import figure
from depth_dpt_core.data.synth.people.outfit import cloth_color, outfit
from depth_dpt_core.data.synth.ranges import Range


@dataclass(frozen=True)
class _Kind:
    """A kind of bicycle; metres."""

    share: float
    wheel: Range  # outer radius
    tyre: Range  # width
    above: Range  # handlebar over the saddle
    half: float  # of the handlebar's width
    sweep: float  # of the grips, ahead of the stem
    low_step: float  # share without a high top tube
    mudguards: bool


_KINDS = {
    "city": _Kind(0.48, (0.335, 0.355), (0.035, 0.047), (0.08, 0.20), 0.29, -0.15, 0.6, True),
    "trekking": _Kind(0.27, (0.340, 0.355), (0.035, 0.050), (0.00, 0.10), 0.31, -0.03, 0.2, True),
    "mountain": _Kind(0.13, (0.335, 0.355), (0.050, 0.060), (-0.02, 0.06), 0.35, -0.02, 0, False),
    "road": _Kind(0.12, (0.330, 0.345), (0.025, 0.032), (-0.06, 0.02), 0.21, 0.09, 0, False),
}
_WHEELBASE = (1.00, 1.10)
_CHAINSTAY, _CRANK, _BRACKET = 0.44, 0.17, 0.28  # bracket: its height
_SEAT_TUBE = np.array([0.0, np.sin(1.27), -np.cos(1.27)])  # 73 degrees
_STEERING = np.array([0.0, np.sin(1.25), -np.cos(1.25)])  # 72 degrees
_FRAMES = [[0.025] * 3, [0.3] * 3, [0.62] * 3, [0.03, 0.06, 0.2], [0.3, 0.03, 0.03],
           [0.04, 0.13, 0.07], [0.10, 0.25, 0.35], [0.45, 0.33, 0.12]]  # fmt: skip
_FRAME_SHARES = [0.36, 0.17, 0.12, 0.12, 0.09, 0.06, 0.05, 0.03]
_HELMETS = 0.45  # share of riders


@dataclass(frozen=True)
class _Frame:
    """Points of a bicycle [3], metres."""

    kind: _Kind
    rear: NDArray[np.float64]  # hubs
    front: NDArray[np.float64]
    bracket: NDArray[np.float64]  # bottom bracket
    saddle: NDArray[np.float64]  # top of it
    head: NDArray[np.float64]  # upper end of the steering tube
    bar: NDArray[np.float64]  # middle of the handlebar
    turn: float  # of the cranks, radians

    @property
    def mount(self) -> Mount:
        """Where a rider sits."""
        aside = np.array([[-1.0, 0, 0], [1.0, 0, 0]])
        swing = np.array([0, np.sin(self.turn), np.cos(self.turn)]) * _CRANK
        pedals = self.bracket + np.stack([swing, -swing]) + aside * 0.14
        grips = self.bar + aside * (self.kind.half - 0.04) + [0, 0.0, self.kind.sweep]
        return Mount(self.saddle, grips, pedals + [0, 0.015, 0], 0.12)


def bicycle(rng: np.random.Generator, *, ridden: bool = False) -> Mesh:
    """Bicycle of 1.6 to 1.8 m, or parked on its stand; a rider is fitted to it."""
    who = body(rng)
    frame = _frame(who, rng)
    color = np.array(_FRAMES[rng.choice(len(_FRAMES), p=_FRAME_SHARES)]) * rng.uniform(0.8, 1.2)
    builder, front = MeshBuilder(), MeshBuilder()
    _add_frame(builder, frame, color, rng)
    _add_front(front, frame, color, rng)
    _add_wheels(builder, front, frame, color)
    _add_luggage(builder, front, frame, rng)
    if ridden:
        builder.add_mesh(front.build())
        helmet = "open" if rng.random() < _HELMETS else ""
        clothes = outfit(rng, female=who.female, long=False, helmet=helmet)
        pose = seated(who, frame.mount, nod=rng.uniform(-0.1, 0.15))
        builder.add_mesh(figure(pose, who, clothes, rng))
        return builder.build()
    steer = rng.normal(0, 0.25)
    roll = rng.uniform(0.03, 0.17)
    foot = np.array([-0.2, 0.2 * np.tan(roll), frame.rear[2] + 0.3])
    builder.add(
        chains(np.stack([frame.bracket, foot])[None], 0.01, sides=4), Material.PLAIN, BLACK
    )
    return leaned(builder.build(), front.build(), frame.head, _STEERING, (steer, roll))


def _frame(who: Body, rng: np.random.Generator) -> _Frame:
    kinds = list(_KINDS.values())
    kind = kinds[rng.choice(len(kinds), p=[row.share for row in kinds])]
    radius, base = rng.uniform(*kind.wheel), rng.uniform(*_WHEELBASE)
    rear, front = np.array([0, radius, -base / 2]), np.array([0, radius, base / 2])
    drop = radius - _BRACKET
    bracket = np.array([0, _BRACKET, rear[2] + np.sqrt(_CHAINSTAY**2 - drop**2)])
    reach = 0.955 * who.leg + who.ankle - 0.095 * who.size - _CRANK  # knee nearly straight
    saddle = bracket + _SEAT_TUBE * reach * rng.uniform(0.96, 1.0)
    bar_height = saddle[1] + rng.uniform(*kind.above)
    head = front + _STEERING * (bar_height - 0.05 - radius) / _STEERING[1] - [0, 0, 0.045]
    bar = np.array([0, bar_height, head[2] + rng.uniform(0.03, 0.09)])
    return _Frame(kind, rear, front, bracket, saddle, head, bar, rng.uniform(0, 2 * np.pi))


def _add_frame(
    builder: MeshBuilder, frame: _Frame, color: NDArray[np.float64], rng: np.random.Generator
) -> None:
    side, seat = np.array([0.055, 0.0, 0.0]), frame.saddle - [0, 0.05, 0]
    cluster = frame.bracket + (seat - frame.bracket) * 0.72
    upper, lower = frame.head - _STEERING * 0.06, frame.head - _STEERING * 0.17
    low_step = rng.random() < frame.kind.low_step
    joint = frame.bracket + (cluster - frame.bracket) * (0.45 if low_step else 0.95)
    start = lower - _STEERING * 0.02 if low_step else upper
    bars = [
        (frame.bracket, cluster, 0.016),
        (start, joint, 0.017),
        (lower - _STEERING * 0.06, frame.bracket, 0.021),
        (frame.head, lower - _STEERING * 0.08, 0.020),
        *((frame.bracket + s * side * 0.6, frame.rear + s * side, 0.010) for s in (-1, 1)),
        *((cluster, frame.rear + s * side, 0.008) for s in (-1, 1)),
    ]
    thick = np.array([[radius] * 2 for *_, radius in bars])
    builder.add(chains([bar[:2] for bar in bars], thick, sides=5), Material.PAINT, color)

    pedals = frame.mount.rests
    cranks = np.stack([frame.bracket + pedals * [0.5, 0, 0], pedals * [0.5, 1, 1]], 1)
    builder.add(chains(cranks, 0.011, sides=4), Material.PLAIN, STEEL)
    for pedal in pedals:
        builder.add(box(pedal - [0, 0.025, 0], [0.09, 0.02, 0.08]), Material.PLAIN, BLACK)
    ring = frame.bracket + np.array([[[0.045, 0, 0], [0.055, 0, 0]]])
    builder.add(chains(ring, [0.0, 0.09], sides=10), Material.PLAIN, BLACK)
    builder.add(chains([[cluster, seat]], 0.0135, sides=5), Material.PLAIN, STEEL)
    length = frame.saddle + np.array([[0, -0.01, -0.13], [0, 0.0, -0.11], [0, -0.015, -0.02],
                                      [0, -0.012, 0.1], [0, -0.02, 0.13]])  # fmt: skip
    saddle = chains(length[None], [0.03, 0.075, 0.06, 0.028, 0.012])
    flat = saddle.vertices.copy()  # pressed flat from above
    flat[:, 1] = frame.saddle[1] - 0.025 + 0.35 * (flat[:, 1] - frame.saddle[1])
    builder.add(replace(saddle, vertices=flat), Material.PLAIN, BLACK)


def _add_front(
    front: MeshBuilder, frame: _Frame, color: NDArray[np.float64], rng: np.random.Generator
) -> None:
    """Add fork, stem, handlebar with grips, and a lamp: all that steers."""
    crown = frame.front + (frame.head - frame.front) * 0.5
    crown[2] = np.interp(crown[1], [frame.front[1], frame.head[1]], [frame.head[2] + (
        frame.head[1] - frame.front[1]) / np.tan(1.25), frame.head[2]])  # fmt: skip
    side = np.array([0.055, 0.0, 0.0])
    fork = [[crown, crown + s * side, frame.front + s * side] for s in (-1, 1)]
    thick = [0.016, 0.014, 0.010]
    front.add(
        chains(fork, thick, sides=5),
        Material.PAINT,
        color if rng.random() < 0.6 else np.array(BLACK),
    )
    stem = [[crown, frame.head, frame.head + _STEERING * 0.04, frame.bar]]
    front.add(chains(stem, 0.0145, sides=5), Material.PLAIN, BLACK)
    grips, half = frame.mount.grips, np.array([frame.kind.half, 0, 0])
    aside = np.array([[-1.0], [1.0]])
    bend = frame.bar + aside * half * 0.45 + [0, 0, frame.kind.sweep * 0.15]
    ends = grips + aside * [0.05, 0, 0] + [0, 0, np.sign(frame.kind.sweep) * 0.02]
    bar = [[ends[0], grips[0], bend[0], frame.bar, bend[1], grips[1], ends[1]]]
    front.add(chains(bar, 0.012, sides=5), Material.PLAIN, STEEL)
    front.add(
        chains(np.stack([grips * [0.88, 1, 1], ends], 1), 0.018, sides=5), Material.PLAIN, BLACK
    )
    lamp = frame.head + [0, -0.1, 0.05]
    front.add(box(lamp, [0.06, 0.06, 0.05]), Material.PLAIN, [0.6, 0.6, 0.58])


def _add_wheels(
    builder: MeshBuilder, front: MeshBuilder, frame: _Frame, color: NDArray[np.float64]
) -> None:
    tyre, radius = float(np.mean(frame.kind.tyre)), float(frame.rear[1])
    for part, hub in ((builder, frame.rear), (front, frame.front)):
        add_wheel(part, hub, radius, tyre)
        angle = np.linspace(0, 2 * np.pi, 15)[:-1]
        rim = np.stack([0 * angle, np.sin(angle), np.cos(angle)], 1) * (radius - tyre)
        spokes = np.stack([hub + rim, np.tile(hub, (14, 1))], 1)
        across = np.stack([0 * angle, np.cos(angle), -np.sin(angle)], 1)
        lit = np.tile([[1.0, 0.0, 0.0]], (14, 1))
        part.add(blades(spokes, 0.004, across, lit), Material.LEAF, STEEL)
    if frame.kind.mudguards:
        wide = tyre + 0.014
        builder.add(fender(frame.rear, radius + 0.012, wide, 1.2, 3.3), Material.PAINT, color)
        front.add(fender(frame.front, radius + 0.012, wide, 0.9, 2.9), Material.PAINT, color)


def _add_luggage(
    builder: MeshBuilder, front: MeshBuilder, frame: _Frame, rng: np.random.Generator
) -> None:
    """Add rear lamp, and on some a carrier with panniers or a basket at the handlebar."""
    top = frame.rear + [0, frame.rear[1] + 0.06, 0]
    carrier = frame.kind.mudguards
    lamp = top + [0, -0.07, -0.19] if carrier else frame.saddle - [0, 0.2, 0]
    builder.add(box(lamp, [0.05, 0.06, 0.03]), Material.PLAIN, [0.4, 0.02, 0.02])
    if not carrier:
        return
    rails = [[top + [s, 0, -0.22], top + [s, 0, 0.2]] for s in (-0.06, 0.06)]
    struts = [[top + [s, 0, -0.05], frame.rear + [s, 0, 0]] for s in (-0.06, 0.06)]
    builder.add(chains(rails + struts, 0.006, sides=4), Material.PLAIN, BLACK)
    if rng.random() < 0.25:
        color = cloth_color(rng)
        for sign in (-1, 1)[: int(rng.integers(1, 3))]:
            bag = top + np.array([sign * 0.14, -0.33, -0.05])
            builder.add(taper(bag, [0.1, 0.33, 0.25], [0.15, 0, 0.33]), Material.CLOTH, color)
    if rng.random() < 0.2:
        basket = frame.head + [0, -0.16, 0.2]
        front.add(box(basket, [0.36, 0.25, 0.26]), Material.PLAIN, np.array([0.2, 0.14, 0.08]))
