# SPDX-License-Identifier: Apache-2.0
"""A random street: road, kerbs, buildings, vehicles, people, trees, light and weather."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.mesh import Floats, Material, Mesh, MeshBuilder
from depth_dpt_core.data.synth.objects import (
    add_bush,
    add_clutter,
    add_person,
    add_pole,
    add_tree,
    add_vehicle,
)
from depth_dpt_core.data.synth.ranges import Range, SynthRanges

LENGTH = 260.0
BEHIND = 40.0  # the street starts this far behind the first camera, for views to the side and back


@dataclass(frozen=True)
class Light:
    """Directional sun (zero when overcast), sky light, colours linear, haze by visibility."""

    sun_direction: Floats  # unit vector towards the sun
    sun_color: Floats
    sky_color: Floats
    horizon_color: Floats
    visibility: float  # m, distance at which contrast has fallen to 2 % (Koschmieder)
    cloud_seed: int
    cloud_cover: float


@dataclass(frozen=True)
class RoadLayout:
    """Where things stand across the road; x in metres, z along the road."""

    lane_width: float
    lanes: tuple[int, int]  # against and with the camera's direction
    parking: float
    pavement: float
    kerb: float

    @property
    def left(self) -> float:
        """X of the left kerb."""
        return -self.lanes[0] * self.lane_width - self.parking

    @property
    def right(self) -> float:
        """X of the right kerb."""
        return self.lanes[1] * self.lane_width + self.parking

    def lane_centers(self) -> list[tuple[float, int]]:
        """All lanes as (x, driving direction)."""
        against = [(-(i + 0.5) * self.lane_width, -1) for i in range(self.lanes[0])]
        along = [((i + 0.5) * self.lane_width, 1) for i in range(self.lanes[1])]
        return against + along


class Terrain:
    """Bends the straight street: slopes and curves as smooth functions of z."""

    def __init__(self, rng: np.random.Generator, ranges: SynthRanges) -> None:
        wave = rng.uniform(90, 400)
        self._wave = 2 * np.pi / wave
        self._phase = rng.uniform(0, 2 * np.pi)
        self._rise = rng.uniform(*ranges.slope) / self._wave
        self._curvature = rng.uniform(*ranges.curve) * rng.choice([-1, 1])

    def offset(self, z: NDArray[np.floating]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Sideways and upward shift of the road at z."""
        side = self._curvature * np.clip(z, 0, None) ** 2 / 2
        return side, self._rise * np.sin(self._wave * z + self._phase)

    def bend(self, mesh: Mesh) -> Mesh:
        """Return the mesh with every vertex moved along with the road."""
        side, up = self.offset(mesh.vertices[:, 2])
        vertices = mesh.vertices.copy()
        vertices[:, 0] += side.astype(np.float32)
        vertices[:, 1] += up.astype(np.float32)
        return Mesh(vertices, mesh.texture, mesh.faces, mesh.material, mesh.color, mesh.pattern)


@dataclass(frozen=True)
class Street:
    """A street ready to be rendered."""

    mesh: Mesh
    layout: RoadLayout
    terrain: Terrain
    light: Light
    marking_seed: int


def build_street(rng: np.random.Generator, ranges: SynthRanges) -> Street:
    """Draw one street from the ranges; the camera's own lane is free of traffic for 60 m."""
    layout = _layout(rng, ranges)
    builder = MeshBuilder()
    _add_ground(builder, layout, rng)
    for side in (-1, 1):
        _add_roadside(builder, layout, side, rng, ranges)
    _add_traffic(builder, layout, rng, ranges)
    _add_horizon(builder, rng)
    terrain = Terrain(rng, ranges)
    return Street(
        terrain.bend(builder.build()),
        layout,
        terrain,
        _light(rng, ranges),
        int(rng.integers(1 << 30)),
    )


def _layout(rng: np.random.Generator, ranges: SynthRanges) -> RoadLayout:
    low, high = ranges.lanes_per_side
    lanes = (int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1)))
    return RoadLayout(
        lane_width=rng.uniform(*ranges.lane_width),
        lanes=lanes,
        parking=2.2 if rng.random() < ranges.parking_share else 0.0,
        pavement=rng.uniform(*ranges.pavement_width),
        kerb=rng.uniform(*ranges.kerb_height),
    )


