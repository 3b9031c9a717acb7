# SPDX-License-Identifier: Apache-2.0
"""Walls with rows of windows: how they are divided, and what a ray sees of them.

A wall's pattern says its style, which of its windows are there and a seed for the rest, so that
whoever builds walls can put balconies and shops where the painter leaves room for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.geometry.mesh import Floats
from depth_dpt_core.data.synth.surfaces.noise import Hits, fractal, noise, unit


class Style(IntEnum):
    """What a wall is made of."""

    PLASTER = 0
    BRICK = 1
    STONE = 2
    PANEL = 3  # concrete slabs of one bay and storey each
    SIDING = 4  # horizontal boards
    METAL = 5  # upright ribs
    CURTAIN = 6  # glass from edge to edge, thin mullions
    TILE = 7  # courses of roof tiles; windows as in plaster


class Part(IntEnum):
    """Which openings a wall has."""

    HOUSE = 0  # windows, and doors on the ground floor
    SAME = 1  # windows on all floors
    BLANK = 2


# one row per style, (low, high) of: bay, storey, ground floor (m); share of the bay that is
# window; sill above the floor, lintel below the ceiling (m)
_OPENINGS = np.array(
    [
        [(2.0, 3.6), (2.7, 3.4), (2.9, 3.8), (0.38, 0.58), (0.75, 1.0), (0.30, 0.55)],
        [(1.9, 3.4), (2.6, 3.2), (2.8, 3.8), (0.38, 0.58), (0.70, 1.0), (0.30, 0.50)],
        [(1.9, 3.2), (3.1, 4.0), (3.6, 4.6), (0.40, 0.55), (0.45, 0.9), (0.45, 0.80)],
        [(2.7, 3.6), (2.7, 3.0), (2.8, 3.6), (0.45, 0.75), (0.75, 1.0), (0.25, 0.40)],
        [(2.2, 4.0), (2.5, 2.8), (2.5, 2.9), (0.35, 0.55), (0.75, 1.0), (0.30, 0.45)],
        [(4.0, 7.0), (3.8, 6.0), (4.0, 6.0), (0.30, 0.60), (2.0, 2.6), (0.60, 1.20)],
        [(1.2, 2.6), (3.3, 4.0), (3.8, 5.0), (0.93, 0.96), (0.05, 0.9), (0.15, 0.40)],
        [(2.0, 3.6), (2.7, 3.4), (2.9, 3.8), (0.38, 0.58), (0.75, 1.0), (0.30, 0.55)],
    ],
    np.float32,
)
# one row per style: height and length of a block, width of the joint (m); brightness of the joint
# relative to the block, spread of brightness between blocks. 0 m: one bay long, one storey high
_MASONRY = np.array(
    [
        [0, 0, 0.000, 1.0, 0.00],
        [0.075, 0.25, 0.010, 1.25, 0.35],
        [0.38, 0.75, 0.012, 0.70, 0.16],
        [0, 0, 0.030, 0.55, 0.06],
        [0.18, 60.0, 0.015, 0.55, 0.05],
        [60.0, 0.25, 0.060, 0.75, 0.03],
        [0, 0, 0.040, 0.60, 0.03],
        [0.32, 0.24, 0.020, 0.60, 0.22],
    ],
    np.float32,
)
_FRAMES = np.array(
    [[0.7, 0.7, 0.68], [0.75, 0.73, 0.66], [0.06, 0.06, 0.065], [0.16, 0.09, 0.05]], np.float32
)
_TIMBER = np.array(  # doors and shutters
    [[0.05, 0.10, 0.06], [0.16, 0.08, 0.04], [0.05, 0.08, 0.13], [0.3, 0.3, 0.3],
     [0.22, 0.03, 0.03], [0.55, 0.53, 0.48], [0.02, 0.02, 0.025], [0.2, 0.15, 0.1]],
    np.float32,
)  # fmt: skip


def pattern_of(seed: int, style: Style, part: Part) -> int:
    """Pattern of a wall; equal seeds and styles give equal walls but for the openings."""
    return (seed & 0x3FFFFFF) * 32 + style * 4 + part


@dataclass(frozen=True)
class Grid:
    """Where openings are, metres: above the ground floor, storeys of equal height."""

    bay: Floats
    storey: Floats
    ground: Floats  # height of the ground floor
    half: Floats  # half the width of a window
    sill: Floats  # above the floor
    head: Floats  # top of the window above the floor of a storey


def grid(pattern: NDArray[np.integer]) -> Grid:
    """Divide walls [N] into bays and storeys."""
    style = (pattern >> 2) & 7
    low, high = _OPENINGS[style, :, 0], _OPENINGS[style, :, 1]
    share = np.stack([unit((pattern >> 5) * 64 + k) for k in range(6)], -1)
    bay, storey, ground, window, sill, lintel = np.moveaxis(low + share * (high - low), -1, 0)
    return Grid(bay, storey, ground, bay * window / 2, sill, storey - lintel)


def facade(hits: Hits) -> Floats:
    """Wall with rows of windows; faded to its mean where a pixel covers a window."""
    first = np.flatnonzero(np.diff(hits.pattern, prepend=hits.pattern[:1] - 1))
    wall = np.repeat(np.arange(len(first)), np.diff(first, append=len(hits.pattern)))
    looks = _Looks(hits.pattern[first])
    paint = _masonry(hits, wall, looks)
    far = np.clip(hits.footprint / (0.4 * looks.grid.bay[wall]) - 0.5, 0, 1)
    out = paint * (1 - far * looks.cover[wall])[:, None]
    x, y, near = _place(hits, wall, looks, far < 1)
    window = _openings(hits.select(near), wall[near], looks, x, y, paint[near])
    share = far[near, None]
    out[near] = window * (1 - share) + out[near] * share
    return np.asarray(out, np.float32)


class _Looks:
    """Everything that is the same all over one wall, one entry per wall."""

    def __init__(self, pattern: NDArray[np.integer]) -> None:
        self.style = (pattern >> 2) & 7
        self.part = pattern & 3
        self.grid = grid(pattern)
        self.seed = (pattern >> 5).astype(np.int64) * 64
        height, length, self.joint, tone, spread = _MASONRY[self.style].T
        self.block_height = np.where(height > 0, height, self.grid.storey)
        self.block_length = np.where(length > 0, length, self.grid.bay)
        self.stagger = np.where(height * length > 0, 0.5, 0.0).astype(np.float32)
        self.tone, self.spread = tone - 1, spread
        weathered = self.style != Style.TILE
        self.base = np.where(weathered, 0.3 + 0.6 * self.draw(8), 0)
        self.base_tone = np.where(weathered, -0.35 * self.draw(9), 0)
        banded = (self.draw(10) < 0.4) & (self.style <= Style.STONE) & (self.part != Part.BLANK)
        self.band = np.where(banded, 0.06 + 0.08 * self.draw(11), 0)
        self.frame = np.where(self.style == Style.CURTAIN, 0.04, 0.05 + 0.04 * self.draw(12))
        self.trim = np.where(self.draw(13) < 0.5, 0.05 + 0.14 * self.draw(14), 0)
        self.trim_tone = np.where(self.draw(15) < 0.7, 1.3, 0.65)
        self.cross = np.where(self.draw(16) < 0.6, 0.3 + 0.4 * self.draw(17), 9)  # transom
        shuttered = (self.draw(18) < 0.25) & (self.style <= Style.BRICK)
        self.shutter = np.where(shuttered & (4 * self.grid.half < self.grid.bay), 1, 0)
        self.dressed = 0.15 + 0.5 * self.draw(19)  # share of windows with curtains or blinds
        self.frame_color = _FRAMES[(self.draw(20) * 4).astype(int)]
        self.wood_color = _TIMBER[(self.draw(21) * 8).astype(int)]
        height_share = (self.grid.head - self.grid.sill) / self.grid.storey
        glass = 2 * self.grid.half / self.grid.bay * height_share
        self.cover = np.where(self.part == Part.BLANK, 0, 0.6 * glass)

    def draw(self, number: int) -> Floats:
        """Random number in [0, 1) of each wall."""
        return unit(self.seed + number)


def _masonry(hits: Hits, wall: NDArray[np.intp], looks: _Looks) -> Floats:
    """The wall without openings: grain, blocks and joints, streaks of rain, splashes, bands."""
    footprint, v = hits.footprint, hits.v
    shade = 1 + 0.11 * fractal(hits.u, v, (6.0, 1.2, 0.3, 0.08), footprint)
    shade += 0.06 * noise(hits.u * 4, v * np.float32(0.4), 1.5, footprint * 4)
    row = (v - looks.grid.ground[wall]) / looks.block_height[wall]
    floor = np.floor(row)
    column = hits.u / looks.block_length[wall] + floor * looks.stagger[wall]
    whole = np.floor(column)
    block = whole.astype(np.int64) * 7919 + floor.astype(np.int64) + looks.seed[wall]
    joint = looks.joint[wall]
    size = np.minimum(looks.block_height, looks.block_length)[wall]
    edge = np.minimum(row - floor, 1 - row + floor) * looks.block_height[wall]
    side = np.minimum(column - whole, 1 - column + whole) * looks.block_length[wall]
    line = np.clip((joint / 2 - np.minimum(edge, side)) / footprint + 0.5, 0, 1)
    line *= np.clip(joint * 4 / footprint, 0, 1)
    spread = looks.spread[wall] * np.clip(size / footprint - 0.5, 0, 1)
    shade *= (1 + spread * (unit(block) - 0.5)) * (1 + looks.tone[wall] * line)
    shade += np.where(v < looks.base[wall], looks.base_tone[wall], 0)
    shade -= 0.15 * np.clip(1 - v / 0.5, 0, 1) * (looks.base[wall] > 0)
    storey = (v - looks.grid.ground[wall]) / looks.grid.storey[wall]
    shade += 0.2 * (np.abs(storey - np.round(storey)) * 3 < looks.band[wall]) * (storey > -0.5)
    return np.asarray(hits.color * np.clip(shade, 0.2, 2)[:, None], np.float32)


def _place(
    hits: Hits, wall: NDArray[np.intp], looks: _Looks, visible: NDArray[np.bool_]
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Metres from the middle of the bay, and above the floor, of the hits near an opening.

    Returns:
        Both for the hits at the indices returned third; doors reach below the floor.
    """
    cells = looks.grid
    x = hits.u - (np.floor(hits.u / cells.bay[wall]) + 0.5) * cells.bay[wall]
    above = hits.v - cells.ground[wall]
    lift = np.floor(above / cells.storey[wall]) * cells.storey[wall]
    # windows of the ground floor sit as high above the street as others above their floor
    y = np.where(above < 0, hits.v - 0.15, above - lift)
    reach = np.where(looks.shutter[wall] > 0, 2 * cells.half[wall], cells.half[wall] + 0.2)
    near = visible & (looks.part[wall] != Part.BLANK) & (np.abs(x) < reach)
    near &= (y < cells.head[wall] + 0.2) & ((y > cells.sill[wall] - 0.35) | (above < 0))
    index = np.flatnonzero(near & (hits.v > 0))
    return x[index], y[index], index


