# SPDX-License-Identifier: Apache-2.0
"""What cars, lorries and buses share: paint, wheels, lamps and everything shaped like a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depth_dpt_core.data.synth.geometry.mesh import Material, MeshBuilder, Solid
from depth_dpt_core.data.synth.geometry.solids import box, loft

# Share and linear colour of car paint; estimates: four in five are white, black, grey or silver.
_CAR_PAINT = (
    (0.25, (0.70, 0.70, 0.68)),  # white
    (0.20, (0.012, 0.012, 0.014)),  # black
    (0.21, (0.090, 0.095, 0.100)),  # grey
    (0.12, (0.36, 0.37, 0.38)),  # silver
    (0.10, (0.012, 0.035, 0.120)),  # blue
    (0.055, (0.270, 0.012, 0.014)),  # red
    (0.03, (0.160, 0.120, 0.080)),  # brown, beige
    (0.02, (0.020, 0.050, 0.028)),  # green
    (0.015, (0.65, 0.28, 0.02)),  # yellow, orange
)
# The same of what firms drive: lorry cabs, vans, trailers.
_FIRM_PAINT = (
    (0.55, (0.72, 0.72, 0.70)),
    (0.10, (0.30, 0.31, 0.32)),
    (0.09, (0.010, 0.040, 0.170)),
    (0.08, (0.340, 0.014, 0.016)),
    (0.06, (0.080, 0.085, 0.090)),
    (0.05, (0.62, 0.36, 0.02)),
    (0.04, (0.015, 0.110, 0.045)),
    (0.03, (0.015, 0.015, 0.018)),
)
Range = tuple[float, float]
Extent = tuple[float, float, float]  # length, width, height

RUBBER = (0.018, 0.018, 0.02)
BLACK = (0.02, 0.02, 0.021)  # unpainted plastic, chassis
GLASS = (0.03, 0.034, 0.038)
HEAD_LAMP, HEAD_LAMP_LIT = (0.34, 0.35, 0.36), (1.0, 0.97, 0.88)
REAR_LAMP, REAR_LAMP_LIT, BRAKE_LAMP = (0.22, 0.012, 0.012), (0.55, 0.02, 0.015), (1.0, 0.05, 0.03)
PLATES = {  # size in metres, colour
    "europe": ((0.52, 0.11, 0.02), (0.68, 0.67, 0.60)),
    "america": ((0.305, 0.152, 0.02), (0.60, 0.60, 0.58)),
}
AMBER = (0.6, 0.2, 0.02)


@dataclass(frozen=True)
class Lamps:
    """Materials and colours of the lamps of one vehicle."""

    front: tuple[Material, tuple[float, float, float]]
    rear: tuple[Material, tuple[float, float, float]]


@dataclass
class Boxes:
    """Collects boxes, to be added as one solid."""

    _rows: list[tuple[ArrayLike, ArrayLike, Material, ArrayLike, int]] = field(
        default_factory=list
    )

    def add(
        self,
        center: ArrayLike,
        size: ArrayLike,
        color: ArrayLike,
        material: Material = Material.PLAIN,
        *,
        pattern: int = 0,
    ) -> None:
        """Add a box on `center` (middle of its bottom) with extents `size` (x, y, z)."""
        self._rows.append((center, size, material, color, pattern))

    def pair(
        self,
        center: tuple[float, float, float],
        size: ArrayLike,
        color: ArrayLike,
        material: Material = Material.PLAIN,
        *,
        pattern: int = 0,
    ) -> None:
        """Add a box on the right and its mirror image on the left."""
        x, y, z = center
        self.add((x, y, z), size, color, material, pattern=pattern)
        self.add((-x, y, z), size, color, material, pattern=pattern)

    def build(self, builder: MeshBuilder) -> None:
        """Add all of them to the mesh."""
        centers, sizes, materials, colors, patterns = zip(*self._rows, strict=True)
        count, unit = len(centers), box([0, 0, 0], [1, 1, 1])
        size = np.asarray(sizes, np.float32)[:, None]
        vertices = unit.vertices * size + np.asarray(centers, np.float32)[:, None]
        texture = unit.texture.reshape(6, 4, 2) * size[:, 0, _BOX_TEXTURE][:, :, None]
        faces = unit.faces + len(unit.vertices) * np.arange(count)[:, None, None]
        solid = Solid(
            vertices.reshape(-1, 3),
            np.zeros((count * len(unit.vertices), 3), np.float32),
            texture.reshape(-1, 2),
            faces.reshape(-1, 3).astype(np.int32),
        )
        builder.add(
            solid,
            np.repeat(np.asarray(materials, np.int32), len(unit.faces)),
            np.repeat(np.asarray(colors, np.float32), len(unit.faces), 0),
            pattern=np.repeat(np.asarray(patterns, np.int32), len(unit.faces)),
        )


_BOX_TEXTURE = np.array([[0, 1], [2, 1], [0, 1], [2, 1], [0, 2], [0, 2]])  # axes of each side


def car_paint(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the colour of a private car."""
    return _draw_paint(_CAR_PAINT, rng)


