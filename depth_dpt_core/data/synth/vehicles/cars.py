# SPDX-License-Identifier: Apache-2.0
"""Cars and vans of the usual shapes, in real proportions."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depth_dpt_core.data.synth.geometry.mesh import Material, MeshBuilder
from depth_dpt_core.data.synth.vehicles.car_body import (
    BELT,
    BULGE,
    Finish,
    Shape,
    add_shell,
)
from depth_dpt_core.data.synth.vehicles.parts import (
    BLACK,
    PLATES,
    Boxes,
    Extent,
    Lamps,
    Range,
    add_wheels,
    car_paint,
    draw_lamps,
    firm_paint,
    sized,
)


@dataclass(frozen=True)
class _Car:
    """Ranges of measures in metres, for the small ones and the large ones of a kind."""

    length: Range
    width: Range
    height: Range
    wheelbase: Range
    overhang: Range  # front axle to the front end
    tyre: Range  # diameter
    clearance: Range
    waist: Range
    nose: Range
    cowl: Range
    bonnet: Range  # front end to the middle of the windscreen's foot
    screen: Range
    back: Range
    boot: Range
    boot_height: Range  # above the waist
    roof: Range  # half width at the rails as a share of that of the body


CARS = {
    # Fiat 500, VW Polo, VW Golf
    "hatchback": _Car(
        (3.55, 4.35), (1.63, 1.81), (1.43, 1.53), (2.33, 2.67), (0.74, 0.87), (0.57, 0.64),
        (0.12, 0.16), (0.88, 0.94), (0.68, 0.76), (0.94, 1.02), (0.74, 1.02), (0.66, 0.78),
        (0.30, 0.42), (0.13, 0.20), (0.03, 0.07), (0.66, 0.71),
    ),
    # Toyota Corolla, Toyota Camry, Mercedes E
    "saloon": _Car(
        (4.45, 5.00), (1.77, 1.90), (1.41, 1.49), (2.62, 2.94), (0.84, 0.92), (0.61, 0.69),
        (0.12, 0.15), (0.88, 0.94), (0.67, 0.74), (0.95, 1.00), (1.12, 1.40), (0.76, 0.84),
        (0.66, 0.82), (0.42, 0.62), (0.09, 0.15), (0.65, 0.69),
    ),
    # Skoda Octavia, Audi A6
    "estate": _Car(
        (4.45, 4.95), (1.77, 1.89), (1.44, 1.53), (2.62, 2.93), (0.84, 0.92), (0.61, 0.69),
        (0.12, 0.16), (0.88, 0.94), (0.68, 0.75), (0.95, 1.01), (1.10, 1.38), (0.74, 0.82),
        (0.42, 0.55), (0.14, 0.20), (0.03, 0.07), (0.66, 0.70),
    ),
    # Renault Captur, Toyota RAV4, Ford Explorer
    "suv": _Car(
        (4.15, 5.05), (1.78, 2.00), (1.56, 1.83), (2.56, 2.98), (0.82, 0.94), (0.67, 0.79),
        (0.17, 0.22), (1.00, 1.13), (0.86, 1.05), (1.08, 1.24), (0.95, 1.26), (0.62, 0.72),
        (0.30, 0.42), (0.13, 0.19), (0.02, 0.07), (0.69, 0.74),
    ),
    # Citroen Berlingo, VW Touran, Chrysler Pacifica
    "carrier": _Car(
        (4.35, 5.15), (1.81, 2.00), (1.64, 1.84), (2.68, 3.08), (0.85, 0.95), (0.62, 0.70),
        (0.14, 0.17), (0.97, 1.08), (0.78, 0.90), (1.06, 1.18), (0.80, 1.00), (0.80, 0.95),
        (0.20, 0.32), (0.10, 0.16), (0.02, 0.06), (0.70, 0.76),
    ),
    # Ford Ranger, Ford F-150, Ram 1500; the boot is the load bed
    "pickup": _Car(
        (5.25, 5.95), (1.86, 2.05), (1.78, 1.98), (3.15, 3.70), (0.88, 0.97), (0.74, 0.84),
        (0.22, 0.27), (1.17, 1.30), (1.02, 1.18), (1.22, 1.38), (1.18, 1.42), (0.56, 0.66),
        (0.12, 0.18), (1.55, 1.72), (-0.02, 0.03), (0.72, 0.77),
    ),
    # VW Caddy, Ford Transit Custom, Mercedes Sprinter
    "van": _Car(
        (4.45, 6.60), (1.83, 2.04), (1.82, 2.72), (2.72, 3.90), (0.86, 1.00), (0.63, 0.71),
        (0.15, 0.20), (1.06, 1.36), (0.84, 1.12), (1.13, 1.46), (0.78, 0.80), (0.74, 0.84),
        (0.08, 0.13), (0.05, 0.06), (0.01, 0.04), (0.80, 0.86),
    ),
}  # fmt: skip
_ROUNDING = {"carrier": (0.9, 0.45), "van": (0.8, 0.16), "pickup": (0.75, 0.25), "suv": (0.9, 0.5)}


def add_car(
    builder: MeshBuilder, rng: np.random.Generator, kind: str, *, parked: bool, region: str
) -> Extent:
    """Add a car of a kind of `CARS`; returns its length, width and height in metres."""
    shape = _shape(kind, rng)
    finish = _finish(kind, shape, rng, draw_lamps(rng, parked=parked))
    add_shell(builder, shape, finish, pattern=int(rng.integers(1 << 30)))

    radius, tyre = shape.hub, 0.15 + 0.08 * shape.hub / 0.33
    add_wheels(
        builder, [(z, 1.0) for z in shape.axles], radius, tyre, _rim(rng),
        half_track=shape.width / 2 - 0.02, spokes=kind != "van" or rng.random() < 0.3,
    )  # fmt: skip
    boxes = Boxes()
    inner = shape.width - 2 * tyre - 0.1
    boxes.add(  # engine, floor and the far walls of the wheel arches, in the dark
        (0, shape.clearance + 0.01, 0),
        (inner, shape.nose - shape.clearance - 0.12, shape.length - 0.5), BLACK,
    )  # fmt: skip
    _add_fittings(boxes, kind, shape, finish.paint, rng, region)
    boxes.build(builder)
    return shape.length, shape.width, shape.height


def _shape(kind: str, rng: np.random.Generator) -> Shape:
    size = float(rng.random())
    m = {row.name: sized(getattr(CARS[kind], row.name), size, rng) for row in fields(_Car)}
    half = m["length"] / 2
    front = half - m["overhang"]
    door = half - m["bonnet"] - m["screen"] - rng.uniform(0.42, 0.58)  # first pillar
    last = m["boot"] + m["back"] - half
    spacing = 1.0 if kind != "van" else 1.25
    pillars = [(z, 0.09) for z in np.arange(door, last + 0.15, -spacing).tolist()]
    low, tall = m["clearance"], 0.86 * (m["height"] - m["waist"])
    return Shape(
        m["length"], m["width"], m["height"],
        clearance=low, sill=low + rng.uniform(0.06, 0.14), waist=m["waist"],
        nose=m["nose"], cowl=m["cowl"], bonnet=m["bonnet"], screen=m["screen"],
        back=m["back"], boot=m["boot"], boot_height=m["waist"] + m["boot_height"],
        roof=m["roof"], hub=m["tyre"] / 2, arch=m["tyre"] / 2 + 0.05,
        axles=(max(front - m["wheelbase"], 0.15 * m["length"] - half), front),
        pillars=tuple(pillars[:3]),
        rounding=_ROUNDING.get(kind, (1.0, 0.6)),
        lean=(rng.uniform(0.10, 0.17), 0.03 if kind == "van" else rng.uniform(0.05, 0.10)),
        glazing=min(1.0, rng.uniform(0.64, 0.74) / tall) if kind == "van" else 1.0,
        bed=0.48 if kind == "pickup" and rng.random() < 0.75 else 0.0,
    )  # fmt: skip


def _finish(kind: str, shape: Shape, rng: np.random.Generator, lamps: Lamps) -> Finish:
    firm = kind == "van" and rng.random() < 0.8
    paint = firm_paint(rng) if firm else car_paint(rng)
    rear = shape.length - shape.boot - shape.back
    panel = kind == "van" and rng.random() < 0.75  # no windows behind the front doors
    if panel:
        rear = shape.length / 2 - shape.pillars[0][0]
    tall = kind in ("suv", "carrier", "van", "pickup", "hatchback") and rng.random() < 0.75
    plastic = kind in ("suv", "van", "pickup") and rng.random() < 0.6
    return Finish(
        paint, lamps, (shape.bonnet + 0.02, rear),
        back_window=not panel or rng.random() < 0.5,
        rear_lamps=(BELT, BULGE) if tall else (BELT,),
        grille=(BULGE, BELT) if kind in ("suv", "pickup") or rng.random() < 0.4 else (BULGE,),
        intake=float(rng.choice([0.0, 0.05, 0.09])),
        trim=BLACK if plastic or rng.random() < 0.5 else paint * 0.6,
        arches=plastic,
        roof=BLACK if kind in ("hatchback", "suv") and rng.random() < 0.12 else None,
        pillars=BLACK if kind != "van" or rng.random() < 0.4 else paint,
    )  # fmt: skip


def _rim(rng: np.random.Generator) -> NDArray[np.float64]:
    """Colour of the rims: aluminium, steel or black."""
    return np.full(3, rng.choice([0.04, 0.14, 0.24, 0.36]))


def _add_fittings(
    boxes: Boxes, kind: str, shape: Shape, paint: ArrayLike, rng: np.random.Generator, region: str
) -> None:
    """Mirrors, number plates and what some carry on their roofs."""
    half, side = shape.length / 2, shape.width / 2
    mirror = np.array([0.19, 0.14, 0.10]) * (1.35 if kind in ("van", "pickup") else 1.0)
    boxes.pair(
        (side * 0.95 + 0.08, shape.waist + 0.03, half - shape.bonnet - 0.36), mirror,
        paint if rng.random() < 0.7 else BLACK,
    )  # fmt: skip
    for door, _ in shape.pillars[:2]:
        handle = (side * 0.955, shape.waist - 0.12, door + 0.2)
        boxes.pair(handle, (0.07, 0.03, 0.19), np.asarray(paint) * 0.6)
    size, color = PLATES[region]
    low = shape.sill + 0.4 * (shape.waist - shape.sill)
    if region == "europe" or rng.random() < 0.6:
        boxes.add((0, shape.sill + 0.1, half + 0.008), size, color, Material.SIGN)
    boxes.add((0, low, -half - 0.004), size, color, Material.SIGN)
    roof_end, header = shape.boot + shape.back - half, half - shape.bonnet - shape.screen
    middle, run = (roof_end + header) / 2, header - roof_end
    if kind in ("estate", "suv", "carrier") and rng.random() < 0.5:
        tone = BLACK if rng.random() < 0.5 else (0.4, 0.4, 0.4)
        boxes.pair(
            (shape.roof * side * 0.93, shape.height - 0.11, middle),
            (0.03, 0.115, run * 0.62),
            tone,
        )
    if kind in ("saloon", "estate", "carrier") and rng.random() < 0.06:
        boxes.add(
            (0, shape.height - 0.02, middle + run * 0.2), (0.5, 0.15, 0.18), (0.7, 0.55, 0.08)
        )
