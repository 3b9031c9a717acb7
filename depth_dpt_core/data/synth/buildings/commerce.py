# SPDX-License-Identifier: Apache-2.0
"""Buildings that people work, shop and pray in; see `buildings` for where they stand."""

from __future__ import annotations

import numpy as np

from depth_dpt_core.data.synth.buildings.parts import GLASS, SUNK, Look, Plan, Site, shell
from depth_dpt_core.data.synth.buildings.relief import fittings, loud, shopfront
from depth_dpt_core.data.synth.buildings.roofs import cornice, parapet, pitched_roof, roof_plant
from depth_dpt_core.data.synth.geometry.blocks import bars, slab, walls
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh
from depth_dpt_core.data.synth.geometry.solids import blob, cylinder, taper
from depth_dpt_core.data.synth.surfaces.facade import Part, Style

# m
_OFFICE_DEPTH = (12.0, 20.0)
_TOWER_DEPTH = (16.0, 24.0)
_SHOP_HEIGHT = (4.2, 6.5)
_SHOP_DEPTH = (10.0, 25.0)
_HALL_HEIGHT = (5.5, 11.0)
_HALL_DEPTH = (15.0, 35.0)
_GATE = (3.0, 4.5)  # width and height of a roller gate
_CANOPY_CLEAR = (4.6, 5.4)  # petrol station
_TOWER_WIDTH = (4.5, 7.0)  # church
_TOWER_HEIGHT = (16.0, 30.0)


def office(rng: np.random.Generator, front: float, limit: float) -> Mesh:
    """Flat-roofed block: bands of glass and mullions, or rows of wide windows."""
    site = Site(rng, Look.draw(rng, [Style.CURTAIN, Style.CURTAIN, Style.PANEL, Style.STONE]))
    look, plan = site.look, Plan(0.0, rng.uniform(*_OFFICE_DEPTH), 0.0, front)
    storeys = look.storeys(2, 7, limit - 1, rng)
    top = look.top(storeys)
    if look.style is Style.CURTAIN and site.chance(0.7):
        _glass_shell(site, plan, storeys)
    else:
        shell(site, plan, top, front=Part.SAME, side=Part.SAME, shops=True)
    shopfront(site, 0.0, 0.0, front, look.ground)
    parapet(site, plan, top)
    roof_plant(site, plan, top)
    if site.chance(0.3):
        name = [0.3, rng.uniform(0.8, 1.6), min(front * 0.4, 8.0)]
        site.pile.put([-0.1, top - 0.4, front * rng.uniform(0.3, 0.7)], name, Material.SIGN,
                      loud(rng), pattern=int(rng.integers(1 << 30)))  # fmt: skip
    return site.finish()


def _glass_shell(site: Site, plan: Plan, storeys: int, *, bottom: float = SUNK) -> None:
    """Walls of glass between bands at the height of the floors, with upright mullions."""
    look, rng = site.look, site.rng
    floors = look.ground + look.storey * np.arange(storeys)
    sill = rng.choice([0.3, 0.9])
    bands = np.stack([floors + sill, floors + look.storey - 0.35], 1).ravel()
    top = look.top(storeys)
    levels = np.concatenate([[bottom], bands, [top]])
    glazed = np.repeat(np.arange(len(levels) - 1) % 2 == 1, 8)
    material = np.where(glazed, Material.GLASS, Material.FACADE)
    tint = np.array(GLASS) * rng.uniform(0.6, 2.0) * rng.uniform(0.8, 1.25, 3)
    color = np.where(glazed[:, None], tint, look.color)
    solid = walls(plan.outline, levels, look.bay)
    site.builder.add(solid, material, color, pattern=look.pattern(Part.BLANK))
    (x, z), (wide, long) = plan.middle, plan.size
    site.pile.put([x, top - 0.3, z], [wide - 0.02, 0.3, long - 0.02], Material.PLAIN, look.trim)
    count = min(max(round(long / look.bay), 2), 24)
    edges = np.linspace(plan.z0, plan.z1, count + 1)
    start = max(bottom, look.ground)
    at = np.stack([np.full_like(edges, plan.x0), np.full_like(edges, start), edges], 1)
    size = [rng.uniform(0.1, 0.4), top - start, 0.08]
    site.pile.put(at, size, Material.PLAIN, look.trim if site.chance(0.5) else look.color)


