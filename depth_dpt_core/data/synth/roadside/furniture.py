# SPDX-License-Identifier: Apache-2.0
"""What stands on the pavement and beside the road, in real dimensions.

Everything stands on the origin, its long side along z and its front, or the road, towards -x.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.geometry.blocks import Pile, panels, polyline
from depth_dpt_core.data.synth.geometry.choice import one_of, tinted
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import blob, box, cylinder, taper

# (x, y, z) extents in m, low and high
_WHEELED_BIN = ([0.50, 0.95, 0.45], [0.75, 1.10, 0.60])
_CONTAINER_BIN = ([1.00, 1.20, 1.25], [1.20, 1.45, 1.90])
_BENCH = ([0.50, 0.43, 1.40], [0.65, 0.47, 2.00])
_SHELTER = ([1.30, 2.35, 2.60], [1.70, 2.60, 5.20])
_CABINET = ([0.32, 0.90, 0.70], [0.60, 1.50, 1.80])
_KIOSK = ([2.00, 2.50, 2.20], [2.60, 3.00, 4.00])
_PLANTER = ([0.50, 0.40, 0.60], [1.20, 0.80, 2.20])

_GLASS, _STEEL, _DARK = [0.04, 0.045, 0.05], [0.3, 0.31, 0.32], [0.04, 0.04, 0.042]
_BOARD, _WHITE = [0.24, 0.14, 0.07], [0.68, 0.68, 0.66]
_RED = [0.42, 0.03, 0.03]
_BINS = [[0.06, 0.065, 0.07], [0.03, 0.09, 0.05], [0.2, 0.21, 0.22], [0.04, 0.06, 0.15],
         [0.12, 0.08, 0.05]]  # fmt: skip


def _size(
    rng: np.random.Generator, ranges: tuple[list[float], list[float]]
) -> NDArray[np.float64]:
    return rng.uniform(*ranges)


def _poster(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.uniform(0.15, 0.5) * rng.uniform(0.6, 1.3, 3)


def litter_bin(rng: np.random.Generator) -> Mesh:
    """Round or square bin of the street, sometimes on a post."""
    builder, pile, color = MeshBuilder(), Pile(), tinted(rng, _BINS)
    radius, height = rng.uniform(0.19, 0.3), rng.uniform(0.75, 1.1)
    if rng.random() < 0.5:
        drum = cylinder([0, -0.05, 0], [0, height, 0], radius, sides=10)
        builder.add(drum, Material.PLAIN, color)
        rim = cylinder([0, height, 0], [0, height + 0.05, 0], radius + 0.02, sides=10)
        builder.add(rim, Material.PLAIN, _DARK)
    else:
        pile.put([0, -0.05, 0], [2 * radius, height + 0.05, 2 * radius], Material.PLAIN, color)
        pile.put([-0.01, height * 0.75, 0], [2 * radius, 0.14, radius], Material.PLAIN, _DARK)
        pile.put(
            [0, height, 0], [2 * radius + 0.04, 0.06, 2 * radius + 0.04], Material.PLAIN, color
        )
    return pile.finish(builder)


def wheeled_bins(rng: np.random.Generator) -> Mesh:
    """One to four household bins side by side, or a big one on four wheels."""
    builder, pile = MeshBuilder(), Pile()
    big = rng.random() < 0.3
    z = 0.0
    for _ in range(1 if big else int(rng.integers(1, 5))):
        wide, high, long = _size(rng, _CONTAINER_BIN if big else _WHEELED_BIN)
        color, x = tinted(rng, _BINS), rng.normal(0, 0.06)
        body = taper([x, 0.08, z], [wide * 0.8, high - 0.14, long * 0.85], [wide, 0, long])
        builder.add(body, Material.PLAIN, color)
        lid = taper([x, high - 0.06, z], [wide + 0.06, 0.1, long + 0.04], [wide * 0.7, 0, long])
        builder.add(lid, Material.PLAIN, tinted(rng, _BINS) if rng.random() < 0.3 else color)
        for side in (-1, 1):
            hub = np.array([x + wide * 0.3, 0.1, z + side * long * 0.36])
            wheel = cylinder(hub, hub + [0, 0, side * 0.06], 0.1, sides=8)
            builder.add(wheel, Material.PLAIN, _DARK)
        pile.put([x, -0.02, z], [wide * 0.5, 0.12, long * 0.6], Material.PLAIN, _DARK)
        z += long + rng.uniform(0.05, 0.3)
    return pile.finish(builder)


def bench(rng: np.random.Generator) -> Mesh:
    """Bench of boards on two supports, most with a back."""
    pile, (deep, seat, long) = Pile(), _size(rng, _BENCH)
    wood = tinted(rng, [_BOARD, [0.12, 0.08, 0.05], _STEEL, [0.04, 0.09, 0.05]])
    for x in np.linspace(-0.5, 0.5, 4) * (deep - 0.1):
        pile.put([x, seat - 0.04, 0], [0.1, 0.04, long], Material.PLAIN, wood)
    legs = [[0, -0.05, side * (long / 2 - 0.2)] for side in (-1, 1)]
    pile.put(legs, [deep - 0.05, seat + 0.01, 0.07], Material.PLAIN, _DARK)
    if rng.random() < 0.75:
        back = np.array(legs) + [deep / 2, 0, 0]
        pile.put(back, [0.05, seat + 0.45, 0.07], Material.PLAIN, _DARK)
        for y in (0.12, 0.26, 0.38):
            pile.put([deep / 2 - 0.03, seat + y, 0], [0.035, 0.09, long], Material.PLAIN, wood)
    return pile.finish(MeshBuilder())


def bus_shelter(rng: np.random.Generator) -> Mesh:
    """Roof on posts, glass at the back and the ends, an advertisement, a bench, a stop sign."""
    builder, pile, (deep, high, long) = MeshBuilder(), Pile(), _size(rng, _SHELTER)
    color = tinted(rng, [_STEEL, _DARK, _DARK, [0.04, 0.08, 0.06]])
    posts = [[x * (deep / 2 - 0.1), -0.05, z * (long / 2 - 0.06)] for x in (-0.3, 1)
             for z in (-1, 1)]  # fmt: skip
    pile.put(posts, [0.08, high + 0.05, 0.08], Material.PLAIN, color)
    pile.put([0, high, 0], [deep + 0.15, 0.12, long + 0.2], Material.PLAIN, color)
    x = deep / 2 - 0.1
    if rng.random() < 0.6:
        start, end = [[x, 0.15, -long / 2]], [[x, 0.15, long / 2]]
        builder.add(panels(start, end, high - 0.35), Material.GLASS, _GLASS)
    bars_at = np.linspace(-long / 2, long / 2, max(round(long / 1.2), 2) + 1)
    at = np.stack([np.full_like(bars_at, x), np.zeros_like(bars_at), bars_at], 1)
    pile.put(at, [0.05, high, 0.05], Material.PLAIN, color)
    pile.put([x - 0.25, 0.42, 0], [0.35, 0.05, long * 0.6], Material.PLAIN, tinted(rng, [_BOARD]))
    pile.put([x - 0.2, -0.05, 0], [0.06, 0.5, long * 0.5], Material.PLAIN, color)
    if rng.random() < 0.7:
        poster = [deep - 0.3, 1.85, 0.14]
        face, pattern = _poster(rng), int(rng.integers(1 << 30))
        pile.put([0.1, 0.25, long / 2], poster, Material.SIGN, face, pattern=pattern)
    pile.put([-deep / 2, -0.05, -long / 2 - 0.8], [0.07, 2.8, 0.07], Material.PLAIN, color)
    pile.put([-deep / 2, 2.3, -long / 2 - 0.8], [0.45, 0.5, 0.04], Material.SIGN,
             tinted(rng, [[0.55, 0.4, 0.03], [0.03, 0.08, 0.3], _WHITE]),
             pattern=int(rng.integers(1 << 30)))  # fmt: skip
    return pile.finish(builder)


def post_box(rng: np.random.Generator) -> Mesh:
    """Pillar box, or a box on a leg."""
    builder, color = MeshBuilder(), tinted(rng, [_RED, [0.55, 0.38, 0.02], [0.03, 0.07, 0.25]])
    if rng.random() < 0.5:
        radius = rng.uniform(0.22, 0.26)
        builder.add(cylinder([0, -0.05, 0], [0, 0.15, 0], radius, sides=10), Material.PLAIN, _DARK)
        body = cylinder([0, 0.15, 0], [0, 1.45, 0], radius, sides=10)
        builder.add(body, Material.PAINT, color)
        builder.add(blob([0, 1.47, 0], [radius + 0.03, 0.14, radius + 0.03], rng), Material.PAINT,
                    color)  # fmt: skip
    else:
        builder.add(box([0, -0.05, 0], [0.12, 0.75, 0.12]), Material.PLAIN, _STEEL)
        builder.add(box([0, 0.6, 0], [0.38, 0.75, 0.5]), Material.PAINT, color)
    builder.add(box([-0.15, 1.15, 0], [0.22, 0.04, 0.28]), Material.PLAIN, _DARK)
    return builder.build()


def hydrant(rng: np.random.Generator) -> Mesh:
    """Fire hydrant with its outlets and cap."""
    builder, color = MeshBuilder(), tinted(rng, [_RED, _RED, [0.6, 0.45, 0.03], [0.4, 0.4, 0.4]])
    high = rng.uniform(0.6, 0.8)
    builder.add(cylinder([0, -0.05, 0], [0, 0.06, 0], 0.16), Material.PLAIN, color)
    builder.add(cylinder([0, 0, 0], [0, high - 0.12, 0], 0.095), Material.PLAIN, color)
    builder.add(blob([0, high - 0.12, 0], [0.12, 0.12, 0.12], rng), Material.PLAIN, color)
    outlets = [[[-0.17, high - 0.25, 0], [0, high - 0.25, 0]],
               [[0, high - 0.25, -0.17], [0, high - 0.25, 0.17]]]  # fmt: skip
    for start, end in outlets:
        builder.add(cylinder(start, end, 0.055), Material.PLAIN, color)
    return builder.build()


def cabinet(rng: np.random.Generator) -> Mesh:
    """Grey or green box of the electricity or telephone company."""
    pile, (deep, high, long) = Pile(), _size(rng, _CABINET)
    color = tinted(rng, [[0.34, 0.35, 0.34], [0.09, 0.13, 0.09], [0.45, 0.44, 0.4]])
    pile.put([0, -0.05, 0], [deep, 0.15, long], Material.PLAIN, [0.3, 0.3, 0.29])
    pile.put([0, 0.1, 0], [deep - 0.02, high - 0.1, long - 0.02], Material.PLAIN, color)
    pile.put([0, high, 0], [deep + 0.06, 0.05, long + 0.06], Material.PLAIN, color * 0.9)
    doors = np.linspace(-0.5, 0.5, int(rng.integers(2, 4)) + 1)[1:-1] * long
    seams = np.stack([np.full_like(doors, -deep / 2), np.full_like(doors, 0.15), doors], 1)
    pile.put(seams, [0.02, high - 0.2, 0.015], Material.PLAIN, color * 0.4)
    return pile.finish(MeshBuilder())


def kiosk(rng: np.random.Generator) -> Mesh:
    """Stand that sells papers, food or flowers through a hatch."""
    pile, (deep, high, long) = Pile(), _size(rng, _KIOSK)
    color = tinted(
        rng, [[0.05, 0.09, 0.06], [0.5, 0.48, 0.42], [0.25, 0.26, 0.27], [0.2, 0.05, 0.04]]
    )
    pile.put([0, -0.05, 0], [deep, high + 0.05, long], Material.PLAIN, color)
    pile.put([-deep / 2, 1.0, 0], [0.06, 1.1, long * 0.75], Material.GLASS, _GLASS)
    pile.put([-deep / 2 - 0.12, 0.95, 0], [0.3, 0.05, long * 0.8], Material.PLAIN, _STEEL)
    pile.put([-0.15, high, 0], [deep + 0.8, 0.15, long + 0.4], Material.PLAIN, color * 0.8)
    pile.put([-deep / 2 - 0.03, high - 0.45, 0], [0.08, 0.42, long * 0.9], Material.SIGN,
             tinted(rng, [_WHITE, _RED, [0.03, 0.1, 0.3]]),
             pattern=int(rng.integers(1 << 30)))  # fmt: skip
    return pile.finish(MeshBuilder())


def advertising_column(rng: np.random.Generator) -> Mesh:
    """Round column covered with posters, or a lit poster in a flat frame."""
    builder, pattern = MeshBuilder(), int(rng.integers(1 << 30))
    face = _poster(rng)
    if rng.random() < 0.5:
        radius, high = rng.uniform(0.55, 0.75), rng.uniform(2.6, 3.4)
        foot = cylinder([0, -0.05, 0], [0, 0.35, 0], radius + 0.05, sides=14)
        builder.add(foot, Material.PLAIN, [0.3, 0.3, 0.29])
        body = cylinder([0, 0.35, 0], [0, high, 0], radius, sides=14)
        builder.add(body, Material.SIGN, face, pattern=pattern)
        lid = cylinder([0, high, 0], [0, high + 0.25, 0], radius + 0.12, end_radius=0.3, sides=14)
        builder.add(lid, Material.PLAIN, [0.09, 0.12, 0.1])
        return builder.build()
    builder.add(box([0, -0.05, 0], [1.0, 0.7, 0.18]), Material.PLAIN, _DARK)
    builder.add(box([0, 0.6, 0], [1.3, 1.95, 0.2]), Material.PLAIN, _DARK)
    builder.add(box([0, 0.68, 0], [1.18, 1.76, 0.22]), Material.SIGN, face, pattern=pattern)
    return builder.build()


def planter(rng: np.random.Generator) -> Mesh:
    """Tub of concrete, wood or steel with a bush in it."""
    builder, (deep, high, long) = MeshBuilder(), _size(rng, _PLANTER)
    color = tinted(rng, [[0.4, 0.39, 0.37], _BOARD, [0.1, 0.1, 0.1]])
    tub = taper([0, -0.05, 0], [deep * 0.9, high + 0.05, long * 0.92], [deep, 0, long])
    builder.add(tub, Material.PLAIN, color)
    pattern = int(rng.integers(1 << 30))
    for z in np.linspace(-0.3, 0.3, 3) * long:
        radii = np.array([deep * 0.42, rng.uniform(0.15, 0.5), long * 0.24])
        leaf = np.array([0.06, 0.12, 0.03]) * rng.uniform(0.6, 1.5)
        bush = blob([0, high, z], radii, rng, roughness=0.3)
        builder.add(bush, Material.FOLIAGE, leaf, pattern=pattern)
    return builder.build()


def bicycle_stands(rng: np.random.Generator) -> Mesh:
    """Two to six hoops of tube."""
    builder, count = MeshBuilder(), int(rng.integers(2, 7))
    half, high, pitch = rng.uniform(0.3, 0.45), rng.uniform(0.75, 0.9), rng.uniform(0.8, 1.2)
    side = np.array([[half, -0.1, 0], [half, high - 0.12, 0], [half - 0.12, high, 0]])
    hoop = np.concatenate([side * [-1, 1, 1], side[::-1]])
    color = tinted(rng, [_STEEL, _STEEL, _DARK])
    for stand in range(count):
        builder.add(polyline(hoop + [0, 0, stand * pitch], 0.025), Material.PLAIN, color)
    return builder.build()


Kind = Callable[[np.random.Generator], Mesh]

FURNITURE: dict[str, tuple[Kind, float]] = {  # on pavements, with their shares
    "litter_bin": (litter_bin, 0.16),
    "wheeled_bins": (wheeled_bins, 0.16),
    "bench": (bench, 0.12),
    "bus_shelter": (bus_shelter, 0.06),
    "post_box": (post_box, 0.05),
    "hydrant": (hydrant, 0.06),
    "cabinet": (cabinet, 0.12),
    "kiosk": (kiosk, 0.03),
    "advertising_column": (advertising_column, 0.06),
    "planter": (planter, 0.10),
    "bicycle_stands": (bicycle_stands, 0.08),
}


def furniture(rng: np.random.Generator) -> Mesh:
    """Any of `FURNITURE`."""
    return one_of(rng, FURNITURE)(rng)
