# SPDX-License-Identifier: Apache-2.0
"""How the road is laid out, and the ground of the street: asphalt, kerbs, pavements, land."""

from __future__ import annotations

import numpy as np

from depth_dpt_core.data.synth.geometry.mesh import Floats, Material, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import box, loft, ribbon
from depth_dpt_core.data.synth.ranges import RoadRanges, StreetKind
from depth_dpt_core.data.synth.street.street import BEHIND, LENGTH, Crossing, RoadLayout

_REACH = 250.0  # m to either side
_HORIZON = 1500.0
_STEP = 2.5  # m between cuts along the road, for it to bend


def draw_layout(rng: np.random.Generator, kind: StreetKind, road: RoadRanges) -> RoadLayout:
    """Draw how one street of a kind is laid out."""
    oncoming, ahead = (
        int(rng.integers(low, high + 1)) for low, high in (kind.lanes_oncoming, kind.lanes_ahead)
    )
    crossing = None
    if rng.random() < kind.crossing_share:
        place, half_width = (
            rng.uniform(*road.crossing_place),
            rng.uniform(*road.crossing_half_width),
        )
        crossing = Crossing(place, half_width, bool(rng.random() < 0.5))
    median = rng.uniform(*kind.median) if rng.random() < kind.median_share else 0.0
    # the land is level around a crossroads, or the other road would have to climb
    rise = [0.0, 0.0] if crossing else rng.uniform(*kind.embankment, 2).tolist()
    pavement = rng.uniform(*kind.pavement, 2).tolist()
    return RoadLayout(
        lane_width=rng.uniform(*kind.lane_width),
        lanes=(oncoming, ahead),
        own_lane=int(rng.integers(ahead)),
        median=median,
        shoulder=rng.uniform(*kind.shoulder),
        parking=(_parking(rng, kind), _parking(rng, kind)),
        pavement=(pavement[0], pavement[1]),
        kerb=rng.uniform(*road.kerb_height),
        rise=(rise[0], rise[1]),
        crossing=crossing,
        wear=rng.uniform(*road.wear),
        marking_seed=int(rng.integers(1 << 30)),
    )


def _parking(rng: np.random.Generator, kind: StreetKind) -> float:
    """Width of the parking strip: none, along the kerb, or at right angles to it."""
    if rng.random() >= kind.parking_share:
        return 0.0
    return 2.2 if rng.random() < 0.8 else 5.3


def add_ground(builder: MeshBuilder, layout: RoadLayout, rng: np.random.Generator) -> None:
    """Add everything one can stand on."""
    asphalt = rng.uniform(0.05, 0.26) * (1 + rng.uniform(-0.06, 0.06, 3))
    left, right = layout.edges
    builder.add(ribbon(left, right, 0.0, _cuts(-BEHIND, LENGTH)), Material.ROAD, asphalt)
    far = np.arange(-600.0, _HORIZON, 20.0)
    soil = _soil(rng)
    builder.add(ribbon(-_HORIZON, _HORIZON, layout.plain, far), Material.GROUND, soil)
    spans = [(-BEHIND, LENGTH)]
    if layout.crossing:
        near = layout.crossing.z - layout.crossing.half_width
        beyond = layout.crossing.z + layout.crossing.half_width
        spans = [(-BEHIND, near), (beyond, LENGTH)]
    stone = rng.uniform(0.15, 0.5) * (1 + rng.uniform(-0.1, 0.1, 3))
    edge = rng.uniform(0.25, 0.6) * np.ones(3)
    pattern = int(rng.integers(1 << 30))
    for low, high in spans:
        cuts = _cuts(low, high)
        for side in (0, 1):
            if layout.pavement[side]:
                _add_pavement(builder, layout, side, cuts, stone, edge, pattern)
            _add_land(builder, layout, side, cuts, soil)
        if layout.median > 0.5 and layout.lanes[0]:
            _add_median(builder, layout, cuts, soil if layout.median > 1.2 else stone, edge)
    if layout.crossing:
        _add_other_road(builder, layout, layout.crossing, asphalt, stone, edge)


def _cuts(low: float, high: float) -> Floats:
    return np.linspace(low, high, max(round((high - low) / _STEP), 1) + 1)


