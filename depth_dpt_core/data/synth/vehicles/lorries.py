# SPDX-License-Identifier: Apache-2.0
"""Lorries: box trucks, articulated lorries, tippers and tankers, in real proportions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depth_dpt_core.data.synth.geometry.mesh import Material, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import loft, taper
from depth_dpt_core.data.synth.vehicles.car_body import BELT, BULGE, SILL, Finish, Shape, add_shell
from depth_dpt_core.data.synth.vehicles.parts import (
    BLACK,
    HEAD_LAMP,
    PLATES,
    Boxes,
    Extent,
    Lamps,
    add_wheels,
    draw_lamps,
    firm_paint,
    sized,
)

# Measures in metres, small to large ones. European law: 2.55 (refrigerated 2.60) wide, 4.0 high,
# rigid 12.0 and articulated 16.5 long; trailers 13.6. America: 2.59 wide, 4.11 high, trailers
# of 53 feet, 16.15.
_RIGID = {  # length, width, height, tyre diameter
    "box_truck": ((6.0, 9.8), (2.15, 2.55), (2.95, 3.85), (0.76, 1.00)),
    "tipper": ((7.2, 9.2), (2.45, 2.52), (3.00, 3.40), (0.98, 1.06)),
}
_TRAILER = 13.6
_AMERICAN_TRAILER = 16.15


@dataclass(frozen=True)
class _Lorry:
    """What is handed around while one is put together; z = 0 is the middle of its length."""

    builder: MeshBuilder
    boxes: Boxes
    rng: np.random.Generator
    lamps: Lamps
    length: float
    width: float
    height: float
    hub: float  # height of the wheels' middle
    paint: NDArray[np.float64]


def add_rigid(
    builder: MeshBuilder, rng: np.random.Generator, kind: str, *, parked: bool
) -> Extent:
    """Add a lorry with its body on its own frame; returns length, width and height."""
    size = float(rng.random())
    length, width, height, tyre = (sized(low_high, size, rng) for low_high in _RIGID[kind])
    lorry = _Lorry(
        builder, Boxes(), rng, draw_lamps(rng, parked=parked), length, width, height, tyre / 2,
        firm_paint(rng),
    )  # fmt: skip
    cab, front = rng.uniform(1.75, 2.2), length / 2
    axle = _add_cab(lorry, cab)
    rear = rng.uniform(0.17, 0.24) * length - front
    axles = [(rear, 1.8)] if length < 8 else [(rear + 0.65, 1.8), (rear - 0.68, 1.8)]
    add_wheels(builder, [(axle, 1.0), *axles], lorry.hub, 0.29, (0.16, 0.16, 0.16),
               half_track=width / 2 - 0.03, sides=12, spokes=False)  # fmt: skip
    load = (front - cab - rng.uniform(0.08, 0.25), -front + 0.04)
    if kind == "tipper":
        _add_tub(lorry, load)
    else:
        _add_box(lorry, load)
    _add_frame(lorry, (front - 0.5, -front + 0.1), axle - lorry.hub - 0.15, rear + 1.4)
    lorry.boxes.build(builder)
    return length, width, height


def add_articulated(
    builder: MeshBuilder, rng: np.random.Generator, kind: str, *, parked: bool
) -> Extent:
    """Add a tractor with its semitrailer; returns length, width and height."""
    american = kind == "semitrailer"
    gap = rng.uniform(5.2, 6.3) if american else rng.uniform(2.7, 2.95)  # front to trailer
    trailer = _AMERICAN_TRAILER if american else _TRAILER + rng.uniform(-0.8, 0)
    length = gap + trailer
    width, height = (2.59, 4.09) if american else (2.55, rng.uniform(3.75, 4.0))
    if kind == "tanker":
        height = rng.uniform(3.4, 3.75)
    lorry = _Lorry(
        builder, Boxes(), rng, draw_lamps(rng, parked=parked), length, width, height, 0.51,
        firm_paint(rng),
    )  # fmt: skip
    front = length / 2
    axle = _add_bonneted_cab(lorry, gap - 0.9) if american else _add_cab(lorry, gap - 0.65)
    rear = -front + (rng.uniform(1.4, 3.0) if american else rng.uniform(2.0, 2.6))
    if american:
        driven = front - gap - 0.55
        axles = [(driven + 0.66, 2.0), (driven - 0.66, 2.0), (rear, 2.0), (rear + 1.25, 2.0)]
    else:
        axles = [(axle - 3.7, 2.0), *((rear + 1.31 * i, 1.3) for i in range(3))]
    add_wheels(builder, [(axle, 1.0), *axles], lorry.hub, 0.29, (0.16, 0.16, 0.16),
               half_track=width / 2 - 0.03, sides=10, spokes=False)  # fmt: skip
    load = (front - gap, -front + 0.04)
    if kind == "tanker":
        _add_tank(lorry, load)
    else:
        _add_box(lorry, load)
    _add_frame(lorry, (front - 0.6, -front + 0.1), axle - 0.75, axle - 2.9)
    lorry.boxes.pair((0.95, 0.15, front - gap - 3.1), (0.14, 1.0, 0.14), BLACK)  # landing gear
    guard = (rear + (2.2 if american else 3.6), front - gap - 3.4)
    size = (0.04, 0.5 if american else 0.28, guard[1] - guard[0])
    lorry.boxes.pair((width / 2 - 0.06, 0.55, sum(guard) / 2), size, (0.25, 0.25, 0.25))
    lorry.boxes.build(builder)
    return length, width, height


def _add_cab(lorry: _Lorry, length: float) -> float:
    """Add a cab over the engine at the front end; returns z of its axle."""
    rng, start = lorry.rng, lorry.length / 2 - length / 2
    scale = lorry.hub / 0.51  # light lorries sit lower
    width = min(lorry.width, 2.5) - 0.04
    roof = min(lorry.height, rng.uniform(2.75, 2.95) * (0.4 + 0.6 * scale))
    waist = 1.62 * scale
    axle = length / 2 - (0.42 + 0.93 * scale)
    shape = Shape(
        length, width, roof, clearance=0.28 * scale, sill=0.62 * scale, waist=waist,
        nose=waist - 0.12, cowl=waist - 0.06, bonnet=0.10, screen=rng.uniform(0.2, 0.34),
        back=0.06, boot=0.06, boot_height=waist + 0.02, roof=0.9, hub=lorry.hub,
        arch=lorry.hub + 0.07, axles=(axle,), pillars=((length / 2 - 1.35, 0.1),),
        rounding=(0.3, 0.15), lean=(rng.uniform(0.05, 0.12), 0.0),
    )  # fmt: skip
    finish = Finish(
        lorry.paint, lorry.lamps, (0.12, 1.35), back_window=False, head_lamps=(), rear_lamps=(),
        grille=(SILL, BULGE) if rng.random() < 0.6 else (BULGE,), intake=0.0,
        trim=BLACK if rng.random() < 0.6 else lorry.paint * 0.8,
    )  # fmt: skip
    add_shell(lorry.builder, shape, finish, pattern=int(rng.integers(1 << 30)), shift=start)
    if lorry.height - roof > 0.25 and rng.random() < 0.85:  # wind deflector or high roof
        rise = min(lorry.height - roof - 0.03, rng.uniform(0.5, 0.9)) + 0.05
        lorry.builder.add(
            taper([0, roof - 0.05, start - 0.1], [0.9 * width, rise, length * 0.72],
                  [0.84 * width, 0, length * 0.42], shift=-length * 0.15),
            Material.PAINT, lorry.paint,
        )  # fmt: skip
    front = lorry.length / 2
    boxes = lorry.boxes
    boxes.add((0, shape.clearance + 0.05, start), (width - 0.85, 0.9 * scale, length - 0.3), BLACK)
    _add_face(lorry, front - 0.02, 0.68 * scale, width)
    boxes.add((0, roof - 0.2, front - shape.screen - 0.02), (0.84 * width, 0.17, 0.2), BLACK)
    boxes.pair((width / 2 + 0.09, waist + 0.15, front - 0.3), (0.22, 0.5, 0.1), BLACK)
    return axle + start


def _add_bonneted_cab(lorry: _Lorry, length: float) -> float:
    """Add an American tractor's bonnet, cab and sleeper at the front end; returns its axle's z."""
    rng, front = lorry.rng, lorry.length / 2
    bonnet, cab = rng.uniform(1.35, 1.75), rng.uniform(3.0, 3.3)
    start = front - cab / 2
    shape = Shape(
        cab, 2.3, 2.75, clearance=0.32, sill=0.5, waist=1.68, nose=1.42, cowl=1.78, bonnet=bonnet,
        screen=0.32, back=0.06, boot=0.06, boot_height=1.7, roof=0.86, hub=lorry.hub, arch=0.6,
        axles=(cab / 2 - rng.uniform(0.95, 1.2),), pillars=((cab / 2 - bonnet - 1.1, 0.12),),
        rounding=(0.8, 0.15), lean=(0.12, 0.0),
    )  # fmt: skip
    finish = Finish(
        lorry.paint, lorry.lamps, (bonnet + 0.02, bonnet + 1.1), back_window=False,
        head_lamps=(BULGE,), rear_lamps=(), grille=(SILL, BULGE, BELT),
        trim=(0.35, 0.35, 0.36) if rng.random() < 0.5 else BLACK,
    )  # fmt: skip
    add_shell(lorry.builder, shape, finish, pattern=int(rng.integers(1 << 30)), shift=start)
    sleeper = length - cab + 0.3
    lorry.builder.add(
        taper([0, 0.95, front - length + sleeper / 2], [2.4, lorry.height - 1.05, sleeper],
              [2.25, 0, sleeper * 0.8], shift=-0.1 * sleeper),
        Material.PAINT, lorry.paint,
    )  # fmt: skip
    lorry.builder.add(
        taper([0, 2.68, front - cab + 0.5], [1.85, lorry.height - 3.0, 1.5], [1.9, 0, 0.2],
              shift=-0.6),
        Material.PAINT, lorry.paint,
    )  # fmt: skip
    boxes = lorry.boxes
    boxes.add((0, 0.36, start), (1.4, 0.9, cab - 0.5), BLACK)
    boxes.pair((1.0, 0.5, front - length + 0.9), (0.5, 0.55, 1.5), (0.4, 0.4, 0.41))  # fuel tanks
    boxes.pair((1.24, 1.85, front - bonnet - 0.35), (0.2, 0.48, 0.1), BLACK)
    if rng.random() < 0.6:  # exhaust stacks
        boxes.pair((1.1, 1.0, front - cab + 0.08), (0.15, 2.7, 0.15), (0.45, 0.45, 0.46))
    return shape.axles[0] + start


def _add_face(lorry: _Lorry, z: float, y: float, width: float) -> None:
    """Head lamps and the plate on a flat front."""
    boxes, (material, color) = lorry.boxes, lorry.lamps.front
    boxes.pair((width * 0.39, y - 0.02, z - 0.03), (0.34, 0.2, 0.06), HEAD_LAMP, Material.PAINT)
    boxes.pair((width * 0.4, y + 0.02, z - 0.02), (0.16, 0.12, 0.06), color, material)
    size, tone = PLATES["europe"]
    boxes.add((0, y - 0.16, z - 0.005), size, tone, Material.SIGN)


def _add_frame(lorry: _Lorry, run: tuple[float, float], tank: float, tank_end: float) -> None:
    """Frame, tanks between the axles, mudguards, bar and lamps at the rear end."""
    boxes, (front, rear) = lorry.boxes, run
    top = lorry.hub * 1.9
    boxes.add((0, 0.55, (front + rear) / 2), (0.9, top - 0.5, front - rear), BLACK)
    boxes.pair((lorry.width / 2 - 0.4, 0.42, (tank + tank_end) / 2),
               (0.6, 0.5, max((tank - tank_end) * 0.8, 0.4)), (0.12, 0.12, 0.12))  # fmt: skip
    boxes.add((0, 0.45, rear), (lorry.width - 0.1, 0.14, 0.1), (0.3, 0.3, 0.3))
    boxes.pair((lorry.width * 0.4, 0.6, rear - 0.02), (0.36, 0.15, 0.1), lorry.lamps.rear[1],
               lorry.lamps.rear[0])  # fmt: skip
    boxes.pair((lorry.width / 2 - 0.3, 0.25, rear + 0.3), (0.5, 0.6, 0.02), BLACK)
    size, tone = PLATES["europe"]
    boxes.add((0, 0.62, rear - 0.03), size, tone, Material.SIGN)


def _add_box(lorry: _Lorry, run: tuple[float, float]) -> None:
    """Box body or curtains, with frame, rear doors and at times an advert on its sides."""
    rng, boxes, width = lorry.rng, lorry.boxes, lorry.width
    floor, top = lorry.hub * 2 + 0.12, lorry.height
    middle, length, tall = sum(run) / 2, run[0] - run[1], top - floor
    side = firm_paint(rng)
    pattern = int(rng.integers(1 << 30))
    boxes.add(
        (0, floor, middle), (width - 0.04, tall - 0.02, length - 0.02), side, pattern=pattern
    )
    edge = (0.4, 0.4, 0.41) if rng.random() < 0.6 else side * 0.5
    for z in (run[0] - 0.05, run[1] + 0.05):
        boxes.pair((width / 2 - 0.05, floor - 0.1, z), (0.1, tall + 0.1, 0.1), edge)
    for y in (floor - 0.12, top - 0.09):
        boxes.pair(
            (width / 2 - 0.03, y, middle), (0.06, 0.12 if y < floor else 0.09, length), edge
        )
        boxes.add((0, y, run[1] + 0.02), (width, 0.09, 0.05), edge)
    if rng.random() < 0.55:  # advert
        size = rng.uniform([0.35, 0.4], [0.9, 0.98]) * [tall, length]
        where = (width / 2 - 0.012, floor + (tall - size[0]) / 2, middle)
        tone = side if rng.random() < 0.5 else firm_paint(rng)
        boxes.pair(where, (0.012, *size), tone, Material.SIGN, pattern=pattern)
    elif rng.random() < 0.6:  # ribs
        for z in np.linspace(run[1], run[0], int(rng.integers(5, 9)))[1:-1].tolist():
            boxes.pair((width / 2 - 0.02, floor, z), (0.03, tall, 0.05), side * 0.75)
    boxes.add((0, floor, run[1] + 0.008), (0.03, tall - 0.1, 0.02), BLACK)  # between the doors
    for x in (0.16, 0.3):
        boxes.pair((width * x, floor, run[1]), (0.035, tall - 0.1, 0.04), (0.35, 0.35, 0.35))


def _add_tank(lorry: _Lorry, run: tuple[float, float]) -> None:
    """Oval tank with domed ends on a dark saddle."""
    rng, low = lorry.rng, 1.05
    angle = np.linspace(0, 2 * np.pi, 19)[:-1]
    depth = np.array([0.0, 0.05, 0.2, 0.5])
    z = np.concatenate([run[0] - depth, run[1] + depth[::-1]])
    shrink = np.array([0.0, 0.55, 0.88, 1.0])
    scale = np.concatenate([shrink, shrink[::-1]])[:, None]
    rings = np.zeros((len(z), len(angle), 3))
    rings[..., 0] = np.cos(angle) * scale * (lorry.width / 2 - 0.02)
    rings[..., 1] = (low + lorry.height) / 2 + np.sin(angle) * scale * (lorry.height - low) / 2
    rings[..., 2] = z[:, None]
    color = np.full(3, 0.5) if rng.random() < 0.5 else firm_paint(rng)
    lorry.builder.add(loft(rings), Material.PAINT, color)
    middle, length = sum(run) / 2, run[0] - run[1]
    lorry.boxes.add((0, low - 0.15, middle), (1.3, 0.4, length - 1.2), BLACK)
    for z_band in np.linspace(run[1] + 0.6, run[0] - 0.6, 4).tolist():
        lorry.boxes.pair((lorry.width / 2 - 0.05, low + 0.55, z_band), (0.09, 0.7, 0.06), BLACK)


def _add_tub(lorry: _Lorry, run: tuple[float, float]) -> None:
    """Steel tub with ribs, full of earth or gravel up to below or above its rim."""
    rng, boxes, width = lorry.rng, lorry.boxes, lorry.width
    floor, rim = lorry.hub * 2 + 0.15, lorry.height - rng.uniform(0.2, 0.4)
    middle, length = sum(run) / 2, run[0] - run[1]
    steel: ArrayLike = firm_paint(rng) if rng.random() < 0.6 else (0.16, 0.16, 0.15)
    lorry.builder.add(
        taper([0, floor, middle], [width - 0.25, rim - floor, length - 0.3],
              [width - 0.06, 0, length]),
        Material.PAINT, steel,
    )  # fmt: skip
    earth = np.array([0.2, 0.16, 0.11]) * rng.uniform(0.5, 1.6)
    heap = rng.uniform(0.1, lorry.height - rim)
    lorry.builder.add(
        taper([0, rim - 0.02, middle], [width - 0.2, heap, length - 0.2],
              [width * 0.3, 0, length * 0.5]),
        Material.GROUND, earth,
    )  # fmt: skip
    for z in np.linspace(run[1] + 0.1, run[0] - 0.1, 6).tolist():
        boxes.pair((width / 2 - 0.07, floor, z), (0.1, rim - floor, 0.09), np.asarray(steel) * 0.8)
    boxes.add(
        (0, rim - 0.12, run[0] + 0.1), (width - 0.06, lorry.height - rim + 0.12, 0.06), steel
    )