def retail(rng: np.random.Generator, front: float, limit: float) -> Mesh:
    """Low shops in a row or one big store, sometimes behind a colonnade."""
    site = Site(rng, Look.draw(rng, [Style.PLASTER, Style.BRICK, Style.PANEL, Style.METAL]))
    plan = Plan(0.0, rng.uniform(*_SHOP_DEPTH), 0.0, front)
    top = min(rng.uniform(*_SHOP_HEIGHT), limit)
    shell(site, plan, top, front=Part.BLANK)
    big = front > 18 and site.chance(0.4)
    if big:
        middle, half = front * rng.uniform(0.3, 0.7), min(front * 0.2, 6.0)
        shopfront(site, -0.05, middle - half, middle + half, min(4.0, top - 0.3))
        portal = [1.2, rng.uniform(1.5, 2.5), 2 * half + 1]
        height = min(4.0, top - 0.3)
        site.pile.put([-0.4, height, middle], portal, Material.SIGN, loud(rng),
                      pattern=int(rng.integers(1 << 30)))  # fmt: skip
    else:
        shopfront(site, 0.0, 0.0, front, min(top - 0.4, 4.2))
        if site.chance(0.4):
            _colonnade(site, front, min(top - 0.4, 4.2))
    parapet(site, plan, top)
    roof_plant(site, plan, top)
    return site.finish()


def _colonnade(site: Site, front: float, height: float) -> None:
    """Roof on columns over the pavement before the shops."""
    reach = 1.7
    z = np.linspace(0.3, front - 0.3, max(round(front / 5), 1) + 1)
    at = np.stack([np.full_like(z, -reach), np.full_like(z, SUNK), z], 1)
    site.pile.put(at, [0.28, height - SUNK, 0.28], Material.PLAIN, site.look.trim)
    roof = [[-reach - 0.2, height, 0], [-reach - 0.2, height, front], [0, height + 0.5, front],
            [0, height + 0.5, 0]]  # fmt: skip
    site.builder.add(slab(roof, 0.2), Material.FACADE, site.look.roof, pattern=site.look.tiles)


def petrol_station(rng: np.random.Generator, front: float, limit: float) -> Mesh:
    """Canopy over pumps at the street, a shop behind it, the price sign beside it."""
    site = Site(rng, Look.draw(rng, [Style.PANEL, Style.METAL]))
    put, brand, pattern = site.pile.put, loud(rng), int(rng.integers(1 << 30))
    clear = min(rng.uniform(*_CANOPY_CLEAR), limit - 1.2)
    wide, long = rng.uniform(7, 10), min(rng.uniform(11, 22), front - 4)
    x, z = 2 + wide / 2, front / 2
    put([x, clear, z], [wide, 0.35, long], Material.PLAIN, [0.6, 0.6, 0.6])
    put([x, clear - 0.1, z], [wide + 0.1, 0.9, long + 0.1], Material.SIGN, brand, pattern=pattern)
    put([x, clear - 0.12, z], [wide - 0.6, 0.05, long - 0.6], Material.PLAIN, [0.65, 0.65, 0.65])
    spots = np.linspace(-0.35, 0.35, max(round(long / 7), 2)) * long + z
    at = np.stack([np.full_like(spots, x), np.zeros_like(spots), spots], 1)
    put(at + [0, SUNK, 0], [0.35, clear - SUNK, 0.35], Material.PLAIN, [0.5, 0.5, 0.5])
    put(at + [0, SUNK, 0], [1.2, 0.15 - SUNK, 4.0], Material.PLAIN, [0.4, 0.4, 0.38])
    for side in (-1.3, 1.3):
        put(at + [0, 0.1, side], [0.5, 1.7, 0.9], Material.SIGN, brand * 0.8, pattern=pattern + 1)
        put(at + [0, 1.1, side], [0.53, 0.4, 0.5], Material.PLAIN, [0.03, 0.03, 0.03])
    plan = Plan(x + wide / 2 + 4, x + wide / 2 + 14, 2.0, front - 2)
    shell(site, plan, 4.0, front=Part.BLANK)
    shopfront(site, plan.x0, plan.z0, plan.z1, 3.7)
    parapet(site, plan, 4.0)
    put([0.4, SUNK, 0.8], [0.35, 1.5 - SUNK, 1.1], Material.PLAIN, [0.4, 0.4, 0.4])
    put(
        [0.4, 1.3, 0.8], [0.4, rng.uniform(3, 4.5), 1.6], Material.SIGN, brand, pattern=pattern + 2
    )
    return site.finish()


