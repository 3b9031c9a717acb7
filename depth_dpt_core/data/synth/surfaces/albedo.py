# SPDX-License-Identifier: Apache-2.0
"""Procedural surface colours, evaluated per ray hit."""

from __future__ import annotations

import numpy as np

from depth_dpt_core.data.synth.geometry.mesh import Floats, Ints, Material
from depth_dpt_core.data.synth.street.street import RoadLayout
from depth_dpt_core.data.synth.surfaces.facade import facade
from depth_dpt_core.data.synth.surfaces.noise import Hits, fractal, noise, unit
from depth_dpt_core.data.synth.surfaces.road import road


def albedo(hits: Hits, material: Ints, layout: RoadLayout) -> Floats:
    """Linear surface colour [N,3] in 0..1."""
    shift = unit(hits.pattern) * 50
    moved = Hits(hits.u + shift, hits.v + shift, hits.footprint, hits.color, hits.pattern)
    out = hits.color.copy()
    for kind in np.unique(material):
        index = np.flatnonzero(material == kind)
        if kind == Material.ROAD:
            out[index] = road(hits.select(index), layout)
        elif kind == Material.FACADE:
            out[index] = facade(hits.select(index))
        elif kind == Material.SIGN:
            out[index] = _sign(hits.select(index))
        elif kind in _PAINTERS:
            out[index] = _PAINTERS[kind](moved.select(index))
    return np.asarray(np.clip(out, 0.005, 0.95), np.float32)


def _shaded(color: Floats, shade: Floats) -> Floats:
    return np.asarray(color * shade[:, None].astype(np.float32), np.float32)


def _plain(hits: Hits) -> Floats:
    grain = fractal(hits.u, hits.v, (1.3, 0.35, 0.09), hits.footprint)
    return _shaded(hits.color, 1 + 0.12 * grain)


def _paint(hits: Hits) -> Floats:
    dirt = fractal(hits.u, hits.v, (0.9, 0.25), hits.footprint)
    return _shaded(hits.color, 1 + 0.03 * dirt)


def _ground(hits: Hits) -> Floats:
    sizes = (25.0, 9.0, 2.2, 0.5, 0.12, 0.03)
    grain = fractal(hits.u, hits.v, sizes, hits.footprint * 2)
    patch = noise(hits.u + 31, hits.v, 7.0, hits.footprint)[:, None]
    tint = patch * np.array([0.16, 0.03, -0.06], np.float32)
    return np.asarray(hits.color * (1 + 0.4 * grain[:, None] + tint), np.float32)


def _foliage(hits: Hits) -> Floats:
    clumps = fractal(hits.u, hits.v, (2.5, 0.9, 0.3, 0.1), hits.footprint)
    gaps = noise(hits.u, hits.v, 0.18, hits.footprint) > 0.9
    return _shaded(hits.color, np.clip(1 + 0.55 * clumps, 0.15, 3) * np.where(gaps, 0.35, 1))


def _leaf(hits: Hits) -> Floats:
    veins = fractal(hits.u, hits.v, (0.6, 0.12, 0.03), hits.footprint)
    return _shaded(hits.color, 1 + 0.3 * veins)


def _bark(hits: Hits) -> Floats:
    ridges = fractal(hits.u * 3, hits.v * 0.6, (0.5, 0.12), hits.footprint * 2)
    return _shaded(hits.color, np.clip(1 + 0.35 * ridges, 0.2, 2))


def _cloth(hits: Hits) -> Floats:
    folds = fractal(hits.u * 1.5, hits.v * 0.7, (0.35, 0.1), hits.footprint)
    striped = unit(hits.pattern + 11) < 0.15
    period = 0.06 + 0.1 * unit(hits.pattern + 12)
    stripe = np.mod(hits.v, period) < period / 2
    visible = np.clip(period / hits.footprint - 1, 0, 1)
    return _shaded(hits.color, (1 + 0.22 * folds) * (1 - 0.5 * visible * (striped & stripe)))


def _brick(hits: Hits) -> Floats:
    tall = 0.07 + 0.15 * (unit(hits.pattern + 21) > 0.7)
    course = np.floor(hits.v / tall)
    wide = tall * 3.2
    along = hits.u / wide + 0.5 * np.mod(course, 2)
    joint = (np.mod(hits.v, tall) < 0.012) | (np.mod(along, 1) * wide < 0.012)
    visible = np.clip(tall / hits.footprint - 0.7, 0, 1)
    cell = course.astype(np.int64) * 7919 + np.floor(along).astype(np.int64)
    tone = (unit(cell) - 0.5) * 0.4 * visible
    grain = fractal(hits.u, hits.v, (4.0, 0.9, 0.2), hits.footprint)
    return _shaded(hits.color, (1 + 0.15 * grain + tone) * (1 + 0.35 * visible * joint))


def _paving(hits: Hits) -> Floats:
    size = 0.1 + 0.6 * unit(hits.pattern + 3)
    along, across = hits.v / size, hits.u / size
    joint = np.minimum(np.abs(along - np.round(along)), np.abs(across - np.round(across))) * size
    visible = np.clip(0.3 * size / hits.footprint, 0, 1)
    cell = np.floor(along).astype(np.int64) * 7919 + np.floor(across).astype(np.int64)
    stones = (unit(cell) - 0.5) * 0.3 * visible
    grain = fractal(hits.u, hits.v, (12.0, 3.0, 0.6, 0.1, 0.03), hits.footprint)
    return _shaded(
        hits.color, (1 + 0.17 * grain + stones) * np.where(joint < 0.01, 1 - 0.5 * visible, 1)
    )


def _sign(hits: Hits) -> Floats:
    """Rows of marks of different lengths on a plate, as writing looks from afar."""
    height = 0.08 + 0.3 * unit(hits.pattern + 31)
    row = np.floor(hits.v / height)
    word = np.floor(hits.u / (height * 1.7) + 3 * unit(row.astype(np.int64) + hits.pattern))
    cell = word.astype(np.int64) * 31 + row.astype(np.int64) * 7919 + hits.pattern
    inked = (np.mod(hits.v, height) > 0.35 * height) & (unit(cell) < 0.6)
    visible = np.clip(0.6 * height / hits.footprint - 0.4, 0, 1)[:, None]
    bright = hits.color.mean(1, keepdims=True) > 0.35
    other = _OTHER[hits.pattern % len(_OTHER)]
    ink = np.where(bright, other * 0.25, 0.75 + 0.0 * other)
    mixed = np.where(inked[:, None], ink, hits.color)
    mean = 0.6 * hits.color + 0.4 * ink
    return np.asarray(mixed * visible + mean * (1 - visible), np.float32)


_OTHER = np.array(
    [[0.1, 0.1, 0.1], [0.6, 0.05, 0.05], [0.05, 0.1, 0.5], [0.05, 0.3, 0.1], [0.1, 0.1, 0.1]],
    np.float32,
)
_PAINTERS = {
    Material.PLAIN: _plain,
    Material.PAVING: _paving,
    Material.GROUND: _ground,
    Material.FOLIAGE: _foliage,
    Material.PAINT: _paint,
    Material.LEAF: _leaf,
    Material.BARK: _bark,
    Material.CLOTH: _cloth,
    Material.BRICK: _brick,
}
