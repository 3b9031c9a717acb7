# SPDX-License-Identifier: Apache-2.0
"""City buses and coaches, in real proportions."""

from __future__ import annotations

import numpy as np

from depth_dpt_core.data.synth.geometry.mesh import Material, MeshBuilder
from depth_dpt_core.data.synth.vehicles.car_body import BELT, BULGE, Finish, Shape, add_shell
from depth_dpt_core.data.synth.vehicles.parts import (
    AMBER,
    BLACK,
    GLASS,
    HEAD_LAMP,
    PLATES,
    Boxes,
    Extent,
    Lamps,
    Range,
    add_wheels,
    draw_lamps,
    firm_paint,
    sized,
)

# Measures in metres: length, width, height, lower edge of the windows, front overhang, wheelbase.
_BUSES: dict[str, tuple[Range, ...]] = {
    "city_bus": ((10.4, 12.2), (2.50, 2.55), (2.95, 3.25), (1.12, 1.25), (2.5, 2.8), (5.2, 6.1)),
    "coach": ((11.8, 13.4), (2.50, 2.55), (3.40, 3.80), (1.62, 1.85), (2.6, 2.9), (5.9, 6.9)),
}
_TYRE = 0.96  # m, diameter


def add_bus(builder: MeshBuilder, rng: np.random.Generator, kind: str, *, parked: bool) -> Extent:
    """Add a bus; returns its length, width and height without what stands on the roof."""
    size = float(rng.random())
    length, width, height, waist, overhang, base = (
        sized(low_high, size, rng) for low_high in _BUSES[kind]
    )
    half, paint = length / 2, firm_paint(rng)
    lamps = draw_lamps(rng, parked=parked)
    front = half - overhang
    spacing = rng.uniform(1.5, 2.0)
    nose = rng.uniform(0.95, 1.15)
    shape = Shape(
        length, width, height, clearance=rng.uniform(0.24, 0.32), sill=0.45, waist=waist,
        nose=nose, cowl=nose + 0.07, bonnet=0.1, screen=rng.uniform(0.2, 0.45),
        back=rng.uniform(0.1, 0.2), boot=0.08, boot_height=waist + rng.uniform(0.05, 0.4),
        roof=0.9, hub=_TYRE / 2, arch=_TYRE / 2 + 0.05, axles=(front - base, front),
        pillars=tuple((z, 0.11) for z in np.arange(half - 1.7, 0.8 - half, -spacing).tolist()),
        rounding=(0.3, 0.25), lean=(rng.uniform(0.03, 0.1), 0.03), glazing=rng.uniform(0.88, 0.98),
    )  # fmt: skip
    finish = Finish(
        paint, lamps, (0.12, length - 0.35), back_window=rng.random() < 0.7, head_lamps=(),
        rear_lamps=(BULGE, BELT), grille=(), intake=0.0,
        trim=BLACK if rng.random() < 0.4 else paint * 0.5,
        roof=(0.7, 0.7, 0.68) if rng.random() < 0.4 else None,
    )  # fmt: skip
    add_shell(builder, shape, finish, pattern=int(rng.integers(1 << 30)))
    add_wheels(builder, [(front, 1.0), (front - base, 1.9)], _TYRE / 2, 0.29, (0.25, 0.25, 0.26),
               half_track=width / 2 - 0.03, sides=14, spokes=False)  # fmt: skip
    boxes = Boxes()
    boxes.add((0, shape.clearance + 0.02, 0), (width - 0.75, 0.8, length - 0.5), BLACK)
    _add_front(boxes, shape, lamps)
    _add_sides(boxes, shape, rng, city=kind == "city_bus")
    boxes.build(builder)
    return length, width, height


def _add_front(boxes: Boxes, shape: Shape, lamps: Lamps) -> None:
    """Lamps, plates, mirrors and the display of the destination."""
    half, side = shape.length / 2, shape.width / 2
    boxes.pair((side * 0.78, 0.58, half - 0.06), (0.36, 0.2, 0.08), HEAD_LAMP, Material.PAINT)
    boxes.pair(
        (side * 0.78, 0.62, half - 0.05), (0.16, 0.12, 0.08), lamps.front[1], lamps.front[0]
    )
    size, tone = PLATES["europe"]
    boxes.add((0, 0.4, half - 0.01), size, tone, Material.SIGN)
    boxes.add((0, 0.55, -half - 0.005), size, tone, Material.SIGN)
    boxes.add((0, 0.74, -half + 0.002), (shape.width * 0.5, 0.32, 0.02), BLACK)  # engine's grille
    top = shape.height - 0.42
    boxes.add((0, top, half - shape.screen - 0.02), (shape.width * 0.62, 0.28, 0.2), BLACK)
    boxes.add((0, top + 0.06, half - shape.screen + 0.05), (shape.width * 0.5, 0.15, 0.08), AMBER,
              Material.SIGN)  # fmt: skip
    boxes.pair((side + 0.08, 1.85, half - 0.3), (0.22, 0.42, 0.12), BLACK)


def _add_sides(boxes: Boxes, shape: Shape, rng: np.random.Generator, *, city: bool) -> None:
    """Doors on the right, adverts, and the cooling or the batteries on the roof."""
    half, side = shape.length / 2, shape.width / 2
    low, tall = shape.clearance + 0.06, shape.waist - shape.clearance + 0.2
    doors = [half - 0.95] + ([0.3, 1.5 - half + 1.0][: int(rng.integers(1, 3))] if city else [])
    for z in doors:
        boxes.add((side - 0.035, low, z), (0.08, tall, 1.2), GLASS, Material.GLASS)
        boxes.add((side - 0.032, low, z), (0.08, tall, 0.06), BLACK)
    if rng.random() < (0.6 if city else 0.35):
        wide = rng.uniform(1.5, 3.4)
        at = (side - 0.012, shape.sill + 0.12, (shape.axles[0] + shape.axles[1]) / 2 - 0.3)
        boxes.pair(at, (0.02, shape.waist - shape.sill - 0.22, wide), firm_paint(rng),
                   Material.SIGN, pattern=int(rng.integers(1 << 30)))  # fmt: skip
    if rng.random() < 0.7:
        long, high = rng.uniform(1.6, 5.0 if city else 2.5), rng.uniform(0.14, 0.32)
        boxes.add((0, shape.height - 0.06, rng.uniform(-0.25, 0.2) * shape.length),
                  (rng.uniform(1.4, 1.9), high, long), (0.6, 0.6, 0.59))  # fmt: skip