def _add_ground(builder: MeshBuilder, layout: RoadLayout, rng: np.random.Generator) -> None:
    z = np.arange(-BEHIND, LENGTH + 1, 2.5, dtype=np.float32)
    asphalt = rng.uniform(0.06, 0.24) * (1 + rng.uniform(-0.08, 0.08, 3))
    builder.add_ribbon(layout.left, layout.right, 0.0, z, Material.ROAD, asphalt)
    soil = _ground_color(rng)
    stone = rng.uniform(0.15, 0.5) * (1 + rng.uniform(-0.12, 0.12, 3))
    edge = rng.uniform(0.25, 0.6) * np.ones(3)
    for side, kerb in ((-1, layout.left), (1, layout.right)):
        near, far = sorted((kerb, kerb + side * 0.15))
        builder.add_ribbon(near, far, layout.kerb, z, Material.PLAIN, edge)
        face = np.array([kerb, 0.0, 0.0]) + np.stack(
            [np.zeros(2 * len(z)), np.repeat([0.0, layout.kerb], len(z)), np.tile(z, 2)], 1
        )
        i, count = np.arange(len(z) - 1), len(z)
        faces = np.concatenate(
            [np.stack([i, i + 1, i + count + 1], 1), np.stack([i, i + count + 1, i + count], 1)]
        )
        builder.add(face, face[:, [2, 1]], faces, Material.PLAIN, edge)
        outer = kerb + side * (0.15 + layout.pavement)
        near, far = sorted((kerb + side * 0.15, outer))
        builder.add_ribbon(
            near, far, layout.kerb, z, Material.PAVING, stone, int(rng.integers(1 << 30))
        )
        near, far = sorted((outer, side * 200.0))
        builder.add_ribbon(near, far, layout.kerb - 0.02, z, Material.GROUND, soil)


def _ground_color(rng: np.random.Generator) -> NDArray[np.float64]:
    grass, earth = np.array([0.09, 0.16, 0.045]), np.array([0.22, 0.17, 0.11])
    return np.asarray(
        (grass + rng.random() ** 2 * (earth - grass)) * rng.uniform(0.6, 1.4), np.float64
    )


def _add_roadside(
    builder: MeshBuilder,
    layout: RoadLayout,
    side: int,
    rng: np.random.Generator,
    ranges: SynthRanges,
) -> None:
    kerb = layout.left if side < 0 else layout.right
    outer = kerb + side * (0.15 + layout.pavement)
    ground = layout.kerb

    share = rng.uniform(*ranges.building_share)
    setback = rng.uniform(*ranges.building_setback)
    z = -BEHIND
    while z < LENGTH:
        front = rng.uniform(*ranges.building_front)
        if rng.random() < share:
            _add_building(builder, outer + side * setback, side, z, front, rng, ranges)
        elif rng.random() < 0.3:
            _add_fence(builder, outer + side * 0.2, z, front, ground, rng)
        z += front + (rng.uniform(0.5, 8) if rng.random() < 0.5 else 0.05)

    strip = (kerb + side * 0.4, kerb + side * (0.15 + layout.pavement))
    wide = (outer, outer + side * max(setback, 1.5) * 0.9)
    yard = (outer, outer + side * 25.0) if share < 0.5 else wide
    for place, rate, across in (
        (lambda x, z: add_tree(builder, x, ground, z, rng), ranges.trees_per_100m, yard),
        (lambda x, z: add_bush(builder, x, ground, z, rng), ranges.trees_per_100m, yard),
        (lambda x, z: add_pole(builder, x, ground, z, -side, rng), ranges.poles_per_100m, strip),
        (lambda x, z: add_person(builder, x, ground, z, rng), ranges.people_per_100m, strip),
    ):
        _scatter(place, rate, across, rng)
    if layout.parking:
        x = kerb - side * 1.1
        _queue(
            lambda z: add_vehicle(builder, x, z, 1 if side > 0 else -1, rng, parked=True),
            ranges.parked_per_100m,
            rng,
        )


def _scatter(
    place: Callable[[float, float], None], per_100m: Range, across: Range, rng: np.random.Generator
) -> None:
    count = rng.poisson(rng.uniform(*per_100m) * (LENGTH + BEHIND) / 100)
    for _ in range(count):
        place(rng.uniform(min(across), max(across)), rng.uniform(-BEHIND, LENGTH))


def _queue(place: Callable[[float], float], per_100m: Range, rng: np.random.Generator) -> None:
    """Place things one behind the other; `place` returns the length that it took."""
    rate = rng.uniform(*per_100m)
    if rate < 0.5:
        return
    z = -BEHIND + rng.uniform(0, 10)
    while z < LENGTH - 20:
        z += place(z) + 0.6 + rng.exponential(max(100 / rate - 5.5, 0.4))


def _add_building(
    builder: MeshBuilder,
    wall: float,
    side: int,
    z: float,
    front: float,
    rng: np.random.Generator,
    ranges: SynthRanges,
) -> None:
    depth = rng.uniform(7, 16)
    height = rng.uniform(*ranges.building_height)
    color = rng.uniform(0.15, 0.75) * (1 + rng.uniform(-0.25, 0.25, 3) * [1, 0.6, 1])
    pattern = int(rng.integers(1 << 30))
    wall += side * rng.uniform(0, 1.5)
    center = [wall + side * depth / 2, -0.5, z + front / 2]
    builder.add_box(
        center, [depth, height, front], Material.FACADE, np.clip(color, 0.03, 0.9), pattern=pattern
    )
    if rng.random() < 0.6:
        roof = np.clip(rng.uniform(0.05, 0.35) * np.array([1.3, 0.9, 0.8]), 0, 1)
        top = rng.uniform(0.05, 0.9) * depth
        builder.add_taper(
            [center[0], height - 0.5, center[2]],
            [depth + 0.6, rng.uniform(0.3, 4), front + 0.3],
            [top, 0, front],
            Material.PLAIN,
            roof,
            pattern=pattern,
        )
    for _ in range(rng.poisson(1.0)):  # balconies, bay windows, porches
        size = rng.uniform([0.4, 0.6, 1.0], [1.4, 2.8, 4.0])
        builder.add_box(
            [wall - side * size[0] / 2, rng.uniform(0, height * 0.7), z + rng.uniform(0, front)],
            size,
            Material.PLAIN,
            np.clip(color * rng.uniform(0.6, 1.2), 0.03, 0.9),
            pattern=pattern,
        )


