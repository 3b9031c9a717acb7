# SPDX-License-Identifier: Apache-2.0
"""Buildings that people live in, and the choice between all kinds of building.

The street front lies in the plane x = 0 from z = 0 to `front`, the building behind it at x > 0;
balconies, awnings and steps reach up to 1.8 m in front of it. Its foot sinks 0.5 m below y = 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depth_dpt_core.data.synth.buildings.commerce import (
    high_rise,
    landmark,
    office,
    petrol_station,
    retail,
    warehouse,
)
from depth_dpt_core.data.synth.buildings.parts import GLASS, Look, Plan, Site, shell
from depth_dpt_core.data.synth.buildings.relief import (
    balconies,
    bay_window,
    entrance,
    fittings,
    shopfront,
)
from depth_dpt_core.data.synth.buildings.roofs import (
    chimneys,
    cornice,
    dormers,
    mansard,
    parapet,
    pitched_roof,
    roof_plant,
)
from depth_dpt_core.data.synth.geometry.choice import one_of
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh
from depth_dpt_core.data.synth.surfaces.facade import Part, Style

# m
_TERRACE_FRONT = (4.8, 7.5)  # of one house of a row
_TERRACE_DEPTH = (8.0, 12.0)
_APARTMENT_DEPTH = (10.0, 15.0)
_OLD_DEPTH = (10.0, 16.0)
_HOUSE_FRONT = (7.5, 13.0)
_HOUSE_DEPTH = (7.5, 11.0)
_GARAGE_FRONT = (3.2, 6.4)
_GARAGE_DOOR = 2.15  # height


def terrace(rng: np.random.Generator, front: float, limit: float) -> Mesh:
    """Row of narrow houses under pitched roofs."""
    count = max(round(front / rng.uniform(*_TERRACE_FRONT)), 1)
    depth, alike, shops = rng.uniform(*_TERRACE_DEPTH), rng.random() < 0.4, rng.random() < 0.3
    styles = [Style.PLASTER, Style.BRICK, Style.BRICK, Style.STONE]
    edges = np.linspace(0, front, count + 1)
    row = Site(rng, Look.draw(rng, styles))
    storeys, pitch = row.look.storeys(1, 3, limit - 3, rng), rng.uniform(0.5, 0.85)
    bays = rng.random() < 0.3
    for house in range(count):
        plan = Plan(0.0, depth, float(edges[house]), float(edges[house + 1]))
        site = row
        if house and not alike:
            site = Site(rng, Look.draw(rng, styles), row.builder, row.pile)
            storeys, pitch = site.look.storeys(1, 3, limit - 3, rng), rng.uniform(0.4, 0.85)
        _terraced(site, plan, storeys, pitch, limit, shops=shops, bay=bays)
    return row.finish()


def _terraced(
    site: Site,
    plan: Plan,
    storeys: int,
    pitch: float,
    limit: float,
    *,
    shops: bool,
    bay: bool,
) -> None:
    look, rng, width = site.look, site.rng, plan.size[1]
    top = look.top(storeys) + rng.uniform(-0.05, 0.05)
    shops = shops and site.chance(0.8)
    shell(site, plan, top, front=Part.SAME, shops=shops)
    gabled = width < 7 and site.chance(0.2)
    if gabled:
        ridge = pitched_roof(site, plan, top, pitch * 1.2, across=True, overhang=0.05, limit=limit)
    else:
        ridge = pitched_roof(site, plan, top, pitch, limit=limit)
        cornice(site, plan, top, rng.uniform(0.08, 0.3), 0.14)
    middle = plan.middle[0]
    if not gabled and pitch > 0.6 and site.chance(0.4):
        z = plan.bays(look.bay)[:: int(rng.integers(1, 3))]
        dormers(site, plan.x0 + rng.uniform(0.4, 1.0), z, top + 0.4)
    if site.chance(0.7):
        stack = np.array([plan.z0 + rng.choice([0.0, 0.5]) * width])
        chimneys(site, middle, stack, ridge - (0.6 if gabled else 0))
    if shops:
        shopfront(site, plan.x0, plan.z0, plan.z1, look.ground)
    else:
        spots = plan.bays(look.bay)
        entrance(site, plan.x0, float(spots[-1]))
        if bay and width > 4.5:
            bay_window(site, plan.z0 + 0.3 * width, min(int(rng.integers(1, 3)), storeys + 1))
    fittings(site, plan, top)


def apartments(rng: np.random.Generator, front: float, limit: float) -> Mesh:
    """Block of flats, most with balconies."""
    site = Site(rng, Look.draw(rng, [Style.PLASTER, Style.PLASTER, Style.BRICK, Style.PANEL]))
    look, plan = site.look, Plan(0.0, rng.uniform(*_APARTMENT_DEPTH), 0.0, front)
    storeys = look.storeys(2, 8, limit - 1, rng)
    top, shops = look.top(storeys), site.chance(0.35)
    shell(site, plan, top, side=Part.SAME if site.chance(0.5) else Part.BLANK, shops=shops,
          front=Part.SAME)  # fmt: skip
    if limit > top + 4 and site.chance(0.35):
        pitch, hipped = rng.uniform(0.3, 0.6), site.chance(0.6)
        pitched_roof(site, plan, top, pitch, hipped=hipped, limit=limit)
    else:
        parapet(site, plan, top)
        roof_plant(site, plan, top)
    bays = plan.bays(look.bay)
    if site.chance(0.75):
        step = int(rng.integers(1, 4))
        columns = bays[int(rng.integers(step)) :: step][:10]
        balconies(site, 0.0, columns, look.ground + look.storey * np.arange(float(storeys)))
    if shops:
        shopfront(site, 0.0, 0.0, front, look.ground)
    else:
        doors = bays[len(bays) // 4 :: max(len(bays) // 2, 1)]
        for z in doors:
            entrance(site, 0.0, float(z))
    fittings(site, plan, top)
    return site.finish()


def old_stone(rng: np.random.Generator, front: float, limit: float) -> Mesh:
    """Town house of before 1914: cornices, tall windows, mansard or hipped roof."""
    site = Site(rng, Look.draw(rng, [Style.STONE, Style.STONE, Style.PLASTER]))
    look, plan = site.look, Plan(0.0, rng.uniform(*_OLD_DEPTH), 0.0, front)
    storeys = look.storeys(2, 5, limit - 3.5, rng)
    top, shops = look.top(storeys), site.chance(0.55)
    shell(site, plan, top, front=Part.SAME, shops=shops)
    if site.chance(0.6):
        ridge = mansard(site, plan, top, min(rng.uniform(2.4, 3.4), limit - top))
    else:
        pitch, hipped = rng.uniform(0.35, 0.7), site.chance(0.5)
        ridge = pitched_roof(site, plan, top, pitch, hipped=hipped, limit=limit)
    cornice(site, plan, top, rng.uniform(0.25, 0.6), rng.uniform(0.15, 0.25))
    for level in look.ground + look.storey * np.arange(0, storeys, int(rng.integers(1, 4))):
        course = [0.2, rng.uniform(0.15, 0.3), front]
        site.pile.put([0.0, level - 0.1, front / 2], course, Material.PLAIN, look.trim)
    chimneys(site, plan.middle[0], np.array([0.5, front - 0.5]), ridge)
    bays = plan.bays(look.bay)
    if site.chance(0.5):
        floors = look.ground + look.storey * np.arange(
            float(min(storeys, int(rng.integers(1, 3))))
        )
        balconies(site, 0.0, bays[:: int(rng.integers(1, 3))][:8], floors)
    if shops:
        shopfront(site, 0.0, 0.0, front, look.ground)
    else:
        entrance(site, 0.0, float(bays[len(bays) // 2]))
    fittings(site, plan, top)
    return site.finish()


def house(rng: np.random.Generator, front: float, limit: float) -> Mesh:
    """Detached house, narrower than its ground, with or without a garage beside it."""
    styles = [Style.PLASTER, Style.BRICK, Style.SIDING, Style.SIDING]
    site = Site(rng, Look.draw(rng, styles))
    look, depth = site.look, rng.uniform(*_HOUSE_DEPTH)
    width = min(rng.uniform(*_HOUSE_FRONT), front - 0.5)
    room = front - width
    garage = min(rng.uniform(*_GARAGE_FRONT), room - 0.4)
    z0 = rng.uniform(0.2, max(room - max(garage, 0) - 0.2, 0.25))
    x0 = rng.uniform(0.3, 3.0)
    plan = Plan(x0, x0 + depth, z0, z0 + width)
    storeys = min(int(rng.integers(0, 3)), 1) if limit > 8 else 0
    top = look.top(storeys)
    shell(site, plan, top, front=Part.SAME, side=Part.SAME)
    across = site.chance(0.45)
    pitch, hipped = rng.uniform(0.35, 0.85), site.chance(0.25)
    ridge = pitched_roof(
        site, plan, top, pitch, across=across, hipped=hipped, overhang=0.5, limit=limit
    )
    x, z = plan.middle
    if site.chance(0.7):
        chimneys(site, x, np.array([z + rng.uniform(-0.25, 0.25) * width]), ridge - 0.3)
    if across and not hipped:
        level = [plan.x0, top + 0.2, z]
        if ridge - top > 2.5:
            site.pile.put(level, [0.06, 1.1, 1.0], Material.GLASS, GLASS)
    elif plan.x0 > 1.5 and site.chance(0.6):
        _wing(site, plan, top, pitch, limit)
    elif not hipped and pitch > 0.6 and site.chance(0.5):
        dormers(site, plan.x0 + 0.8, plan.bays(look.bay)[::2], top + 0.3)
    spot = float(plan.bays(look.bay)[int(rng.integers(2)) - 1])
    entrance(site, plan.x0, spot)
    if site.chance(0.4):
        _porch(site, plan, spot)
    if garage > 2.6:
        front_wall = plan.x0 + rng.uniform(-0.3, 2)
        _garage(site, Plan(front_wall, front_wall + 6, plan.z1, plan.z1 + garage))
    fittings(site, plan, top)
    return site.finish()


def _wing(site: Site, plan: Plan, top: float, pitch: float, limit: float) -> None:
    """Part that stands forward under a gable of its own."""
    width = plan.size[1] * site.rng.uniform(0.35, 0.5)
    z0 = plan.z0 if site.chance(0.5) else plan.z1 - width
    wing = Plan(plan.x0 - site.rng.uniform(0.8, 1.4), plan.middle[0], z0, z0 + width)
    shell(site, wing, top, front=Part.SAME)
    pitched_roof(site, wing, top, pitch, across=True, overhang=0.4, limit=limit)


def _porch(site: Site, plan: Plan, z: float) -> None:
    """Roof on posts before the door."""
    reach, wide = site.rng.uniform(1.2, 1.7), site.rng.uniform(2.0, 4.5)
    z = float(np.clip(z, plan.z0 + wide / 2, plan.z1 - wide / 2))
    center = [plan.x0 - reach / 2, 2.65, z]
    site.pile.put(center, [reach + 0.2, 0.22, wide + 0.2], Material.PLAIN, site.look.trim)
    posts = [[plan.x0 - reach + 0.1, -0.2, z + side * (wide / 2 - 0.1)] for side in (-1, 1)]
    site.pile.put(posts, [0.16, 2.9, 0.16], Material.PLAIN, site.look.trim)


def _garage(site: Site, plan: Plan) -> None:
    """Garage with its door to the street."""
    top, (_, width) = site.rng.uniform(2.6, 3.0), plan.size
    shell(site, plan, top, front=Part.BLANK)
    if site.chance(0.5):
        pitched_roof(site, plan, top, site.rng.uniform(0.3, 0.6), across=True, overhang=0.25)
    color = site.rng.choice([0.65, 0.4, 0.12]) * np.ones(3)
    door = [0.1, _GARAGE_DOOR, width - 0.7]
    site.pile.put([plan.x0, 0.0, plan.middle[1]], door, Material.FACADE, color,
                  pattern=site.look.boards)  # fmt: skip


Kind = Callable[[np.random.Generator, float, float], Mesh]

# kind: share, (shortest, longest) front in m, least height limit in m
BUILDING_KINDS: dict[str, tuple[Kind, float, tuple[float, float], float]] = {
    "terrace": (terrace, 0.24, (4.0, 60.0), 0.0),
    "apartments": (apartments, 0.20, (10.0, 60.0), 12.0),
    "old_stone": (old_stone, 0.17, (8.0, 40.0), 14.0),
    "house": (house, 0.13, (7.0, 30.0), 0.0),
    "office": (office, 0.10, (12.0, 60.0), 12.0),
    "retail": (retail, 0.06, (9.0, 80.0), 0.0),
    "petrol_station": (petrol_station, 0.015, (16.0, 60.0), 0.0),
    "warehouse": (warehouse, 0.045, (12.0, 90.0), 8.0),
    "high_rise": (high_rise, 0.02, (16.0, 60.0), 40.0),
    "landmark": (landmark, 0.02, (9.0, 60.0), 24.0),
}


def building(
    rng: np.random.Generator, front: float, height_limit: float = 26.0, *, kind: str | None = None
) -> Mesh:
    """Building of a `front` of 4 m or more, no higher than the limit of 7 m or more.

    Any kind that fits, or the one named; a landmark's spire and chimneys may pass the limit.
    """
    if kind is not None:
        return BUILDING_KINDS[kind][0](rng, front, height_limit)
    fitting = {
        name: (build, share)
        for name, (build, share, (low, high), least) in BUILDING_KINDS.items()
        if low <= front <= high and least <= height_limit
    }
    return one_of(rng, fitting)(rng, front, height_limit)
