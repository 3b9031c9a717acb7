# SPDX-License-Identifier: Apache-2.0
"""Solids that come in numbers, and the walls and slabs that buildings are put together from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depth_dpt_core.data.synth.geometry.mesh import Mesh, MeshBuilder, Solid
from depth_dpt_core.data.synth.geometry.solids import hexahedron, loft

_CORNERS = np.array(
    [[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1],
     [-1, 2, -1], [1, 2, -1], [1, 2, 1], [-1, 2, 1]]
) / 2.0  # fmt: skip
_SIDES = np.array(
    [[0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7], [4, 5, 6, 7], [3, 2, 1, 0]]
)
_SIDE_AXES = np.array([[0, 1], [2, 1], [0, 1], [2, 1], [0, 2], [0, 2]])  # of u and v
_QUAD = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)  # corners in units of u and v
_TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def boxes(centers: ArrayLike, sizes: ArrayLike) -> Solid:
    """Upright boxes standing on `centers` [N,3], extents `sizes` (x, y, z) [N,3] or [3].

    Box n has the faces 12 * n to 12 * n + 11.
    """
    middle = np.asarray(centers, np.float32)
    size = np.broadcast_to(np.asarray(sizes, np.float32), middle.shape)
    corners = middle[:, None] + size[:, None] * _CORNERS.astype(np.float32)
    vertices = corners[:, _SIDES].reshape(-1, 3)
    texture = (size[:, _SIDE_AXES][:, :, None] * _QUAD).reshape(-1, 2)
    first = 4 * np.arange(6 * len(middle), dtype=np.int32)[:, None, None]
    return Solid(vertices, np.zeros_like(vertices), texture, (first + _TRIANGLES).reshape(-1, 3))


def bars(starts: ArrayLike, ends: ArrayLike, radius: ArrayLike, *, sides: int = 4) -> Solid:
    """Straight thin rods between points [N,3], open at the ends; one radius or one for each.

    Rod n has the faces 2 * sides * n to 2 * sides * (n + 1) - 1.
    """
    a, b = np.broadcast_arrays(np.asarray(starts, np.float64), np.asarray(ends, np.float64))
    axis = b - a
    helper = np.where(np.abs(axis[:, :1]) * 1.1 < np.abs(axis).max(1, keepdims=True), 1.0, 0.0)
    first = np.cross(axis, np.hstack([helper, 1 - helper, np.zeros_like(helper)]))
    first /= np.maximum(np.sqrt((first**2).sum(1, keepdims=True)), 1e-9)
    second = np.cross(axis, first)
    second /= np.maximum(np.sqrt((second**2).sum(1, keepdims=True)), 1e-9)
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
    out = np.cos(turn) * first[:, None] + np.sin(turn) * second[:, None]  # [N,S,3]
    push = out * np.broadcast_to(np.asarray(radius, np.float64), (len(a),))[:, None, None]
    vertices = np.stack([a[:, None] + push, b[:, None] + push], 1)  # [N,2,S,3]
    i = np.arange(sides)
    j = (i + 1) % sides
    pair = np.stack([i, j, j + sides, i, j + sides, i + sides], 1).reshape(-1, 3)
    faces = 2 * sides * np.arange(len(a))[:, None, None] + pair
    texture = np.zeros((len(a), 2, sides, 2))
    texture[..., 0] = i * 0.1
    texture[:, 1, :, 1] = np.sqrt((axis**2).sum(1))[:, None]
    return Solid(
        vertices.reshape(-1, 3).astype(np.float32),
        np.repeat(out[:, None], 2, 1).reshape(-1, 3).astype(np.float32),
        texture.reshape(-1, 2).astype(np.float32),
        faces.reshape(-1, 3).astype(np.int32),
    )


def polyline(points: ArrayLike, radius: float, *, sides: int = 4) -> Solid:
    """Rods from each of the points [K,3] to the next."""
    path = np.asarray(points, np.float64)
    return bars(path[:-1], path[1:], radius, sides=sides)


def panels(starts: ArrayLike, ends: ArrayLike, height: ArrayLike) -> Solid:
    """Upright plates without thickness over lines from `starts` to `ends` [N,3].

    `height` is one for all or [N]; plate n has the faces 2 * n and 2 * n + 1.
    """
    a, b = np.broadcast_arrays(np.asarray(starts, np.float64), np.asarray(ends, np.float64))
    top = np.zeros_like(a)
    top[:, 1] = height
    vertices = np.stack([a, b, b + top, a + top], 1).reshape(-1, 3)
    size = np.stack([np.sqrt(((b - a) ** 2).sum(1)), top[:, 1]], 1)
    first = 4 * np.arange(len(a), dtype=np.int32)[:, None, None]
    return Solid(
        vertices.astype(np.float32),
        np.zeros_like(vertices, np.float32),
        (size[:, None] * _QUAD).reshape(-1, 2).astype(np.float32),
        (first + _TRIANGLES).reshape(-1, 3),
    )


def walls(corners: ArrayLike, levels: ArrayLike, bay: float) -> Solid:
    """Upright walls over a closed outline of (x, z) [P,2], cut at the heights `levels` [S].

    Texture: metres along the walls, stretched so that each takes a whole number of bays, and
    height above 0. Faces as in `loft`: two for each wall, row by row from the bottom.
    """
    outline, height = np.asarray(corners, np.float64), np.asarray(levels, np.float64)
    rings = np.empty((len(height), len(outline), 3))
    rings[..., 0], rings[..., 2] = outline[:, 0], outline[:, 1]
    rings[..., 1] = height[:, None]
    solid = loft(rings, smooth=False)
    length = np.sqrt((np.diff(outline, axis=0, append=outline[:1]) ** 2).sum(1))
    along = np.concatenate([[0], np.maximum(np.round(length / bay), 1) * bay]).cumsum()
    texture = np.empty((len(height), len(along), 2), np.float32)
    texture[..., 0], texture[..., 1] = along, height[:, None]
    return replace(solid, texture=texture.reshape(-1, 2))


def slab(quad: ArrayLike, thickness: float) -> Solid:
    """Plate under four corners [4,3], such as the slope of a roof; v runs from 0-1 to 3-2."""
    top = np.asarray(quad, np.float64)
    normal = np.cross(top[1] - top[0], top[3] - top[0])
    normal *= (1 if normal[1] > 0 else -1) / np.sqrt((normal**2).sum())
    return hexahedron(np.concatenate([top - thickness * normal, top]))


def prism(profile: ArrayLike, z: ArrayLike) -> Solid:
    """Convex outline of (x, y) [P,2] drawn along z, cut at every `z` [S], flat sides and ends."""
    outline, along = np.asarray(profile, np.float64), np.asarray(z, np.float64)
    rings = np.empty((len(along) + 2, len(outline), 3))
    rings[..., :2] = outline
    rings[[0, -1], :, :2] = outline.mean(0)  # the ends close in the middle
    rings[..., 2] = np.concatenate([along[:1], along, along[-1:]])[:, None]
    return loft(rings, smooth=False)


def plate(outline: ArrayLike, z: float) -> Solid:
    """Flat convex plate of (x, y) [P,2] at z; texture in metres from its lower left corner."""
    points = np.asarray(outline, np.float32)
    vertices = np.column_stack([points, np.full(len(points), z, np.float32)])
    last = np.arange(1, len(points) - 1, dtype=np.int32)
    faces = np.stack([np.zeros_like(last), last, last + 1], 1)
    return Solid(vertices, np.zeros_like(vertices), points - points.min(0), faces)


@dataclass
class Pile:
    """Collects boxes of any surfaces, and adds them to a mesh in one go."""

    _rows: list[NDArray[np.float64]] = field(default_factory=list)

    def put(
        self,
        center: ArrayLike,
        size: ArrayLike,
        material: int,
        color: ArrayLike,
        *,
        pattern: int = 0,
    ) -> None:
        """Add a box, or many of one surface at `center` [N,3] (middle of their bottoms)."""
        middle = np.atleast_2d(np.asarray(center, np.float64))
        row = np.empty((len(middle), 11))
        row[:, :3], row[:, 3:6], row[:, 6:9] = middle, size, color
        row[:, 9], row[:, 10] = material, pattern
        self._rows.append(row)

    def finish(self, builder: MeshBuilder) -> Mesh:
        """Add all boxes to what `builder` holds and build that."""
        if self._rows:
            rows = np.concatenate(self._rows)
            face = np.repeat(rows, 12, axis=0)
            solid = boxes(rows[:, :3], rows[:, 3:6])
            builder.add(solid, face[:, 9], face[:, 6:9], pattern=face[:, 10])
        return builder.build()


def triangle(corners: ArrayLike, texture: ArrayLike) -> Solid:
    """One flat triangle [3,3] with its texture coordinates [3,2]."""
    points = np.asarray(corners, np.float32)
    return Solid(
        points,
        np.zeros_like(points),
        np.asarray(texture, np.float32),
        np.array([[0, 1, 2]], np.int32),
    )
