# SPDX-License-Identifier: Apache-2.0
"""Masses of leaves: dark inside, ragged around, and their colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.geometry.limbs import blades, unit_rows
from depth_dpt_core.data.synth.geometry.mesh import Floats, Material, MeshBuilder
from depth_dpt_core.data.synth.ranges import Range

# kind: share, linear reflectance of a mass of leaves (single leaves are up to twice as bright)
_LEAVES = {
    "linden": (0.24, [0.075, 0.125, 0.028]),
    "maple": (0.22, [0.055, 0.100, 0.026]),
    "dark": (0.17, [0.034, 0.064, 0.022]),  # holly, yew, plane in the shade
    "olive": (0.12, [0.095, 0.110, 0.045]),
    "grey": (0.07, [0.120, 0.140, 0.085]),  # willow, olive tree
    "yellow": (0.06, [0.330, 0.235, 0.035]),  # autumn
    "orange": (0.04, [0.270, 0.115, 0.025]),
    "brown": (0.04, [0.150, 0.075, 0.035]),
    "copper": (0.03, [0.060, 0.024, 0.026]),  # copper beech, plum
    "blossom": (0.01, [0.480, 0.340, 0.370]),
}
_INSIDE = 20  # large triangles in a clump
_FILL = 0.36  # area of a triangle of leaves as a share of its length squared


@dataclass(frozen=True)
class Clumps:
    """Ellipsoids of leaves: `centers` [N,3] and `radii` [N,3], metres."""

    centers: NDArray[np.float64]
    radii: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Rough sum of their surfaces, square metres."""
        flat = self.radii
        pairs = flat[:, 0] * flat[:, 1] + flat[:, 1] * flat[:, 2] + flat[:, 0] * flat[:, 2]
        return float(4 / 3 * np.pi * pairs.sum())


def leaf_color(rng: np.random.Generator) -> NDArray[np.float64]:
    """Colour of one plant's leaves, mostly green."""
    kinds = list(_LEAVES.values())
    color = kinds[rng.choice(len(kinds), p=[share for share, _ in kinds])][1]
    return np.asarray(np.array(color) * rng.uniform(0.75, 1.3) * (1 + rng.uniform(-0.12, 0.12, 3)))


def add_leaves(
    builder: MeshBuilder,
    clumps: Clumps,
    color: Floats,
    count: int,
    rng: np.random.Generator,
    *,
    density: float = 1.0,
    cover: float = 0.2,
) -> None:
    """Add `count` triangles at most of leaves on clumps that together form a crown.

    Large dark ones inside keep the crown from being seen through everywhere, more or less by
    `density`; small ones around, enough to `cover` that share of the clumps,
    give it its ragged edge.
    """
    pattern = int(rng.integers(1 << 30))
    within = int(len(clumps.centers) * _INSIDE * density)
    if within:
        which, points, outward = _around(clumps, within, (0.1, 0.55), rng)
        size = clumps.radii[which].mean(1, keepdims=True) * rng.uniform(0.7, 1.25, (len(which), 1))
        shade = rng.uniform(0.4, 0.85, (len(which), 1))
        add_triangles(builder, points, outward, size, color * shade, pattern, rng)

    _, points, outward = _around(clumps, count - within, (0.72, 1.14), rng)
    size = np.sqrt(cover * clumps.area / _FILL / max(len(points), 1))
    length = np.clip(size, 0.05, 0.65) * rng.uniform(0.55, 1.4, (len(points), 1))
    middle = clumps.centers.mean(0)
    crown = unit_rows((points - middle) / np.ptp(points, axis=0))
    normals = unit_rows(outward * 0.7 + crown * 0.6 + rng.normal(0, 0.22, points.shape))
    # leaves low in the crown and in dents see less of the sky
    shade = 1.05 + 0.3 * normals[:, 1:2] + rng.normal(0, 0.16, (len(points), 1))
    tint = color * np.clip(shade, 0.4, 1.8) * rng.normal(1, 0.06, (len(points), 3))
    add_triangles(builder, points, normals, length, tint, pattern, rng)


def _around(
    clumps: Clumps, count: int, reach: Range, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Points [N,3] in shells of the clumps but not deep in another: clump, point, way out."""
    tries = int(count * 1.7)
    weight = (clumps.radii**2).sum(1)
    which = rng.choice(len(weight), tries, p=weight / weight.sum())
    outward = unit_rows(rng.standard_normal((tries, 3)))
    size = rng.uniform(*reach, (tries, 1)) * clumps.radii[which]
    points = clumps.centers[which] + size * outward
    depth = np.zeros((tries, len(weight)), np.float32)
    for axis in range(3):
        scale = (1 / clumps.radii[:, axis]).astype(np.float32)
        offset = (clumps.centers[:, axis] * scale).astype(np.float32)
        depth += (points[:, axis, None].astype(np.float32) * scale - offset) ** 2
    buried = depth.min(1) < min(0.7, reach[0]) ** 2
    points[:, 1] = np.maximum(points[:, 1], 0.1)  # nothing grows in the ground
    seen = np.flatnonzero(~buried)[:count]
    return which[seen], points[seen], outward[seen]


def add_triangles(
    builder: MeshBuilder,
    points: Floats,
    normals: Floats,
    length: Floats,
    color: Floats,
    pattern: int,
    rng: np.random.Generator,
) -> None:
    """Add a triangle of leaves, turned at random, at each of `points` [N,3], lit by `normals`."""
    along = unit_rows(rng.standard_normal(points.shape) + 0.5 * normals)
    aside = unit_rows(np.cross(along, rng.standard_normal(points.shape)))
    path = points[:, None] + (along * length)[:, None] * np.array([[-0.5], [0.5]])
    leaves = blades(path, 2 * _FILL * length, aside, normals)
    builder.add(leaves, Material.LEAF, np.clip(color, 0.005, 0.9), pattern=pattern)