def _openings(
    hits: Hits, wall: NDArray[np.intp], looks: _Looks, x: Floats, y: Floats, paint: Floats
) -> Floats:
    """Windows, their surrounds, shutters and doors over the wall's own colour `paint` [N,3]."""
    cells, width = looks.grid, hits.footprint
    half, head = cells.half[wall], cells.head[wall]
    column = np.floor(hits.u / cells.bay[wall]).astype(np.int64)
    storey = np.floor((hits.v - cells.ground[wall]) / cells.storey[wall]).astype(np.int64)
    cell = (column * 7919 + storey) * 16 + looks.seed[wall]
    street = (storey < 0) & (looks.part[wall] == Part.HOUSE)
    door = street & (unit(cell + 1) < 0.3)
    sill = np.where(door, -1.0, cells.sill[wall])
    half = np.where(door, np.minimum(half, 0.55), half)
    head = np.where(door, np.minimum(head, 2.3), head)
    inward = np.minimum(half - np.abs(x), np.minimum(y - sill, head - y))  # m from the edge

    out = paint.copy()
    trim = (inward <= 0) & (inward > -looks.trim[wall])
    out[trim] *= looks.trim_tone[wall][trim, None]
    below = sill - y
    ledge = (below > 0) & (below < 0.22) & (np.abs(x) < half + 0.06)
    out[ledge] *= np.where(below[ledge] < 0.09, 1.25, 0.75)[:, None]  # sill and its shadow
    shutter = (inward <= 0) & (y > sill) & (y < head) & (looks.shutter[wall] > 0) & ~door
    slats = 0.8 + 0.2 * (np.mod(y[shutter], 0.08) > 0.03)
    out[shutter] = looks.wood_color[wall][shutter] * slats[:, None]

    inside = np.flatnonzero(inward > 0)
    pane = _panes(hits.select(inside), wall[inside], looks, x[inside],
                  (y - sill)[inside] / (head - sill)[inside], cell[inside])  # fmt: skip
    reveal = np.clip(0.14 * np.ones_like(width), 0, half * 0.2)[inside]
    depth, across = inward[inside], (x * np.sign(0.5 - looks.draw(22))[wall])[inside]
    frame = looks.frame[wall][inside]
    bars = np.abs(x[inside]) < frame * 0.5
    bars |= np.abs((y - sill)[inside] / (head - sill)[inside] - looks.cross[wall][inside]) < 0.02
    framed = ((depth < frame) | bars) & (width[inside] < 3 * frame)
    pane = np.where(framed[:, None], looks.frame_color[wall][inside], pane)
    leaf = door[inside] & (depth >= frame)
    pane[leaf] = looks.wood_color[wall][inside][leaf] * (0.85 + 0.15 * bars[leaf, None])
    # the wall is some decimetres thick: its edge shades the top and one side of the window
    shaded = ((head - y)[inside] < reveal * 1.3) | (half[inside] - across < reveal)
    pane *= np.where(shaded & (looks.style[wall][inside] != Style.CURTAIN), 0.5, 1)[:, None]
    soft = np.clip(depth / width[inside] + 0.5, 0, 1)[:, None]
    out[inside] += (pane - out[inside]) * soft
    return np.asarray(out, np.float32)


