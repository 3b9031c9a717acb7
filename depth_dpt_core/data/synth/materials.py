# SPDX-License-Identifier: Apache-2.0
"""Procedural surface colours, evaluated per ray hit."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.mesh import Floats, Ints, Material
from depth_dpt_core.data.synth.street import Street

_TILE = 1024  # texels of the noise tile
_GRAIN = 4.0  # texels a feature of the tile measures


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


_NOISE = _noise_tile().ravel()


def _hash(values: NDArray[np.integer]) -> NDArray[np.uint32]:
    """Integer hash with good avalanche (lowbias32 constants by Chris Wellons, public domain)."""
    x = values.astype(np.uint32)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return np.asarray(x ^ (x >> np.uint32(16)), np.uint32)


def _unit(values: NDArray[np.integer]) -> Floats:
    """Hash to [0, 1)."""
    return np.asarray(_hash(values) * np.float32(2.0**-32), np.float32)


def _noise(u: Floats, v: Floats, size: float, footprint: Floats) -> Floats:
    """Noise with features of `size` metres, faded out where a pixel covers more than that."""
    scale = np.float32(_GRAIN / size)
    column = (u * scale).astype(np.int32) & (_TILE - 1)
    row = (v * scale).astype(np.int32) & (_TILE - 1)
    fade = np.clip(size / footprint - 0.5, 0, 1)
    return np.asarray(_NOISE[row * _TILE + column] * fade, np.float32)


def _fractal(u: Floats, v: Floats, sizes: tuple[float, ...], footprint: Floats) -> Floats:
    """Sum of octaves with amplitude growing with size, as in natural pictures (1/f)."""
    total = np.zeros_like(u)
    for octave, size in enumerate(sizes):
        total += _noise(u, v, size, footprint) * np.float32(0.8**octave)
    return np.asarray(total / np.float32(len(sizes) ** 0.5), np.float32)


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


def albedo(hits: Hits, material: Ints, street: Street) -> Floats:
    """Linear surface colour [N,3] in 0..1."""
    shift = _unit(hits.pattern) * 50
    moved = Hits(hits.u + shift, hits.v + shift, hits.footprint, hits.color, hits.pattern)
    out = hits.color.copy()
    for kind, paint in _PAINTERS.items():
        index = np.flatnonzero(material == kind)
        if len(index):
            out[index] = paint(moved.select(index))
    index = np.flatnonzero(material == Material.ROAD)
    if len(index):
        out[index] = _road(hits.select(index), street)
    return np.asarray(np.clip(out, 0.005, 0.95))


def _plain(hits: Hits) -> Floats:
    grain = _fractal(hits.u, hits.v, (1.3, 0.35, 0.09), hits.footprint)
    return hits.color * (1 + 0.12 * grain)[:, None]


def _paint(hits: Hits) -> Floats:
    dirt = _fractal(hits.u, hits.v, (0.9, 0.25), hits.footprint)
    return hits.color * (1 + 0.03 * dirt)[:, None]


def _ground(hits: Hits) -> Floats:
    grain = _fractal(hits.u, hits.v, (9.0, 2.2, 0.5, 0.12), hits.footprint * 2)
    tint = _noise(hits.u, hits.v, 5.0, hits.footprint)[:, None] * np.array(
        [0.12, 0.02, -0.05], np.float32
    )
    return hits.color * (1 + 0.34 * grain[:, None] + tint)


def _foliage(hits: Hits) -> Floats:
    clumps = _fractal(hits.u, hits.v, (0.9, 0.3, 0.1), hits.footprint)
    gaps = _noise(hits.u, hits.v, 0.18, hits.footprint) > 0.9
    shade = np.clip(1 + 0.55 * clumps, 0.15, 3) * np.where(gaps, 0.35, 1)
    return np.asarray(hits.color * shade[:, None].astype(np.float32), np.float32)


def _paving(hits: Hits) -> Floats:
    size = 0.25 + 0.5 * _unit(hits.pattern + 3)
    along, across = hits.v / size, hits.u / size
    joint = np.minimum(np.abs(along - np.round(along)), np.abs(across - np.round(across))) * size
    visible = np.clip(0.12 / hits.footprint, 0, 1)
    cell = np.floor(along).astype(np.int64) * 7919 + np.floor(across).astype(np.int64)
    stones = (_unit(cell) - 0.5) * 0.3 * visible
    grain = _fractal(hits.u, hits.v, (3.0, 0.6, 0.1), hits.footprint)
    shade = (1 + 0.15 * grain + stones) * np.where(joint < 0.012, 1 - 0.5 * visible, 1)
    return np.asarray(hits.color * shade[:, None].astype(np.float32), np.float32)


def _facade(hits: Hits) -> Floats:
    """Wall with rows of windows; per-building size, spacing and colour from the pattern."""
    pattern = hits.pattern
    period_u = 1.5 + 2.6 * _unit(pattern + 1)
    period_v = 2.5 + 1.1 * _unit(pattern + 2)
    share_u, share_v = 0.3 + 0.45 * _unit(pattern + 3), 0.35 + 0.35 * _unit(pattern + 4)
    cell_u, cell_v = hits.u / period_u, hits.v / period_v
    column, row = np.floor(cell_u), np.floor(cell_v)
    off_u, off_v = np.abs(cell_u - column - 0.5), np.abs(cell_v - row - 0.5)
    inside = (off_u < share_u / 2) & (off_v < share_v / 2)
    bar = (off_u < 0.02) | (off_v < 0.015)
    frame = ~inside & (off_u < share_u / 2 + 0.04) & (off_v < share_v / 2 + 0.03)
    window = _unit(column.astype(np.int64) * 7919 + row.astype(np.int64) + pattern)
    grain = _fractal(hits.u, hits.v, (6.0, 1.2, 0.3, 0.08), hits.footprint)
    brick = np.abs(np.mod(hits.v, 0.22) - 0.11) > 0.1
    lines = np.where(brick, 0.15 * np.clip(0.08 / hits.footprint, 0, 1), 0)
    wall = hits.color * (1 + 0.13 * grain - lines * (_unit(pattern + 5) > 0.5))[:, None]
    glass = (0.02 + 0.22 * window**3)[:, None] * np.array([0.85, 0.95, 1.1], np.float32)
    pane = np.where(bar[:, None], 0.5, glass)
    out = np.where(inside[:, None], pane, np.where(frame[:, None], wall * 1.25 + 0.06, wall))
    blind = _unit(pattern + 6) < 0.12  # walls without windows
    out = np.where(blind[:, None], wall, out)
    far = np.clip(hits.footprint / (0.4 * period_u) - 0.5, 0, 1)[:, None]
    mean = wall * (1 - 0.6 * (share_u * share_v)[:, None])
    return np.asarray(out * (1 - far) + mean * far, np.float32)


def _road(hits: Hits, street: Street) -> Floats:
    """Asphalt with lane markings, edge lines, zebra crossings, patches and tar seams."""
    layout = street.layout
    rng = np.random.default_rng(street.marking_seed)
    x, z, footprint = hits.u, hits.v, hits.footprint
    grain = _fractal(x, z, (14.0, 3.0, 0.7, 0.15, 0.04), footprint * 1.5)
    base = hits.color * (1 + 0.15 * grain)[:, None]
    for _ in range(int(rng.integers(0, 7))):
        center = rng.uniform([layout.left, 0], [layout.right, 90])
        half = rng.uniform([0.3, 0.5], [1.6, 5])
        patch = (np.abs(x - center[0]) < half[0]) & (np.abs(z - center[1]) < half[1])
        base = np.where(patch[:, None], base * rng.uniform(0.65, 1.25), base)
    width = rng.uniform(0.1, 0.2)
    half_pixel = np.maximum(footprint, 1e-4)

    def line(center: float) -> Floats:
        return np.asarray(
            np.clip((width / 2 - np.abs(x - center)) / half_pixel + 0.5, 0, 1), np.float32
        )

    dash, period = rng.uniform(1.5, 6.0), rng.uniform(6.0, 14.0)
    dashed = np.mod(z + rng.uniform(0, period), period) < dash
    paint = np.zeros_like(x)
    if rng.random() < 0.85:
        for k in range(-layout.lanes[0] + 1, layout.lanes[1]):
            solid = k == 0 and rng.random() < 0.5
            paint = np.maximum(paint, line(k * layout.lane_width) * (1 if solid else dashed))
    if rng.random() < 0.6:
        for edge in (-layout.lanes[0] * layout.lane_width, layout.lanes[1] * layout.lane_width):
            paint = np.maximum(paint, line(edge + np.sign(-edge) * 0.15))
    for _ in range(int(rng.integers(0, 3))):
        start, length = rng.uniform(6, 110), rng.uniform(2.5, 4.5)
        stripe = np.mod(x, 1.0) < 0.5
        paint = np.where((z > start) & (z < start + length) & stripe, 1.0, paint)
    worn = np.clip(0.9 - 0.25 * np.abs(_noise(x, z, 0.3, footprint)) - rng.uniform(0, 0.3), 0, 1)
    tint = np.array([0.75, 0.74, 0.7] if rng.random() < 0.85 else [0.7, 0.5, 0.1], np.float32)
    cover = (paint * worn)[:, None]
    return np.asarray(base * (1 - cover) + tint * cover, np.float32)


_PAINTERS = {
    Material.PLAIN: _plain,
    Material.PAVING: _paving,
    Material.GROUND: _ground,
    Material.FACADE: _facade,
    Material.FOLIAGE: _foliage,
    Material.PAINT: _paint,
}


def sky(directions: Floats, street: Street) -> Floats:
    """Linear sky colour [N,3] for unit view directions [N,3]."""
    light = street.light
    up = np.clip(directions[:, 1], 0, 1)
    blend = (up**0.45)[:, None]
    zenith = light.sky_color / max(float(light.sky_color.max()), 1e-6)
    clear = light.horizon_color * (1 - blend) + zenith * blend
    height = np.maximum(directions[:, 1], 0.03)
    u = directions[:, 0] / height + light.cloud_seed % 97
    v = directions[:, 2] / height + light.cloud_seed % 89
    fine = np.full_like(u, 0.02)
    clouds = _fractal(u, v, (3.0, 1.1, 0.4, 0.15), fine)
    cover = np.clip((clouds + 4 * light.cloud_cover - 2.2) * 0.6, 0, 1)[:, None] * blend**0.5
    grey = np.array([0.86, 0.87, 0.89], np.float32) * (1 - 0.12 * clouds[:, None])
    glow = np.clip(directions @ light.sun_direction, 0, 1)[:, None] ** 60 * light.sun_color * 0.6
    return np.asarray(clear * (1 - cover) + grey * cover + glow, np.float32)