def _soil(rng: np.random.Generator) -> Floats:
    grass, earth = np.array([0.09, 0.14, 0.045]), np.array([0.24, 0.19, 0.13])
    return np.asarray((grass + rng.random() ** 1.5 * (earth - grass)) * rng.uniform(0.5, 1.4))


def _step(builder: MeshBuilder, x: float, height: float, cuts: Floats, color: Floats) -> None:
    """Add an upright face along the road, from the carriageway up to `height`."""
    rings = np.zeros((len(cuts), 2, 3))
    rings[..., 0], rings[:, 1, 1], rings[..., 2] = x, height, cuts[:, None]
    builder.add(loft(rings, closed=False, smooth=False), Material.PLAIN, color)


def _add_pavement(
    builder: MeshBuilder, layout: RoadLayout, side: int, cuts: Floats, stone: Floats, edge: Floats,
    pattern: int,
) -> None:  # fmt: skip
    sign, kerb, outer = 2 * side - 1, layout.edges[side], layout.borders[side]
    near, far = sorted((kerb, kerb + sign * 0.15))
    builder.add(ribbon(near, far, layout.kerb, cuts), Material.PLAIN, edge)
    _step(builder, kerb, layout.kerb, cuts, edge)
    near, far = sorted((kerb + sign * 0.15, outer))
    builder.add(ribbon(near, far, layout.kerb, cuts), Material.PAVING, stone, pattern=pattern)


def _add_land(
    builder: MeshBuilder, layout: RoadLayout, side: int, cuts: Floats, soil: Floats
) -> None:
    """Verge, slope and level land beyond, closed down to the ground far below."""
    foot, top = layout.bank(side)
    sign = 2 * side - 1
    profile = np.array([[foot[0], 0.0 if foot[1] > 0 else -0.5], foot, top,
                        [sign * _REACH, top[1]], [sign * _REACH, -10.0]])  # fmt: skip
    rings = np.zeros((len(cuts), len(profile), 3))
    rings[..., :2], rings[..., 2] = profile, cuts[:, None]
    solid = loft(rings if side else rings[:, ::-1], closed=False, smooth=False)
    solid.texture[:] = solid.vertices[:, [0, 2]]
    builder.add(solid, Material.GROUND, soil)


def _add_median(
    builder: MeshBuilder, layout: RoadLayout, cuts: Floats, color: Floats, edge: Floats
) -> None:
    """Island between the directions, a little narrower than the space left for it."""
    half = layout.median / 2 - 0.2
    grows = layout.median > 1.2
    builder.add(
        ribbon(-half, half, layout.kerb, cuts),
        Material.GROUND if grows else Material.PAVING, color, pattern=layout.marking_seed,
    )  # fmt: skip
    for x in (-half, half):
        _step(builder, x, layout.kerb, cuts, edge)
    for end in (cuts[0], cuts[-1]):
        builder.add(box([0, -0.1, end], [2 * half, layout.kerb + 0.1, 0.2]), Material.PLAIN, edge)


def _add_other_road(
    builder: MeshBuilder, layout: RoadLayout, crossing: Crossing, asphalt: Floats, stone: Floats,
    edge: Floats,
) -> None:  # fmt: skip
    low, high = crossing.z - crossing.half_width, crossing.z + crossing.half_width
    for side in (0, 1):
        sign, end = 2 * side - 1, layout.edges[side]
        near, far = sorted((end, sign * _REACH))
        builder.add(ribbon(near, far, 0.0, _cuts(low, high)), Material.ROAD, asphalt)
        outer = layout.borders[side]
        length = _REACH - abs(outer)
        middle = outer + sign * length / 2
        for z, away in ((low, -1), (high, 1)):
            corner = abs(outer - end)
            if corner:  # the end of the pavement along the road
                place = [(end + outer) / 2, -0.1, z]
                builder.add(box(place, [corner, layout.kerb + 0.098, 0.3]), Material.PLAIN, edge)
            width = 2.0
            builder.add(
                box([middle, -0.1, z + away * width / 2], [length, layout.kerb + 0.1, width]),
                Material.PAVING, stone, pattern=layout.marking_seed,
            )  # fmt: skip
