# SPDX-License-Identifier: Apache-2.0
"""What stands and drives in the street, in real proportions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.mesh import Material, MeshBuilder

# kind: share, length, width, height (m) as (low, high)
_VEHICLES = {
    "car": (0.62, (3.6, 4.9), (1.68, 1.92), (1.38, 1.60)),
    "suv": (0.16, (4.2, 5.0), (1.80, 2.00), (1.60, 1.88)),
    "van": (0.12, (4.8, 6.2), (1.90, 2.10), (1.95, 2.65)),
    "truck": (0.06, (6.5, 10.5), (2.30, 2.55), (2.80, 3.80)),
    "bus": (0.04, (9.5, 12.0), (2.45, 2.55), (2.90, 3.20)),
}
_GLASS = [0.03, 0.035, 0.04]


def add_vehicle(
    builder: MeshBuilder,
    x: float,
    z: float,
    direction: int,
    rng: np.random.Generator,
    *,
    parked: bool = False,
) -> float:
    """Add a vehicle whose rear end (seen along +z) is at z; returns its length in metres."""
    shares = [row[0] for row in _VEHICLES.values()]
    if parked:
        shares[3:] = [0.015, 0.0]
    kind = str(rng.choice(list(_VEHICLES), p=np.array(shares) / sum(shares)))
    _, lengths, widths, heights = _VEHICLES[kind]
    length, width, height = rng.uniform(*lengths), rng.uniform(*widths), rng.uniform(*heights)
    yaw = rng.normal(0, 0.02) + (np.pi if direction < 0 else 0.0)
    center = np.array([x, 0.0, z + length / 2])
    paint, pattern = _paint(rng), int(rng.integers(1 << 30))

    def taper(
        y: float, low: list[float], high: list[float], color: object, along: float,
        shift: float = 0.0, material: Material = Material.PAINT,
    ) -> None:  # fmt: skip
        place = center + [np.sin(yaw) * along, y, np.cos(yaw) * along]
        builder.add_taper(
            place, low, high, material, np.asarray(color), yaw=yaw,
            shift=shift, pattern=pattern,
        )  # fmt: skip

    if kind in ("car", "suv"):
        waist = height * rng.uniform(0.56, 0.64)
        sill = rng.uniform(0.16, 0.26)
        taper(sill, [width, waist - sill, length], [width * 0.93, 0, length * 0.95], paint, 0)
        cabin = length * (rng.uniform(0.48, 0.56) if kind == "car" else rng.uniform(0.6, 0.68))
        back = -length * (0.06 if kind == "car" else 0.12)
        roof = cabin * rng.uniform(0.55, 0.7)
        taper(waist, [width * 0.9, height - waist - 0.05, cabin], [width * 0.74, 0, roof],
              _GLASS, back)  # fmt: skip
        taper(height - 0.05, [width * 0.75, 0.05, roof], [width * 0.72, 0, roof * 0.95], paint,
              back)  # fmt: skip
    else:
        bonnet = {"van": 0.16, "truck": 0.0, "bus": 0.0}[kind] * length
        body = length - bonnet
        sill = 0.3 if kind == "van" else 0.55
        taper(sill, [width, height - sill, body], [width * 0.95, 0, body * 0.98],
              paint, -bonnet / 2)  # fmt: skip
        if bonnet:
            taper(sill, [width * 0.97, height * 0.42, bonnet * 1.1],
                  [width * 0.9, 0, bonnet * 0.7], paint, body / 2)  # fmt: skip
        if kind == "truck":
            taper(0.6, [width * 0.98, height * 0.62, 2.0], [width * 0.9, 0, 1.7],
                  _paint(rng), length / 2 + 1.1)  # fmt: skip
        band = [width + 0.02, height * 0.24, body * (0.97 if kind == "bus" else 0.3)]
        taper(height * 0.58, band, [band[0], 0, band[2]], _GLASS, body * 0.32 - bonnet / 2
              if kind != "bus" else 0)  # fmt: skip
    _add_wheels(builder, center, yaw, length, width, 0.33 if height < 2.7 else 0.48)
    _add_lights(builder, center, yaw, length, width, height)
    return float(length)


def _paint(rng: np.random.Generator) -> NDArray[np.float64]:
    """Mostly black, white, grey and silver, as on real roads; else any colour."""
    if rng.random() < 0.7:
        return np.asarray(
            rng.choice([0.02, 0.06, 0.2, 0.42, 0.7]) * (1 + rng.uniform(-0.08, 0.08, 3))
        )
    return np.asarray(rng.uniform(0.02, 0.5, 3) * rng.uniform(0.4, 1))


def _add_wheels(
    builder: MeshBuilder,
    center: NDArray[np.float64],
    yaw: float,
    length: float,
    width: float,
    radius: float,
) -> None:
    ahead = np.array([np.sin(yaw), 0, np.cos(yaw)])
    aside = np.array([np.cos(yaw), 0, -np.sin(yaw)])
    for along in (-0.31, 0.31):
        for across in (-0.5, 0.5):
            hub = center + ahead * along * length + aside * across * width + [0, radius, 0]
            builder.add_cylinder(
                hub - aside * 0.2 * across, hub + aside * 0.1 * across, radius,
                Material.PLAIN, [0.018, 0.018, 0.02], sides=10,
            )  # fmt: skip


def _add_lights(
    builder: MeshBuilder,
    center: NDArray[np.float64],
    yaw: float,
    length: float,
    width: float,
    height: float,
) -> None:
    ahead = np.array([np.sin(yaw), 0, np.cos(yaw)])
    aside = np.array([np.cos(yaw), 0, -np.sin(yaw)])
    for along, color in ((-0.495, [0.45, 0.02, 0.02]), (0.495, [0.75, 0.75, 0.7])):
        for across in (-0.38, 0.38):
            place = center + ahead * along * length + aside * across * width
            place = place + [0, min(height * 0.42, 0.85), 0]
            builder.add_box(place, [0.26, 0.16, 0.06], Material.PLAIN, color, yaw=yaw)
    plate = center - ahead * length * 0.5 + [0, 0.55, 0]
    builder.add_box(plate, [0.5, 0.11, 0.02], Material.PLAIN, [0.7, 0.7, 0.6], yaw=yaw)


def add_person(
    builder: MeshBuilder, x: float, y: float, z: float, rng: np.random.Generator
) -> None:
    """Add somebody of 1.15 to 1.95 m, walking or standing."""
    height = rng.uniform(1.5, 1.95) if rng.random() < 0.85 else rng.uniform(1.15, 1.5)
    yaw = rng.uniform(0, 2 * np.pi)
    skin = np.array([0.55, 0.36, 0.26]) * rng.uniform(0.25, 1.1)
    top, trousers = rng.uniform(0.02, 0.6, 3), rng.uniform(0.02, 0.25) * np.ones(3)
    pattern = int(rng.integers(1 << 30))
    hip, shoulder = height * 0.49, height * 0.82
    ahead = np.array([np.sin(yaw), 0, np.cos(yaw)])
    aside = np.array([np.cos(yaw), 0, -np.sin(yaw)])
    foot = np.array([x, y, z])
    stride = rng.uniform(0, 0.3)
    for sign in (-1, 1):
        builder.add_cylinder(
            foot + aside * 0.09 * sign + ahead * stride * sign,
            foot + aside * 0.08 * sign + [0, hip, 0],
            0.06, Material.PLAIN, trousers, end_radius=0.09, sides=6, pattern=pattern,
        )  # fmt: skip
        swing = ahead * rng.uniform(-0.25, 0.25)
        builder.add_cylinder(
            foot + aside * 0.22 * sign + [0, shoulder, 0],
            foot + aside * 0.27 * sign + [0, hip * 0.95, 0] + swing,
            0.05, Material.PLAIN, top, sides=6, pattern=pattern,
        )  # fmt: skip
    builder.add_taper(
        foot + [0, hip * 0.97, 0], [0.34, shoulder - hip * 0.93, 0.22], [0.44, 0, 0.2],
        Material.PLAIN, top, yaw=yaw, pattern=pattern,
    )  # fmt: skip
    builder.add_blob(
        foot + [0, height * 0.92, 0], [0.085, height * 0.075, 0.1], Material.PLAIN, skin, rng
    )


def add_tree(builder: MeshBuilder, x: float, y: float, z: float, rng: np.random.Generator) -> None:
    """Add a tree: trunk, limbs and a crown of rough clumps; some are bare, some conifers."""
    height = rng.uniform(3.5, 14)
    trunk = rng.uniform(0.25, 0.45) * height
    bark = np.array([0.13, 0.1, 0.075]) * rng.uniform(0.5, 1.5)
    radius = 0.018 * height + 0.04
    foot = np.array([x, y - 0.1, z])
    pattern = int(rng.integers(1 << 30))
    leaf = np.array([0.06, 0.12, 0.025]) * rng.uniform(0.6, 1.7) * (1 + rng.uniform(-0.2, 0.5, 3))
    kind = rng.random()
    builder.add_cylinder(
        foot, foot + [0, height * (0.9 if kind > 0.85 else 0.6), 0], radius, Material.PLAIN, bark,
        end_radius=radius * 0.4, pattern=pattern,
    )  # fmt: skip
    if kind < 0.15:  # conifer
        for level in np.linspace(0.15, 0.8, 5):
            builder.add_cylinder(
                foot + [0, height * level, 0], foot + [0, height * min(level + 0.32, 1), 0],
                height * 0.2 * (1.05 - level), Material.FOLIAGE, leaf, end_radius=0.02, sides=9,
                pattern=pattern,
            )  # fmt: skip
        return
    spread = rng.uniform(0.16, 0.3) * height
    for _ in range(int(rng.integers(5, 12))):
        tip = foot + rng.uniform([-1, 0, -1], [1, 0, 1]) * spread
        tip[1] += rng.uniform(trunk, height)
        limb = foot + [0, rng.uniform(trunk * 0.8, height * 0.55), 0]
        builder.add_cylinder(limb, tip, radius * 0.35, Material.PLAIN, bark,
                             end_radius=0.02, sides=5, pattern=pattern)  # fmt: skip
        if kind <= 0.85:
            builder.add_blob(
                tip, rng.uniform(0.35, 0.75, 3) * spread, Material.FOLIAGE,
                leaf * rng.uniform(0.75, 1.25), rng, roughness=0.3, pattern=pattern,
            )  # fmt: skip


def add_bush(builder: MeshBuilder, x: float, y: float, z: float, rng: np.random.Generator) -> None:
    """Add a low clump of vegetation."""
    size = rng.uniform(0.3, 1.3)
    leaf = np.array([0.06, 0.11, 0.03]) * rng.uniform(0.5, 1.8)
    pattern = int(rng.integers(1 << 30))
    for _ in range(int(rng.integers(1, 4))):
        place = np.array([x, y, z]) + rng.uniform([-1, 0.1, -1], [1, 0.7, 1]) * size
        builder.add_blob(place, rng.uniform(0.5, 1, 3) * size, Material.FOLIAGE, leaf, rng,
                         roughness=0.25, pattern=pattern)  # fmt: skip


def add_pole(
    builder: MeshBuilder, x: float, y: float, z: float, roadwards: int, rng: np.random.Generator
) -> None:
    """Add a lamp post, a traffic sign, a traffic light or a bollard."""
    grey = rng.uniform(0.05, 0.5) * np.ones(3)
    foot = np.array([x, y, z])
    kind = rng.choice(["lamp", "sign", "light", "bollard"], p=[0.35, 0.35, 0.15, 0.15])
    height = {"lamp": rng.uniform(5, 9), "sign": rng.uniform(2.2, 3.2),
              "light": rng.uniform(3, 5.5), "bollard": rng.uniform(0.7, 1.1)}[kind]  # fmt: skip
    top = foot + [0, height, 0]
    builder.add_cylinder(foot, top, 0.035 if kind == "sign" else 0.08, Material.PLAIN, grey)
    if kind == "lamp":
        arm = top + [roadwards * rng.uniform(0.6, 2.4), 0.25, 0]
        builder.add_cylinder(top, arm, 0.05, Material.PLAIN, grey, sides=6)
        builder.add_box(arm, [0.5, 0.12, 0.25], Material.PLAIN, grey * 0.8)
    elif kind == "sign":
        color = [[0.5, 0.03, 0.03], [0.03, 0.1, 0.45], [0.8, 0.8, 0.8], [0.7, 0.5, 0.03]]
        size = rng.uniform(0.5, 0.9)
        builder.add_box(
            top - [0, size, 0.05], [size, size, 0.03], Material.PLAIN, color[rng.integers(4)]
        )
    elif kind == "light":
        builder.add_box(top - [0, 0.5, 0.12], [0.32, 0.95, 0.25], Material.PLAIN, [0.03] * 3)
        lamp = [[0.8, 0.05, 0.03], [0.05, 0.6, 0.25]][rng.integers(2)]
        builder.add_box(top + [0, rng.uniform(-0.4, 0.2), -0.27], [0.18, 0.18, 0.04],
                        Material.PLAIN, lamp)  # fmt: skip


def add_clutter(builder: MeshBuilder, x: float, z: float, rng: np.random.Generator) -> None:
    """Add a box or ball of no kind; one in four floats, so that contact is not the only cue."""
    size = rng.uniform(0.15, 1.2, 3)
    height = rng.uniform(0.3, 3.0) if rng.random() < 0.25 else 0.0
    color, pattern = rng.uniform(0.02, 0.8, 3), int(rng.integers(1 << 30))
    material = rng.choice(np.array([Material.PLAIN, Material.PAVING, Material.FACADE]))
    if rng.random() < 0.6:
        builder.add_box([x, height, z], size, Material(int(material)), color,
                        yaw=rng.uniform(0, np.pi), pattern=pattern)  # fmt: skip
    else:
        builder.add_blob([x, height + size[1], z], size, Material(int(material)), color, rng,
                         roughness=rng.uniform(0, 0.2), pattern=pattern)  # fmt: skip
