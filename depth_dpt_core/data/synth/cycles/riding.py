# SPDX-License-Identifier: Apache-2.0
"""What bicycles and motorcycles share: riders on their seats, wheels, standing at an angle."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depth_dpt_core.data.synth.geometry.limbs import chains, unit_rows
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh, MeshBuilder, Solid
from depth_dpt_core.data.synth.geometry.solids import cylinder, loft
from depth_dpt_core.data.synth.people.body import Body, Joints, joints
from depth_dpt_core.data.synth.ranges import Range

RUBBER = [0.020, 0.020, 0.021]  # linear reflectances
STEEL = [0.33, 0.33, 0.34]
BLACK = [0.028, 0.028, 0.030]


@dataclass(frozen=True)
class Mount:
    """Where a rider touches the machine, metres; pairs [2,3] are (left, right)."""

    saddle: NDArray[np.float64]  # top of it
    grips: NDArray[np.float64]
    rests: NDArray[np.float64]  # pedals or foot rests
    upright: float  # radians that riders lean forward at least


def seated(who: Body, mount: Mount, *, nod: float = 0.0) -> Joints:
    """Rider with hands and feet where they belong, bent forward as far as the arms need."""
    pelvis = mount.saddle + [0, 0.095 * who.size, 0]
    wrists = mount.grips + np.array([0, 0.03, -0.065]) * who.stature / 1.75
    ankles = mount.rests + [0, who.ankle, -0.055 * who.stature]
    lean = np.linspace(mount.upright, 1.3, 40)
    shoulder = np.stack([0 * lean, np.cos(lean), np.sin(lean)], 1) * who.trunk + pelvis
    aside = (abs(wrists[1, 0]) - who.shoulder) ** 2
    far = np.sqrt(((shoulder - [0, *wrists[1, 1:]])[:, 1:] ** 2).sum(1) + aside)
    near_enough = far < 0.93 * who.arm
    bent = lean[np.argmax(near_enough)] if near_enough.any() else lean[np.argmin(far)]
    toes = np.array([[-0.1, -0.12, 1.0], [0.1, -0.12, 1.0]])
    return joints(
        who,
        pelvis,
        lean=float(bent),
        ankles=ankles,
        toes=toes,
        wrists=wrists,
        nod=nod - 0.3 * bent,
    )


def add_wheel(
    builder: MeshBuilder, hub: ArrayLike, radius: float, tyre: float, *, disc: float = 0.0
) -> None:
    """Add a tyre of outer `radius` and width `tyre`, and a solid disc or just a hub."""
    center, middle = np.asarray(hub, np.float64), radius - tyre / 2
    steps, sides = (18, 3) if tyre < 0.07 else (14, 4)
    # from the ground on, so that a corner stands on it; the ends overlap, to look smooth
    angle = -np.pi / 2 - np.arange(steps + 2) * 2 * np.pi / steps
    ring = np.stack([0 * angle, np.sin(angle), np.cos(angle)], 1) * middle
    builder.add(chains((center + ring)[None], tyre / 2, sides=sides), Material.PLAIN, RUBBER)
    wide = max(tyre * 0.35, 0.04)
    core = cylinder(center - [wide, 0, 0], center + [wide, 0, 0], max(disc, 0.03), sides=7)
    builder.add(core, Material.PLAIN, BLACK if disc else STEEL)


def fender(hub: ArrayLike, radius: float, width: float, start: float, end: float) -> Solid:
    """Mudguard around a wheel between two angles, radians from ahead over the top."""
    angle = np.linspace(start, end, 6)
    along = np.stack([0 * angle, np.sin(angle), np.cos(angle)], 1)
    section = np.array([[-1.0, 0.94], [0.0, 1.0], [1.0, 0.94]])
    points = (
        along[:, None] * radius * section[:, 1:] + np.array([width / 2, 0, 0]) * section[:, :1]
    )
    return loft(points + np.asarray(hub), closed=False)


def turned(mesh: Mesh, pivot: ArrayLike, axis: ArrayLike, angle: float) -> Mesh:
    """Mesh turned about an axis through `pivot` (Rodrigues)."""
    x, y, z = unit_rows(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    middle, turn = np.asarray(pivot, np.float32), matrix.T.astype(np.float32)
    return replace(
        mesh, vertices=(mesh.vertices - middle) @ turn + middle, normals=mesh.normals @ turn
    )


def leaned(rest: Mesh, front: Mesh, head: ArrayLike, axis: ArrayLike, angles: Range) -> Mesh:
    """Parked machine: `front` steered about `axis` through `head`, all leant to the left.

    `angles` are those of steering and leaning, radians. A steered wheel would leave the ground;
    it is let down on it.
    """
    steer, roll = angles
    steered = turned(turned(front, head, axis, steer), [0, 0, 0], [0, 0, 1], roll)
    down = np.array([0, steered.vertices[:, 1].min(), 0], np.float32)
    builder = MeshBuilder()
    builder.add_mesh(turned(rest, [0, 0, 0], [0, 0, 1], roll))
    builder.add_mesh(replace(steered, vertices=steered.vertices - down))
    return builder.build()
