# SPDX-License-Identifier: Apache-2.0
"""Trees of several habits, bushes, hedges and tufts of grass, standing on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_dpt_core.data.synth.geometry.limbs import blades, unit_rows
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import blob, loft
from depth_dpt_core.data.synth.plants.evergreens import NEEDLES, add_palm, add_spruce
from depth_dpt_core.data.synth.plants.foliage import Clumps, add_leaves, add_triangles, leaf_color
from depth_dpt_core.data.synth.plants.wood import (
    BARK,
    add_limbs,
    add_stakes,
    add_twigs,
    trunk_path,
    trunk_radius,
)
from depth_dpt_core.data.synth.ranges import Range


@dataclass(frozen=True)
class _Habit:
    """How a kind of tree grows; lengths as shares of its height unless stated."""

    share: float
    height: Range  # m
    width: Range  # of the crown
    base: Range  # of the crown, above the ground
    fullest: float  # where in the crown it is widest, 0 its base, 1 its top
    clumps: int
    fill: float  # radius of a clump as a share of the crown's there
    density: float  # of leaves, the less the airier
    evergreen: bool = False


_HABITS = {
    "round": _Habit(0.27, (7, 16), (0.55, 0.80), (0.20, 0.34), 0.45, 28, 0.38, 1.0),
    "spreading": _Habit(0.20, (8, 18), (0.75, 1.05), (0.20, 0.32), 0.35, 30, 0.34, 1.0),
    "young": _Habit(0.18, (3.5, 6.5), (0.30, 0.50), (0.38, 0.48), 0.40, 16, 0.44, 0.8),
    "birch": _Habit(0.11, (8, 17), (0.34, 0.48), (0.18, 0.32), 0.35, 24, 0.42, 0.7),
    "poplar": _Habit(0.06, (9, 20), (0.15, 0.24), (0.06, 0.14), 0.40, 20, 0.66, 1.0),
    "cypress": _Habit(0.04, (3.5, 10), (0.15, 0.26), (0.00, 0.03), 0.30, 14, 0.90, 3.0, True),
    "pine": _Habit(0.04, (8, 20), (0.40, 0.65), (0.45, 0.60), 0.50, 20, 0.40, 1.0, True),
    "spruce": _Habit(0.08, (4, 20), (0.30, 0.46), (0.02, 0.14), 0.00, 0, 0, 0, True),
    "palm": _Habit(0.02, (4.5, 14), (0, 0), (0, 0), 0.00, 0, 0, 0, True),
}
_BARE = 0.13  # share of leafless trees among those that shed their leaves
_BARKS = {"birch": [0.50, 0.48, 0.43], "pine": [0.24, 0.115, 0.06]}  # linear reflectance
_TREE, _BUSH = 3400, 580  # triangles; leaves are as many as fit in


def tree(rng: np.random.Generator) -> Mesh:
    """Tree of 3.5 to 20 m, its trunk at the origin."""
    kinds = list(_HABITS)
    kind = str(rng.choice(kinds, p=[habit.share for habit in _HABITS.values()]))
    return tree_of(kind, rng)


def tree_of(kind: str, rng: np.random.Generator) -> Mesh:
    """Tree of one habit of the table above, its trunk at the origin."""
    habit, builder = _HABITS[kind], MeshBuilder()
    height = rng.uniform(*habit.height)
    if kind == "palm":
        add_palm(builder, height, rng)
    elif kind == "spruce":
        base, width = rng.uniform(*habit.base) * height, rng.uniform(*habit.width) * height
        add_spruce(builder, height, base, width, rng)
    else:
        _add_crowned(builder, kind, height, rng)
    return builder.build()


def bush(rng: np.random.Generator) -> Mesh:
    """Bush of 0.4 to 2.4 m, rounded, leafy down to the ground."""
    builder, pattern = MeshBuilder(), int(rng.integers(1 << 30))
    height = 0.4 + 1.9 * rng.random() ** 1.5
    half, color = height * rng.uniform(0.4, 0.8), leaf_color(rng)
    turn = rng.uniform(0, 2 * np.pi) + np.array([0, 2.1, 4.2]) + rng.normal(0, 0.4, 3)
    out, top = half * rng.uniform(0.2, 0.5, 3), height * rng.uniform([0.9, 0.6, 0.4], 0.95)
    middle = np.stack([np.cos(turn) * out, 0.40 * top, np.sin(turn) * out], 1)
    radii = np.stack(
        [half * rng.uniform(0.5, 0.75, 3), 0.5 * top, half * rng.uniform(0.5, 0.75, 3)], 1
    )
    for center, size in zip(middle, radii, strict=True):
        mass = blob(center, size * 0.84, rng, roughness=0.14)
        builder.add(mass, Material.FOLIAGE, color * rng.uniform(0.55, 0.8), pattern=pattern)
    add_leaves(builder, Clumps(middle, radii), color, _BUSH - 240, rng, density=0, cover=0.6)
    return builder.build()


def hedge(rng: np.random.Generator, length: float) -> Mesh:
    """Clipped hedge of 0.5 to 2.3 m along z, from 0 to `length`, its middle on x = 0."""
    builder, pattern = MeshBuilder(), int(rng.integers(1 << 30))
    height, width = rng.uniform(0.5, 2.3), rng.uniform(0.4, 0.9)
    color = leaf_color(rng)
    outline = np.array(
        [[-0.5, -0.05], [-0.52, 0.5], [-0.44, 1], [0.44, 1], [0.52, 0.5], [0.5, -0.05]]
    )
    cuts = np.linspace(0, length, int(np.clip(length / 0.7, 2, 15)) + 1)
    cuts = np.concatenate([[0], cuts, [length]])
    rings = np.zeros((len(cuts), len(outline), 3))
    rings[..., :2] = outline * [width, height]
    rings += rng.normal(0, 0.02, rings.shape)
    rings[..., 2] = cuts[:, None]
    rings[[0, -1], :, 0] = 0  # closes the ends
    builder.add(loft(rings), Material.FOLIAGE, color * 0.75, pattern=pattern)

    count = _BUSH - 12 * (len(cuts) - 1)
    sides = np.array([[-1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]], np.float64)
    size = np.array([width, height, length])
    area = np.array([height * length, height * length, width * length] + [height * width] * 2)
    normal = sides[rng.choice(5, count, p=area / area.sum())]
    spread = rng.uniform(-0.5, 0.5, (count, 3))
    place = np.where(normal != 0, normal * 0.5, spread) * size + [0, height / 2, length / 2]
    place += normal * rng.normal(0.01, 0.03, (count, 1))
    leaf = np.clip(np.sqrt(0.3 * area.sum() / count / 0.36), 0.05, 0.13)
    add_triangles(builder, place, normal, leaf, color, pattern, rng)
    return builder.build()


def grass_tuft(rng: np.random.Generator) -> Mesh:
    """Tuft of grass or weeds, 0.1 to 0.75 m tall, as grows on verges and along walls."""
    builder, count = MeshBuilder(), int(rng.integers(70, 180))
    height, spread = 0.16 + 0.62 * rng.random() ** 2, rng.uniform(0.1, 0.45)
    fresh, dry = np.array([0.085, 0.145, 0.035]), np.array([0.30, 0.24, 0.12])
    color = fresh + rng.random() ** 2 * (dry - fresh)
    turn = rng.uniform(0, 2 * np.pi, count)
    out = np.stack([np.cos(turn), np.zeros(count), np.sin(turn)], 1)
    share = np.sqrt(rng.random((count, 1)))
    root = out * share * spread - [0, 0.02, 0]
    tall = height * rng.uniform(0.45, 1.0, (count, 1)) * (1.1 - 0.5 * share)
    bend = rng.uniform(0.1, 0.8, (count, 1)) * tall
    middle = root + [0, 0.65, 0] * tall + out * bend * 0.3
    tip = root + [0, 1, 0] * (tall - 0.2 * bend) + out * bend
    aside = unit_rows(np.cross(out, [0, 1, 0]) + rng.normal(0, 0.5, out.shape))
    wide = np.clip(height * rng.uniform(0.02, 0.06), 0.008, 0.03)
    tint = color * rng.uniform(0.6, 1.3, (count, 1))
    grass = blades(np.stack([root, middle, tip], 1), wide, aside, unit_rows(out + [0, 1.2, 0]))
    builder.add(grass, Material.LEAF, np.repeat(np.clip(tint, 0, 0.9), 3, 0))
    return builder.build()


def _add_crowned(builder: MeshBuilder, kind: str, height: float, rng: np.random.Generator) -> None:
    habit = _HABITS[kind]
    clumps = _crown(habit, height, rng)
    bark = np.array(_BARKS.get(kind, BARK)) * rng.uniform(0.7, 1.2)
    bare = not habit.evergreen and rng.random() < _BARE
    trunk = trunk_path(height, rng)
    limbs = add_limbs(builder, trunk, clumps, trunk_radius(height), bark, rng)
    if kind == "young" and rng.random() < 0.6:
        add_stakes(builder, min(height * 0.4, 1.9), rng)
    if bare:
        add_twigs(builder, limbs, clumps, bark, rng)
        return
    needles = np.array(NEEDLES) * rng.uniform(0.7, 1.5)
    color = needles if habit.evergreen else leaf_color(rng)
    used = 30 * habit.clumps + 120
    add_leaves(builder, clumps, color, _TREE - used, rng, density=habit.density)


def _crown(habit: _Habit, height: float, rng: np.random.Generator) -> Clumps:
    """Clumps of leaves wound up around the trunk, within an egg-shaped outline."""
    width, base = rng.uniform(*habit.width) * height, rng.uniform(*habit.base) * height
    count, tall = habit.clumps, height - base
    level = (np.arange(count) + rng.uniform(0.2, 0.8, count)) / count
    above = (level - habit.fullest) / np.where(
        level > habit.fullest, 1 - habit.fullest, habit.fullest
    )
    outline = np.sqrt(np.maximum(1 - above**2, 0.12)) * width / 2
    size = outline * habit.fill * rng.uniform(0.8, 1.2, count)
    turn = np.arange(count) * 2.39996 + rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.3, count)
    aside = np.maximum(outline - size, 0) * np.sqrt(rng.uniform(0.25, 1.15, count))
    low = np.clip(tall / count * 1.8 / size, 0.75, 2.2) * size  # tall enough to meet the next
    y = np.clip(base + tall * level, base + low * 0.7, height - low * 1.1)
    centers = np.stack([np.cos(turn) * aside, y, np.sin(turn) * aside], 1)
    return Clumps(centers, np.stack([size, low, size], 1))
