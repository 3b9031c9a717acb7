# SPDX-License-Identifier: Apache-2.0
"""Trees without clumps of leaves: spruces with whorls of branches, palms with fronds."""

from __future__ import annotations

import numpy as np

from depth_dpt_core.data.synth.geometry.limbs import blades, chains, unit_rows
from depth_dpt_core.data.synth.geometry.mesh import Material, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import blob, loft
from depth_dpt_core.data.synth.plants.wood import BARK, trunk_radius

NEEDLES = [0.040, 0.072, 0.032]  # linear reflectance


def add_spruce(
    builder: MeshBuilder, height: float, base: float, width: float, rng: np.random.Generator
) -> None:
    """Add a conifer: a dark cone, and drooping branches in whorls all the way up."""
    half, radius, pattern = width / 2, trunk_radius(height), int(rng.integers(1 << 30))
    trunk = np.array([[[0, -0.1, 0], [0, height * 0.5, 0], [0, height * 0.98, 0]]])
    bark = np.array(BARK) * rng.uniform(0.5, 1.2)
    thick = radius * np.array([1.2, 0.7, 0.1])
    builder.add(chains(trunk, thick, sides=8), Material.BARK, bark, pattern=pattern)
    color = np.array(NEEDLES) * rng.uniform(0.7, 1.5) * (1 + rng.uniform(-0.1, 0.3, 3))

    level = np.linspace(0, 0.97, 9)
    turn = np.linspace(0, 2 * np.pi, 9)[:-1]
    reach = half * (1 - level)[:, None] * rng.uniform(0.45, 0.68, (9, 8))
    y = base + (height - base) * level[:, None] + rng.normal(0, 0.01 * height, (9, 8))
    core = np.stack([np.cos(turn) * reach, y, np.sin(turn) * reach], -1)
    builder.add(loft(core), Material.FOLIAGE, color * 0.45, pattern=pattern)

    count, whorls = 1000, int(np.clip(height * 1.2, 9, 18))
    up = 1 - np.sqrt(rng.random((count, 1)))  # as many as there is surface
    up = (np.floor(up * whorls) + rng.uniform(0.1, 0.75, (count, 1))) / whorls
    angle = rng.uniform(0, 2 * np.pi, (count, 1))
    out = np.concatenate([np.cos(angle), 0 * angle, np.sin(angle)], 1)
    reach = half * (1.02 - up) ** 0.85 * rng.uniform(0.72, 1.12, (count, 1))
    top = np.array([[0.0, 1.0, 0.0]]) * (base + (height - base) * np.minimum(up, 0.99))
    fall = rng.uniform(0.1, 0.4) * reach * [[0.0, 1.0, 0.0]]
    path = [top + out * reach * 0.3, top + out * reach * 0.72 - fall * 0.5, top + out * reach]
    path[2] = path[2] - fall * rng.uniform(0.6, 1.2, (count, 1))
    wide = np.clip(0.42 * reach, 0.08, 0.6) * [[0.5, 1.0]]
    aside = np.stack([-out[:, 2], rng.normal(0, 0.5, count), out[:, 0]], 1)
    lit = unit_rows(out + [0, 0.55, 0] + rng.normal(0, 0.2, out.shape))
    tint = color * np.clip(rng.normal(1.1, 0.25, (count, 1)), 0.45, 1.9)
    branches = np.stack(path, 1)
    branches[..., 1] = np.maximum(branches[..., 1], 0.04)
    twigs = blades(branches, wide, unit_rows(aside), lit)
    builder.add(twigs, Material.LEAF, np.repeat(tint, 3, 0), pattern=pattern)


def add_palm(builder: MeshBuilder, height: float, rng: np.random.Generator) -> None:
    """Add a feather palm: bare leaning trunk, arched fronds with leaflets on both sides."""
    length = rng.uniform(1.9, 3.2)
    stem = height - length * 0.45  # the middle fronds rise above it
    lean = rng.normal(0, 0.05, 2) * stem
    share = np.array([-0.02, 0.03, 0.3, 0.65, 1.0])
    trunk = np.stack([lean[0] * share**2, stem * share, lean[1] * share**2], 1)
    radius = rng.uniform(0.13, 0.24)
    bark = np.array([0.19, 0.155, 0.115]) * rng.uniform(0.7, 1.3)
    thick = radius * np.array([1.5, 1.2, 0.95, 0.9, 1.1])
    builder.add(chains(trunk[None], thick, sides=10), Material.BARK, bark)
    husk = blob(trunk[-1] - [0, 0.2, 0], [radius * 1.5, 0.45, radius * 1.5], rng)
    builder.add(husk, Material.FOLIAGE, bark * 0.7)

    count, leaflets = 32, 19
    angle = np.arange(count) * 2.39996
    rise = np.linspace(1.25, -0.55, count)[:, None]  # the oldest hang down
    out = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1)
    along = np.linspace(0.08, 1, leaflets)[:, None, None]
    arch = out * np.cos(rise) * length
    fronds = (
        trunk[-1]
        + arch * along
        + [0, 1, 0] * (np.sin(rise) * length * along - (0.48 + 0.1 * rise) * length * along**2)
    )  # [leaflets,count,3]
    aside = np.stack([-out[:, 2], 0 * angle, out[:, 0]], 1)
    reach = 0.24 * length * np.sin(np.pi * (0.1 + 0.82 * along))
    color = np.array([0.075, 0.115, 0.035]) * rng.uniform(0.7, 1.3)
    lit = unit_rows(out * 0.5 + [0, 0.8, 0])
    for sign in (-1, 1):
        tips = fronds + aside * sign * reach + out * reach * 0.6 - [0, 0.5, 0] * reach
        feathers = np.stack([fronds, tips], 2).reshape(-1, 2, 3)
        wide = unit_rows(arch)[None].repeat(leaflets, 0).reshape(-1, 3)
        tint = color * rng.uniform(0.6, 1.4, (len(feathers), 1))
        leaf = blades(feathers, length * 0.045, wide, np.tile(lit, (leaflets, 1)))
        builder.add(leaf, Material.LEAF, tint)
