# SPDX-License-Identifier: Apache-2.0
"""What pedestrians have with them: bags, umbrellas, pushchairs, dogs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from depth_dpt_core.data.synth.geometry.limbs import chains
from depth_dpt_core.data.synth.geometry.mesh import Material, MeshBuilder, Solid
from depth_dpt_core.data.synth.geometry.solids import blob, cylinder, loft
from depth_dpt_core.data.synth.people.body import Body, Joints, Points
from depth_dpt_core.data.synth.people.outfit import cloth_color

_LOADS = {
    "": 0.48,
    "rucksack": 0.17,
    "handbag": 0.14,
    "shopping": 0.08,
    "umbrella": 0.06,
    "pushchair": 0.04,
    "dog": 0.03,
}
_STEEL, _RUBBER = [0.12, 0.12, 0.125], [0.02, 0.02, 0.02]


def draw_load(rng: np.random.Generator, *, adult: bool) -> str:
    """Name of what somebody carries or leads, often nothing; children at most a rucksack."""
    if not adult:
        return "rucksack" if rng.random() < 0.35 else ""
    return str(rng.choice(list(_LOADS), p=list(_LOADS.values())))


def add_belongings(
    builder: MeshBuilder, load: str, pose: Joints, who: Body, rng: np.random.Generator
) -> None:
    """Add a load to somebody whose hands are where it wants them."""
    color, size = cloth_color(rng), who.stature / 1.75
    hand = pose.wrists[1]
    ahead = np.array([0.0, -pose.spine[2], pose.spine[1]])
    if load == "rucksack":
        center = pose.pelvis + pose.spine * who.trunk * 0.66 - ahead * 0.21 * size * who.girth
        extent = rng.uniform([0.26, 0.36, 0.13], [0.33, 0.48, 0.20]) * size
        builder.add(pouch(center, extent, pose.spine), Material.CLOTH, color)
    elif load == "handbag":
        hip = pose.pelvis + np.array([-0.24 * who.girth, 0.06, 0.02]) * size
        builder.add(
            pouch(hip, rng.uniform([0.1, 0.2, 0.24], [0.14, 0.3, 0.36])), Material.CLOTH, color
        )
        shoulder = pose.shoulders[rng.integers(2)] + [0, 0.06, 0]
        strap = [[hip + [0, 0.1, 0], (hip + shoulder) / 2 + [0, 0, 0.13 * size], shoulder]]
        builder.add(chains(strap, 0.012, sides=4), Material.CLOTH, color)
    elif load == "shopping":
        extent = rng.uniform([0.14, 0.30, 0.26], [0.2, 0.4, 0.38]) * size
        center = hand - [0, extent[1] / 2 + 0.16 * size, 0]
        builder.add(pouch(center, extent), Material.CLOTH, color)
        handles = [[center + [0, extent[1] * 0.45, 0], hand - [0, 0.08 * size, 0]]]
        builder.add(chains(handles, 0.02, sides=4), Material.CLOTH, color)
    elif load == "umbrella":
        _add_umbrella(builder, hand, color, rng)
    elif load == "pushchair":
        _add_pushchair(builder, pose.wrists.mean(0) + [0, 0.0, 0.08], color)
    elif load == "dog":
        _add_dog(builder, hand, rng)


def pouch(center: ArrayLike, size: ArrayLike, upward: ArrayLike = (0, 1, 0)) -> Solid:
    """Soft box with rounded edges, 64 triangles; `upward` may lean within the y-z plane."""
    up = np.asarray(upward, np.float64)
    frame = np.stack([[1.0, 0.0, 0.0], up, [0.0, -up[2], up[1]]])
    level, scale = np.array([-0.5, -0.47, 0.1, 0.46, 0.5]), np.array([0, 0.95, 1.05, 0.85, 0])
    points = np.zeros((5, 8, 3))
    points[..., [0, 2]] = _ROUND * scale[:, None, None]
    points[..., 1] = level[:, None]
    return loft(points * np.asarray(size) @ frame + np.asarray(center))


_ROUND = np.array([[1, 3], [3, 1], [3, -1], [1, -3], [-1, -3], [-3, -1], [-3, 1], [-1, 3]]) / 6


def _add_umbrella(
    builder: MeshBuilder, hand: Points, color: Points, rng: np.random.Generator
) -> None:
    radius, top = rng.uniform(0.45, 0.58), hand + [0, rng.uniform(0.66, 0.78), 0.06]
    builder.add(chains([[hand - [0, 0.1, 0], top]], 0.009, sides=4), Material.PLAIN, _STEEL)
    turn = np.arange(8) * np.pi / 4
    ring = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], 1)
    reach, drop = np.array([0.01, 0.55, 1.0]) * radius, np.array([0.0, 0.06, 0.22]) * radius / 0.5
    canopy = top + ring * reach[:, None, None] - drop[:, None, None] * [0, 1, 0]
    builder.add(loft(canopy), Material.CLOTH, color)


def _add_pushchair(builder: MeshBuilder, grip: Points, color: Points) -> None:
    """Three-wheeled pushchair, 1 m tall, 0.5 m wide, 0.8 m long, `grip` between the hands."""
    x, tall, z = 0.25, grip[1], grip[2]
    seat = [0, 0.55, z + 0.38]
    builder.add(pouch(seat, [0.38, 0.38, 0.5], [0, 0.97, -0.25]), Material.CLOTH, color)
    hood = blob([0, 0.86, z + 0.26], [0.2, 0.2, 0.26], np.random.default_rng(0), detail=0)
    builder.add(hood, Material.CLOTH, color)
    bars = [
        [[sign * x, a[0], z + a[1]], [sign * x * narrow, b[0], z + b[1]]]
        for sign in (-1, 1)
        for a, b, narrow in (((tall, 0.0), (0.12, 0.66), 0.1), ((0.55, 0.36), (0.1, 0.1), 1.0))
    ]
    bars.append([[-x, tall, z], [x, tall, z]])
    builder.add(chains(bars, 0.014, sides=4), Material.PLAIN, _STEEL)
    for across, along in ((-x, 0.1), (x, 0.1), (0, 0.68)):
        hub = np.array([across, 0.1, z + along])
        wheel = cylinder(hub - [0.02, 0, 0], hub + [0.02, 0, 0], 0.1, sides=6)
        builder.add(wheel, Material.PLAIN, _RUBBER)


def _add_dog(builder: MeshBuilder, hand: Points, rng: np.random.Generator) -> None:
    """Dog on a lead ahead to the right, 0.25 to 0.65 m at the shoulder."""
    tall = rng.uniform(0.25, 0.65)
    long, leg = tall * 1.1, tall * 0.55
    nose = np.array([rng.uniform(0.35, 0.6), 0.0, rng.uniform(0.5, 0.9)])
    fur = np.array([[0.03, 0.03, 0.03], [0.3, 0.2, 0.11], [0.12, 0.07, 0.04], [0.55, 0.5, 0.42]])[
        rng.integers(4)
    ]
    spine = np.array([[0.1, 0.85, -1.05], [0, 0.86, -0.95], [0, 0.8, -0.5], [0, 0.78, -0.12],
                      [0, 1.0, 0.12], [0, 1.15, 0.2], [0, 1.08, 0.45]])  # fmt: skip
    thick = np.array([0.02, 0.13, 0.15, 0.2, 0.12, 0.13, 0.05]) * tall
    builder.add(chains([nose + spine * [tall, tall, long]], thick), Material.CLOTH, fur)
    feet = [
        [nose + [x * tall, leg * 1.35, z * long], nose + [x * tall, leg * 0.6, (z - k) * long],
         nose + [x * tall, 0.0, z * long]]
        for x in (-0.13, 0.13)
        for z, k in ((-0.12, 0.02), (-0.9, -0.06))
    ]  # fmt: skip
    builder.add(
        chains(feet, [0.11 * tall, 0.05 * tall, 0.04 * tall], sides=5), Material.CLOTH, fur
    )
    tail = nose + np.array([[0, 0.88, -1.0], [0, 1.0, -1.2], [0, 1.2, -1.3]]) * [tall, tall, long]
    builder.add(chains([tail], [0.05 * tall, 0.04 * tall, 0.01], sides=4), Material.CLOTH, fur)
    collar = nose + [0, tall, 0.1 * long]
    builder.add(chains([[hand, collar]], 0.006, sides=3), Material.PLAIN, _STEEL)