def warehouse(rng: np.random.Generator, front: float, limit: float) -> Mesh:
    """Hall of sheet metal, concrete or brick with gates, under a low roof."""
    site = Site(rng, Look.draw(rng, [Style.METAL, Style.METAL, Style.PANEL, Style.BRICK]))
    look, plan = site.look, Plan(0.0, rng.uniform(*_HALL_DEPTH), 0.0, front)
    top = min(rng.uniform(*_HALL_HEIGHT), limit - 1.5)
    lit = Part.SAME if site.chance(0.5) else Part.BLANK
    shell(site, plan, top, front=lit, shops=True)
    if site.chance(0.6):
        pitch, across = rng.uniform(0.1, 0.3), plan.size[1] < plan.size[0]
        pitched_roof(site, plan, top, pitch, across=across, overhang=0.25, limit=limit)
    else:
        parapet(site, plan, top)
        roof_plant(site, plan, top)
    wide, high = rng.uniform(*_GATE, 2)
    high = min(high, top - 0.5)
    gates = plan.bays(max(look.bay, wide + 1.5))[:: int(rng.integers(1, 4))][:8]
    at = np.stack([np.zeros_like(gates), np.zeros_like(gates), gates], 1)
    color = np.asarray(rng.choice([0.5, 0.25, 0.1])) * rng.uniform(0.8, 1.2, 3)
    site.pile.put(at, [0.1, high, wide], Material.FACADE, color, pattern=look.boards)
    for side in (-1, 1):
        site.pile.put(at + [0, 0, side * (wide / 2 + 0.1)], [0.2, high + 0.2, 0.2],
                      Material.PLAIN, look.trim)  # fmt: skip
    site.pile.put(at + [0, high, 0], [0.2, 0.2, wide + 0.2], Material.PLAIN, look.trim)
    if site.chance(0.5):
        name = [0.15, rng.uniform(0.7, 1.5), min(front * 0.3, 9.0)]
        site.pile.put([0, top - 2, front * rng.uniform(0.25, 0.75)], name, Material.SIGN,
                      loud(rng), pattern=int(rng.integers(1 << 30)))  # fmt: skip
    fittings(site, plan, top)
    return site.finish()


def high_rise(rng: np.random.Generator, front: float, limit: float) -> Mesh:
    """Tower over a podium of shops."""
    styles = [Style.CURTAIN, Style.PANEL, Style.PLASTER]
    site = Site(rng, Look.draw(rng, styles))
    look, depth = site.look, rng.uniform(*_TOWER_DEPTH)
    podium = Plan(0.0, depth + 4, 0.0, front)
    low = look.ground + look.storey
    shell(site, podium, low, front=Part.SAME, shops=True)
    shopfront(site, 0.0, 0.0, front, look.ground)
    width = min(front - 1, rng.uniform(15, 30))
    z0, x0 = rng.uniform(0.5, front - width - 0.4), rng.uniform(0.5, 3)
    plan = Plan(x0, x0 + depth, z0, z0 + width)
    storeys = look.storeys(10, 32, limit - 2, rng)
    top = look.top(storeys)
    if look.style is Style.CURTAIN and site.chance(0.6):
        _glass_shell(site, plan, storeys, bottom=low - 0.3)
    else:
        shell(site, plan, top, bottom=low - 0.3, front=Part.SAME, side=Part.SAME)
    if look.style is not Style.CURTAIN and site.chance(0.6):  # galleries all around
        level = look.ground + look.storey * np.arange(2, storeys)
        (x, z), (wide, long) = plan.middle, plan.size
        at = np.stack([np.full_like(level, x), level - 0.2, np.full_like(level, z)], 1)
        site.pile.put(at, [wide + 2.4, 0.25, long * 0.9], Material.PLAIN, look.trim)
        rail = at + [-wide / 2 - 1.15, 0.25, 0]
        site.pile.put(rail, [0.05, 0.9, long * 0.9], Material.GLASS, GLASS)
    parapet(site, plan, top)
    roof_plant(site, plan, top)
    return site.finish()


def landmark(rng: np.random.Generator, front: float, limit: float) -> Mesh:
    """Church, or more rarely a water tower or a group of silos."""
    site = Site(rng, Look.draw(rng, [Style.STONE, Style.BRICK, Style.PLASTER]))
    kind = rng.random()
    if kind < 0.7:
        _church(site, front, limit)
    elif kind < 0.85:
        _water_tower(site, front, limit)
    else:
        _silos(site, front, limit)
    return site.finish()


