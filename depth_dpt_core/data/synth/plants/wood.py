# SPDX-License-Identifier: Apache-2.0
"""What carries the leaves of a tree: trunk, limbs, the twigs of winter, stakes of a young one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.geometry.limbs import blades, chains, unit_rows
from depth_dpt_core.data.synth.geometry.mesh import Floats, Material, MeshBuilder
from depth_dpt_core.data.synth.plants.foliage import Clumps

BARK = [0.135, 0.110, 0.085]  # linear reflectance of most trees' bark


def trunk_radius(height: float) -> float:
    """Usual radius at breast height, metres: 5 cm at 5 m, 15 cm at 12 m, 25 cm at 18 m."""
    return float(0.006 * height**1.3)


def trunk_path(height: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points [6,3] up a slightly bent trunk, to where it is lost in the crown."""
    level = np.array([0.0, 0.01, 0.2, 0.42, 0.64, 0.86]) * height
    level[0] = -0.2  # m, holds on sloping ground
    lean = rng.normal(0, 0.012 * height, (6, 2)).cumsum(0)
    lean -= lean[1]
    lean[0] = 0  # upright at its foot
    return np.stack([lean[:, 0], level, lean[:, 1]], 1)


def add_limbs(
    builder: MeshBuilder,
    trunk: NDArray[np.float64],
    clumps: Clumps,
    radius: float,
    bark: Floats,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Add the trunk and a limb into every clump; returns the limbs' points [N,4,3]."""
    pattern = int(rng.integers(1 << 30))
    taper = np.array([1.5, 1.25, 0.95, 0.75, 0.5, 0.12]) * radius
    builder.add(chains(trunk[None], taper, sides=9), Material.BARK, bark, pattern=pattern)
    tip = clumps.centers
    out = np.sqrt(tip[:, 0] ** 2 + tip[:, 2] ** 2)
    start_y = np.clip(tip[:, 1] - 0.9 * out - 0.3, tip[:, 1] * 0.45, trunk[-1, 1])
    start = np.stack([np.interp(start_y, trunk[:, 1], trunk[:, axis]) for axis in range(3)], 1)
    share = np.array([0.0, 0.34, 0.68, 1.0])[:, None]
    path: NDArray[np.float64] = start[:, None] + (tip - start)[:, None] * share
    path[:, 1:3] += rng.normal(0, 0.05, (len(tip), 2, 3)) * out[:, None, None]
    path[:, 1:3, 1] -= 0.08 * out[:, None]  # limbs leave the trunk flat and turn up
    thick = radius * rng.uniform(0.3, 0.5, (len(tip), 1)) * np.array([1.0, 0.75, 0.5, 0.15])
    builder.add(chains(path, thick, sides=5), Material.BARK, bark, pattern=pattern)
    return path


def add_twigs(
    builder: MeshBuilder,
    limbs: NDArray[np.float64],
    clumps: Clumps,
    bark: Floats,
    rng: np.random.Generator,
) -> None:
    """Add the branches and twigs of winter, where the leaves of each clump would be."""
    count = len(limbs)
    which = np.repeat(np.arange(count), 96 // count)
    share = rng.uniform(0.45, 1.0, (len(which), 1)) * 3
    low = np.minimum(share.astype(int), 2)
    start = limbs[which, low[:, 0]] + (share - low) * (
        limbs[which, low[:, 0] + 1] - limbs[which, low[:, 0]]
    )
    away = unit_rows(rng.standard_normal((len(which), 3)) + [0, 0.5, 0])
    tip = clumps.centers[which] + clumps.radii[which] * away
    middle = (start + tip) / 2 + rng.normal(0, 0.06, start.shape) * clumps.radii[which]
    path = np.stack([start, middle, tip], 1)
    thick = np.clip(0.03 * clumps.radii.mean(), 0.006, 0.03) * np.array([1.0, 0.7, 0.3])
    builder.add(chains(path, thick, sides=3), Material.BARK, bark * 0.9)

    branch = rng.integers(len(path), size=1400)
    share = rng.uniform(0.2, 2.0, (1400, 1))
    low = np.minimum(share.astype(int), 1)
    root = path[branch, low[:, 0]] + (share - low) * (
        path[branch, low[:, 0] + 1] - path[branch, low[:, 0]]
    )
    grown = unit_rows(path[branch, 2] - path[branch, 0])
    way = unit_rows(grown + 0.8 * rng.standard_normal(root.shape) + [0, 0.25, 0])
    length = clumps.radii.mean() * rng.uniform(0.25, 0.75, (1400, 1))
    aside = unit_rows(np.cross(way, rng.standard_normal(root.shape)))
    twigs = np.stack([root, root + way * length], 1)
    tint = bark * rng.uniform(0.5, 1.1, (1400, 1))
    width = rng.uniform(0.008, 0.022, (1400, 1))
    builder.add(blades(twigs, width, aside, unit_rows(way + [0, 0.6, 0])), Material.LEAF, tint)


def add_stakes(builder: MeshBuilder, height: float, rng: np.random.Generator) -> None:
    """Add the two posts and the tie that hold a newly planted tree."""
    yaw, apart = rng.uniform(0, np.pi), rng.uniform(0.22, 0.4)
    aside = np.array([np.cos(yaw), 0, np.sin(yaw)]) * apart
    posts = [[sign * aside - [0, 0.1, 0], sign * aside + [0, height, 0]] for sign in (-1, 1)]
    wood = np.array([0.30, 0.23, 0.15]) * rng.uniform(0.6, 1.3)
    builder.add(chains(posts, rng.uniform(0.025, 0.04), sides=7), Material.BARK, wood)
    tie = [[-aside + [0, height * 0.93, 0], aside + [0, height * 0.93, 0]]]
    builder.add(chains(tie, 0.022, sides=5), Material.BARK, wood * 0.6)
