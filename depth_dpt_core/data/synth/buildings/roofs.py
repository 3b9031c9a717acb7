# SPDX-License-Identifier: Apache-2.0
"""Roofs and what stands on them or runs along their edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.buildings.parts import GLASS, Plan, Site
from depth_dpt_core.data.synth.geometry.blocks import bars, slab, triangle
from depth_dpt_core.data.synth.geometry.mesh import Material
from depth_dpt_core.data.synth.geometry.solids import box, taper
from depth_dpt_core.data.synth.surfaces.facade import Part


def pitched_roof(
    site: Site,
    plan: Plan,
    eaves: float,
    pitch: float,
    *,
    across: bool = False,
    hipped: bool = False,
    overhang: float = 0.35,
    limit: float = np.inf,
) -> float:
    """Roof with its ridge along the street, or with the gable to it; returns its height.

    It is flatter than `pitch` (radians) where its ridge would be higher than the limit.
    """
    look, sheet = site.look, 0.12
    a0, a1, b0, b1 = plan.x0, plan.x1, plan.z0, plan.z1
    if across:
        a0, a1, b0, b1 = b0, b1, a0, a1
    half = (a1 - a0) / 2
    middle, rise = a0 + half, min(half * np.tan(pitch), max(limit - eaves, 0.3))
    low, ridge = eaves - overhang * rise / half, eaves + rise
    verge = overhang if hipped else 0.2
    inset = min(half + overhang, (b1 - b0) / 2 + verge) if hipped else 0.0
    c0, c1 = b0 - verge, b1 + verge

    def turned(points: list[list[float]]) -> NDArray[np.float64]:
        corners = np.array(points)
        corners[:, 1] += sheet
        return corners[:, [2, 1, 0]] if across else corners

    slopes = [
        [
            [edge, low, c0],
            [edge, low, c1],
            [middle, ridge, c1 - inset],
            [middle, ridge, c0 + inset],
        ]
        for edge in (a0 - overhang, a1 + overhang)
    ]
    if hipped:
        slopes += [
            [[a0 - overhang, low, edge], [a1 + overhang, low, edge], peak, peak]
            for edge, peak in (
                (c0, [middle, ridge, c0 + inset]),
                (c1, [middle, ridge, c1 - inset]),
            )
        ]
    for slope in slopes:
        site.builder.add(
            slab(turned(slope), sheet), Material.FACADE, look.roof, pattern=look.tiles
        )
    if not hipped:
        for end in (b0, b1):
            gable = np.array([[a0, eaves, end], [a1, eaves, end], [middle, ridge, end]])
            texture = gable[:, [0, 1]]
            site.builder.add(
                triangle(gable[:, [2, 1, 0]] if across else gable, texture),
                Material.FACADE, look.color, pattern=look.pattern(Part.BLANK),
            )  # fmt: skip
    return float(ridge)


def mansard(site: Site, plan: Plan, eaves: float, height: float) -> float:
    """Steep roof with a flat top and dormers over every other bay; returns its height."""
    look, rng = site.look, site.rng
    (x, z), (wide, long) = plan.middle, plan.size
    inset = 2 * height * rng.uniform(0.25, 0.45)
    lower = [wide + 0.3, height, long]
    upper = [max(wide - inset, 1), 0, long - 0.1]
    steep = taper([x, eaves, z], lower, upper)
    site.builder.add(steep, Material.FACADE, look.roof, pattern=look.tiles)
    dormers(site, plan.x0 + 0.2, plan.bays(look.bay)[:: int(rng.integers(1, 3))], eaves + 0.3)
    return eaves + height


def dormers(site: Site, x: float, z: NDArray[np.float64], foot: float) -> None:
    """Windows standing in the roof at these z, their fronts at x."""
    look, rng = site.look, site.rng
    width, height = rng.uniform(1.0, 1.6), rng.uniform(1.3, 1.7)
    at = np.stack([np.full_like(z, x), np.full_like(z, foot), z], 1)
    deep = 2.2
    site.pile.put(at + [deep / 2, 0, 0], [deep, height, width], Material.PLAIN, look.trim)
    site.pile.put(at + [0, 0.2, 0], [0.06, height - 0.35, width - 0.3], Material.GLASS, GLASS)
    site.pile.put(at + [-0.03, 0.2, 0], [0.06, height - 0.35, 0.07], Material.PLAIN, look.trim)
    top = at + [deep / 2 - 0.15, height, 0]
    site.pile.put(top, [deep + 0.2, 0.12, width + 0.3], Material.PLAIN, look.roof)


def chimneys(site: Site, x: float, z: NDArray[np.float64], ridge: float) -> None:
    """Stacks with pots through the roof; x is that of the ridge."""
    rng = site.rng
    size = [rng.uniform(0.5, 0.7), rng.uniform(1.9, 2.6), rng.uniform(0.6, 1.3)]
    at = np.stack([np.full_like(z, x), np.full_like(z, ridge - 1.2), z], 1)
    color = np.array([0.2, 0.1, 0.075]) * rng.uniform(0.7, 1.4)
    site.pile.put(at, size, Material.BRICK, color, pattern=int(rng.integers(1 << 30)))
    cap = [size[0] + 0.12, 0.1, size[2] + 0.12]
    site.pile.put(at + [0, size[1], 0], cap, Material.PLAIN, [0.3, 0.29, 0.27])
    pots = np.concatenate([at + [0, size[1], s * size[2] / 4] for s in (-1, 1)])
    clay = bars(pots, pots + [0, 0.35, 0], 0.12, sides=5)
    site.builder.add(clay, Material.PLAIN, [0.27, 0.12, 0.07])


def cornice(site: Site, plan: Plan, height: float, reach: float, thick: float) -> None:
    """Moulding around the top of the walls."""
    (x, z), (wide, long) = plan.middle, plan.size
    size = [wide + 2 * reach, thick, long + min(reach, 0.1)]
    site.pile.put([x, height - thick, z], size, Material.PLAIN, site.look.trim)
    size = [wide + reach, thick, long + min(reach, 0.1) * 0.5]
    site.pile.put([x, height - 2 * thick, z], size, Material.PLAIN, site.look.trim)


def parapet(site: Site, plan: Plan, top: float) -> None:
    """Low wall around a flat roof, its coping standing out a little."""
    height = site.rng.uniform(0.25, 1.0)
    (x, z), (wide, long) = plan.middle, plan.size
    color = site.look.trim if site.chance(0.4) else site.look.color
    for edge in (plan.x0 + 0.1, plan.x1 - 0.1):
        site.pile.put([edge, top, z], [0.26, height, long + 0.06], Material.PLAIN, color)
    for edge in (plan.z0 + 0.1, plan.z1 - 0.1):
        site.pile.put([x, top, edge], [wide, height, 0.26], Material.PLAIN, color)


def roof_plant(site: Site, plan: Plan, top: float) -> None:
    """Lift housings, ventilation and aerials on a flat roof."""
    rng = site.rng
    (x, z), (wide, long) = plan.middle, plan.size
    for _ in range(int(rng.integers(1, 4))):
        size = rng.uniform([1.2, 0.8, 1.2], [min(4.5, wide * 0.5), 3.0, min(7.0, long * 0.45)])
        room = np.maximum([wide / 2 - size[0] / 2 - 0.6, 0, long / 2 - size[2] / 2 - 0.6], 0)
        place = np.array([x, top, z]) + rng.uniform(-room, room)
        site.builder.add(box(place, size), Material.PLAIN, rng.uniform(0.15, 0.5) * np.ones(3))
    if site.chance(0.5):
        foot = np.array([[x, top, z + rng.uniform(-0.3, 0.3) * long]])
        mast = foot + [0, rng.uniform(2, 5), 0]
        site.builder.add(bars(foot, mast, 0.04, sides=4), Material.PLAIN, [0.3, 0.3, 0.3])
        arms = mast - [[0, 0.2, 0], [0, 0.6, 0]]
        site.builder.add(
            bars(arms - [0, 0, 0.7], arms + [0, 0, 0.7], 0.02), Material.PLAIN, [0.3, 0.3, 0.3]
        )
