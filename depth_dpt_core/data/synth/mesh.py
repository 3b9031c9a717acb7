# SPDX-License-Identifier: Apache-2.0
"""Triangle meshes of the street, put together from a few parametric solids.

World frame: x to the right of the road, y up, z along the road (left-handed); metres.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int32]


class Material(IntEnum):
    """How `materials.albedo` colours a triangle."""

    PLAIN = 0
    ROAD = 1
    PAVING = 2
    GROUND = 3
    FACADE = 4
    FOLIAGE = 5
    PAINT = 6


@dataclass(frozen=True)
class Mesh:
    """Triangles ready to be cast against.

    `vertices` [V,3] and `texture` [V,2] are in metres, `faces` [F,3] index both; `material`,
    `color` [F,3] (linear, 0..1), `pattern` [F] (seed of the texture) belong to a face.
    """

    vertices: Floats
    texture: Floats
    faces: Ints
    material: Ints
    color: Floats
    pattern: Ints


@dataclass
class MeshBuilder:
    """Collects solids; every `add_*` places one of them in the world frame."""

    _parts: list[Mesh] = field(default_factory=list)

    def build(self) -> Mesh:
        """Join all parts into one mesh."""
        offsets = np.cumsum([0] + [len(part.vertices) for part in self._parts[:-1]])
        return Mesh(
            np.concatenate([part.vertices for part in self._parts]),
            np.concatenate([part.texture for part in self._parts]),
            np.concatenate(
                [part.faces + offset for part, offset in zip(self._parts, offsets, strict=True)]
            ).astype(np.int32),
            np.concatenate([part.material for part in self._parts]),
            np.concatenate([part.color for part in self._parts]),
            np.concatenate([part.pattern for part in self._parts]),
        )

    def add(
        self,
        vertices: ArrayLike,
        texture: ArrayLike,
        faces: ArrayLike,
        material: Material,
        color: ArrayLike,
        pattern: int = 0,
    ) -> None:
        """Add triangles of one material and colour."""
        triangles = np.asarray(faces, np.int32)
        count = len(triangles)
        self._parts.append(
            Mesh(
                np.asarray(vertices, np.float32),
                np.asarray(texture, np.float32),
                triangles,
                np.full(count, material, np.int32),
                np.broadcast_to(np.asarray(color, np.float32), (count, 3)).copy(),
                np.full(count, pattern, np.int32),
            )
        )

    def add_hexahedron(
        self, corners: ArrayLike, material: Material, color: ArrayLike, pattern: int = 0
    ) -> None:
        """Add a six-sided solid from its corners [8,3]: bottom ring of four, then top ring.

        Each side gets its own vertices and texture coordinates (metres along its edges).
        """
        points = np.asarray(corners, np.float32)
        quads = points[_HEXAHEDRON_SIDES]  # [6,4,3]
        width = np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1)
        height = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)
        zero = np.zeros_like(width)
        texture = np.stack(
            [
                np.stack([zero, width, width, zero], 1),
                np.stack([zero, zero, height, height], 1),
            ],
            -1,
        )
        first = 4 * np.arange(6)[:, None, None]
        faces = (first + np.array([[0, 1, 2], [0, 2, 3]])).reshape(-1, 3)
        self.add(quads.reshape(-1, 3), texture.reshape(-1, 2), faces, material, color, pattern)

    def add_box(
        self,
        center: ArrayLike,
        size: ArrayLike,
        material: Material,
        color: ArrayLike,
        *,
        yaw: float = 0.0,
        pattern: int = 0,
    ) -> None:
        """Add a box standing on `center` (middle of its bottom), `size` = (x, y, z) extents."""
        self.add_taper(center, size, size, material, color, yaw=yaw, pattern=pattern)

    def add_taper(
        self,
        center: ArrayLike,
        bottom: ArrayLike,
        top: ArrayLike,
        material: Material,
        color: ArrayLike,
        *,
        yaw: float = 0.0,
        shift: float = 0.0,
        pattern: int = 0,
    ) -> None:
        """Add a box with another top (x, -, z) than bottom (x, y, z), moved `shift` along z."""
        low, high = np.asarray(bottom, np.float64), np.asarray(top, np.float64)
        ring = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2.0
        corners = np.zeros((8, 3))
        corners[:4, 0], corners[:4, 2] = ring[:, 0] * low[0], ring[:, 1] * low[2]
        corners[4:, 0], corners[4:, 2] = ring[:, 0] * high[0], ring[:, 1] * high[2] + shift
        corners[4:, 1] = low[1]
        self.add_hexahedron(_placed(corners, center, yaw), material, color, pattern)

    def add_cylinder(
        self,
        start: ArrayLike,
        end: ArrayLike,
        radius: float,
        material: Material,
        color: ArrayLike,
        *,
        end_radius: float | None = None,
        sides: int = 8,
        pattern: int = 0,
    ) -> None:
        """Add a closed (tapered) cylinder between two points."""
        a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
        axis = (b - a) / np.linalg.norm(b - a)
        helper = np.array([1.0, 0.0, 0.0]) if abs(axis[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
        first = np.cross(axis, helper)
        first /= np.linalg.norm(first)
        second = np.cross(axis, first)
        angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
        ring = np.outer(np.cos(angle), first) + np.outer(np.sin(angle), second)
        last = radius if end_radius is None else end_radius
        vertices = np.concatenate([a + radius * ring, b + last * ring, [a, b]])
        texture = np.stack([vertices[:, 0] + vertices[:, 2], vertices[:, 1]], 1)
        i, j = np.arange(sides), (np.arange(sides) + 1) % sides
        bottom, top = np.full(sides, 2 * sides), np.full(sides, 2 * sides + 1)
        faces = np.concatenate(
            [
                np.stack([i, j, j + sides], 1),
                np.stack([i, j + sides, i + sides], 1),
                np.stack([bottom, j, i], 1),
                np.stack([top, i + sides, j + sides], 1),
            ]
        )
        self.add(vertices, texture, faces, material, color, pattern)

    def add_blob(
        self,
        center: ArrayLike,
        radii: ArrayLike,
        material: Material,
        color: ArrayLike,
        rng: np.random.Generator,
        *,
        roughness: float = 0.0,
        pattern: int = 0,
    ) -> None:
        """Add an ellipsoid with radii (x, y, z), its surface pushed in and out at random."""
        push = 1.0 + roughness * rng.uniform(-1, 1, (len(_SPHERE_VERTICES), 1))
        vertices = np.asarray(center) + _SPHERE_VERTICES * push * np.asarray(radii)
        texture = np.stack([vertices[:, 0] + vertices[:, 2], vertices[:, 1]], 1)
        self.add(vertices, texture, _SPHERE_FACES, material, color, pattern)

    def add_ribbon(
        self,
        left: float,
        right: float,
        height: float,
        z: Floats,
        material: Material,
        color: ArrayLike,
        pattern: int = 0,
    ) -> None:
        """Add a strip of ground between x = `left` and `right`, cut at every `z` [N].

        Texture coordinates are (x, z) of the undeformed road.
        """
        count = len(z)
        vertices = np.zeros((2 * count, 3), np.float32)
        vertices[:count, 0], vertices[count:, 0] = left, right
        vertices[:, 1] = height
        vertices[:, 2] = np.concatenate([z, z])
        i = np.arange(count - 1)
        faces = np.concatenate(
            [np.stack([i, i + 1, i + count + 1], 1), np.stack([i, i + count + 1, i + count], 1)]
        )
        self.add(vertices, vertices[:, [0, 2]], faces, material, color, pattern)


def _placed(points: NDArray[np.float64], center: ArrayLike, yaw: float) -> NDArray[np.float64]:
    cos, sin = np.cos(yaw), np.sin(yaw)
    turned = points @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    return np.asarray(turned + np.asarray(center, np.float64), np.float64)


def _sphere(subdivisions: int = 1) -> tuple[Floats, Ints]:
    """Unit icosphere: vertices [V,3] and faces [F,3]."""
    golden = (1 + 5**0.5) / 2
    vertices = [
        np.roll(np.array([0.0, first, second * golden]), turn)
        for turn in range(3)
        for first in (-1, 1)
        for second in (-1, 1)
    ]
    points = np.array(vertices) / np.hypot(1, golden)
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
    return points.astype(np.float32), np.array(triangles, np.int32)


_SPHERE_VERTICES, _SPHERE_FACES = _sphere()
_HEXAHEDRON_SIDES = np.array(
    [[0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7], [4, 5, 6, 7], [3, 2, 1, 0]]
)