def _add_fence(
    builder: MeshBuilder,
    x: float,
    z: float,
    length: float,
    ground: float,
    rng: np.random.Generator,
) -> None:
    height = rng.uniform(0.5, 2.2)
    color = rng.uniform(0.08, 0.5) * (1 + rng.uniform(-0.3, 0.3, 3))
    center = z + length / 2
    if rng.random() < 0.5:
        material = Material.FOLIAGE if rng.random() < 0.4 else Material.PAVING
        tint = [0.05, 0.11, 0.03] if material is Material.FOLIAGE else color
        builder.add_box(
            [x, ground, center], [0.35, height, length], material, tint,
            pattern=int(rng.integers(1 << 30)),
        )  # fmt: skip
        return
    for level in np.linspace(0.25, 1, int(rng.integers(2, 5))) * height:
        builder.add_box([x, ground + level - 0.06, center], [0.05, 0.08, length],
                        Material.PLAIN, color)  # fmt: skip
    for post in np.arange(z, z + length, 2.0):
        builder.add_box([x, ground, post], [0.09, height, 0.09], Material.PLAIN, color)


def _add_traffic(
    builder: MeshBuilder,
    layout: RoadLayout,
    rng: np.random.Generator,
    ranges: SynthRanges,
) -> None:
    own = layout.lane_width / 2
    for x, direction in layout.lane_centers():
        z = -BEHIND + rng.exponential(30)
        gap = 100 / max(rng.uniform(*ranges.traffic_per_100m), 0.3)
        while z < LENGTH - 20:
            if not (x == own and -BEHIND < z < 62):
                z += add_vehicle(builder, x + rng.normal(0, 0.2), z, direction, rng)
            z += 4 + rng.exponential(gap)
    half = (layout.left + 0.5, layout.right - 0.5)
    for _ in range(rng.poisson(1.5)):  # crossing the road
        add_person(builder, rng.uniform(*half), 0.0, rng.uniform(8, 80), rng)
    for _ in range(rng.poisson(rng.uniform(*ranges.clutter_per_100m) * 1.2)):
        x = rng.uniform(layout.left - 8, layout.right + 8)
        if abs(x - own) > 1.8:
            add_clutter(builder, x, rng.uniform(5, 120), rng)


def _add_horizon(builder: MeshBuilder, rng: np.random.Generator) -> None:
    """Close the far end with hills, woods or blocks, so that streets do not end in the sky."""
    for angle in np.arange(-1.9, 1.91, 0.12):
        distance = rng.uniform(210, 330)
        width = rng.uniform(30, 90)
        center = [np.sin(angle) * distance, -4.0, np.cos(angle) * distance * 0.9 + 40]
        if rng.random() < 0.6:
            color = np.array([0.05, 0.09, 0.04]) * rng.uniform(0.6, 1.6)
            builder.add_blob(
                center, [width, rng.uniform(6, 22), width], Material.FOLIAGE, color, rng,
                roughness=0.15, pattern=int(rng.integers(1 << 30)),
            )  # fmt: skip
        elif rng.random() < 0.7:
            size = [width * 0.5, rng.uniform(8, 40), width * 0.5]
            builder.add_box(center, size, Material.FACADE, rng.uniform(0.2, 0.6, 3),
                            yaw=-angle, pattern=int(rng.integers(1 << 30)))  # fmt: skip


def _light(rng: np.random.Generator, ranges: SynthRanges) -> Light:
    sunny = rng.random() < ranges.sun_share
    elevation, azimuth = rng.uniform(*ranges.sun_elevation), rng.uniform(0, 2 * np.pi)
    direction = np.array(
        [
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.cos(azimuth),
        ]
    )
    warmth = 1 - 0.35 * (1 - elevation / 1.3)
    sun = rng.uniform(0.9, 1.6) * np.array([1.0, 0.5 + 0.5 * warmth, warmth]) * sunny
    cover = rng.uniform(0.0, 0.6) if sunny else rng.uniform(0.7, 1.0)
    clear, grey = np.array([0.35, 0.52, 0.85]), np.array([0.75, 0.77, 0.8])
    blue = clear + cover * (grey - clear)
    sky = blue * rng.uniform(0.75, 1.1)
    low, high = np.log(ranges.visibility)
    return Light(
        direction.astype(np.float32),
        sun.astype(np.float32),
        (sky * rng.uniform(*ranges.sky_light)).astype(np.float32),
        (0.5 * sky + 0.5 * np.array([0.8, 0.82, 0.84])).astype(np.float32),
        float(np.exp(rng.uniform(low, high))),
        int(rng.integers(1 << 30)),
        float(cover),
    )
