# SPDX-License-Identifier: Apache-2.0
"""What stands at the edge of the road for a while: cones, barriers, skips, containers, trailers.

Everything stands on the origin, its long side along z and the road towards -x.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depth_dpt_core.data.synth.geometry.blocks import Pile, bars, panels, polyline
from depth_dpt_core.data.synth.geometry.choice import one_of, tinted
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import blob, box, cylinder, hexahedron, loft
from depth_dpt_core.data.synth.surfaces.facade import Part, Style, pattern_of

# (x, y, z) extents in m, low and high
_SKIP = ([1.65, 1.10, 3.20], [1.85, 1.70, 4.00])
_TRAILER = ([2.48, 2.60, 7.00], [2.55, 2.80, 13.60])
_SEA_CONTAINER = (2.44, 2.59, (6.06, 12.19))
_CONE = (0.5, 0.95)  # height

_STEEL, _DARK, _RED = [0.3, 0.31, 0.32], [0.04, 0.04, 0.042], [0.42, 0.03, 0.03]
_ORANGE, _WHITE = [0.62, 0.13, 0.02], [0.68, 0.68, 0.66]


def cones(rng: np.random.Generator) -> Mesh:
    """A few traffic cones in a line."""
    builder, pile = MeshBuilder(), Pile()
    high, z = rng.uniform(*_CONE), 0.0
    turn = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    circle = np.stack([np.cos(turn), np.zeros(8), np.sin(turn)], 1)
    for _ in range(int(rng.integers(1, 6))):
        x = rng.normal(0, 0.15)
        pile.put([x, -0.02, z], [high * 0.5, 0.05, high * 0.5], Material.PLAIN, _DARK)
        levels = np.array([0.0, 0.4, 0.65, 1.0])
        radii = high * (0.19 - 0.15 * levels)
        rings = radii[:, None, None] * circle + [x, 0, z]
        rings[..., 1] += high * levels[:, None]
        bands = np.repeat([_ORANGE, _WHITE, _ORANGE], 2 * len(circle), axis=0)
        builder.add(loft(rings), Material.PLAIN, bands)
        z += rng.uniform(1.5, 4.0)
    return pile.finish(builder)


def works_barrier(rng: np.random.Generator) -> Mesh:
    """Red and white planks before a hole, or site fences of steel mesh."""
    builder, pile = MeshBuilder(), Pile()
    if rng.random() < 0.5:
        for panel in range(int(rng.integers(1, 4))):
            z = np.array([0.05, 1.95]) + panel * 2.05
            foot = np.stack([np.zeros(2), np.zeros(2), z], 1)
            pile.put(foot - [0, 0.02, 0], [0.7, 0.12, 0.22], Material.PLAIN, _DARK)
            pile.put(foot, [0.04, 1.05, 0.04], Material.PLAIN, _STEEL)
            for level in (0.2, 0.8):
                at = np.stack([np.zeros(8), np.full(8, level), z[0] + np.arange(8) * 0.24], 1)
                bands = np.tile(np.repeat([_RED, _WHITE], 2, axis=0), (4, 1))
                builder.add(panels(at, at + [0, 0, 0.24], 0.2), Material.PLAIN, bands)
        return pile.finish(builder)
    for panel in range(int(rng.integers(1, 4))):
        z0 = panel * 3.5
        frame = np.array([[0, 0.1, z0], [0, 2.0, z0], [0, 2.0, z0 + 3.4], [0, 0.1, z0 + 3.4],
                          [0, 0.1, z0]])  # fmt: skip
        builder.add(polyline(frame, 0.02), Material.PLAIN, _STEEL)
        up = np.arange(z0 + 0.34, z0 + 3.3, 0.34)[:, None] * [0, 0, 1]
        builder.add(
            bars(up + [0, 0.1, 0], up + [0, 2.0, 0], 0.003, sides=3), Material.PLAIN, _STEEL
        )
        feet = [[0, -0.02, z0], [0, -0.02, z0 + 3.4]]
        pile.put(feet, [0.7, 0.16, 0.22], Material.PLAIN, [0.3, 0.3, 0.29])
    return pile.finish(builder)


def skip(rng: np.random.Generator) -> Mesh:
    """Open steel box for rubble, sloping at both ends."""
    builder, (wide, high, long) = MeshBuilder(), rng.uniform(*_SKIP)
    color = tinted(
        rng, [[0.5, 0.33, 0.03], [0.04, 0.09, 0.2], [0.3, 0.28, 0.26], [0.05, 0.14, 0.07]]
    )
    side = np.array([[-long * 0.36, 0], [long * 0.36, 0], [long / 2, high], [-long / 2, high]])
    body = hexahedron([[x, y, z] for x in (-wide / 2, wide / 2) for z, y in side])
    builder.add(body, Material.PLAIN, color)
    for x in (-wide / 2, wide / 2):
        ribs = np.array([[x, 0, z] for z in np.linspace(-0.3, 0.3, 4) * long])
        builder.add(bars(ribs, ribs + [0, high, 0], 0.06), Material.PLAIN, color * 0.9)
    heap = blob([0, high - 0.05, 0], [wide * 0.42, 0.3, long * 0.42], rng, roughness=0.3)
    builder.add(heap, Material.GROUND, [0.26, 0.23, 0.2])
    return builder.build()


def sea_container(rng: np.random.Generator) -> Mesh:
    """Ribbed steel container, 6.06 or 12.19 m long, or the grey cabin of a building site."""
    builder = MeshBuilder()
    wide, high, lengths = _SEA_CONTAINER
    long = lengths[int(rng.random() < 0.3)]
    palette = [[0.3, 0.06, 0.04], [0.04, 0.09, 0.22], [0.35, 0.35, 0.34], [0.06, 0.16, 0.1],
               [0.38, 0.17, 0.06], [0.6, 0.6, 0.58]]  # fmt: skip
    ribs = pattern_of(int(rng.integers(1 << 26)), Style.METAL, Part.BLANK)
    body = box([0, 0.05, 0], [wide, high, long])
    builder.add(body, Material.FACADE, tinted(rng, palette), pattern=ribs)
    for x in (-wide / 2, wide / 2):
        for y in (0.0, high - 0.07):
            beam = box([x * 0.985, y, 0], [0.12, 0.15, long + 0.02])
            builder.add(beam, Material.PLAIN, _DARK if y == 0 else _STEEL)
    return builder.build()


def trailer(rng: np.random.Generator) -> Mesh:
    """Box trailer of a lorry without its tractor, on wheels and its landing legs."""
    builder, pile, (wide, high, long) = MeshBuilder(), Pile(), rng.uniform(*_TRAILER)
    color = tinted(
        rng, [_WHITE, _WHITE, [0.35, 0.36, 0.37], [0.04, 0.08, 0.22], [0.35, 0.05, 0.04]]
    )
    pile.put([0, 1.15, 0], [wide, high, long], Material.PAINT, color)
    pile.put([0, 0.9, 0], [1.0, 0.26, long * 0.96], Material.PLAIN, _DARK)
    pile.put([[side * 0.8, -0.02, long * 0.28] for side in (-1, 1)], [0.15, 1.0, 0.2],
             Material.PLAIN, _STEEL)  # fmt: skip
    for z in -long / 2 + np.array([1.2, 2.5, 3.8])[: 3 if long > 10 else 2]:
        for side in (-1, 1):
            rim = np.array([side * wide / 2, 0.5, z])
            wheel = cylinder(rim - [side * 0.5, 0, 0], rim, 0.5, sides=10)
            builder.add(wheel, Material.PLAIN, [0.02, 0.02, 0.02])
    pile.put([0, 0.5, -long / 2 + 0.1], [wide, 0.12, 0.1], Material.PLAIN, _STEEL)
    return pile.finish(builder)


def clutter(rng: np.random.Generator) -> Mesh:
    """Box or ball of no kind; one in four floats, so that contact is not the only cue."""
    builder, size = MeshBuilder(), rng.uniform(0.15, 1.2, 3)
    height = rng.uniform(0.3, 3.0) if rng.random() < 0.25 else 0.0
    color, pattern = rng.uniform(0.02, 0.8, 3), int(rng.integers(1 << 30))
    material = [Material.PLAIN, Material.PAVING, Material.FACADE][int(rng.integers(3))]
    if rng.random() < 0.6:
        solid = box([0, height, 0], size, yaw=rng.uniform(0, np.pi))
    else:
        solid = blob([0, height + size[1], 0], size, rng, roughness=rng.uniform(0, 0.2))
    builder.add(solid, material, color, pattern=pattern)
    return builder.build()


ROAD_WORKS: dict[
    str, tuple[Callable[[np.random.Generator], Mesh], float]
] = {  # at the edge of the road, with their shares
    "cones": (cones, 0.35),
    "works_barrier": (works_barrier, 0.25),
    "skip": (skip, 0.2),
    "sea_container": (sea_container, 0.1),
    "trailer": (trailer, 0.1),
}


def road_works(rng: np.random.Generator) -> Mesh:
    """Any of `ROAD_WORKS`."""
    return one_of(rng, ROAD_WORKS)(rng)
