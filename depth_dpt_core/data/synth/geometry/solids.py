# SPDX-License-Identifier: Apache-2.0
"""Parametric solids that everything in the street is put together from; metres, y up."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depth_dpt_core.data.synth.geometry.mesh import Floats, Ints, Solid, rotation


def hexahedron(corners: ArrayLike) -> Solid:
    """Six flat sides from corners [8,3]: bottom ring of four, then top ring.

    Each side has its own vertices and texture coordinates, metres along its edges from the
    bottom.
    """
    points = np.asarray(corners, np.float32)
    quads = points[_HEXAHEDRON_SIDES]  # [6,4,3]
    width = np.sqrt(((quads[:, 1] - quads[:, 0]) ** 2).sum(1))
    height = np.sqrt(((quads[:, 3] - quads[:, 0]) ** 2).sum(1))
    texture = np.zeros((6, 4, 2), np.float32)
    texture[:, 1:3, 0] = width[:, None]
    texture[:, 2:, 1] = height[:, None]
    vertices = quads.reshape(-1, 3)
    return Solid(vertices, np.zeros_like(vertices), texture.reshape(-1, 2), _HEXAHEDRON_FACES)


def box(center: ArrayLike, size: ArrayLike, *, yaw: float = 0.0) -> Solid:
    """Box standing on `center` (middle of its bottom), `size` = (x, y, z) extents."""
    return taper(center, size, size, yaw=yaw)


def taper(
    center: ArrayLike, bottom: ArrayLike, top: ArrayLike, *, yaw: float = 0.0, shift: float = 0.0
) -> Solid:
    """Box with another top (x, -, z) than bottom (x, y, z), the top moved `shift` along z."""
    low, high = np.asarray(bottom, np.float64), np.asarray(top, np.float64)
    corners = np.zeros((8, 3))
    corners[:4, 0], corners[:4, 2] = _RING[:, 0] * low[0], _RING[:, 1] * low[2]
    corners[4:, 0], corners[4:, 2] = _RING[:, 0] * high[0], _RING[:, 1] * high[2] + shift
    corners[4:, 1] = low[1]
    return hexahedron(corners @ rotation(yaw) + np.asarray(center, np.float64))


def cylinder(
    start: ArrayLike,
    end: ArrayLike,
    radius: float,
    *,
    end_radius: float | None = None,
    sides: int = 8,
) -> Solid:
    """Closed (tapered) cylinder between two points, smooth around; texture (around, along)."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    first, second = _across(b - a)
    ring, faces = _cylinder_grid(sides)
    around = ring[:, :1] * first + ring[:, 1:] * second
    last = radius if end_radius is None else end_radius
    vertices = np.concatenate([a + radius * around, b + last * around, [a, b]])
    length = float(np.sqrt(((b - a) ** 2).sum()))
    texture = np.zeros((len(vertices), 2), np.float32)
    texture[: 2 * sides, 0] = np.tile(np.arange(sides) * 2 * np.pi * radius / sides, 2)
    texture[sides : 2 * sides, 1] = length
    normals = np.zeros_like(vertices)
    normals[: 2 * sides] = np.concatenate([around, around])
    return Solid(
        vertices.astype(np.float32), normals.astype(np.float32), texture, faces
    )  # the caps, flat by their middle, are small


def tube(points: ArrayLike, radius: float, *, sides: int = 6) -> Solid:
    """Round bar along points [K,3], K >= 2; texture (around, along)."""
    path = np.asarray(points, np.float64)
    steps = np.diff(path, axis=0, prepend=2 * path[:1] - path[1:2])
    first, second = _across(path[-1] - path[0] if len(path) == 2 else steps.sum(0) + 1e-6)
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    around = np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second
    return loft(path[:, None] + radius * around, closed=False)


