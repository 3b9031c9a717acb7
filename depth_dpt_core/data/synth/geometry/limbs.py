# SPDX-License-Identifier: Apache-2.0
"""Bent bars and blades, many in one go: limbs, twigs, tubes, fronds and grass; metres, y up."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depth_dpt_core.data.synth.geometry.mesh import Floats, Ints, Solid


def chains(points: ArrayLike, radii: ArrayLike, *, sides: int = 6) -> Solid:
    """N round bars, each along K points of its own thickness; smooth, open at their ends.

    `points` [N,K,3]; `radii` broadcasts to [N,K]; texture (around, along). Faces come chain by
    chain, then from point to point: 2 * `sides` faces for each of the K - 1 pieces.
    """
    path = np.asarray(points, np.float64)
    count, knots = path.shape[:2]
    radius = np.broadcast_to(np.asarray(radii, np.float64), (count, knots))
    tangent = np.gradient(path, axis=1) if knots > 2 else np.repeat(np.diff(path, axis=1), 2, 1)
    tangent = unit_rows(tangent)
    first = np.empty_like(path)
    first[:, 0] = _upright_to(tangent[:, 0])
    for knot in range(1, knots):  # carried along, so that bars do not twist
        last, along = first[:, knot - 1], tangent[:, knot]
        first[:, knot] = unit_rows(last - (last * along).sum(1, keepdims=True) * along)
    second = np.cross(tangent, first)
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    around = (
        np.cos(angle)[:, None] * first[:, :, None] + np.sin(angle)[:, None] * second[:, :, None]
    )
    vertices = path[:, :, None] + radius[:, :, None, None] * around
    texture = np.zeros((count, knots, sides + 1, 2), np.float32)
    texture[..., 0] = angle * radius.mean(1)[:, None, None]
    pieces = np.sqrt((np.diff(path, axis=1) ** 2).sum(-1))
    texture[:, 1:, :, 1] = pieces.cumsum(1)[:, :, None]
    return Solid(
        vertices.reshape(-1, 3).astype(np.float32),
        around.reshape(-1, 3).astype(np.float32),
        texture.reshape(-1, 2),
        _chain_faces(count, knots, sides),
    )


def blades(points: ArrayLike, widths: ArrayLike, across: ArrayLike, normals: ArrayLike) -> Solid:
    """N flat blades, each along K points and ending in a tip; 2 * K - 3 triangles each.

    `points` [N,K,3]; `widths` broadcasts to [N,K-1], the tip has none; `across` [N,3] unit
    vectors along the width; `normals` [N,3] what they are lit by, whatever way they lie.
    """
    path = np.asarray(points, np.float32)
    count, knots = path.shape[:2]
    half = np.broadcast_to(np.asarray(widths, np.float32), (count, knots - 1)) / 2
    aside = half[:, :, None] * np.asarray(across, np.float32)[:, None]
    edges = np.stack([path[:, :-1] - aside, path[:, :-1] + aside], 2).reshape(count, -1, 3)
    vertices = np.concatenate([edges, path[:, -1:]], 1).reshape(-1, 3)
    per_blade = 2 * knots - 1
    i = np.arange(per_blade - 2, dtype=np.int32)
    strip = np.stack([i, i + 1, i + 2], 1)
    faces = (np.arange(count, dtype=np.int32)[:, None, None] * per_blade + strip).reshape(-1, 3)
    texture = np.stack([vertices[:, 0] + vertices[:, 2], vertices[:, 1]], 1)
    return Solid(
        vertices, np.repeat(np.asarray(normals, np.float32), per_blade, 0), texture, faces
    )


def unit_rows(vectors: ArrayLike) -> NDArray[np.float64]:
    """Vectors [...,3] at length 1."""
    rows = np.asarray(vectors, np.float64)
    return np.asarray(rows / np.maximum(np.sqrt((rows**2).sum(-1, keepdims=True)), 1e-9))


def _upright_to(axis: Floats) -> NDArray[np.float64]:
    """Unit vectors [N,3] at right angles to `axis` [N,3]."""
    lying = np.abs(axis[:, :1]) < 0.9
    return unit_rows(np.cross(axis, np.where(lying, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])))


@lru_cache(maxsize=64)
def _chain_faces(count: int, knots: int, sides: int) -> Ints:
    columns = sides + 1
    i = (np.arange(knots - 1)[:, None] * columns + np.arange(sides)).reshape(-1, 1)
    first, second = np.array([0, columns, columns + 1]), np.array([0, columns + 1, 1])
    chain = np.stack([i + first, i + second], 1).reshape(-1, 3)
    offsets = np.arange(count)[:, None, None] * knots * columns
    return np.asarray((offsets + chain).reshape(-1, 3), np.int32)
