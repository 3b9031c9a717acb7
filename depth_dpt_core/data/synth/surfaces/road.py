# SPDX-License-Identifier: Apache-2.0
"""Asphalt, what years have done to it, and what is painted on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.geometry.mesh import Floats
from depth_dpt_core.data.synth.street.street import RoadLayout
from depth_dpt_core.data.synth.surfaces.noise import Hits, fractal, noise

_WHITE, _YELLOW = [0.75, 0.74, 0.7], [0.7, 0.5, 0.1]
_LANE_TINTS = [[0.35, 0.1, 0.08], [0.08, 0.25, 0.12], [0.1, 0.18, 0.35]]


def road(hits: Hits, layout: RoadLayout) -> Floats:
    """Linear colour [N,3]; u and v are x and z of the straight road."""
    rng = np.random.default_rng(layout.marking_seed)
    lane = _across_lane(hits.u, layout)
    base = _asphalt(hits, layout, lane, rng)
    paint, color = _markings(hits, layout, lane, rng)
    fading = rng.uniform(0, 0.35) + 0.3 * layout.wear * rng.random()
    worn = 0.95 - 0.25 * np.abs(noise(hits.u, hits.v, 0.3, hits.footprint)) - fading
    cover = (paint * np.clip(worn, 0, 1))[:, None]
    return np.asarray(base * (1 - cover) + color * cover, np.float32)


def _across_lane(x: Floats, layout: RoadLayout) -> Floats:
    """Signed distance from the middle of the lane that x lies in."""
    half = layout.median / 2 if layout.lanes[0] else 0.0
    beyond = np.abs(x) - half
    return np.asarray(np.mod(beyond, layout.lane_width) - layout.lane_width / 2, np.float32)


def _asphalt(hits: Hits, layout: RoadLayout, lane: Floats, rng: np.random.Generator) -> Floats:
    x, z, footprint = hits.u, hits.v, hits.footprint
    grain = fractal(x, z, (30.0, 8.0, 2.0, 0.5, 0.12, 0.04), footprint * 1.5)
    shade = 1 + 0.16 * grain
    tracks = np.exp(-(((np.abs(lane) - 0.85) / 0.3) ** 2)) - 0.6 * np.exp(-((lane / 0.25) ** 2))
    shade = shade * (1 + rng.uniform(-0.14, 0.06) * tracks)
    if layout.wear > 0.3:
        wander = noise(x + 17, z, 1.2, footprint)
        visible = np.clip(0.08 / footprint, 0, 1)
        cracks = np.abs(noise(x, z + 40, 3.0, footprint) + 0.3 * wander) < 0.05 * layout.wear
        shade = shade * (1 - 0.45 * visible * cracks)
        stains = np.clip(noise(x, z * 0.5, 1.5, footprint) - 1.3, 0, 1) * layout.wear
        shade = shade * (1 - 0.5 * stains)
    base = hits.color * shade[:, None].astype(np.float32)
    for _ in range(int(rng.integers(0, 1 + round(10 * layout.wear)))):  # repairs
        center = rng.uniform([layout.edges[0], 0], [layout.edges[1], 100])
        half = rng.uniform([0.3, 0.4], [1.7, 6])
        patch = (np.abs(x - center[0]) < half[0]) & (np.abs(z - center[1]) < half[1])
        base[patch] *= rng.uniform(0.6, 1.3)
    for _ in range(int(rng.integers(0, 5))):  # manhole covers
        center = rng.uniform([layout.edges[0], 0], [layout.edges[1], 60])
        base[(x - center[0]) ** 2 + (z - center[1]) ** 2 < 0.09] *= rng.uniform(0.4, 0.8)
    if rng.random() < 0.1 and layout.lanes[1] > 1:  # a lane for buses or bicycles
        edge = layout.median / 2 * (layout.lanes[0] > 0) + layout.lanes[1] * layout.lane_width
        own = (x < edge) & (x > edge - layout.lane_width)
        base[own] = 0.6 * base[own] + 0.4 * np.array(_LANE_TINTS[int(rng.integers(3))])
    return np.asarray(base, np.float32)


def _markings(
    hits: Hits, layout: RoadLayout, lane: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """How much of each point is painted [N], and with which colour [N,3]."""
    x, z = hits.u, hits.v
    width = rng.uniform(0.1, 0.2)
    half_pixel = np.maximum(hits.footprint, 1e-4)

    def line(center: float, place: Floats = x) -> NDArray[np.float32]:
        reach = (width / 2 - np.abs(place - center)) / half_pixel + 0.5
        return np.asarray(np.clip(reach, 0, 1), np.float32)

    dash, period = rng.uniform(1.5, 6.0), rng.uniform(6.5, 14.0)
    dashed = np.mod(z + rng.uniform(0, period), period) < dash
    half = layout.median / 2 if layout.lanes[0] else 0.0
    bare = rng.random() < 0.12  # small streets often have no lines at all
    paint, middle = np.zeros_like(x), np.zeros_like(x)
    if not bare:
        for sign, count in zip((-1, 1), layout.lanes, strict=True):
            for i in range(1, count):
                paint = np.maximum(paint, line(sign * (half + i * layout.lane_width)) * dashed)
        if layout.lanes[0]:
            middle = _divide(line, half, dashed, rng)
    if rng.random() < 0.6:
        for sign, count in zip((-1, 1), layout.lanes, strict=True):
            edge = half + count * layout.lane_width - 0.1 if count else 0.1
            paint = np.maximum(paint, line(sign * edge))
    left, right = layout.edges
    other_road = (x < left) | (x > right)
    crossing = layout.crossing
    if crossing is not None:
        ahead = z - (crossing.z - crossing.half_width)
        behind = crossing.z + crossing.half_width - z
        inside = (ahead > -1) & (behind > -1)
        paint, middle = paint * ~inside, middle * ~inside
        if rng.random() < 0.7:
            stripes = np.mod(x, 1.0) < 0.5
            zebra = ((ahead > -4.5) & (ahead < -1.5)) | ((behind > -4.5) & (behind < -1.5))
            paint = np.where(zebra & stripes, 1.0, paint)
        stop = (np.abs(ahead + 6) < 0.25) & (x > half)
        paint = np.where(stop, 1.0, paint)
        along = np.mod(x, period) < dash
        paint = np.where(other_road, line(crossing.z, z) * along, paint)
    for _ in range(int(rng.integers(0, 2))):  # zebra crossings elsewhere
        start, length = rng.uniform(6, 110), rng.uniform(2.5, 4.5)
        stripe = np.mod(x, 1.0) < 0.5
        paint = np.where((z > start) & (z < start + length) & stripe, 1.0, paint)
    if rng.random() < 0.3:
        paint = np.maximum(paint, _arrows(lane, z - rng.uniform(5, 60), x > half))
    yellow = rng.random() < 0.4
    color = np.where((middle > paint)[:, None] & yellow, _YELLOW, _WHITE)
    return np.maximum(paint, middle), np.asarray(color, np.float32)


def _divide(
    draw: Callable[[float], Floats], half: float, dashed: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Floats:  # fmt: skip
    """Between the directions: dashed, solid or double; or along both sides of the median."""
    if half > 0.3:
        return np.asarray(np.maximum(draw(half - 0.1), draw(-half + 0.1)), np.float32)
    form = rng.random()
    if form < 0.4:
        return np.asarray(draw(0.0) * dashed, np.float32)
    if form < 0.7:
        return np.asarray(draw(0.0), np.float32)
    return np.asarray(np.maximum(draw(-0.12), draw(0.12)), np.float32)


def _arrows(lane: Floats, along: Floats, ahead: NDArray[np.bool_]) -> Floats:
    """Arrows pointing straight on, every 40 m in the lanes ahead."""
    place = np.mod(along, 40.0)
    stem = (np.abs(lane) < 0.08) & (place < 2.5)
    head = (place >= 2.5) & (np.abs(lane) < 0.35 * (1 - (place - 2.5) / 1.3))
    return np.asarray((stem | head) & ahead, np.float32)
