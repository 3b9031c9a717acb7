# SPDX-License-Identifier: Apache-2.0
"""Motorcycles and scooters, parked or ridden, facing +z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.cycles.riding import (
    BLACK,
    STEEL,
    Mount,
    add_wheel,
    fender,
    leaned,
    seated,
)
from depth_dpt_core.data.synth.geometry.limbs import chains
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh, MeshBuilder, Solid
from depth_dpt_core.data.synth.geometry.solids import blob, box, loft, taper
from depth_dpt_core.data.synth.people.belongings import pouch
from depth_dpt_core.data.synth.people.body import body
from depth_dpt_core.data.synth.people.figure import figure
from depth_dpt_core.data.synth.people.outfit import outfit
from depth_dpt_core.data.synth.ranges import Range


@dataclass(frozen=True)
class _Kind:
    """A kind of machine; metres."""

    share: float
    wheelbase: Range
    wheel: Range  # outer radius
    tyre: tuple[float, float]  # width in front and behind
    seat: Range  # height
    grip: tuple[float, float, float]  # height over the seat, ahead of the hub, half the width
    rest: tuple[float, float, float]  # foot rests: half apart, height, ahead of the middle
    upright: float  # least lean of the rider, radians


_KINDS = {
    "naked": _Kind(0.30, (1.38, 1.48), (0.30, 0.325), (0.12, 0.17), (0.77, 0.84),
                   (0.22, -0.33, 0.37), (0.22, 0.34, -0.10), 0.25),
    "sport": _Kind(0.12, (1.36, 1.44), (0.30, 0.315), (0.12, 0.18), (0.79, 0.84),
                   (0.09, -0.26, 0.33), (0.21, 0.40, -0.28), 0.55),
    "touring": _Kind(0.16, (1.45, 1.55), (0.31, 0.340), (0.11, 0.16), (0.80, 0.87),
                     (0.30, -0.42, 0.40), (0.23, 0.36, -0.02), 0.08),
    "scooter": _Kind(0.42, (1.24, 1.40), (0.22, 0.260), (0.11, 0.12), (0.74, 0.80),
                     (0.27, -0.33, 0.32), (0.13, 0.27, 0.24), 0.03),
}  # fmt: skip
_STEERING = np.array([0.0, np.sin(1.12), -np.cos(1.12)])  # 64 degrees
_PAINTS = [[0.022] * 3, [0.12] * 3, [0.36] * 3, [0.66] * 3, [0.36, 0.025, 0.025],
           [0.03, 0.07, 0.26], [0.05, 0.12, 0.07], [0.5, 0.2, 0.03]]  # fmt: skip
_PAINT_SHARES = [0.36, 0.13, 0.12, 0.14, 0.11, 0.07, 0.04, 0.03]


@dataclass(frozen=True)
class _Machine:
    """Points of a machine [3], metres."""

    name: str
    kind: _Kind
    rear: NDArray[np.float64]
    front: NDArray[np.float64]
    seat: NDArray[np.float64]  # top, where the rider sits
    head: NDArray[np.float64]  # top of the steering axis
    grips: NDArray[np.float64]  # [2,3]


def motorcycle(rng: np.random.Generator, *, ridden: bool = False) -> Mesh:
    """Motorcycle of 2.0 to 2.2 m or scooter of 1.7 to 1.9 m; parked on its side stand."""
    machine = _machine(rng)
    paint = np.array(_PAINTS[rng.choice(len(_PAINTS), p=_PAINT_SHARES)]) * rng.uniform(0.8, 1.2)
    builder, front = MeshBuilder(), MeshBuilder()
    _add_front(front, machine, paint, rng)
    radius = machine.rear[1]
    add_wheel(builder, machine.rear, radius, machine.kind.tyre[1], disc=radius * 0.6)
    if machine.name == "scooter":
        _add_scooter(builder, machine, paint, rng)
    else:
        _add_motorbike(builder, machine, paint, rng)
    if ridden:
        builder.add_mesh(front.build())
        who = body(rng)
        clothes = outfit(rng, female=who.female, long=False, helmet="full")
        aside = np.array([[-1.0], [1.0]])
        wide, tall, ahead = machine.kind.rest
        rests = aside * [wide, 0, 0] + [0, tall, ahead]
        mount = Mount(machine.seat, machine.grips, rests, machine.kind.upright)
        builder.add_mesh(figure(seated(who, mount), who, clothes, rng))
        return builder.build()
    steer, roll = rng.uniform(-0.1, 0.5), rng.uniform(0.1, 0.2)  # locked to the left, mostly
    foot = [-0.28, 0.28 * np.tan(roll), -0.05]
    builder.add(chains([[[-0.1, 0.32, 0.0], foot]], 0.014, sides=4), Material.PLAIN, BLACK)
    return leaned(builder.build(), front.build(), machine.head, _STEERING, (-steer, roll))


def _machine(rng: np.random.Generator) -> _Machine:
    names = list(_KINDS)
    name = str(rng.choice(names, p=[kind.share for kind in _KINDS.values()]))
    kind = _KINDS[name]
    base, radius = rng.uniform(*kind.wheelbase), rng.uniform(*kind.wheel)
    rear, front = np.array([0, radius, -base / 2]), np.array([0, radius, base / 2])
    seat = np.array([0, rng.uniform(*kind.seat), -0.26 if name == "scooter" else -0.22])
    above, back, half = kind.grip
    bar = np.array([0, seat[1] + above, front[2] + back])
    grips = bar + np.array([[-half, 0, -0.03], [half, 0, -0.03]])
    rise = (bar[1] - 0.06 - radius) / _STEERING[1]
    head = front + _STEERING * rise + [0, 0, 0.02]
    return _Machine(name, kind, rear, front, seat, head, grips)


def _add_front(
    front: MeshBuilder, machine: _Machine, paint: NDArray[np.float64], rng: np.random.Generator
) -> None:
    """Add front wheel, fork, handlebar, mirrors and lamp: all that steers."""
    hub, head, grips, radius = machine.front, machine.head, machine.grips, machine.front[1]
    tyre = machine.kind.tyre[0]
    add_wheel(front, hub, radius, tyre, disc=radius * 0.6)
    side = np.array([tyre / 2 + 0.03, 0, 0])
    fork = [[hub + s * side, head + s * side - _STEERING * 0.05] for s in (-1, 1)]
    color = STEEL if rng.random() < 0.5 else BLACK
    front.add(chains(fork, [0.028, 0.024]), Material.PLAIN, color)
    front.add(fender(hub, radius + 0.025, tyre + 0.03, 0.7, 2.6), Material.PAINT, paint)
    middle = grips.mean(0)
    inner = middle + np.array([[-0.1, -0.04, 0.04], [0.1, -0.04, 0.04]])
    bar = [[grips[0], grips[0] * 0.7 + inner[0] * 0.3, inner[0], inner[1],
            grips[1] * 0.7 + inner[1] * 0.3, grips[1]]]  # fmt: skip
    front.add(chains(bar, 0.014, sides=5), Material.PLAIN, BLACK)
    ends = np.stack([grips * [0.8, 1, 1], grips * [1.08, 1, 1]], 1)
    front.add(chains(ends, 0.02, sides=5), Material.PLAIN, BLACK)
    mirrors = grips * [0.95, 1, 1] + [0, 0.2, 0.02]
    stalks = np.stack([grips * [0.65, 1, 1] + [0, 0.01, 0.02], mirrors], 1)
    front.add(chains(stalks, 0.008, sides=4), Material.PLAIN, BLACK)
    for mirror in mirrors:
        front.add(box(mirror - [0, 0.04, 0], [0.13, 0.08, 0.03]), Material.PLAIN, BLACK)
    lamp = head + [0, -0.09, 0.13 if machine.name == "scooter" else 0.1]
    front.add(blob(lamp, [0.09, 0.085, 0.08], rng, detail=0), Material.PLAIN, [0.62, 0.62, 0.6])
    if machine.name == "touring" or rng.random() < 0.25:
        low, high = lamp + [0, 0.02, 0.05], lamp + [0, rng.uniform(0.3, 0.48), -0.12]
        across = np.array([[-0.2, 0, -0.07], [0, 0, 0], [0.2, 0, -0.07]])
        screen = np.stack([low + across, high + across * [0.8, 1, 1]])
        front.add(loft(screen, closed=False), Material.GLASS, [0.05, 0.055, 0.06])


def _add_motorbike(
    builder: MeshBuilder, machine: _Machine, paint: NDArray[np.float64], rng: np.random.Generator
) -> None:
    seat, rear, head = machine.seat, machine.rear, machine.head
    top = seat[1]
    z = np.array([head[2] - 0.06, 0.16, -0.02, seat[2], -0.6, rear[2] - 0.16])
    high = np.array([top + 0.10, top + 0.15, top + 0.03, top, top + 0.04, top + 0.08])
    low = np.array([top - 0.12, top - 0.14, top - 0.13, top - 0.10, top - 0.04, top + 0.02])
    wide = np.array([0.09, 0.15, 0.11, 0.14, 0.12, 0.05])
    builder.add(_hull(z, low, high, wide), Material.PAINT, paint)
    cushion = _hull(z[2:5], high[2:5] - 0.06, high[2:5] + 0.004, wide[2:5] + 0.006)
    builder.add(cushion, Material.PLAIN, BLACK)
    metal = np.array(STEEL) * rng.uniform(0.12, 0.6)
    for part in (
        taper([0, 0.19, 0.02], [0.24, 0.26, 0.46], [0.34, 0, 0.52]),  # crankcase
        taper([0, 0.42, 0.12], [0.30, 0.26, 0.30], [0.36, 0, 0.26], shift=0.08),  # cylinders
        taper([0, 0.38, 0.34], [0.30, 0.30, 0.04], [0.30, 0, 0.04], shift=-0.06),  # radiator
    ):
        builder.add(part, Material.PLAIN, metal * rng.uniform(0.5, 1.2))
    ahead = np.array([0.0, 0.25, head[2] - 0.16])
    frame = [
        np.stack([head, [0, top - 0.05, 0.1], [0, top - 0.08, -0.3]]),
        np.stack([head - [0, 0.1, 0], (ahead + head) / 2, ahead]),
    ]
    for sign in (-1, 1):
        aside = [sign, 1, 1]
        arm = [[0.12, 0.4, -0.2], [0.12, 0.37, -0.4], [0.12, rear[1], rear[2]]]
        stay = [[0.12, 0.45, -0.2], [0.1, top - 0.2, -0.33], [0.07, top - 0.05, -0.6]]
        frame += [np.array(arm) * aside, np.array(stay) * aside]
    builder.add(chains(np.stack(frame), 0.024, sides=4), Material.PLAIN, BLACK)
    side = 0.15 + machine.kind.tyre[1] / 2
    pipe = [[0.08, 0.5, 0.36], [0.1, 0.26, 0.3], [side - 0.04, 0.24, 0], [side, 0.34, -0.4],
            [side, 0.42, rear[2] - 0.1]]  # fmt: skip
    builder.add(chains([pipe], [0.022, 0.025, 0.03, 0.055, 0.05]), Material.PLAIN, STEEL)
    if machine.name in ("sport", "touring"):
        z = np.array([-0.1, 0.2, head[2] + 0.12, head[2] + 0.26])
        floor = 0.26 if machine.name == "sport" else 0.5
        low = np.array([floor + 0.06, floor, floor + 0.25, top + 0.02])
        high = np.array([0.6, top, top + 0.14, top + 0.08])
        builder.add(_hull(z, low, high, np.array([0.2, 0.22, 0.2, 0.08])), Material.PAINT, paint)
    if machine.name == "touring" and rng.random() < 0.6:
        for sign in (-1, 1):
            case = box([sign * 0.36, 0.5, rear[2] + 0.02], [0.22, 0.36, 0.46])
            builder.add(case, Material.PLAIN, BLACK)
    _add_tail(builder, np.array([0, top - 0.04, rear[2] - 0.2]))


def _add_scooter(
    builder: MeshBuilder, machine: _Machine, paint: NDArray[np.float64], rng: np.random.Generator
) -> None:
    seat, rear, head = machine.seat, machine.rear, machine.head
    top = seat[1]
    z = np.array([0.02, -0.04, seat[2], rear[2] - 0.04, rear[2] - 0.2])
    low = np.array([0.24, 0.24, 0.34, 0.45, 0.56])
    high = np.array([0.36, top - 0.12, top - 0.06, top - 0.04, top - 0.1])
    wide = np.array([0.13, 0.17, 0.2, 0.19, 0.1])
    builder.add(_hull(z, low, high, wide), Material.PAINT, paint)
    z = np.array([0.0, -0.06, seat[2], seat[2] - 0.14, rear[2] - 0.12])
    high = top + np.array([-0.04, 0.0, 0.0, 0.04, 0.03])
    cushion = _hull(z, np.full(5, top - 0.1), high, np.array([0.08, 0.12, 0.15, 0.14, 0.09]))
    builder.add(cushion, Material.PLAIN, BLACK)
    foot = machine.front[2] - machine.front[1] - 0.07  # clear of the front wheel
    board = box([0, 0.2, foot / 2 - 0.05], [0.32, 0.08, foot + 0.06])
    builder.add(board, Material.PLAIN, BLACK)
    nose = [0, 0.5, foot + 0.1]
    apron = taper(nose, [0.16, head[1] - 0.6, 0.16], [0.3, 0, 0.18], shift=head[2] - foot - 0.06)
    builder.add(apron, Material.PAINT, paint)
    tall = np.linspace(0.2, head[1] - 0.04, 4)
    axis = np.interp(tall, [0.2, head[1]], [foot, head[2]]) - 0.02
    half = np.array([0.17, 0.22, 0.23, 0.12])
    outline = np.array(
        [[-1, 0, -0.06], [-0.4, 0, 0.1], [0.4, 0, 0.1], [1, 0, -0.06], [0, 0, -0.02]]
    )
    middle = np.stack([0 * tall, tall, axis], 1)
    width = np.stack([half, 0 * half, np.ones(4)], 1)
    shield = middle[:, None] + outline * width[:, None]
    builder.add(loft(shield), Material.PAINT, paint)
    arm = np.array([[0.0, 0.3, 0.0], [0.07, 0.3, rear[2] * 0.6], [0.09, rear[1], rear[2]]])
    builder.add(chains(arm[None], 0.05), Material.PLAIN, BLACK)
    if rng.random() < 0.35:
        case = pouch([0, top + 0.2, rear[2] - 0.14], rng.uniform([0.38, 0.3, 0.36], 0.44))
        builder.add(case, Material.PLAIN, BLACK if rng.random() < 0.6 else paint)
    _add_tail(builder, np.array([0, top - 0.16, rear[2] - 0.2]))


def _add_tail(builder: MeshBuilder, place: NDArray[np.float64]) -> None:
    """Add rear lamp, and the number plate below it."""
    builder.add(box(place, [0.16, 0.06, 0.05]), Material.PLAIN, [0.4, 0.02, 0.02])
    plate = box(place + [0, -0.24, -0.04], [0.2, 0.18, 0.015])
    builder.add(plate, Material.PLAIN, [0.62, 0.62, 0.58])
    stay = [[place + [0, 0.02, 0], place + [0, -0.14, -0.03]]]
    builder.add(chains(stay, 0.02, sides=4), Material.PLAIN, BLACK)


def _hull(
    z: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    half: NDArray[np.float64],
) -> Solid:
    """Rounded body along z, closed at both ends."""
    outline = np.array([[-0.55, 0], [-1, 0.45], [-0.6, 0.92], [0.6, 0.92], [1, 0.45], [0.55, 0]])
    rings = np.zeros((len(z), 6, 3))
    rings[..., 0] = half[:, None] * outline[:, 0]
    rings[..., 1] = low[:, None] + (high - low)[:, None] * outline[:, 1] / 0.92
    rings[..., 2] = z[:, None]
    ends = rings[[0, -1]] * [0, 1, 1]
    return loft(np.concatenate([ends[:1], rings, ends[1:]]))