def _panes(
    hits: Hits, wall: NDArray[np.intp], looks: _Looks, x: Floats, rise: Floats,
    cell: NDArray[np.int64],
) -> Floats:  # fmt: skip
    """Glass with what it mirrors and what hangs behind it; `rise` 0..1 from sill to lintel."""
    mirrored = 0.02 + 0.28 * unit(cell + 2) ** 3
    clouds = noise(hits.u, hits.v, 2.5, hits.footprint)
    light = mirrored * np.clip(0.7 + 0.5 * clouds + 0.5 * rise, 0.15, 2)
    out = light[:, None] * np.array([0.86, 0.96, 1.1], np.float32)
    kind = unit(cell + 3) / looks.dressed[wall]
    half = looks.grid.half[wall]
    drawn = 0.25 + 0.75 * unit(cell + 4)
    blind = (kind < 0.5) & (1 - rise < drawn)
    curtain = (kind >= 0.5) & (kind < 1) & (np.abs(x) > half * (1 - drawn * 0.7))
    cloth = 0.25 + 0.35 * unit(cell + 5)
    folds = np.where(blind, np.mod(hits.v, 0.1) < 0.03, np.mod(hits.u, 0.16) < 0.05)
    cloth = cloth * np.where(folds & (hits.footprint < 0.05), 0.75, 1)
    out = np.where((blind | curtain)[:, None], cloth[:, None] * [1.0, 0.97, 0.9], out)
    lit = (unit(cell + 6) < 0.04)[:, None]
    return np.asarray(np.where(lit, out * 0.5 + np.array([0.55, 0.42, 0.22]), out), np.float32)
