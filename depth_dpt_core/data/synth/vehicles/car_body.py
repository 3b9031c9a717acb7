# SPDX-License-Identifier: Apache-2.0
"""The shell of a car, a van, a bus or a lorry's cab: one skin over sections along its length."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depth_dpt_core.data.synth.geometry.mesh import Material, MeshBuilder, Solid
from depth_dpt_core.data.synth.geometry.solids import loft
from depth_dpt_core.data.synth.vehicles.parts import BLACK, GLASS, HEAD_LAMP, Lamps

# Half a section from the ground up: which points bound the bands of a side.
EDGE, SILL, BULGE, BELT, SHOULDER, GLASS_LOW, GLASS_HIGH, RAIL, ROOF = range(9)
COLUMNS = 17  # bands of a whole section: 8 up the left side, the roof's middle, 8 down the right

# Half width of each point as a share of the body's, over the bonnet and where there is a roof;
# the upper ones of the roof are shares of its own half width at the rail.
_LOWER = np.array([0.955, 0.975, 1.0, 0.99, 0.95])
_BONNET = np.array([0.93, 0.86, 0.79, 0.42])
_CROWN = np.array([0.02, 0.86, 0.955, 1.0])  # height of the upper points, shoulder 0 to top 1
# Outline from above: distance from the end (m, at rounding 1) and share of the half width.
_END = np.array([0.0, 0.02, 0.05, 0.09, 0.16, 0.32, 0.75])
_END_WIDTH = np.array([0.0, 0.40, 0.64, 0.80, 0.92, 0.985, 1.0])
# How far each point of an end stands back from the furthest one, as a share of the lean.
_LEAN = np.array([0.55, 0.2, 0.0, 0.25, 0.8, 0.9, 1.0, 1.0, 1.0])
_BED_WALL = 0.06  # m, thickness of a pickup's tailgate
_CREASE = 0.015  # m, half the width of a rounded edge between two panels


@dataclass(frozen=True)
class Shape:
    """Measures of a shell in metres; z = 0 is its middle, the front is at +z."""

    length: float
    width: float  # without mirrors
    height: float
    clearance: float  # lower edge of the sides
    sill: float  # upper edge of the dark strip at the bottom
    waist: float  # lower edge of the side windows
    nose: float  # bonnet at the front end
    cowl: float  # lower edge of the windscreen
    bonnet: float  # front end to the windscreen
    screen: float  # run of the windscreen along z
    back: float  # run of the rear window along z
    boot: float  # rear end to the rear window
    boot_height: float
    roof: float  # half width at the roof's rails as a share of that of the body
    hub: float  # height of the wheels' middle
    arch: float  # radius of the wheel arches, 0 for none
    axles: tuple[float, ...]  # z
    pillars: tuple[tuple[float, float], ...] = ()  # (z, width) between side windows
    rounding: tuple[float, float] = (1.0, 1.0)  # of the front and rear corners seen from above
    lean: tuple[float, float] = (0.14, 0.08)  # the top of the ends stands back so far
    bed: float = 0.0  # depth of a pickup's load bed, in place of the boot
    glazing: float = 1.0  # share of the usual height that windscreen and windows reach


@dataclass(frozen=True)
class Shell:
    """The skin; face 2 * (row * COLUMNS + column) and the next are one panel.

    `ahead` and `behind` [rows]: distance of each row's middle from the front and rear end.
    """

    solid: Solid
    ahead: NDArray[np.float64]
    behind: NDArray[np.float64]


@dataclass(frozen=True)
class Finish:
    """What the panels of a shell are made of; bands are named by the point at their lower end."""

    paint: ArrayLike
    lamps: Lamps
    glazed: tuple[float, float]  # side windows, from and to this far behind the front end
    back_window: bool = True
    head_lamps: tuple[int, ...] = (BELT,)
    rear_lamps: tuple[int, ...] = (BELT,)
    grille: tuple[int, ...] = (BULGE,)
    intake: float = 0.09  # how far round the corners the lower intake reaches, as `rounding`
    trim: ArrayLike = BLACK  # sills, lower bumpers
    arches: bool = False  # dark rims around the wheel arches and a dark rear bumper
    roof: ArrayLike | None = None  # of another colour than the rest
    pillars: ArrayLike = BLACK


def add_shell(
    builder: MeshBuilder, shape: Shape, finish: Finish, *, pattern: int, shift: float = 0.0
) -> None:
    """Add the skin of a body with its paint, windows and lamps, its middle at z = `shift`."""
    skin = shell(shape)
    material = np.full((len(skin.ahead), COLUMNS), Material.PAINT, np.int32)
    color = np.empty((*material.shape, 3))
    color[:] = finish.paint

    def put(
        rows: NDArray[np.bool_], bands: tuple[int, ...], what: Material, tone: ArrayLike
    ) -> None:
        columns = np.array([*bands, *(COLUMNS - 1 - band for band in bands)], np.intp)
        cells = np.ix_(np.flatnonzero(rows), columns)
        material[cells], color[cells] = what, tone

    ahead, behind = skin.ahead, skin.behind
    if finish.roof is not None:
        put((ahead > shape.bonnet) & (behind > shape.boot), (GLASS_HIGH, RAIL, ROOF),
            Material.PAINT, finish.roof)  # fmt: skip
    put(ahead > 0, (EDGE,), Material.PLAIN, finish.trim)
    if finish.arches:
        near = np.abs(ahead[:, None] - (shape.length / 2 - np.array(shape.axles)))
        put(near.min(1) < shape.arch * 1.02, (SILL,), Material.PLAIN, finish.trim)
        put(behind < 0.32 * shape.rounding[1], (SILL,), Material.PLAIN, finish.trim)
    put((ahead > finish.glazed[0]) & (ahead < finish.glazed[1]), (GLASS_LOW,),
        Material.GLASS, GLASS)  # fmt: skip
    for at, width in shape.pillars:
        post = np.abs(shape.length / 2 - at - ahead) < width / 2
        put(post & (ahead < finish.glazed[1]), (GLASS_LOW,), Material.PLAIN, finish.pillars)
    screen = (ahead > shape.bonnet) & (ahead < shape.bonnet + shape.screen * shape.glazing)
    put(screen, (RAIL, ROOF), Material.GLASS, GLASS)
    if finish.back_window:
        window = (behind > shape.boot) & (behind < shape.boot + shape.back * shape.glazing)
        put(window, (RAIL, ROOF), Material.GLASS, GLASS)
    front, rear = ahead / shape.rounding[0], behind / shape.rounding[1]
    put(front < 0.05, finish.grille, Material.PLAIN, BLACK)
    put(front < finish.intake, (SILL,), Material.PLAIN, BLACK)
    put((front > 0.05) & (front < 0.32), finish.head_lamps, Material.PAINT, HEAD_LAMP)
    put((front > 0.09) & (front < 0.16), finish.head_lamps, *finish.lamps.front)
    put((rear > 0.05) & (rear < 0.32), finish.rear_lamps, *finish.lamps.rear)
    moved = skin.solid.vertices + np.array([0, 0, shift], np.float32)
    builder.add(
        replace(skin.solid, vertices=moved),
        material.ravel().repeat(2),
        color.reshape(-1, 3).repeat(2, 0),
        pattern=pattern,
    )


def shell(shape: Shape) -> Shell:
    """Build the skin of a body, open at the bottom."""
    z = _stations(shape)
    half = shape.length / 2
    top, waist = _top_line(shape, z), shape.waist - 0.03 * z / shape.length  # rises to the rear
    in_bed = (z < shape.boot - half) & (shape.bed > 0)
    shoulder = np.where(in_bed, waist, np.minimum(waist, top - 0.035))
    plan = np.interp(half - z, _END * shape.rounding[0], _END_WIDTH)
    plan = plan * np.interp(z + half, _END * shape.rounding[1], _END_WIDTH)

    upright = np.clip((top - shoulder) / (shape.height - shape.waist), 0, 1)[:, None]
    window_top = 0.93 + (shape.roof + 0.055 - 0.93) * shape.glazing
    greenhouse = np.array([0.93, window_top, shape.roof, 0.55 * shape.roof])
    crown = _CROWN * [1, shape.glazing, 1, 1]
    across = np.concatenate(
        [np.tile(_LOWER, (len(z), 1)), _BONNET + upright * (greenhouse - _BONNET)], 1
    )
    upper = shoulder[:, None] + (top - shoulder)[:, None] * crown
    up = np.concatenate([_lower_heights(shape, z, shoulder), upper], 1)
    swept = _sweep(shape, z)[:, None] * np.where(np.arange(9) > SHOULDER, across - 0.4, 0) ** 2
    along = z[:, None] + _standing_back(shape, z) - swept
    right = np.stack([across * plan[:, None] * shape.width / 2, up, along], -1)
    rings = np.concatenate([right * [-1, 1, 1], right[:, ::-1]], 1)
    middle = (z[1:] + z[:-1]) / 2
    return Shell(loft(rings, closed=False), half - middle, middle + half)


def _stations(shape: Shape) -> NDArray[np.float64]:
    """All z at which the section changes, from the rear to the front."""
    half = shape.length / 2
    creases = np.array(
        [
            half - shape.bonnet,
            half - shape.bonnet - shape.screen,
            shape.boot + shape.back - half,
            shape.boot - half,
        ]
    )
    pillars = np.array(shape.pillars).reshape(-1, 2)
    tops = np.array([half - shape.bonnet - shape.screen * shape.glazing,
                     shape.boot + shape.back * shape.glazing - half])  # fmt: skip
    openings = np.array([-1.01, -0.93, -0.5, 0.5, 0.93, 1.01]) * shape.arch
    parts = [
        half - _END * shape.rounding[0],
        _END * shape.rounding[1] - half,
        creases - _CREASE,
        creases + _CREASE,
        pillars[:, 0] - pillars[:, 1] / 2,
        pillars[:, 0] + pillars[:, 1] / 2,
    ]
    if shape.glazing < 1:
        parts.append(tops)
    if shape.arch:
        parts.append((np.array(shape.axles)[:, None] + openings).ravel())
    if shape.bed:
        parts.append(np.array([_BED_WALL, _BED_WALL + 0.02, shape.boot - 0.04]) - half)
    z = np.sort(np.concatenate(parts))
    return z[np.diff(z, prepend=-np.inf) > 0.004]


def _top_line(shape: Shape, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height of the middle of bonnet, windscreen, roof, rear window and boot."""
    half = shape.length / 2
    cowl, header = half - shape.bonnet, half - shape.bonnet - shape.screen
    roof_end, boot = shape.boot + shape.back - half, shape.boot - half
    drop = min(0.025 * (header - roof_end), 0.05)
    knots = [(-half, shape.boot_height - 0.02), (boot, shape.boot_height)]
    if shape.bed:
        floor = shape.boot_height - shape.bed
        knots = [
            (-half + _BED_WALL, shape.boot_height),
            (-half + _BED_WALL + 0.02, floor),
            (boot - 0.04, floor),
            (boot - _CREASE, shape.boot_height),
        ]
    knots += [
        (roof_end, shape.height - drop),
        ((header + roof_end) / 2, shape.height),
        (header, shape.height - 0.02 - 0.4 * drop),
        (cowl, shape.cowl),
    ]
    at, height = np.array(knots).T
    line = np.interp(z, at, height)
    forward = np.clip((half - z) / shape.bonnet, 0, 1)
    bonnet = shape.nose + (shape.cowl - shape.nose) * (1 - (1 - forward) ** 2)
    return np.where(z > cowl, bonnet, line)


