# SPDX-License-Identifier: Apache-2.0
"""What runs along the road: fences, guard rails, walls and overhead wires.

Everything runs along z from 0 to `length` at x = 0, its road side towards -x; it is cut every
few metres so that it follows a road that bends.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.geometry.blocks import Pile, bars, panels, prism
from depth_dpt_core.data.synth.geometry.choice import one_of
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import cylinder, loft

# m, (low, high)
_PICKET = (0.8, 1.3)  # height of fences in front gardens
_CHAIN_LINK = (1.2, 2.4)
_BOARDS = (1.5, 2.0)
_WALL = (0.5, 2.2)
_NOISE_BARRIER = (2.5, 5.0)
_GUARD_RAIL = 0.75  # upper edge
_BARRIER = 0.81  # height of a New Jersey barrier, 0.6 wide at its foot
_UTILITY_POLE = (8.0, 11.0)
_UTILITY_SPAN = (28.0, 45.0)
_SAG = (0.015, 0.03)  # of the span
_CUT = 4.0  # longest piece of anything
_SUNK = 0.3

# outlines (x, y), the road to the left
_W_BEAM = np.array([[0.0, 0.0], [-0.02, 0.0], [-0.08, 0.04], [-0.08, 0.08], [-0.02, 0.12],
                    [-0.02, 0.19], [-0.08, 0.23], [-0.08, 0.27], [-0.02, 0.31],
                    [0.0, 0.31]])  # fmt: skip
_JERSEY = np.array([[-0.30, -_SUNK], [-0.30, 0.075], [-0.13, 0.33], [-0.075, _BARRIER],
                    [0.075, _BARRIER], [0.13, 0.33], [0.30, 0.075], [0.30, -_SUNK]])  # fmt: skip


def _cuts(length: float, step: float = _CUT) -> NDArray[np.float64]:
    """Places along z from 0 to `length`, evenly no more than `step` apart."""
    return np.linspace(0, length, max(int(np.ceil(length / step)), 1) + 1)


def _upright(z: NDArray[np.float64], x: float = 0.0, y: float = -_SUNK) -> NDArray[np.float64]:
    """Points at these z."""
    return np.stack([np.full_like(z, x), np.full_like(z, y), z], 1)


def _rails(
    pile: Pile, z: NDArray[np.float64], height: float, size: tuple[float, float], color: object,
    x: float = 0.0,
) -> None:  # fmt: skip
    """Bars of a section (x, y) from each z to the next, their lower edge at `height`."""
    middle = (z[1:] + z[:-1]) / 2
    sizes = np.stack([np.full_like(middle, size[0]), np.full_like(middle, size[1]), np.diff(z)], 1)
    pile.put(_upright(middle, x, height), sizes, Material.PLAIN, np.asarray(color))


def _wood(rng: np.random.Generator) -> NDArray[np.float64]:
    palette = [[0.6, 0.6, 0.57], [0.2, 0.13, 0.07], [0.26, 0.24, 0.21], [0.12, 0.08, 0.05]]
    return np.array(palette[int(rng.integers(4))]) * rng.uniform(0.8, 1.2)


def picket_fence(rng: np.random.Generator, length: float) -> Mesh:
    """Low wooden fence, the pickets apart or edge to edge."""
    builder, pile, color = MeshBuilder(), Pile(), _wood(rng)
    height, z = rng.uniform(*_PICKET), _cuts(length, 2.2)
    pile.put(_upright(z), [0.09, height + 0.05 + _SUNK, 0.09], Material.PLAIN, color)
    for level in (0.2, 0.75):
        _rails(pile, z, level * height, (0.04, 0.07), color)
    pitch = max(rng.uniform(0.11, 0.17), length / 350)
    start = _upright(np.arange(0, length, pitch), -0.035, 0.06)
    slats = panels(start, start + [0, 0, pitch * rng.uniform(0.5, 0.8)], height - 0.06)
    builder.add(slats, Material.PLAIN, color)
    return pile.finish(builder)


def railing(rng: np.random.Generator, length: float) -> Mesh:
    """Upright steel bars between two rails, or two tubes on posts."""
    builder, pile = MeshBuilder(), Pile()
    color = rng.choice([0.03, 0.04, 0.3]) * np.array([1, 1, 1.05])
    height, z = rng.uniform(0.9, 1.4), _cuts(length, 2.0)
    pile.put(_upright(z), [0.05, height + _SUNK, 0.05], Material.PLAIN, color)
    _rails(pile, z, height - 0.04, (0.05, 0.04), color)
    _rails(pile, z, rng.uniform(0.1, 0.5) * height, (0.04, 0.04), color)
    if rng.random() < 0.7:
        foot = _upright(np.arange(0, length, max(0.125, length / 140)), 0.0, 0.1)
        bar = bars(foot, foot + [0, height - 0.12, 0], 0.012, sides=3)
        builder.add(bar, Material.PLAIN, color)
    return pile.finish(builder)


def chain_link(rng: np.random.Generator, length: float) -> Mesh:
    """Wire fence: its posts and the few wires that a camera sees."""
    builder = MeshBuilder()
    height, z = rng.uniform(*_CHAIN_LINK), _cuts(length, 3.0)
    color = np.array([0.32, 0.33, 0.34]) if rng.random() < 0.6 else np.array([0.03, 0.09, 0.05])
    foot = _upright(z)
    posts = bars(foot, foot + [0, height + _SUNK, 0], 0.03, sides=5)
    builder.add(posts, Material.PLAIN, color)
    for level in np.linspace(0.06, height, 4):
        ends = _upright(z, 0.0, level)
        builder.add(bars(ends[:-1], ends[1:], 0.006, sides=3), Material.PLAIN, color)
    span = np.array([0, height - 0.06, height])  # the mesh runs at 45 degrees
    for slope in (1, -1):
        start = np.arange(0.0, max(length - height, 0.1), max(0.5, length / 50))
        low = _upright(start if slope > 0 else start + height, 0.0, 0.06)
        wires = bars(low, low + span * [0, 1, slope], 0.003, sides=3)
        builder.add(wires, Material.PLAIN, color)
    return builder.build()


def board_fence(rng: np.random.Generator, length: float) -> Mesh:
    """Boards or panels higher than one sees over, between posts."""
    builder, pile, color = MeshBuilder(), Pile(), _wood(rng)
    height, z = rng.uniform(*_BOARDS), _cuts(length, 1.9)
    pile.put(_upright(z), [0.1, height + 0.08 + _SUNK, 0.1], Material.PLAIN, color * 0.85)
    pitch = max(rng.uniform(0.1, 0.2), length / 200)
    foot = _upright(np.arange(0, length - pitch / 2, pitch))
    foot[:, 0] += np.clip(rng.normal(0, 0.01, len(foot)), -0.02, 0.02)
    slats = panels(foot, foot + [0, 0, pitch - 0.012], height + _SUNK)
    shade = color * rng.uniform(0.85, 1.1, (len(foot), 1))
    builder.add(slats, Material.PLAIN, np.repeat(shade, 2, 0))
    return pile.finish(builder)


def garden_wall(rng: np.random.Generator, length: float) -> Mesh:
    """Wall of brick, stone or blocks with piers and a coping."""
    pile, z = Pile(), _cuts(length)
    height, thick = rng.uniform(*_WALL), rng.uniform(0.2, 0.4)
    palette = [[0.26, 0.10, 0.065], [0.37, 0.28, 0.17], [0.33, 0.31, 0.28], [0.5, 0.48, 0.44]]
    color = np.array(palette[int(rng.integers(4))]) * rng.uniform(0.8, 1.2)
    pattern = int(rng.integers(1 << 30))
    middle = (z[1:] + z[:-1]) / 2
    size = np.array([thick, height + _SUNK, float(z[1])])
    pile.put(_upright(middle), size, Material.BRICK, color, pattern=pattern)
    _rails(pile, z, height, (thick + 0.08, 0.06), [0.35, 0.34, 0.32])
    if rng.random() < 0.6:
        pier = [thick + 0.12, height + 0.12 + _SUNK, thick + 0.12]
        pile.put(_upright(z), pier, Material.BRICK, color, pattern=pattern)
    return pile.finish(MeshBuilder())


def guard_rail(rng: np.random.Generator, length: float) -> Mesh:
    """W-beam of zinc-coated steel on posts."""
    builder, pile = MeshBuilder(), Pile()
    color = rng.uniform(0.25, 0.42) * np.array([1, 1, 1.02])
    z = _cuts(length, float(rng.choice([2.0, 4.0])))
    rings = np.empty((len(z), len(_W_BEAM), 3))
    rings[..., :2], rings[..., 2] = _W_BEAM + [0, _GUARD_RAIL - 0.31], z[:, None]
    builder.add(loft(rings, closed=False, smooth=False), Material.PLAIN, color)
    pile.put(_upright(z, 0.12), [0.1, _GUARD_RAIL - 0.03 + _SUNK, 0.12], Material.PLAIN, color)
    pile.put(_upright(z, 0.03, 0.5), [0.1, 0.18, 0.1], Material.PLAIN, color * 0.8)
    return pile.finish(builder)


def jersey_barrier(rng: np.random.Generator, length: float) -> Mesh:
    """Concrete barrier in pieces, or red and white plastic ones of a road works."""
    builder, z = MeshBuilder(), _cuts(length, 3.0)
    plastic, grey = rng.random() < 0.25, rng.uniform(0.28, 0.5) * np.ones(3)
    pair = [[0.42, 0.05, 0.03], [0.65, 0.65, 0.63]] if plastic else [grey, grey * 0.96]
    for piece, (start, end) in enumerate(pairwise(z)):
        solid = prism(_JERSEY, np.array([start + 0.02, end - 0.02]))
        builder.add(solid, Material.PLAIN, pair[piece % 2], pattern=piece)
    return builder.build()


def noise_barrier(rng: np.random.Generator, length: float) -> Mesh:
    """High wall of panels between steel posts, sometimes glass on top."""
    pile, z = Pile(), _cuts(length)
    height = rng.uniform(*_NOISE_BARRIER)
    palette = [[0.4, 0.39, 0.37], [0.2, 0.14, 0.08], [0.12, 0.2, 0.14], [0.35, 0.37, 0.38]]
    color = np.array(palette[int(rng.integers(4))]) * rng.uniform(0.8, 1.2)
    pile.put(_upright(z), [0.2, height + 0.05 + _SUNK, 0.18], Material.PLAIN, [0.28, 0.29, 0.3])
    middle, long = (z[1:] + z[:-1]) / 2, float(z[1])
    rows = np.linspace(0, height, max(round(height / rng.uniform(0.6, 1.3)), 2) + 1)
    glazed = rng.random() < 0.25
    for row, (low, high) in enumerate(pairwise(rows)):
        deep = _SUNK if row == 0 else 0.0
        material = Material.GLASS if glazed and row >= len(rows) // 2 else Material.PLAIN
        shade = [0.05, 0.06, 0.06] if material == Material.GLASS else color * (1 - row % 2 * 0.1)
        size = [0.1 + 0.03 * (row % 2), high - low + deep, long]
        pile.put(_upright(middle, 0.0, low - deep), size, material, shade)
    return pile.finish(MeshBuilder())


def utility_line(rng: np.random.Generator, length: float) -> Mesh:
    """Wooden, concrete or steel poles with cross-arms; the wires sag towards the next pole."""
    builder, pile = MeshBuilder(), Pile()
    height = rng.uniform(*_UTILITY_POLE)
    palette = [[0.14, 0.1, 0.07], [0.2, 0.17, 0.14], [0.36, 0.35, 0.33], [0.3, 0.31, 0.32]]
    color = np.array(palette[int(rng.choice(4, p=[0.45, 0.25, 0.15, 0.15]))])
    span = rng.uniform(*_UTILITY_SPAN)
    z = np.append(np.arange(0, length, span), length) if length > span else np.array([0, length])
    poles = z[:-1] if z[-1] - z[-2] < 0.4 * span else z
    arm = rng.uniform(1.0, 2.4) if rng.random() < 0.7 else 0.0
    for place in poles:
        foot, top = np.array([0, -_SUNK, place]), np.array([0, height, place])
        builder.add(cylinder(foot, top, 0.15, end_radius=0.1, sides=7), Material.PLAIN, color)
    wires = [(x, height - 0.25) for x in np.linspace(-arm / 2, arm / 2, 2 + (arm > 1.6))]
    if arm:
        pile.put(
            _upright(poles, 0.0, height - 0.45), [arm + 0.2, 0.12, 0.1], Material.PLAIN, color
        )
        for x, _ in wires:
            pile.put(_upright(poles, x, height - 0.33), [0.07, 0.12, 0.07], Material.PLAIN,
                     [0.3, 0.3, 0.3])  # fmt: skip
    else:
        wires = [(0.12, height - 0.3 - 0.3 * row) for row in range(int(rng.integers(1, 4)))]
    wires.append((-0.12, height - rng.uniform(1.4, 2.2)))  # telephone
    for x, level in wires:
        line = _hung(_upright(z, x, level), rng.uniform(*_SAG))
        builder.add(bars(line[:-1], line[1:], 0.012, sides=3), Material.PLAIN, [0.03] * 3)
    if rng.random() < 0.3:  # transformer
        can = [0.35, height - 2.0, float(poles[0])]
        drum = cylinder(can, [can[0], can[1] + 0.9, can[2]], 0.25)
        builder.add(drum, Material.PLAIN, [0.35, 0.36, 0.36])
    return pile.finish(builder)


def _hung(ends: NDArray[np.float64], sag: float) -> NDArray[np.float64]:
    """Points of a wire hung up at `ends` [K,3]: parabolas, as good as catenaries when so flat."""
    share = np.arange(8)[:, None] / 8
    step = np.diff(ends, axis=0)
    line = ends[:-1, None] + share * step[:, None]
    line[..., 1] -= 4 * sag * step[:, 2:] * (share * (1 - share)).T
    return np.concatenate([line.reshape(-1, 3), ends[-1:]])


LongKind = Callable[[np.random.Generator, float], Mesh]

FENCES: dict[str, tuple[LongKind, float]] = {  # around gardens and yards, with their shares
    "picket_fence": (picket_fence, 0.2),
    "railing": (railing, 0.25),
    "chain_link": (chain_link, 0.15),
    "board_fence": (board_fence, 0.15),
    "garden_wall": (garden_wall, 0.25),
}
ROAD_BARRIERS: dict[str, tuple[LongKind, float]] = {  # beside fast roads
    "guard_rail": (guard_rail, 0.5),
    "jersey_barrier": (jersey_barrier, 0.3),
    "noise_barrier": (noise_barrier, 0.2),
}


def road_barrier(rng: np.random.Generator, length: float) -> Mesh:
    """Any of `ROAD_BARRIERS`."""
    return one_of(rng, ROAD_BARRIERS)(rng, length)


def fence(rng: np.random.Generator, length: float) -> Mesh:
    """Any of `FENCES`."""
    return one_of(rng, FENCES)(rng, length)
