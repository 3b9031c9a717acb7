# SPDX-License-Identifier: Apache-2.0
"""Noise and hashes that textures are made of, and the surface points that they are asked at."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.geometry.mesh import Floats, Ints

_TILE = 1024  # texels of the noise tile
_GRAIN = 4.0  # texels a feature of the tile measures
_ROW = 4096  # cv2.remap takes pictures of limited size


@dataclass(frozen=True)
class Hits:
    """Surface points seen by N rays: texture coordinates and pixel footprint in metres."""

    u: Floats
    v: Floats
    footprint: Floats  # m that one pixel spans across the line of sight
    color: Floats  # [N,3] base colour
    pattern: Ints

    def select(self, index: NDArray[np.intp]) -> Hits:
        """Return the hits of some rays."""
        return Hits(
            self.u[index],
            self.v[index],
            self.footprint[index],
            self.color[index],
            self.pattern[index],
        )


def _noise_tile() -> Floats:
    """Tileable noise of one spatial frequency, zero mean, unit deviation: [_TILE, _TILE]."""
    white = np.random.default_rng(7).standard_normal((_TILE, _TILE)).astype(np.float32)
    band = _wrapped_blur(white, _GRAIN / 3) - _wrapped_blur(white, _GRAIN)
    return np.asarray(band / band.std(), np.float32)


def _wrapped_blur(tile: Floats, sigma: float) -> Floats:
    margin = int(6 * sigma) + 1
    padded = np.pad(tile, margin, mode="wrap")
    blurred = cv2.GaussianBlur(padded, (0, 0), sigma)
    return np.asarray(blurred[margin:-margin, margin:-margin], np.float32)


_NOISE = np.pad(_noise_tile(), (0, 1), mode="wrap")


def hash_of(values: NDArray[np.integer]) -> NDArray[np.uint32]:
    """Integer hash with good avalanche (lowbias32 constants by Chris Wellons, public domain)."""
    x = values.astype(np.uint32)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return np.asarray(x ^ (x >> np.uint32(16)), np.uint32)


def unit(values: NDArray[np.integer]) -> Floats:
    """Hash to [0, 1)."""
    return np.asarray(hash_of(values) * np.float32(2.0**-32), np.float32)


def noise(u: Floats, v: Floats, size: float, footprint: Floats) -> Floats:
    """Noise with features of `size` metres, faded out where a pixel covers more than that."""
    scale = np.float32(_GRAIN / size)
    rows = len(u) // _ROW + 1
    maps = np.zeros((2, rows * _ROW), np.float32)
    for axis, place in enumerate((u, v)):
        np.remainder(place * scale, np.float32(_TILE), out=maps[axis, : len(u)], casting="unsafe")
    grid = maps.reshape(2, rows, _ROW)
    value = cv2.remap(_NOISE, grid[0], grid[1], cv2.INTER_LINEAR).reshape(-1)[: len(u)]
    fade = np.clip(np.float32(size) / footprint - np.float32(0.5), 0, 1)
    return np.asarray(value * fade, np.float32)


def fractal(u: Floats, v: Floats, sizes: tuple[float, ...], footprint: Floats) -> Floats:
    """Sum of octaves with amplitude growing with size, as in natural pictures (1/f)."""
    total = np.zeros_like(u)
    for octave, size in enumerate(sizes):
        total += noise(u, v, size, footprint) * np.float32(0.8**octave)
    return np.asarray(total / np.float32(len(sizes) ** 0.5), np.float32)