def _lower_heights(
    shape: Shape, z: NDArray[np.float64], shoulder: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Heights [S,5] of the side below the windows, cut out around the wheels."""
    distance = np.abs(z[:, None] - np.array(shape.axles)).min(1) if shape.arch else z + np.inf
    inside = np.clip(shape.arch**2 - distance**2, 0, None)
    edge = np.where(inside > 0, np.maximum(shape.hub + np.sqrt(inside), shape.clearance), 0)
    edge = np.maximum(edge, shape.clearance)
    span = shoulder - shape.sill
    wanted = [edge, edge * 0 + shape.sill, shape.sill + 0.45 * span, shape.sill + 0.7 * span]
    heights = np.stack([*wanted, shoulder], 1)
    for level in range(1, 5):
        heights[:, level] = np.maximum(heights[:, level], heights[:, level - 1] + 0.03)
    return heights


def _standing_back(shape: Shape, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift [S,9] that leans the front and the rear."""
    half = shape.length / 2
    front = np.clip(1 - (half - z) / 0.45, 0, 1)[:, None] * _LEAN * shape.lean[0]
    rear = np.clip(1 - (z + half) / 0.3, 0, 1)[:, None] * _LEAN * shape.lean[1]
    return np.asarray(rear - front)


def _sweep(shape: Shape, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the corners of windscreen and rear window stand back from their middle."""
    half = shape.length / 2
    header, roof_end = half - shape.bonnet - shape.screen, shape.boot + shape.back - half
    front, rear = min(1.0, shape.screen / 0.6), min(1.0, shape.back / 0.4)
    knots = [
        (-half, 0.0),
        (shape.boot - half, -0.1 * rear),
        (roof_end, -0.06 * rear),
        (roof_end + 0.3, 0.0),
        (header - 0.4, 0.0),
        (header, 0.16 * front),
        (half - shape.bonnet, 0.3 * front),
        (half, 0.0),
    ]
    at, sweep = np.array(knots).T
    return np.asarray(np.interp(z, at, sweep))