def blob(
    center: ArrayLike,
    radii: ArrayLike,
    rng: np.random.Generator,
    *,
    roughness: float = 0.0,
    detail: int = 1,
) -> Solid:
    """Smooth ellipsoid with radii (x, y, z), pushed in and out at random.

    `detail` 1 has 80 triangles, each more four times as many.
    """
    sphere, faces = _sphere(detail)
    push = 1.0 + roughness * rng.uniform(-1, 1, (len(sphere), 1))
    size = np.asarray(radii, np.float64)
    vertices = sphere * push * size
    normals = sphere / size if roughness == 0 else smooth_normals(vertices, faces)
    normals = normals / np.maximum(np.sqrt((normals**2).sum(1, keepdims=True)), 1e-9)
    vertices = vertices + np.asarray(center, np.float64)
    texture = np.stack([vertices[:, 0] + vertices[:, 2], vertices[:, 1]], 1)
    return Solid(
        vertices.astype(np.float32), normals.astype(np.float32), texture.astype(np.float32), faces
    )


def ribbon(left: float, right: float, height: float, z: Floats) -> Solid:
    """Flat strip between x = `left` and `right`, cut at every `z` [N]; texture (x, z)."""
    across = np.array([left, right])
    points = np.zeros((len(z), 2, 3), np.float32)
    points[..., 0], points[..., 1], points[..., 2] = across, height, np.asarray(z)[:, None]
    vertices = points.reshape(-1, 3)
    return Solid(vertices, np.zeros_like(vertices), vertices[:, [0, 2]], _grid_faces(len(z), 2))


def loft(rings: ArrayLike, *, closed: bool = True, smooth: bool = True) -> Solid:
    """Skin over rings of points [S,P,3]; texture (along a ring, along the rings).

    `closed` joins the last point of each ring to its first. Faces come in rows between rings:
    face 2 * (s * columns + p) and the next one belong to ring s, column p, where columns is P if
    closed, else P - 1, so that a surface can be given to each part.
    """
    points = np.asarray(rings, np.float64)
    if closed:
        points = np.concatenate([points, points[:, :1]], 1)
    count, columns = points.shape[:2]
    around = np.sqrt((np.diff(points, axis=1) ** 2).sum(-1)).mean(0).cumsum()
    along = np.sqrt((np.diff(points, axis=0) ** 2).sum(-1)).mean(1).cumsum()
    texture = np.zeros((count, columns, 2), np.float32)
    texture[:, 1:, 0], texture[1:, :, 1] = around, along[:, None]
    vertices, faces = points.reshape(-1, 3), _grid_faces(count, columns)
    normals = np.zeros_like(vertices)
    if smooth:
        normals = smooth_normals(vertices, faces)
        if closed:  # both ends of a ring are one point
            grid = normals.reshape(count, columns, 3)
            grid[:, 0] = grid[:, -1] = grid[:, 0] + grid[:, -1]
            normals /= np.maximum(np.sqrt((normals**2).sum(1, keepdims=True)), 1e-9)
    return Solid(
        vertices.astype(np.float32), normals.astype(np.float32), texture.reshape(-1, 2), faces
    )


def cards(
    centers: ArrayLike, normals: ArrayLike, sizes: ArrayLike, rng: np.random.Generator
) -> Solid:
    """Diamond-shaped leaves at `centers` [N,3], each turned at random, `sizes` [N] long.

    They are lit by `normals` [N,3] (of the crown they belong to, say) whatever way they lie.
    """
    middle, size = np.asarray(centers, np.float32), np.asarray(sizes, np.float32)[:, None]
    count = len(middle)
    along = rng.standard_normal((count, 3), np.float32)
    along /= np.sqrt((along**2).sum(1, keepdims=True))
    across = np.cross(along, rng.standard_normal((count, 3), np.float32))
    across /= np.sqrt((across**2).sum(1, keepdims=True)) + 1e-6
    corners = np.stack(
        [
            middle - along * size / 2,
            middle + across * size * 0.3,
            middle + along * size / 2,
            middle - across * size * 0.3,
        ],
        1,
    )
    first = 4 * np.arange(count, dtype=np.int32)[:, None, None]
    faces = (first + np.array([[0, 1, 2], [0, 2, 3]], np.int32)).reshape(-1, 3)
    vertices = corners.reshape(-1, 3)
    texture = np.stack([vertices[:, 0] + vertices[:, 2], vertices[:, 1]], 1)
    return Solid(vertices, np.repeat(np.asarray(normals, np.float32), 4, 0), texture, faces)


