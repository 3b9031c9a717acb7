# SPDX-License-Identifier: Apache-2.0
"""Skin, hair and clothes for a body in a pose."""

from __future__ import annotations

import numpy as np

from depth_dpt_core.data.synth.geometry.limbs import chains, unit_rows
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import blob, loft
from depth_dpt_core.data.synth.people.body import Body, Joints, Points
from depth_dpt_core.data.synth.people.outfit import Outfit


def figure(pose: Joints, person: Body, outfit: Outfit, rng: np.random.Generator) -> Mesh:
    """Clothed body in a pose: about 700 triangles."""
    builder, pattern = MeshBuilder(), int(rng.integers(1 << 30))
    _add_trunk(builder, pose, person, outfit, pattern)
    _add_legs(builder, pose, person, outfit, pattern)
    _add_arms(builder, pose, person, outfit, pattern)
    _add_head(builder, pose, person, outfit, rng)
    if outfit.hem > 0:
        _add_hem(builder, pose, person, outfit, pattern)
    return builder.build()


# level along the spine (1 = shoulders), half width and half depth of the trunk (m) at 1.75 m
_TRUNK = np.array(
    [
        [-0.19, 0.105, 0.085],
        [-0.05, 0.162, 0.112],
        [0.20, 0.152, 0.105],
        [0.42, 0.136, 0.098],
        [0.72, 0.158, 0.116],
        [0.93, 0.166, 0.102],
        [1.06, 0.118, 0.074],
        [1.12, 0.060, 0.062],
    ]
)
_FEMALE = np.array([1.0, 1.06, 1.02, 0.90, 0.93, 0.90, 0.9, 0.85])  # of half widths


def _add_trunk(
    builder: MeshBuilder, pose: Joints, person: Body, outfit: Outfit, pattern: int
) -> None:
    scale = person.stature / 1.75
    level, wide, deep = _TRUNK.T * np.array([[1.0], [scale], [scale]])
    wide = wide * (_FEMALE if person.female else 1.0)
    broad = person.girth ** np.array([1, 1, 1.3, 1.6, 1, 0.6, 0.5, 0.3])
    wide, deep = wide * broad + outfit.bulk, deep * broad**1.3 + outfit.bulk
    middle = pose.pelvis + level[:, None] * person.trunk * pose.spine
    throat = pose.head - 0.22 * person.head * pose.spine
    middle = np.concatenate([middle, throat[None]])
    wide, deep = np.append(wide, 0.052 * scale), np.append(deep, 0.056 * scale)
    ahead = np.array([0.0, -pose.spine[2], pose.spine[1]])
    angle = np.arange(10) * 2 * np.pi / 10
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    rings = middle[:, None] + (
        wide[:, None, None] * cos * [1.0, 0, 0] + deep[:, None, None] * sin * ahead
    )
    color = np.repeat(
        [outfit.legs] * outfit.waist + [outfit.top] * (7 - outfit.waist) + [outfit.skin], 20, 0
    )
    material = np.repeat([Material.CLOTH] * 7 + [Material.PLAIN], 20)
    builder.add(loft(rings), material, color, pattern=pattern)


def _add_legs(
    builder: MeshBuilder, pose: Joints, person: Body, outfit: Outfit, pattern: int
) -> None:
    hips, knees, ankles = pose.hips, pose.knees, pose.ankles
    thigh, calf = (hips + knees) / 2, knees * 0.62 + ankles * 0.38
    calf = calf - unit_rows(pose.toes) * 0.012 * person.size
    path = np.stack([hips, thigh, knees, calf, ankles], 1)
    covered = outfit.trousers  # pieces, of 4
    loose = np.where(np.arange(5) <= covered, outfit.bulk * 0.6 + outfit.hose, 0)
    thick = np.array([0.080, 0.076, 0.056, 0.053, 0.038]) * person.size + loose * [
        0,
        0.4,
        0.8,
        1,
        1,
    ]
    color = [outfit.legs] * covered + [outfit.stockings] * (4 - covered)
    material = [Material.CLOTH] * covered + [Material.PLAIN] * (4 - covered)
    builder.add(
        chains(path, thick, sides=6),
        np.tile(np.repeat(material, 12), 2),
        np.tile(np.repeat(color, 12, 0), (2, 1)),
        pattern=pattern,
    )
    shoes = _SHOE * [person.stature, person.stature, person.ankle]
    toes = pose.toes
    aside = unit_rows(np.cross([0.0, 1.0, 0.0], toes))
    upward = np.cross(toes, aside)
    for side in range(2):
        frame = np.stack([aside[side], toes[side], upward[side]])
        sole = pose.ankles[side] - upward[side] * person.ankle
        builder.add(loft(shoes @ frame + sole), Material.PLAIN, outfit.shoes)


def _shoe() -> Points:
    """Rings [5,6,3] from heel to toe: across and along (of stature), up (of ankle height)."""
    along = np.array([-0.042, -0.038, 0.030, 0.104, 0.112])
    wide = np.array([0.0, 0.020, 0.025, 0.021, 0.0])
    high = np.array([0.9, 1.08, 1.0, 0.45, 0.2])
    outline = np.array([[-1, 0], [-1, 0.5], [-0.6, 1], [0.6, 1], [1, 0.5], [1, 0]])
    rings = np.zeros((5, 6, 3))
    rings[..., 0] = wide[:, None] * outline[:, 0]
    rings[..., 1] = along[:, None]
    rings[..., 2] = high[:, None] * outline[:, 1]
    return rings


