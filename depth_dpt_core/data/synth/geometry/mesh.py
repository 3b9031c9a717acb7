# SPDX-License-Identifier: Apache-2.0
"""Triangle meshes of the street: geometry with what its surfaces are made of.

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
    """How `surfaces.albedo` colours a triangle and `Renderer` lights it."""

    PLAIN = 0  # concrete, plastic, dull metal: slightly uneven
    ROAD = 1  # asphalt with the markings of the street
    PAVING = 2  # slabs or cobbles with joints
    GROUND = 3  # grass, earth, gravel
    FACADE = 4  # wall with rows of windows
    FOLIAGE = 5  # dense mass of leaves, such as a hedge
    PAINT = 6  # car paint: smooth, mirrors the sky
    GLASS = 7  # dark, mirrors the sky strongly
    LEAF = 8  # single leaves and twigs: lit from both sides, keep their own normals
    BARK = 9
    CLOTH = 10  # garments: folds, sometimes stripes
    SIGN = 11  # plate with a border and something written on it
    LAMP = 12  # shines by itself with its colour
    BRICK = 13  # wall of bricks or blocks without windows


@dataclass(frozen=True)
class Solid:
    """Geometry without a surface.

    `vertices` [V,3] and `texture` [V,2] in metres; `normals` [V,3] unit vectors where the surface
    is to look smooth, zero where triangles are to look flat; `faces` [F,3] index all three.
    """

    vertices: Floats
    normals: Floats
    texture: Floats
    faces: Ints


@dataclass(frozen=True)
class Mesh:
    """Triangles ready to be cast against: a `Solid` and, per face, its surface.

    `material` [F]; `color` [F,3] linear, 0..1; `pattern` [F] the seed of the texture.
    """

    vertices: Floats
    normals: Floats
    texture: Floats
    faces: Ints
    material: Ints
    color: Floats
    pattern: Ints

    def placed(
        self,
        position: ArrayLike,
        *,
        yaw: float = 0.0,
        scale: float = 1.0,
        tint: ArrayLike = 1.0,
    ) -> Mesh:
        """Return a copy, scaled and turned about its origin, then moved; colours times `tint`."""
        turn = rotation(yaw).astype(np.float32)
        return Mesh(
            self.vertices @ turn * np.float32(scale) + np.asarray(position, np.float32),
            self.normals @ turn,
            self.texture * np.float32(scale),
            self.faces,
            self.material,
            np.clip(self.color * np.asarray(tint, np.float32), 0, 1),
            self.pattern,
        )


@dataclass
class MeshBuilder:
    """Collects solids and finished meshes into one mesh."""

    _parts: list[Mesh] = field(default_factory=list)

    def add(
        self, solid: Solid, material: ArrayLike, color: ArrayLike, *, pattern: ArrayLike = 0
    ) -> None:
        """Add a solid; material, colour and pattern for all its faces or one for each."""
        count = len(solid.faces)
        self._parts.append(
            Mesh(
                solid.vertices,
                solid.normals,
                solid.texture,
                solid.faces,
                np.broadcast_to(np.asarray(material, np.int32), (count,)),
                np.broadcast_to(np.asarray(color, np.float32), (count, 3)),
                np.broadcast_to(np.asarray(pattern, np.int32), (count,)),
            )
        )

    def add_mesh(self, mesh: Mesh) -> None:
        """Add a finished mesh as it stands."""
        self._parts.append(mesh)

    def build(self) -> Mesh:
        """Join all parts into one mesh; an empty one if there are none."""
        offsets = np.cumsum([0] + [len(part.vertices) for part in self._parts])
        faces = [part.faces + offset for part, offset in zip(self._parts, offsets, strict=False)]
        return Mesh(
            _joined([part.vertices for part in self._parts], np.float32, 3),
            _joined([part.normals for part in self._parts], np.float32, 3),
            _joined([part.texture for part in self._parts], np.float32, 2),
            _joined(faces, np.int32, 3),
            _joined([part.material for part in self._parts], np.int32),
            _joined([part.color for part in self._parts], np.float32, 3),
            _joined([part.pattern for part in self._parts], np.int32),
        )


def _joined(arrays: list[NDArray[Any]], kind: type[Any], *columns: int) -> NDArray[Any]:
    return np.concatenate([np.empty((0, *columns)), *arrays]).astype(kind)


def rotation(yaw: float) -> NDArray[np.float64]:
    """Matrix [3,3] that turns row vectors by `yaw` radians, from z towards x."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