def firm_paint(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the colour of a commercial vehicle."""
    return _draw_paint(_FIRM_PAINT, rng)


def draw_lamps(rng: np.random.Generator, *, parked: bool) -> Lamps:
    """Lamps of a vehicle: lit on some of those that move, braking on fewer."""
    front, rear = (Material.PLAIN, HEAD_LAMP), (Material.PLAIN, REAR_LAMP)
    chance, brake = rng.random(2)
    if not parked and chance < 0.4:  # daytime lamps light the front only
        front = (Material.LAMP, HEAD_LAMP_LIT)
    if not parked and chance < 0.2:
        rear = (Material.LAMP, REAR_LAMP_LIT)
    if not parked and brake < 0.2:
        rear = (Material.LAMP, BRAKE_LAMP)
    return Lamps(front, rear)


def add_wheels(
    builder: MeshBuilder,
    hubs: Sequence[tuple[float, float]],
    radius: float,
    width: float,
    rim: ArrayLike,
    *,
    half_track: float,
    sides: int = 14,
    spokes: bool = True,
) -> None:
    """Add a wheel left and right for each of `hubs`, z and width in tyres.

    They stand with a flat side on the ground; their outer faces are `half_track` from the middle.
    """
    profile = np.array(  # outwards, radius: tread, side wall, rim, dish, hub
        [
            [-width, 0.97 * radius],
            [-0.1 * width, radius],
            [0.0, 0.93 * radius],
            [0.0, 0.69 * radius],
            [-0.03, 0.62 * radius],
            [-0.015, 0.0],
        ]
    )
    angle = (np.arange(sides + 1) + 0.5) * 2 * np.pi / sides - np.pi / 2
    rings = np.zeros((sides + 1, len(profile), 3))
    rings[..., 0] = profile[:, 0]
    rings[..., 1] = np.sin(angle)[:, None] * profile[:, 1]
    rings[..., 2] = np.cos(angle)[:, None] * profile[:, 1]
    wheel = loft(rings, closed=False)
    count = len(profile) - 1
    color = np.empty((sides, count, 2, 3))
    color[:] = RUBBER
    color[:, 3:] = rim
    if spokes:
        color[::2, 4:] = np.asarray(rim) * 0.12
    kept = np.tile(np.arange(2 * count) != 2 * count - 1, sides)  # the last is a point at the hub
    loaded = radius * np.cos(np.pi / sides)  # the tyre is flat where it touches the road
    for z, factor in hubs:
        for side in (-1, 1):
            place = [side * half_track, loaded, z]
            scale = np.array([side * factor, 1, 1], np.float32)
            solid = Solid(
                wheel.vertices * scale + np.asarray(place, np.float32),
                wheel.normals * [side, 1, 1],
                wheel.texture,
                wheel.faces[kept],
            )
            builder.add(solid, Material.PLAIN, color.reshape(-1, 3)[kept])


def _draw_paint(
    table: tuple[tuple[float, tuple[float, float, float]], ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    bounds = np.cumsum([share for share, _ in table])
    row = min(int(np.searchsorted(bounds, rng.random() * bounds[-1])), len(table) - 1)
    color = np.array(table[row][1])
    color = color * np.exp(rng.normal(0, 0.22)) * (1 + rng.uniform(-0.08, 0.08, 3))
    return np.asarray(np.minimum(color, 0.8))


def sized(low_high: tuple[float, float], size: float, rng: np.random.Generator) -> float:
    """Value in a range for a vehicle of `size` 0..1 within its kind, with some play."""
    low, high = low_high
    return low + (high - low) * float(np.clip(size + rng.normal(0, 0.15), 0, 1))