_SHOE = _shoe()


def _add_arms(
    builder: MeshBuilder, pose: Joints, person: Body, outfit: Outfit, pattern: int
) -> None:
    shoulders, elbows, wrists = pose.shoulders, pose.elbows, pose.wrists
    inward = np.array([[1.0, 0, 0], [-1.0, 0, 0]]) * person.size
    ahead = unit_rows(wrists - elbows) * person.stature
    path = np.stack(
        [
            shoulders + inward * 0.055 + pose.spine * 0.035 * person.size,
            shoulders + inward * 0.004,
            shoulders * 0.7 + elbows * 0.3,
            elbows,
            elbows * 0.6 + wrists * 0.4,
            wrists,
            wrists + 0.045 * ahead,
            wrists + 0.088 * ahead,
        ],
        1,
    )
    sleeve, knots = outfit.sleeve, np.arange(8)
    loose = np.where(knots <= sleeve, outfit.bulk * 0.8, 0) * (knots > 1)
    thick = np.array([0.02, 0.053, 0.05, 0.042, 0.040, 0.028, 0.040, 0.014]) * person.size + loose
    color = [outfit.top] * sleeve + [outfit.skin] * (5 - sleeve) + [outfit.hands] * 2
    material = [Material.CLOTH] * sleeve + [Material.PLAIN] * (7 - sleeve)
    builder.add(
        chains(path, thick, sides=5),
        np.tile(np.repeat(material, 10), 2),
        np.tile(np.repeat(color, 10, 0), (2, 1)),
        pattern=pattern,
    )


def _add_head(
    builder: MeshBuilder, pose: Joints, person: Body, outfit: Outfit, rng: np.random.Generator
) -> None:
    tall = person.head / 2
    radii = np.array([0.68, 1.0, 0.80]) * tall
    if outfit.helmet == "full":
        shell = blob(pose.head + [0, 0.1 * tall, 0], radii * [1.5, 1.18, 1.5], rng)
        seen = shell.vertices[shell.faces].mean(1) - pose.head
        visor = (seen[:, 2] > 0.75 * tall) & (np.abs(seen[:, 1]) < 0.5 * tall)
        color = np.where(visor[:, None], 0.02, outfit.cover)
        builder.add(shell, np.where(visor, Material.GLASS, Material.PAINT), color)
        return
    builder.add(blob(pose.head, radii, rng), Material.PLAIN, outfit.skin)
    if outfit.helmet:
        shell = blob(pose.head + np.array([0, 0.5, -0.12]) * tall, radii * [1.3, 0.8, 1.35], rng)
        builder.add(shell, Material.PAINT, outfit.cover)
        return
    shift, grow = np.array([0, 0.20, -0.20]) * tall, np.array([1.09, 0.96, 0.99])
    if outfit.hat:
        shift, grow = np.array([0, 0.30, -0.10]) * tall, np.array([1.16, 0.85, 1.10])
    builder.add(blob(pose.head + shift, radii * grow, rng), Material.CLOTH, outfit.cover)
    if outfit.long_hair:
        back = pose.head + np.array([[0, 0.2, -0.42], [0, -0.7, -0.62], [0, -1.7, -0.72]]) * tall
        thick = np.array([0.62, 0.60, 0.28]) * tall
        builder.add(chains(back[None], thick, sides=7), Material.CLOTH, outfit.hair)


def _add_hem(
    builder: MeshBuilder, pose: Joints, person: Body, outfit: Outfit, pattern: int
) -> None:
    """Add what hangs from the waist around both legs: skirt, dress or the tails of a coat."""
    share = np.linspace(0, outfit.hem, 4)
    legs = np.stack([pose.hips, pose.knees, pose.ankles])  # [3,2,3]
    low = np.minimum(share.astype(int), 1)
    at = legs[low] + (share - low)[:, None, None] * (legs[low + 1] - legs[low])
    middle, half = at.mean(1), np.abs(at[:, 1] - at[:, 0]) / 2
    loose = (0.108 - 0.016 * share) * person.size + outfit.bulk + outfit.flare * share
    wide, deep = half[:, 0] + loose, half[:, 2] + loose * 1.12
    scale = person.stature / 1.75 * person.girth
    middle = np.concatenate([(pose.pelvis + 0.42 * person.trunk * pose.spine)[None], middle])
    grow = 1 + 0.04 * person.female
    wide = np.append(0.140 * scale * grow + outfit.bulk + 0.012, np.maximum(wide, 0.1 * scale))
    deep = np.append(0.104 * scale * grow + outfit.bulk + 0.012, deep)
    angle = np.arange(10) * 2 * np.pi / 10
    outline = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], 1)
    size = np.stack([wide, 0 * wide, deep], 1)[:, None]
    color = outfit.top if outfit.coat else outfit.legs
    builder.add(loft(middle[:, None] + outline * size), Material.CLOTH, color, pattern=pattern)