def _church(site: Site, front: float, limit: float) -> None:
    rng, look = site.rng, site.look
    size = min(rng.uniform(*_TOWER_WIDTH), front * 0.6)
    height = min(rng.uniform(*_TOWER_HEIGHT), limit * 0.7)
    z = front / 2
    tower = Plan(0.0, size, z - size / 2, z + size / 2)
    shell(site, tower, height, front=Part.BLANK)
    cornice(site, tower, height, 0.25, 0.2)
    middle = tower.middle
    spire = taper([middle[0], height, middle[1]], [size + 0.2, rng.uniform(1, 2.2) * size,
                  size + 0.2], [0.1, 0, 0.1])  # fmt: skip
    site.builder.add(spire, Material.FACADE, look.roof, pattern=look.tiles)
    wide = min(rng.uniform(9, 15), front)
    nave = Plan(size * 0.6, size + rng.uniform(15, 26), z - wide / 2, z + wide / 2)
    eaves = rng.uniform(5.5, 9)
    shell(site, nave, eaves, front=Part.BLANK)
    pitched_roof(site, nave, eaves, rng.uniform(0.75, 1.0), across=True)
    for level in np.array([0.35, 0.8]) * height:
        tall, wide_window = height * 0.12, size * 0.2
        site.pile.put([0, level, z], [0.1, tall, wide_window], Material.GLASS, GLASS)
        sides = [wide_window, tall, size + 0.06]
        site.pile.put([size / 2, level, z], sides, Material.GLASS, GLASS)
    windows = np.arange(nave.x0 + size * 0.4 + 2, nave.x1 - 1, 3.5)
    at = np.stack([windows, np.full_like(windows, 1.8), np.full_like(windows, z)], 1)
    site.pile.put(at, [1.1, eaves - 2.6, wide + 0.06], Material.GLASS, GLASS)
    site.pile.put([0, SUNK, z], [0.2, 3.2 - SUNK, 2.0], Material.PLAIN, look.trim)
    site.pile.put([0, SUNK, z], [0.3, 2.7 - SUNK, 1.5], Material.PLAIN, [0.1, 0.06, 0.035])


def _water_tower(site: Site, front: float, limit: float) -> None:
    rng, z = site.rng, front / 2
    radius = min(rng.uniform(3, 5), front / 2)
    height = min(rng.uniform(18, 32), limit - 3)
    color = rng.uniform(0.35, 0.6) * np.ones(3)
    angle = np.arange(6) * np.pi / 3
    ring = np.stack([np.cos(angle), np.zeros(6), np.sin(angle)], 1) * radius * 0.8
    foot = ring * 1.2 + [radius * 1.1, SUNK, z]
    head = ring + [radius * 1.1, height - radius * 0.9, z]
    halfway = (foot + head) / 2
    starts, ends = np.stack([foot, halfway]), np.stack([head, np.roll(halfway, -1, 0)])
    legs = bars(starts.reshape(-1, 3), ends.reshape(-1, 3), 0.2, sides=6)
    site.builder.add(legs, Material.PLAIN, color)
    tank = blob([radius * 1.1, height - radius * 0.5, z], [radius, radius * 0.8, radius], rng,
                detail=2)  # fmt: skip
    site.builder.add(tank, Material.PLAIN, color)
    site.builder.add(cylinder([radius * 1.1, SUNK, z], [radius * 1.1, height - radius, z], 0.6),
                     Material.PLAIN, color)  # fmt: skip


def _silos(site: Site, front: float, limit: float) -> None:
    rng = site.rng
    radius, color = rng.uniform(1.8, 3.2), rng.uniform(0.3, 0.6) * np.ones(3)
    height = min(rng.uniform(12, 24), limit - 2)
    for z in np.arange(radius, front - radius, 2 * radius + 0.3)[:5]:
        foot, top = np.array([radius, SUNK, z]), np.array([radius, height, z])
        body = cylinder(foot, top, radius, sides=16)
        site.builder.add(body, Material.FACADE, color, pattern=site.look.pattern(Part.BLANK))
        cone = cylinder(top, top + [0, radius * 0.5, 0], radius, end_radius=0.2, sides=16)
        site.builder.add(cone, Material.PLAIN, color * 0.9)