def smooth_normals(vertices: NDArray[np.float64], faces: Ints) -> NDArray[np.float64]:
    """Unit normals [V,3], the mean of the faces around each vertex weighted by their area."""
    corners = vertices[faces]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = np.zeros_like(vertices)
    for corner in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(faces[:, corner], face[:, axis], len(vertices))
    return np.asarray(total / np.maximum(np.sqrt((total**2).sum(1, keepdims=True)), 1e-9))


def _across(axis: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two unit vectors at right angles to `axis` and each other."""
    x, y, z = (axis / max(float(np.sqrt((axis**2).sum())), 1e-9)).tolist()
    first = np.array([0.0, z, -y] if abs(x) < 0.9 else [-z, 0.0, x])
    first /= np.sqrt((first**2).sum())
    a, b, c = first.tolist()
    return first, np.array([y * c - z * b, z * a - x * c, x * b - y * a])


@lru_cache(maxsize=32)
def _cylinder_grid(sides: int) -> tuple[NDArray[np.float64], Ints]:
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    i, j = np.arange(sides), (np.arange(sides) + 1) % sides
    bottom, top = np.full(sides, 2 * sides), np.full(sides, 2 * sides + 1)
    faces = [
        np.stack([i, j, j + sides], 1),
        np.stack([i, j + sides, i + sides], 1),
        np.stack([bottom, j, i], 1),
        np.stack([top, i + sides, j + sides], 1),
    ]
    return np.stack([np.cos(angle), np.sin(angle)], 1), np.concatenate(faces).astype(np.int32)


@lru_cache(maxsize=64)
def _grid_faces(rows: int, columns: int) -> Ints:
    """Two triangles for every cell of a grid of vertices, row by row."""
    i = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1, 1)
    first, second = np.array([0, columns, columns + 1]), np.array([0, columns + 1, 1])
    return np.stack([i + first, i + second], 1).reshape(-1, 3).astype(np.int32)


@lru_cache(maxsize=4)
def _sphere(subdivisions: int) -> tuple[NDArray[np.float64], Ints]:
    """Unit icosphere: vertices [V,3] and faces [F,3]."""
    golden = (1 + 5**0.5) / 2
    corners = [
        np.roll(np.array([0.0, first, second * golden]), turn)
        for turn in range(3)
        for first in (-1, 1)
        for second in (-1, 1)
    ]
    points = np.array(corners) / np.hypot(1, golden)
    edge = 2 / np.hypot(1, golden)
    near = np.abs(np.linalg.norm(points[:, None] - points[None], axis=-1) - edge) < 1e-6
    triangles = [
        (i, j, k)
        for i in range(12)
        for j in range(i + 1, 12)
        for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]
    for _ in range(subdivisions):
        index: dict[tuple[int, int], int] = {}
        rows = list(points)
        finer: list[tuple[int, int, int]] = []
        for a, b, c in triangles:
            middle = []
            for pair in ((a, b), (b, c), (c, a)):
                key = (min(pair), max(pair))
                if key not in index:
                    index[key] = len(rows)
                    point = rows[pair[0]] + rows[pair[1]]
                    rows.append(point / np.linalg.norm(point))
                middle.append(index[key])
            ab, bc, ca = middle
            finer += [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
        points, triangles = np.array(rows), finer
    outward = np.array(triangles)
    corner = points[outward]
    inside = np.einsum(
        "ij,ij->i",
        np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]),
        corner[:, 0],
    )
    outward[inside < 0] = outward[inside < 0][:, ::-1]
    return points, outward.astype(np.int32)


_RING = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2.0
_HEXAHEDRON_SIDES = np.array(
    [[0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7], [4, 5, 6, 7], [3, 2, 1, 0]]
)
_HEXAHEDRON_FACES = (
    4 * np.arange(6, dtype=np.int32)[:, None, None] + np.array([[0, 1, 2], [0, 2, 3]], np.int32)
).reshape(-1, 3)
