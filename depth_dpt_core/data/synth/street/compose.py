# SPDX-License-Identifier: Apache-2.0
"""Put a random street together: ground, what stands along it, traffic, horizon, weather."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from depth_dpt_core.data.synth.buildings.building import building
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import blob, box
from depth_dpt_core.data.synth.people.person import person
from depth_dpt_core.data.synth.plants.vegetation import bush, grass_tuft, hedge, tree
from depth_dpt_core.data.synth.ranges import Range, StreetKind, SynthRanges
from depth_dpt_core.data.synth.roadside.barriers import fence, road_barrier, utility_line
from depth_dpt_core.data.synth.roadside.furniture import furniture
from depth_dpt_core.data.synth.roadside.posts import post
from depth_dpt_core.data.synth.roadside.road_works import clutter, road_works
from depth_dpt_core.data.synth.roadside.structures import gantry, overpass, scaffolding
from depth_dpt_core.data.synth.street.ground import add_ground, draw_layout
from depth_dpt_core.data.synth.street.light import draw_light
from depth_dpt_core.data.synth.street.street import BEHIND, LENGTH, RoadLayout, Street, Terrain
from depth_dpt_core.data.synth.street.traffic import Fleet, add_cycles, add_parked, add_traffic

_SPAN = (LENGTH + BEHIND) / 100  # hundreds of metres
_PIECE = 10.0  # m; long things are cut for the road to bend


def build_street(
    rng: np.random.Generator, ranges: SynthRanges, *, clear_ahead: float = 0.0
) -> Street:
    """Draw one street; the camera's own lane stays empty from 0 to `clear_ahead` metres."""
    kinds = list(ranges.kinds.values())
    shares = np.array([kind.share for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))]
    layout = draw_layout(rng, kind, ranges.road)
    builder = MeshBuilder()
    add_ground(builder, layout, rng)
    bridge = _add_overhead(builder, layout, rng, kind)
    for side in (0, 1):
        _Roadside(builder, layout, kind, side, bridge, rng).fill()
    fleet = Fleet(rng)
    add_traffic(builder, layout, kind, fleet, rng, clear_ahead=clear_ahead)
    add_parked(builder, layout, kind, fleet, rng)
    add_cycles(builder, layout, kind, rng)
    _add_obstacles(builder, layout, rng, ranges, clear_ahead)
    _add_horizon(builder, layout.plain, rng)
    terrain = Terrain(rng, ranges.road)
    return Street(terrain.bend(builder.build()), layout, terrain, draw_light(rng, ranges.light))


