# SPDX-License-Identifier: Apache-2.0
"""What spans the road: sign gantries and bridges; and scaffolding on house fronts.

Gantries and bridges stand across a road of `width` metres that is centred on the origin and runs
along z; nothing of them is lower than 4.5 m over it. They face traffic that comes from -z.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.geometry.blocks import Pile, bars, panels
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import hexahedron, taper

# m, (low, high)
_CLEAR = (4.6, 6.3)  # under bridges
_GANTRY_CLEAR = (5.0, 6.0)
_GANTRY_SIGN = ((2.2, 4.5), (1.6, 3.2))  # width, height
_DECK = (7.0, 14.0)  # extent of a road bridge along the road below
_FOOTBRIDGE = (2.5, 3.6)
_BEAM = (0.7, 1.6)  # depth of the deck
_PARAPET = (0.9, 1.2)
_EMBANKMENT = (14.0, 24.0)  # how far it reaches beyond the piers
_LIFT = 2.0  # storey of a scaffold
_SCAFFOLD_BAY = 2.5
_SUNK = 0.5


def gantry(rng: np.random.Generator, width: float) -> Mesh:
    """Truss or beam on two legs beside the road, with signs over the lanes."""
    builder, pile = MeshBuilder(), Pile()
    clear, half = rng.uniform(*_GANTRY_CLEAR), width / 2 + rng.uniform(0.8, 2.0)
    color = rng.uniform(0.25, 0.42) * np.ones(3)
    low, deep = clear + 0.5, rng.uniform(0.5, 1.0)
    high = low + rng.uniform(0.8, 1.2)
    legs = [[side * (half + 0.2), -_SUNK, z] for side in (-1, 1) for z in (0.0, deep)]
    pile.put(legs, [0.3, high + _SUNK + 0.05, 0.3], Material.PLAIN, color)
    pads = [[side * (half + 0.2), -_SUNK, deep / 2] for side in (-1, 1)]
    pile.put(pads, [0.8, 0.6 + _SUNK, deep + 0.9], Material.PLAIN, [0.38, 0.37, 0.35])
    for y in (low, high):
        for z in (0.0, deep):
            pile.put([0, y - 0.07, z], [2 * half + 0.4, 0.14, 0.14], Material.PLAIN, color)
    nodes = np.linspace(-half, half, max(round(2 * half / 1.6), 4) + 1)
    zigzag = np.stack([nodes, np.where(np.arange(len(nodes)) % 2, low, high), 0 * nodes], 1)
    for z in (0.0, deep):
        lattice = bars(zigzag[:-1] + [0, 0, z], zigzag[1:] + [0, 0, z], 0.045, sides=4)
        builder.add(lattice, Material.PLAIN, color)
    face = [[0.02, 0.07, 0.32], [0.02, 0.17, 0.08], [0.02, 0.17, 0.08]][int(rng.integers(3))]
    (thin, wide), (flat, tall) = _GANTRY_SIGN
    for x in np.arange(-width / 2 + 2, width / 2 - 1, rng.uniform(3.6, 6.0)):
        size = [rng.uniform(thin, min(wide, 3.4)), rng.uniform(flat, tall), 0.1]
        if x < 2 - width / 2 + 0.1 or rng.random() < 0.75:
            pile.put([x, clear, -0.22], size, Material.SIGN, face,
                     pattern=int(rng.integers(1 << 30)))  # fmt: skip
    return pile.finish(builder)


def overpass(rng: np.random.Generator, width: float) -> Mesh:
    """Bridge over the road: concrete or steel beams, a masonry arch, or a footbridge."""
    builder, pile = MeshBuilder(), Pile()
    clear, kind = rng.uniform(*_CLEAR), rng.random()
    half = width / 2 + rng.uniform(0.6, 4.0)
    if kind < 0.2:
        _footbridge(rng, builder, pile, half, clear)
    elif kind < 0.4:
        _arch(rng, builder, pile, half, width / 2, clear)
    else:
        _beam_bridge(rng, builder, pile, half, clear)
    return pile.finish(builder)


def _beam_bridge(
    rng: np.random.Generator, builder: MeshBuilder, pile: Pile, half: float, clear: float
) -> None:
    deep, beam = rng.uniform(*_DECK), rng.uniform(*_BEAM)
    concrete = rng.uniform(0.25, 0.45) * np.array([1.02, 1.0, 0.95])
    steel = rng.random() < 0.35
    girder = np.array(
        [[0.08, 0.12, 0.1], [0.25, 0.11, 0.07], [0.3, 0.31, 0.33], [0.05, 0.08, 0.15]]
    )
    color = girder[int(rng.integers(4))] if steel else concrete
    reach, top = half + rng.uniform(*_EMBANKMENT), clear + beam
    span = 2 * half + 2.0
    edges = np.linspace(-deep / 2 + 0.6, deep / 2 - 0.6, int(rng.integers(3, 6)))
    beams = np.stack([np.zeros_like(edges), np.full_like(edges, clear), edges], 1)
    pile.put(beams, [span, beam, 0.5 if steel else 0.9], Material.PLAIN, color)
    pile.put([0, top - 0.3, 0], [span, 0.3, deep], Material.PLAIN, concrete)
    _parapets(rng, builder, pile, reach, deep, top, concrete)
    for side in (-1, 1):
        _abutment(builder, side, half, reach, deep, top, concrete)
        if half > 7 or rng.random() < 0.4:  # piers beside the road
            z = np.linspace(-deep / 2 + 1, deep / 2 - 1, 3)
            at = np.stack([np.full(3, side * (half - 0.1)), np.full(3, -_SUNK), z], 1)
            pile.put(at, [0.7, clear + _SUNK + 0.1, 0.7], Material.PLAIN, concrete)


def _abutment(
    builder: MeshBuilder, side: int, half: float, reach: float, deep: float, top: float,
    color: NDArray[np.float64],
) -> None:  # fmt: skip
    """Wall that carries the end of the deck, and the bank behind it."""
    wall = taper([side * (half + 0.9), -_SUNK, 0], [1.0, top + _SUNK - 0.02, deep],
                 [1.0, 0, deep])  # fmt: skip
    builder.add(wall, Material.PLAIN, color)
    _bank(builder, side * (half + 1.4), side * reach, deep, top - 0.05)


def _bank(builder: MeshBuilder, near: float, far: float, deep: float, top: float) -> None:
    """Grassy bank between two x, sloping down to both sides and at its far end."""
    low, crown, foot = deep / 2 + 1.5 * top, deep / 2, far + np.sign(far) * 1.5 * top
    bank = hexahedron(
        [[near, -_SUNK, -low], [foot, -_SUNK, -low], [foot, -_SUNK, low], [near, -_SUNK, low],
         [near, top, -crown], [far, top, -crown], [far, top, crown], [near, top, crown]]
    )  # fmt: skip
    builder.add(bank, Material.GROUND, [0.1, 0.14, 0.05])


def _parapets(
    rng: np.random.Generator, builder: MeshBuilder, pile: Pile, reach: float, deep: float,
    top: float, color: NDArray[np.float64],
) -> None:  # fmt: skip
    """Solid walls or railings along both edges of the deck."""
    height, solid = rng.uniform(*_PARAPET), rng.random() < 0.5
    for z in (-deep / 2 + 0.12, deep / 2 - 0.12):
        pile.put([0, top - 0.1, z], [2 * reach, 0.35, 0.35], Material.PLAIN, color)
        if solid:
            pile.put([0, top, z], [2 * reach, height, 0.22], Material.PLAIN, color)
            continue
        pile.put([0, top + height, z], [2 * reach, 0.08, 0.1], Material.PLAIN, [0.3, 0.31, 0.32])
        x = np.arange(-reach, reach, max(0.6, reach / 40))
        foot = np.stack([x, np.full_like(x, top), np.full_like(x, z)], 1)
        posts = bars(foot, foot + [0, height, 0], 0.025, sides=3)
        builder.add(posts, Material.PLAIN, [0.3, 0.31, 0.32])


def _arch(
    rng: np.random.Generator, builder: MeshBuilder, pile: Pile, half: float, road: float,
    clear: float,
) -> None:  # fmt: skip
    """Railway bridge of brick or stone: one arch, high enough at the edges of the road."""
    deep = rng.uniform(*_DECK)
    color = np.array([[0.24, 0.12, 0.08], [0.33, 0.31, 0.28], [0.4, 0.35, 0.28]][rng.integers(3)])
    pattern = int(rng.integers(1 << 30))
    half = max(half, road * 1.12)
    crown = clear + rng.uniform(0.08, 0.2) * half
    # a parabola through the clear height at the road's edge
    fall = (crown - clear) / road**2
    inner = np.linspace(-road, road, 11)
    x = np.concatenate([[-half, -(half + road) / 2], inner, [(half + road) / 2, half]])
    # chords cut the corners of a curve: lift them by what a chord sinks below it
    soffit = crown - fall * (x**2 - (inner[1] - inner[0]) ** 2 / 4)
    top, reach = crown + rng.uniform(0.9, 1.5), half + rng.uniform(*_EMBANKMENT)
    for i in range(len(x) - 1):
        ring = [[x[i], soffit[i]], [x[i + 1], soffit[i + 1]], [x[i + 1], top], [x[i], top]]
        near, rear = ([[a, b, z] for a, b in ring] for z in (-deep / 2, deep / 2))
        builder.add(hexahedron(near + rear), Material.BRICK, color, pattern=pattern)
    for side in (-1, 1):
        middle = side * (half + reach) / 2
        pile.put([middle, -_SUNK, 0], [reach - half, top + _SUNK, deep], Material.BRICK, color,
                 pattern=pattern)  # fmt: skip
        _bank(builder, side * (half + 5), side * reach, deep, top - 0.05)
    for z in (-deep / 2 + 0.2, deep / 2 - 0.2):
        pile.put([0, top, z], [2 * reach, 1.1, 0.4], Material.BRICK, color, pattern=pattern)
        pile.put([0, top + 1.1, z], [2 * reach, 0.15, 0.55], Material.PLAIN, [0.35, 0.33, 0.3])


def _footbridge(
    rng: np.random.Generator, builder: MeshBuilder, pile: Pile, half: float, clear: float
) -> None:
    """Narrow bridge with a straight flight of stairs at both ends."""
    deep, color = rng.uniform(*_FOOTBRIDGE), rng.uniform(0.2, 0.45) * np.ones(3)
    clear, beam = max(clear, 5.0), rng.uniform(0.5, 0.9)
    top, run = clear + beam, (clear + beam) * 1.7
    pile.put([0, clear, 0], [2 * half + 1.6, beam, deep], Material.PLAIN, color)
    for side in (-1, 1):
        at = [side * (half + 0.4), -_SUNK, 0]
        pile.put(at, [0.6, clear + _SUNK + 0.1, deep * 0.6], Material.PLAIN, color)
        steps = np.linspace(0, 1, 16, endpoint=False) + 1 / 32
        x = side * (half + 0.8 + steps * run)
        rise = top * (1 - steps)
        tread = np.stack([x, rise - 0.25 - top / 32, np.zeros(16)], 1)
        pile.put(tread, [run / 16 + 0.05, 0.45, deep], Material.PLAIN, color * 0.9)
        head, foot = side * (half + 0.8), side * (half + 0.8 + run)
        for z in (-deep / 2, deep / 2):
            rail = bars([[head, top + 1.1, z]], [[foot, 1.1, z]], 0.05)
            builder.add(rail, Material.PLAIN, color)
            posts = tread[::3] + [0, 0.4, 0]
            posts[:, 2] = z
            builder.add(bars(posts, posts + [0, 1.05, 0], 0.03), Material.PLAIN, color)
    ends = np.array([[-half - 0.8, top, -deep / 2], [-half - 0.8, top, deep / 2]])
    builder.add(panels(ends, ends + [2 * half + 1.6, 0, 0], 1.2), Material.PLAIN, color * 0.7)


def scaffolding(rng: np.random.Generator, length: float) -> Mesh:
    """Scaffold before a house front at x >= 0, along z from 0 to `length`; some under netting."""
    builder, pile = MeshBuilder(), Pile()
    lifts, deep = int(rng.integers(2, 6)), rng.uniform(0.8, 1.1)
    z = np.linspace(0, length, max(round(length / _SCAFFOLD_BAY), 1) + 1)
    x, steel = np.array([-deep - 0.25, -0.25]), [0.32, 0.33, 0.34]
    gx, gz = (grid.ravel() for grid in np.meshgrid(x, z))
    foot = np.stack([gx, np.full_like(gx, -0.1), gz], 1)
    height = lifts * _LIFT + 1.1
    standards = bars(foot, foot + [0, height, 0], 0.025, sides=3)
    builder.add(standards, Material.PLAIN, steel)
    for lift in range(1, lifts + 1):
        y = lift * _LIFT
        deck = [-0.25 - deep / 2, y, length / 2]
        pile.put(deck, [deep, 0.05, length], Material.PLAIN, [0.26, 0.2, 0.13])
        rails = np.array([[x[0], y + rise, 0.0] for rise in (0.15, 0.55, 1.05)])
        builder.add(bars(rails, rails + [0, 0, length], 0.025, sides=3), Material.PLAIN, steel)
    low = np.stack([np.full(len(z) - 1, x[0]), np.zeros(len(z) - 1), z[:-1]], 1)[::2]
    brace = low + [0, height - 1.1, 0]
    brace[:, 2] = np.minimum(low[:, 2] + _SCAFFOLD_BAY, length)
    builder.add(bars(low, brace, 0.025, sides=3), Material.PLAIN, steel)
    if rng.random() < 0.35:
        net = panels([[x[0] - 0.06, _LIFT, 0]], [[x[0] - 0.06, _LIFT, length]], height - _LIFT)
        cloth = [[0.5, 0.5, 0.5], [0.1, 0.2, 0.13], [0.2, 0.25, 0.3]][int(rng.integers(3))]
        builder.add(net, Material.CLOTH, cloth)
    return pile.finish(builder)
