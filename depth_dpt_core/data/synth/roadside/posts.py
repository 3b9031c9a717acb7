# SPDX-License-Identifier: Apache-2.0
"""What stands on one leg at the kerb: lamps, traffic lights, signs, bollards.

Everything stands on the origin with the road towards -x, and faces traffic that comes from -z.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depth_dpt_core.data.synth.geometry.blocks import Pile, plate, polyline
from depth_dpt_core.data.synth.geometry.choice import one_of
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import blob, cylinder

# m, (low, high)
_LAMP_TALL = (7.0, 11.0)  # over carriageways
_LAMP_ARM = (0.8, 2.6)
_LAMP_LOW = (3.2, 5.0)  # over pavements
_LIGHT_POLE = (3.0, 3.6)  # top of the pole beside the road
_MAST = (5.9, 6.8)  # height of an arm that holds lights over the road
_MAST_REACH = (3.5, 8.0)
_HEAD = (0.34, 0.96, 0.22)  # housing of three lights, lenses of 0.2 m
_SIGN_FOOT = (2.0, 2.5)  # lower edge of a sign
_SIGN_POLE = 0.035  # radius
_SUNK = 0.3

_WHITE, _RED, _BLUE = [0.68, 0.68, 0.66], [0.42, 0.025, 0.03], [0.02, 0.07, 0.32]
_YELLOW, _GREEN, _BACK = [0.62, 0.42, 0.03], [0.02, 0.17, 0.08], [0.3, 0.31, 0.32]
_LIT = {"red": [1.0, 0.08, 0.05], "amber": [1.0, 0.5, 0.05], "green": [0.1, 0.9, 0.5]}


class _Sign(NamedTuple):
    share: float
    sides: int  # of the outline; 0 is a rectangle
    turn: int  # half steps between corners, 0 has a corner on top
    width: tuple[float, float]  # m
    tall: float  # height over width
    face: list[float]
    rim: list[float] | None


_SIGNS = [
    _Sign(0.22, 20, 0, (0.58, 0.75), 1.0, _WHITE, _RED),  # prohibition
    _Sign(0.10, 20, 0, (0.58, 0.75), 1.0, _BLUE, _WHITE),  # order
    _Sign(0.12, 3, 0, (0.80, 1.05), 1.0, _WHITE, _RED),  # warning
    _Sign(0.10, 3, 1, (0.80, 1.05), 1.0, _WHITE, _RED),  # give way
    _Sign(0.08, 8, 1, (0.70, 0.90), 1.0, _RED, _WHITE),  # stop
    _Sign(0.10, 4, 0, (0.80, 1.10), 1.0, _YELLOW, [0.03, 0.03, 0.03]),  # American warning
    _Sign(0.08, 0, 0, (0.55, 0.65), 1.25, _WHITE, None),  # American speed limit
    _Sign(0.10, 0, 0, (0.45, 0.65), 1.0, _BLUE, None),  # parking, crossing
    _Sign(0.10, 0, 0, (0.45, 0.70), 1.5, _WHITE, None),  # notice
]


def _greyish(rng: np.random.Generator) -> NDArray[np.float64]:
    """Colour of galvanised or painted steel, or concrete."""
    kind = rng.random()
    if kind < 0.15:
        return np.array([0.03, 0.07, 0.045])
    return (
        rng.uniform(0.2, 0.42) * np.ones(3) if kind < 0.7 else rng.uniform(0.02, 0.1) * np.ones(3)
    )


def _pole(
    builder: MeshBuilder, height: float, radius: float, color: ArrayLike, *, taper: float = 1.0
) -> None:
    pole = cylinder([0, -_SUNK, 0], [0, height, 0], radius, end_radius=radius * taper, sides=8)
    builder.add(pole, Material.PLAIN, color)


def lamp_post(rng: np.random.Generator) -> Mesh:
    """Tall lamp with one or two arms, or a low one with a lantern on top."""
    builder, pile, color = MeshBuilder(), Pile(), _greyish(rng)
    if rng.random() < 0.25:
        return _lantern(rng, builder, pile, color)
    height, arm = rng.uniform(*_LAMP_TALL), rng.uniform(*_LAMP_ARM)
    _pole(builder, height, rng.uniform(0.075, 0.11), color, taper=0.55)
    pile.put([0, -_SUNK, 0], [0.24, 1.0 + _SUNK, 0.24], Material.PLAIN, color)
    bow = rng.random() < 0.5
    lift = rng.uniform(0.3, 1.2) if bow else rng.uniform(0.0, 0.25)
    turn = np.linspace(0, np.pi / 2, 6 if bow else 2)[:, None]
    for side in (-1, 1) if rng.random() < 0.12 else (-1,):
        across = 1 - np.cos(turn) if bow else turn / turn[-1]
        rise = np.sin(turn) if bow else turn / turn[-1]
        path = across * [side * arm, 0, 0] + rise * [0, lift, 0] + [0, height - 0.05, 0]
        builder.add(polyline(path, 0.04, sides=5), Material.PLAIN, color)
        head = path[-1] + [side * 0.25, -0.09, 0]
        size = rng.uniform([0.55, 0.08, 0.2], [0.85, 0.16, 0.34])
        pile.put(head, size, Material.PLAIN, color * rng.uniform(0.6, 1.2))
        pile.put(head - [0, 0.03, 0], size * [0.7, 0.25, 0.8], Material.PLAIN, [0.6, 0.6, 0.55])
    return pile.finish(builder)


def _lantern(
    rng: np.random.Generator, builder: MeshBuilder, pile: Pile, color: NDArray[np.float64]
) -> Mesh:
    height = rng.uniform(*_LAMP_LOW)
    _pole(builder, height, rng.uniform(0.045, 0.07), color)
    builder.add(
        cylinder([0, -_SUNK, 0], [0, 0.7, 0], 0.12, end_radius=0.08), Material.PLAIN, color
    )
    kind, white = rng.random(), [0.62, 0.62, 0.58]
    if kind < 0.3:
        builder.add(blob([0, height + 0.2, 0], [0.22] * 3, rng), Material.PLAIN, white)
    elif kind < 0.7:
        glass = cylinder([0, height, 0], [0, height + 0.45, 0], 0.13, end_radius=0.21, sides=6)
        builder.add(glass, Material.PLAIN, white)
        lid = cylinder([0, height + 0.45, 0], [0, height + 0.7, 0], 0.25, end_radius=0.03, sides=6)
        builder.add(lid, Material.PLAIN, color)
    else:
        pile.put([0, height, 0], [0.12, 0.25, 0.12], Material.PLAIN, white)
        lid = cylinder(
            [0, height + 0.25, 0], [0, height + 0.33, 0], 0.3, end_radius=0.22, sides=10
        )
        builder.add(lid, Material.PLAIN, color)
    return pile.finish(builder)


def traffic_light(rng: np.random.Generator) -> Mesh:
    """Lights on a pole, and often on an arm over the road."""
    builder, pile = MeshBuilder(), Pile()
    color = _greyish(rng)
    housing = np.array([0.5, 0.33, 0.02] if rng.random() < 0.25 else [0.025, 0.025, 0.025])
    lit = list(_LIT)[int(rng.choice(3, p=[0.45, 0.05, 0.5]))]
    if rng.random() < 0.45:
        height, reach = rng.uniform(*_MAST), rng.uniform(*_MAST_REACH)
        _pole(builder, height + 0.2, 0.13, color, taper=0.7)
        tip = [-reach, height + 0.25, 0]
        arm = cylinder([0, height, 0], tip, 0.08, end_radius=0.045, sides=6)
        builder.add(arm, Material.PLAIN, color)
        for share in (1.0, 0.55)[: int(rng.integers(1, 3))]:
            foot = height + 0.25 * share - 0.75
            _lights(builder, pile, [-reach * share + 0.15, foot, -0.15], housing, lit)
    else:
        _pole(builder, rng.uniform(*_LIGHT_POLE), 0.055, color)
    _lights(builder, pile, [-0.05, rng.uniform(2.1, 2.4), -0.18], housing, lit)
    if rng.random() < 0.4:  # for those on foot, across the road
        pile.put([-0.16, 2.1, 0.06], [0.2, 0.55, 0.25], Material.PLAIN, housing)
    return pile.finish(builder)


def _lights(
    builder: MeshBuilder, pile: Pile, foot: list[float], housing: ArrayLike, lit: str
) -> None:
    """Housing standing at `foot`, its three lenses towards -z."""
    x, y, z = foot
    wide, high, deep = _HEAD
    pile.put(foot, _HEAD, Material.PLAIN, housing)
    pile.put([x, y - 0.1, z + deep / 2], [wide + 0.26, high + 0.2, 0.02], Material.PLAIN,
             [0.02, 0.02, 0.02])  # fmt: skip
    for place, name in enumerate(reversed(_LIT)):
        center = np.array([x, y + high * (0.17 + 0.33 * place), z - deep / 2])
        on = name == lit
        color = np.array(_LIT[name]) * (1.0 if on else 0.06)
        lens = center[:2] + 0.2 * _outline(8, 1)
        builder.add(
            plate(lens, z - deep / 2 - 0.012), Material.LAMP if on else Material.PLAIN, color
        )
        visor = [x, center[1] + 0.1, z - deep / 2 - 0.08]
        pile.put(visor, [0.23, 0.02, 0.18], Material.PLAIN, housing)


def traffic_sign(rng: np.random.Generator) -> Mesh:
    """One or two signs on a thin pole; sometimes street names or a wide board on two poles."""
    kind = rng.random()
    if kind < 0.12:
        return _street_name(rng)
    if kind < 0.22:
        return _board(rng)
    builder, foot = MeshBuilder(), rng.uniform(*_SIGN_FOOT)
    shares = np.array([sign.share for sign in _SIGNS])
    z = -_SIGN_POLE - 0.02
    for _ in range(1 if rng.random() < 0.7 else 2):
        sign = _SIGNS[int(rng.choice(len(_SIGNS), p=shares / shares.sum()))]
        outline = _outline(sign.sides, sign.turn) * rng.uniform(*sign.width) * [1, sign.tall]
        outline[:, 1] += foot - outline[:, 1].min()
        _sign(builder, rng, outline, z, sign.face, sign.rim)
        foot = float(outline[:, 1].max()) + 0.05
    _pole(builder, foot, _SIGN_POLE, _greyish(rng))
    return builder.build()


def _outline(sides: int, turn: int) -> NDArray[np.float64]:
    """Regular outline within one metre, a corner on top, turned by half steps; 0 is a square."""
    if sides == 0:
        return np.array([[-0.5, 0], [0.5, 0], [0.5, 1], [-0.5, 1]])
    angle = (np.arange(sides) + turn / 2) * 2 * np.pi / sides
    points = np.stack([np.sin(angle), np.cos(angle)], 1)
    return np.asarray(points / np.ptp(points[:, 0]))


def _sign(
    builder: MeshBuilder,
    rng: np.random.Generator,
    outline: NDArray[np.float64],
    z: float,
    face: list[float],
    rim: list[float] | None,
) -> None:
    """Plate with a rim of its own colour, grey from behind."""
    builder.add(plate(outline, z + 0.015), Material.PLAIN, _BACK)
    if rim is not None:
        builder.add(plate(outline, z), Material.PLAIN, rim)
        middle = outline.mean(0)
        outline = middle + (outline - middle) * 0.8
    pattern = int(rng.integers(1 << 30))
    builder.add(plate(outline, z - 0.012), Material.SIGN, face, pattern=pattern)


def _street_name(rng: np.random.Generator) -> Mesh:
    """Names of two streets, at right angles, on one pole."""
    builder, pile = MeshBuilder(), Pile()
    height, color = rng.uniform(2.5, 3.3), _greyish(rng)
    _pole(builder, height + 0.3, 0.03, color)
    face = [_GREEN, _BLUE, _WHITE][int(rng.integers(3))]
    size, pattern = rng.uniform([0.7, 0.15], [1.1, 0.24]), int(rng.integers(1 << 30))
    pile.put([0, height, 0], [size[0], size[1], 0.02], Material.SIGN, face, pattern=pattern)
    pile.put([0, height + 0.26, 0], [0.02, size[1], size[0]], Material.SIGN, face,
             pattern=pattern + 1)  # fmt: skip
    return pile.finish(builder)


def _board(rng: np.random.Generator) -> Mesh:
    """Directions on two legs, beside the road."""
    builder, pile = MeshBuilder(), Pile()
    wide, high, foot = rng.uniform(1.5, 3.2), rng.uniform(0.8, 1.9), rng.uniform(1.5, 2.4)
    face = [_GREEN, _BLUE, _WHITE, _YELLOW][int(rng.choice(4, p=[0.35, 0.35, 0.2, 0.1]))]
    outline = np.array([[-wide, foot], [wide, foot], [wide, foot + high], [-wide, foot + high]])
    _sign(builder, rng, outline / [2, 1], -0.08, face, None)
    legs = [[side * wide * 0.3, -_SUNK, 0] for side in (-1, 1)]
    pile.put(legs, [0.1, foot + high + _SUNK, 0.1], Material.PLAIN, _greyish(rng))
    return pile.finish(builder)


def bollard(rng: np.random.Generator) -> Mesh:
    """Post of steel or stone, or a soft one with bright bands, that keeps cars away."""
    builder, height = MeshBuilder(), rng.uniform(0.7, 1.1)
    if rng.random() < 0.2:
        orange = [0.6, 0.15, 0.02] if rng.random() < 0.5 else [0.3, 0.3, 0.3]
        _pole(builder, height, 0.045, orange)
        for level in (0.55, 0.78):
            band = cylinder([0, level * height, 0], [0, (level + 0.12) * height, 0], 0.049)
            builder.add(band, Material.PLAIN, [0.75, 0.75, 0.75])
        return builder.build()
    radius, color = rng.uniform(0.045, 0.12), _greyish(rng)
    _pole(builder, height, radius, color, taper=rng.uniform(0.75, 1))
    if rng.random() < 0.5:
        builder.add(blob([0, height, 0], [radius * 1.1] * 3, rng), Material.PLAIN, color)
    return builder.build()


POSTS: dict[str, tuple[Callable[[np.random.Generator], Mesh], float]] = {  # with their shares
    "lamp_post": (lamp_post, 0.34),
    "traffic_sign": (traffic_sign, 0.36),
    "traffic_light": (traffic_light, 0.12),
    "bollard": (bollard, 0.18),
}


def post(rng: np.random.Generator) -> Mesh:
    """Any of the above."""
    return one_of(rng, POSTS)(rng)