class _Roadside:
    """Fills one side of the street, 0 left or 1 right, along its whole length."""

    def __init__(
        self, builder: MeshBuilder, layout: RoadLayout, kind: StreetKind, side: int,
        bridge: float | None, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self._builder, self._layout, self._kind, self._rng = builder, layout, kind, rng
        self._side, self._sign = side, 2 * side - 1
        self._bridge = bridge
        self._kerb, self._border = layout.edges[side], layout.borders[side]
        self._setback = rng.uniform(*kind.setback)

    def fill(self) -> None:
        """Add everything."""
        kind, rng = self._kind, self._rng
        built = rng.uniform(*kind.building_share)
        self._add_plots(built, rng.uniform(*kind.fence_share))
        if built > 0.3:
            self._add_second_row()
        pavement = self._layout.pavement[self._side]
        strip = (0.35, 0.15 + pavement) if pavement > 0.5 else (0.6, 2.5)
        beyond = (self._border - self._kerb) * self._sign
        free = max(self._setback, 1.0) if built > 0.5 else 30.0
        yard = (beyond + 0.4, beyond + free)
        trees = [tree(rng) for _ in range(5)]
        bushes = [bush(rng) for _ in range(3)] + [grass_tuft(rng) for _ in range(2)]
        self._scatter(trees, kind.trees_per_100m, yard, scale=(0.7, 1.2), grow=True)
        if pavement > 1.5 and rng.random() < 0.4:  # an avenue
            self._scatter(trees, kind.trees_per_100m, (0.5, 0.9), scale=(0.7, 1.1), grow=True)
        self._scatter(bushes, kind.bushes_per_100m, yard, scale=(0.6, 1.3), grow=True)
        self._scatter([post(rng) for _ in range(5)], kind.posts_per_100m, strip)
        things = [furniture(rng) for _ in range(3)] + [road_works(rng)]
        self._scatter(things, kind.furniture_per_100m, strip)
        people = [person(rng) for _ in range(6)]
        self._scatter(people, kind.people_per_100m, strip, turn=True)
        if rng.random() < kind.barrier_share:
            self._line(road_barrier, self._border + self._sign * 0.3)
        if rng.random() < 0.25:
            mesh = utility_line(rng, LENGTH + BEHIND)
            self._place(mesh, self._border + self._sign * 0.4, -BEHIND, LENGTH + BEHIND)

    def _add_plots(self, built: float, fenced: float) -> None:
        rng = self._rng
        z = -BEHIND
        wall = self._border + self._sign * self._setback
        limit = rng.uniform(*self._kind.building_height)
        while z < LENGTH:
            front = rng.uniform(7, 30)
            free = not self._taken(z, z + front)
            if free and rng.random() < built:
                self._place(building(rng, front, limit), wall, z, front)
                if rng.random() < 0.04 and self._setback < 3:
                    self._place(scaffolding(rng, front), wall, z, front)
            elif free and rng.random() < fenced:
                make = hedge if rng.random() < 0.35 else fence
                self._place(make(rng, front), self._border + self._sign * 0.3, z, front)
            z += front + (rng.uniform(0.5, 8) if rng.random() < 0.5 else 0.05)

    def _add_second_row(self) -> None:
        """Add what is seen of the next street between the houses."""
        rng = self._rng
        for z in np.arange(-BEHIND, LENGTH, 35.0):
            front = rng.uniform(10, 32)
            wall = self._border + self._sign * (self._setback + rng.uniform(28, 60))
            if rng.random() < 0.6 and not self._taken(z, z + front):
                self._place(
                    building(rng, front, rng.uniform(*self._kind.building_height)), wall, z, front
                )

    def _line(self, make: Callable[[np.random.Generator, float], Mesh], x: float) -> None:
        """The same long thing from end to end, cut into pieces of which some are missing."""
        mesh = make(self._rng, _PIECE)
        for z in np.arange(-BEHIND, LENGTH, _PIECE):
            if not self._taken(z, z + _PIECE) and self._rng.random() < 0.97:
                self._place(mesh, x, z, _PIECE)

    def _place(self, mesh: Mesh, x: float, z: float, length: float) -> None:
        """Put something whose road side is at x along z, turned for the left side."""
        height = self._layout.ground(x + self._sign * 0.1)
        if self._sign > 0:
            self._builder.add_mesh(mesh.placed([x, height, z]))
        else:
            self._builder.add_mesh(mesh.placed([x, height, z + length], yaw=np.pi))

    def _scatter(
        self, meshes: Sequence[Mesh], per_100m: Range, strip: Range, *, scale: Range = (1.0, 1.0),
        turn: bool = False, grow: bool = False,
    ) -> None:  # fmt: skip
        """Put copies at random places between two distances from the kerb."""
        rng = self._rng
        for _ in range(rng.poisson(rng.uniform(*per_100m) * _SPAN)):
            x = self._kerb + self._sign * rng.uniform(*strip)
            z = rng.uniform(-BEHIND, LENGTH)
            mesh = meshes[int(rng.integers(len(meshes)))]
            yaw = rng.uniform(0, 2 * np.pi) if turn or grow else (self._sign < 0) * np.pi
            tint = rng.uniform(0.75, 1.2) * (1 + rng.uniform(-0.1, 0.1, 3)) if grow else 1.0
            if not self._taken(z - 1, z + 1):
                place = [x, self._layout.ground(x), z]
                size = float(rng.uniform(*scale))
                self._builder.add_mesh(mesh.placed(place, yaw=yaw, scale=size, tint=tint))

    def _taken(self, low: float, high: float) -> bool:
        """Whether a crossroads or a bridge with its banks is there."""
        crossing = self._layout.crossing
        if crossing is not None and crossing.covers(low - 2.5, high + 2.5):
            return True
        return self._bridge is not None and high > self._bridge - 8 and low < self._bridge + 8


def _add_overhead(
    builder: MeshBuilder, layout: RoadLayout, rng: np.random.Generator, kind: StreetKind
) -> float | None:
    """Add a bridge or a gantry at times; returns where a bridge is."""
    if rng.random() >= kind.overhead_share or layout.crossing is not None:
        return None
    left, right = layout.borders
    middle, width, z = (left + right) / 2, right - left, rng.uniform(12, 180)
    if rng.random() < 0.4:
        builder.add_mesh(gantry(rng, width).placed([middle, 0, z]))
        return None
    builder.add_mesh(overpass(rng, width).placed([middle, 0, z]))
    return float(z)


def _add_obstacles(
    builder: MeshBuilder, layout: RoadLayout, rng: np.random.Generator, ranges: SynthRanges,
    clear_ahead: float,
) -> None:  # fmt: skip
    """Add people crossing, and things of no kind, where one does not expect them."""
    left, right = layout.edges

    def in_the_way(x: float, z: float) -> bool:
        return abs(x - layout.own_center) < 1.8 and z < clear_ahead

    for _ in range(rng.poisson(rng.uniform(*ranges.road.crossing_people))):
        x, z = rng.uniform(left + 0.5, right - 0.5), rng.uniform(5, 80)
        mesh = person(rng).placed([x, 0, z], yaw=rng.uniform(0, 2 * np.pi))
        if not in_the_way(x, z):
            builder.add_mesh(mesh)
    for _ in range(rng.poisson(rng.uniform(*ranges.road.clutter_per_100m) * 1.2)):
        x, z = rng.uniform(left - 8, right + 8), rng.uniform(5, 120)
        mesh = clutter(rng).placed([x, layout.ground(x), z])
        if not in_the_way(x, z):
            builder.add_mesh(mesh)


def _add_horizon(builder: MeshBuilder, plain: float, rng: np.random.Generator) -> None:
    """Close the far ends with hills, woods and blocks, so that streets do not end in the sky."""
    low, high = sorted(rng.uniform(120, 420, 2))
    for angle in np.arange(-np.pi, np.pi, 0.1):
        distance = rng.uniform(low, high + 30)
        width = rng.uniform(0.1, 0.3) * distance
        # the street itself lies lengthwise
        x, z = np.sin(angle) * distance, np.cos(angle) * distance * 1.3 + 80
        pattern = int(rng.integers(1 << 30))
        if abs(x) < 60 and -BEHIND < z < LENGTH:
            continue
        if rng.random() < 0.55:
            color = np.array([0.05, 0.08, 0.035]) * rng.uniform(0.6, 1.6)
            hill = blob([x, plain - 1.5, z], [width, rng.uniform(5, 0.12 * distance), width], rng,
                        roughness=0.12, detail=2)  # fmt: skip
            builder.add(hill, Material.FOLIAGE, color, pattern=pattern)
        elif rng.random() < 0.75:
            size = [width * 0.5, rng.uniform(6, 45), width * 0.5]
            block = box([x, plain - 0.5, z], size, yaw=-angle)
            color = rng.uniform(0.2, 0.6) * rng.uniform(0.85, 1.15, 3)
            builder.add(block, Material.FACADE, color, pattern=pattern)
