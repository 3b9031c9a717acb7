# SPDX-License-Identifier: Apache-2.0
"""What stands out of a street front: shops, balconies, bays, doors, steps, pipes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.buildings.parts import GLASS, SUNK, Plan, Site
from depth_dpt_core.data.synth.geometry.blocks import bars, panels, slab
from depth_dpt_core.data.synth.geometry.choice import Color, tinted
from depth_dpt_core.data.synth.geometry.mesh import Material
from depth_dpt_core.data.synth.surfaces.facade import Part, Style, pattern_of

# m
_SHOP_WIDTH = (4.0, 7.5)
_FASCIA_HEIGHT = (0.5, 0.85)
_AWNING_REACH = (0.8, 1.6)
_BALCONY_REACH = (0.9, 1.6)
_RAILING = (1.0, 1.1)
_DOOR = (2.1, 1.0)  # height, width
_PIPE = 0.045  # radius

_SIGNS = [[0.03, 0.03, 0.03], [0.06, 0.06, 0.065], [0.6, 0.6, 0.58], [0.6, 0.55, 0.42],
          [0.03, 0.05, 0.13], [0.03, 0.09, 0.05], [0.16, 0.02, 0.03], [0.4, 0.04, 0.03],
          [0.03, 0.12, 0.35], [0.05, 0.25, 0.1], [0.55, 0.3, 0.03], [0.25, 0.25, 0.25],
          [0.45, 0.42, 0.35], [0.12, 0.07, 0.04]]  # fmt: skip
_DOORS = [[0.03, 0.03, 0.035], [0.16, 0.08, 0.04], [0.04, 0.08, 0.05], [0.04, 0.06, 0.12],
          [0.6, 0.6, 0.58], [0.2, 0.03, 0.03], [0.3, 0.3, 0.3], [0.25, 0.16, 0.09]]  # fmt: skip


def loud(rng: np.random.Generator) -> Color:
    """Colour of a sign or awning: mostly dark or white, as in real streets."""
    return tinted(rng, _SIGNS)


def shopfront(site: Site, x: float, z0: float, z1: float, height: float) -> None:
    """Shops side by side between z0 and z1, their windows at x, below `height`."""
    count = max(round((z1 - z0) / site.rng.uniform(*_SHOP_WIDTH)), 1)
    edges = np.linspace(z0, z1, count + 1)
    piers = np.stack([np.full_like(edges, x), np.full_like(edges, SUNK), edges], 1)
    piers[0, 2] += 0.15
    piers[-1, 2] -= 0.15
    site.pile.put(piers, [0.3, height - SUNK, 0.36], Material.PLAIN, site.look.trim)
    for start, end in zip(edges[:-1] + 0.15, edges[1:] - 0.15, strict=True):
        _shop(site, x, float(start), float(end), height)


def _shop(site: Site, x: float, z0: float, z1: float, height: float) -> None:
    rng, put = site.rng, site.pile.put
    middle, width = (z0 + z1) / 2, z1 - z0
    fascia = min(rng.uniform(*_FASCIA_HEIGHT), height * 0.25)
    top = min(height - fascia - 0.1, rng.uniform(2.5, 3.2))
    sill = rng.uniform(0.1, 0.6)
    paint = loud(rng)
    frame = paint if site.chance(0.4) else np.full(3, rng.choice([0.04, 0.3, 0.55]))
    sign = int(rng.integers(1 << 30))
    put([x, top, middle], [0.34, fascia, width], Material.SIGN, paint, pattern=sign)
    if top + fascia < height:
        above = [0.2, height - top - fascia, width]
        put([x, top + fascia, middle], above, Material.PLAIN, site.look.trim)
    if site.chance(0.12):  # closed: roller shutter
        ribs = pattern_of(sign, Style.SIDING, Part.BLANK)
        put(
            [x, SUNK, middle], [0.16, top - SUNK, width], Material.FACADE, [0.35] * 3, pattern=ribs
        )
        return
    put([x, sill, middle], [0.08, top - sill, width], Material.GLASS, GLASS)
    put([x, SUNK, middle], [0.18, sill - SUNK, width], Material.PLAIN, frame)
    bars_at = np.linspace(z0, z1, max(round(width / 1.5), 2) + 1)[1:-1]
    mullions = np.stack([np.full_like(bars_at, x), np.full_like(bars_at, sill), bars_at], 1)
    put(mullions, [0.16, top - sill, 0.07], Material.PLAIN, frame)
    door = z0 + width * rng.uniform(0.2, 0.8)
    tall, wide = _DOOR
    put([x, SUNK, door], [0.24, tall - SUNK + 0.1, wide + 0.14], Material.PLAIN, frame)
    put([x, 0.12, door], [0.28, tall - 0.12, wide - 0.1], Material.GLASS, GLASS)
    if site.chance(0.3):
        awning(site, x, z0, z1, top + 0.05, paint)
    if site.chance(0.25):
        blade = [x - 0.55, rng.uniform(2.6, max(height - 0.6, 2.7)), z0 + 0.2]
        put(blade, [0.75, 0.6, 0.1], Material.SIGN, paint, pattern=sign + 1)


def awning(site: Site, x: float, z0: float, z1: float, top: float, color: Color) -> None:
    """Cloth sloping down over the pavement from `top`, with a valance."""
    reach = site.rng.uniform(*_AWNING_REACH)
    low = max(top - 0.4 * reach, 2.15)
    quad = [[x - reach, low, z0], [x - reach, low, z1], [x, top, z1], [x, top, z0]]
    site.builder.add(slab(quad, 0.04), Material.CLOTH, color)
    site.pile.put(
        [x - reach, low - 0.22, (z0 + z1) / 2], [0.03, 0.24, z1 - z0], Material.CLOTH, color
    )


def balconies(site: Site, x: float, z: NDArray[np.float64], heights: NDArray[np.float64]) -> None:
    """Balconies at every z and height, with plates, glass or bars to lean on."""
    rng = site.rng
    reach, railing = rng.uniform(*_BALCONY_REACH), rng.uniform(*_RAILING)
    width = float(np.clip(rng.uniform(0.75, 0.95) * site.look.bay, 1.6, 4.0))
    place, level = (grid.ravel() for grid in np.meshgrid(z, heights))
    at = np.stack([np.full_like(place, x - reach / 2), level - 0.18, place], 1)
    site.pile.put(at, [reach, 0.18, width], Material.PLAIN, site.look.trim)
    near, far = at + [reach / 2, 0.18, 0], at + [-reach / 2, 0.18, 0]
    side = np.array([0, 0, width / 2])
    starts = np.concatenate([near - side, far - side, far + side])
    ends = np.concatenate([far - side, far + side, near + side])
    up, kind = np.array([0, railing, 0]), rng.random()
    if kind < 0.45 or len(place) > 12:
        material = Material.GLASS if kind < 0.15 else Material.PLAIN
        color = GLASS if kind < 0.15 else site.look.trim * rng.uniform(0.5, 1.1)
        site.builder.add(panels(starts, ends, railing - 0.06), material, color)
    else:
        share = np.linspace(-1, 1, 9)[:, None]
        posts = (far[:, None] + share * side).reshape(-1, 3)
        site.builder.add(bars(posts, posts + up, 0.012, sides=3), Material.PLAIN, [0.05] * 3)
    site.builder.add(bars(starts + up, ends + up, 0.03), Material.PLAIN, [0.12, 0.12, 0.12])


def bay_window(site: Site, z: float, storeys: int) -> None:
    """Bay standing on the ground with windows on three sides, as in English terraces."""
    rng, look, put = site.rng, site.look, site.pile.put
    reach, width = rng.uniform(0.6, 0.9), rng.uniform(1.9, 2.5)
    top = look.ground - 0.2 + (storeys - 1) * look.storey
    pattern = look.pattern(Part.BLANK)
    put([-reach / 2, SUNK, z], [reach, top - SUNK, width], Material.FACADE, look.color,
        pattern=pattern)  # fmt: skip
    for storey in range(storeys):
        sill = (0.15 if storey == 0 else look.ground + (storey - 1) * look.storey) + look.sill
        tall = look.head - look.sill
        put(
            [-reach / 2 - 0.015, sill, z], [reach + 0.03, tall, width - 0.3], Material.GLASS, GLASS
        )
        put([-reach / 2, sill, z], [reach - 0.2, tall, width + 0.06], Material.GLASS, GLASS)
        edges = np.linspace(-0.5, 0.5, 4) * (width - 0.3)
        at = np.stack([np.full(4, -reach), np.full(4, sill), z + edges], 1)
        put(at, [0.1, tall, 0.09], Material.PLAIN, [0.65, 0.65, 0.62])
        rim = [reach + 0.16, 0.1, width + 0.16]
        put([-reach / 2, sill - 0.1, z], rim, Material.PLAIN, look.trim)
    lid = [reach + 0.24, 0.2, width + 0.24]
    put([-reach / 2, top, z], lid, Material.PLAIN, look.roof if site.chance(0.5) else look.trim)


def entrance(site: Site, x: float, z: float) -> None:
    """Door with its surround, steps and sometimes a canopy."""
    rng, put = site.rng, site.pile.put
    steps = int(rng.integers(0, 4 if site.look.ground > 3 else 3))
    foot, (tall, wide) = 0.17 * steps, _DOOR
    light = 0.35 if site.look.ground - foot > 3.0 else 0.1  # room for a window over the door
    put([x, foot, z], [0.16, tall + light, wide + 0.3], Material.PLAIN, site.look.trim)
    put([x, foot, z], [0.22, tall, wide], Material.PAINT, tinted(rng, _DOORS))
    if light > 0.2:
        put([x, foot + tall + 0.04, z], [0.22, light - 0.09, wide], Material.GLASS, GLASS)
    for step in range(steps):
        reach = 0.3 * (steps - step) + 0.25
        size = [reach, 0.17 * (step + 1) - SUNK, wide + 0.5]
        put([x - reach / 2, SUNK, z], size, Material.PLAIN, [0.36, 0.35, 0.33])
    if site.chance(0.35):
        put([x - 0.5, foot + tall + light + 0.05, z], [1.0, 0.12, wide + 0.8], Material.PLAIN,
            site.look.trim)  # fmt: skip


def fittings(site: Site, plan: Plan, top: float) -> None:
    """Rain pipes down the edges of the front and air conditioners under some windows."""
    rng, look = site.rng, site.look
    ends = np.array([plan.z0 + 0.15, plan.z1 - 0.15])[: int(rng.integers(0, 3))]
    if len(ends):
        foot = np.stack([np.full_like(ends, plan.x0 - 0.07), np.zeros_like(ends), ends], 1)
        pipe = bars(foot, foot + [0, top, 0], _PIPE, sides=5)
        site.builder.add(pipe, Material.PLAIN, rng.choice([0.05, 0.25, 0.5]) * np.ones(3))
    storeys = int((top - look.ground) / look.storey)
    if storeys < 1 or not site.chance(0.25):
        return
    bays = plan.bays(look.bay)
    count = int(rng.integers(1, 7))
    level = look.ground + rng.integers(0, storeys, count) * look.storey + 0.15
    at = np.stack([np.full(count, plan.x0 - 0.17), level, rng.choice(bays, count)], 1)
    site.pile.put(at, [0.32, 0.55, 0.8], Material.PLAIN, [0.5, 0.5, 0.48])
    site.pile.put(at + [-0.17, 0.1, -0.12], [0.02, 0.36, 0.36], Material.PLAIN, [0.1, 0.1, 0.1])
