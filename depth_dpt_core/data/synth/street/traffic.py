# SPDX-License-Identifier: Apache-2.0
"""Vehicles, driving and parked."""

from __future__ import annotations

import numpy as np

from depth_dpt_core.data.synth.cycles.bicycle import bicycle
from depth_dpt_core.data.synth.cycles.motorcycle import motorcycle
from depth_dpt_core.data.synth.geometry.mesh import MeshBuilder
from depth_dpt_core.data.synth.ranges import StreetKind
from depth_dpt_core.data.synth.street.street import BEHIND, LENGTH, RoadLayout
from depth_dpt_core.data.synth.vehicles.vehicle import Vehicle, vehicle

_FLEET = 14  # different vehicles in one street
_HALF = np.pi / 2


class Fleet:
    """The vehicles of one street, each of which may be seen several times."""

    def __init__(self, rng: np.random.Generator) -> None:
        region = "europe" if rng.random() < 0.5 else "america"
        self._rng = rng
        self._moving = [vehicle(rng, region=region) for _ in range(_FLEET)]
        self._parked = [vehicle(rng, region=region, parked=True) for _ in range(_FLEET // 2)]

    def moving(self) -> Vehicle:
        """Any of those that drive."""
        return self._moving[int(self._rng.integers(len(self._moving)))]

    def parked(self) -> Vehicle:
        """Any of those that are parked."""
        return self._parked[int(self._rng.integers(len(self._parked)))]


def add_traffic(
    builder: MeshBuilder,
    layout: RoadLayout,
    kind: StreetKind,
    fleet: Fleet,
    rng: np.random.Generator,
    *,
    clear_ahead: float,
) -> None:
    """Fill all lanes; the camera's own stays empty from 0 to `clear_ahead` metres."""
    crossing = layout.crossing
    for lane, (x, direction) in enumerate(layout.lane_centers()):
        own = lane == layout.lanes[0] + layout.own_lane
        jam = rng.random() < kind.jam_share
        per_100m = rng.uniform(*kind.traffic_per_100m)
        z = -BEHIND + (rng.exponential(1.5) if jam else _free(rng, per_100m))
        while z < LENGTH - 15:
            car = fleet.moving()
            end = z + car.length
            blocked = crossing is not None and crossing.green and crossing.covers(z, end)
            if not (blocked or (own and z < clear_ahead and end > -8 and clear_ahead > 0)):
                yaw = rng.normal(0, 0.02) + (np.pi if direction < 0 else 0)
                place = [x + rng.normal(0, 0.2), 0.0, (z + end) / 2]
                builder.add_mesh(car.mesh.placed(place, yaw=yaw))
            z = end + (1 + rng.exponential(1.5) if jam else _free(rng, per_100m, car.length, 3))
    if crossing is not None:
        _add_crossing_traffic(builder, layout, kind, fleet, rng)


def _add_crossing_traffic(
    builder: MeshBuilder, layout: RoadLayout, kind: StreetKind, fleet: Fleet,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    crossing = layout.crossing
    assert crossing is not None
    left, right = layout.edges
    for direction in (-1, 1):
        z = crossing.z - direction * crossing.half_width / 2
        per_100m = rng.uniform(*kind.traffic_per_100m)
        x = -80 + _free(rng, per_100m)
        while x < 80:
            car = fleet.moving()
            outside = x > right + 2 or x + car.length < left - 2
            if outside or crossing.green:
                yaw = direction * _HALF + rng.normal(0, 0.03)
                builder.add_mesh(car.mesh.placed([x + car.length / 2, 0.0, z], yaw=yaw))
            x += car.length + _free(rng, per_100m, car.length, 2.0)


def add_parked(
    builder: MeshBuilder,
    layout: RoadLayout,
    kind: StreetKind,
    fleet: Fleet,
    rng: np.random.Generator,
) -> None:
    """Fill the parking strips, along the kerb or at right angles to it."""
    for side, strip in enumerate(layout.parking):
        rate = rng.uniform(*kind.parked_per_100m)
        if not strip:
            continue
        sign = 2 * side - 1
        across = strip > 3
        z = -BEHIND + _free(rng, rate)
        while z < LENGTH - 10:
            car = fleet.parked()
            taken = car.width + 0.7 if across else car.length
            # too long for its place
            skip = (across and car.length > strip) or (
                layout.crossing is not None and layout.crossing.covers(z - 3, z + taken + 3)
            )
            if not skip:
                turn = rng.choice([-1, 1]) * _HALF if across else (np.pi if sign < 0 else 0)
                x = layout.edges[side] - sign * (strip / 2 if across else 0.25 + car.width / 2)
                place = [x + rng.normal(0, 0.06), 0.0, z + taken / 2]
                builder.add_mesh(car.mesh.placed(place, yaw=turn + rng.normal(0, 0.02)))
            z += taken + _free(rng, rate, taken, 0.5)


def add_cycles(
    builder: MeshBuilder, layout: RoadLayout, kind: StreetKind, rng: np.random.Generator
) -> None:
    """Bicycles and motorcycles on the carriageway, and parked ones on the pavement."""
    makes = (bicycle, bicycle, motorcycle)
    riders = [make(rng, ridden=True) for make in makes]
    standing = [make(rng) for make in makes]
    for side in (0, 1):
        sign = 2 * side - 1
        edge = layout.edges[side] - sign * (layout.parking[side] + 0.9)
        for _ in range(_count(rng, kind.cycles_per_100m)):
            z = rng.uniform(-BEHIND / 2, 120)
            if rng.random() < 0.6:
                place = [edge - sign * rng.exponential(0.4), 0.0, z]
                mesh, yaw = riders[int(rng.integers(len(riders)))], 0.0 if sign > 0 else np.pi
            else:
                x = layout.edges[side] + sign * rng.uniform(0.5, 1.5)
                place = [x, layout.ground(x), z]
                mesh, yaw = standing[int(rng.integers(len(standing)))], rng.uniform(0, 2 * np.pi)
            builder.add_mesh(mesh.placed(place, yaw=yaw + rng.normal(0, 0.05)))


def _free(
    rng: np.random.Generator, per_100m: float, taken: float = 0.0, least: float = 0.0
) -> float:
    """Metres free before the next vehicle, so that `per_100m` stand in 100 m on average."""
    if not per_100m:
        return np.inf
    return least + float(rng.exponential(max(100 / per_100m - taken - least, 0.4)))


def _count(rng: np.random.Generator, per_100m: tuple[float, float]) -> int:
    return int(rng.poisson(rng.uniform(*per_100m) * (120 + BEHIND / 2) / 100))
