# SPDX-License-Identifier: Apache-2.0
"""The shell of a building: its looks, its plan and its walls."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.geometry.blocks import Pile, walls
from depth_dpt_core.data.synth.geometry.choice import Color, tinted
from depth_dpt_core.data.synth.geometry.mesh import Material, Mesh, MeshBuilder
from depth_dpt_core.data.synth.surfaces.facade import Part, Style, grid, pattern_of

SUNK = -0.5  # m, walls begin below the ground
GLASS = [0.03, 0.035, 0.04]

# linear reflectances of real walls and roofs
_WALLS: dict[Style, list[list[float]]] = {
    Style.PLASTER: [[0.58, 0.54, 0.46], [0.62, 0.61, 0.58], [0.52, 0.42, 0.26], [0.48, 0.34, 0.26],
                    [0.36, 0.36, 0.35], [0.55, 0.48, 0.36], [0.40, 0.44, 0.42]],
    Style.BRICK: [[0.26, 0.10, 0.065], [0.21, 0.12, 0.08], [0.37, 0.28, 0.17],
                  [0.12, 0.085, 0.07], [0.32, 0.17, 0.11], [0.30, 0.28, 0.26]],
    Style.STONE: [[0.42, 0.37, 0.29], [0.33, 0.31, 0.28], [0.50, 0.45, 0.36], [0.24, 0.22, 0.20]],
    Style.PANEL: [[0.42, 0.41, 0.39], [0.50, 0.47, 0.42], [0.30, 0.31, 0.32], [0.58, 0.57, 0.55]],
    Style.SIDING: [[0.62, 0.61, 0.58], [0.34, 0.36, 0.38], [0.48, 0.44, 0.36], [0.20, 0.24, 0.28],
                   [0.24, 0.10, 0.07], [0.30, 0.33, 0.26]],
    Style.METAL: [[0.50, 0.51, 0.52], [0.28, 0.30, 0.33], [0.62, 0.61, 0.58],
                  [0.12, 0.17, 0.26], [0.36, 0.36, 0.30]],
    Style.CURTAIN: [[0.07, 0.08, 0.09], [0.20, 0.21, 0.22], [0.42, 0.42, 0.42],
                    [0.10, 0.13, 0.17]],
}  # fmt: skip
_ROOFS = [[0.25, 0.11, 0.07], [0.19, 0.10, 0.07], [0.09, 0.095, 0.105], [0.16, 0.15, 0.14],
          [0.13, 0.09, 0.07]]  # fmt: skip
_TRIMS = [[0.6, 0.6, 0.57], [0.5, 0.46, 0.38], [0.35, 0.34, 0.32], [0.12, 0.12, 0.125]]


@dataclass(frozen=True)
class Look:
    """The surface of a building and how its walls are divided; metres."""

    seed: int
    style: Style
    color: Color
    roof: Color
    trim: Color
    bay: float
    storey: float
    ground: float  # height of the ground floor
    sill: float
    head: float

    @classmethod
    def draw(cls, rng: np.random.Generator, styles: list[Style]) -> Look:
        """A building in one of these styles."""
        style, seed = styles[int(rng.integers(len(styles)))], int(rng.integers(1 << 26))
        cells = grid(np.array([pattern_of(seed, style, Part.SAME)]))
        sizes = (cells.bay, cells.storey, cells.ground, cells.sill, cells.head)
        colors = tinted(rng, _WALLS[style]), tinted(rng, _ROOFS), tinted(rng, _TRIMS)
        return cls(seed, style, *colors, *(float(size[0]) for size in sizes))

    def pattern(self, part: Part) -> int:
        """Pattern of a wall with such openings."""
        return pattern_of(self.seed, self.style, part)

    @property
    def tiles(self) -> int:
        """Pattern of its roof."""
        return pattern_of(self.seed, Style.TILE, Part.BLANK)

    @property
    def boards(self) -> int:
        """Pattern of its gates and shutters."""
        return pattern_of(self.seed, Style.SIDING, Part.BLANK)

    def storeys(self, low: int, high: int, limit: float, rng: np.random.Generator) -> int:
        """Floors above the ground floor, of which those are left out that pass `limit` metres."""
        fitting = int((limit - self.ground - 0.6) / self.storey)
        return max(min(int(rng.integers(low, high + 1)), fitting), 0)

    def top(self, storeys: int) -> float:
        """Height of the wall over so many floors above the ground floor."""
        return self.ground + storeys * self.storey + 0.25


@dataclass
class Site:
    """A building under construction; its street front faces -x."""

    rng: np.random.Generator
    look: Look
    builder: MeshBuilder = field(default_factory=MeshBuilder)
    pile: Pile = field(default_factory=Pile)

    def chance(self, share: float) -> bool:
        """True in this share of cases."""
        return bool(self.rng.random() < share)

    def finish(self) -> Mesh:
        """Everything that was built."""
        return self.pile.finish(self.builder)


@dataclass(frozen=True)
class Plan:
    """Rectangle that a part of a building covers, from the front x0 and along the street z0."""

    x0: float
    x1: float
    z0: float
    z1: float

    @property
    def middle(self) -> tuple[float, float]:
        """Its x and z."""
        return (self.x0 + self.x1) / 2, (self.z0 + self.z1) / 2

    @property
    def size(self) -> tuple[float, float]:
        """Its extents in x and z."""
        return self.x1 - self.x0, self.z1 - self.z0

    @property
    def outline(self) -> NDArray[np.float64]:
        """Its corners (x, z), the front first."""
        return np.array(
            [[self.x0, self.z0], [self.x0, self.z1], [self.x1, self.z1], [self.x1, self.z0]]
        )

    def bays(self, bay: float) -> NDArray[np.float64]:
        """The z of the middle of every bay of its front."""
        count = max(round((self.z1 - self.z0) / bay), 1)
        return self.z0 + (np.arange(count) + 0.5) * (self.z1 - self.z0) / count


def shell(
    site: Site,
    plan: Plan,
    top: float,
    *,
    bottom: float = SUNK,
    front: Part = Part.HOUSE,
    side: Part = Part.BLANK,
    shops: bool = False,
) -> None:
    """Four walls under a flat roof; `shops` leaves the front of the ground floor blank."""
    look = site.look
    levels = [bottom, look.ground, top] if shops and bottom < look.ground < top else [bottom, top]
    parts = np.tile([front, side, Part.SAME, side], (len(levels) - 1, 1))
    if len(levels) == 3:
        parts[0, 0] = Part.BLANK
    pattern = np.array([look.pattern(Part(part)) for part in range(3)])[parts.ravel()]
    solid = walls(plan.outline, levels, look.bay)
    site.builder.add(solid, Material.FACADE, look.color, pattern=np.repeat(pattern, 2))
    (x, z), (wide, long) = plan.middle, plan.size
    site.pile.put([x, top - 0.3, z], [wide - 0.02, 0.3, long - 0.02], Material.PLAIN, look.trim)
