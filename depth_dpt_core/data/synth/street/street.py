# SPDX-License-Identifier: Apache-2.0
"""What a street is: its mesh, how its road runs, its light and weather."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.geometry.mesh import Floats, Mesh
from depth_dpt_core.data.synth.ranges import RoadRanges

LENGTH = 300.0
BEHIND = 60.0  # the street starts this far behind the first camera, for views to the side and back
_BANK = 15.0  # m beyond the road's edge over which the land rises or falls
_TURNING = 60.0  # m to either side that turn with the road; land further out would fold
_PLAIN = -2.5  # m, height of the land far out


@dataclass(frozen=True)
class Light:
    """Directional sun (zero when overcast), sky light, colours linear, haze by visibility."""

    sun_direction: Floats  # unit vector towards the sun
    sun_color: Floats
    sky_color: Floats  # of the light that falls from the whole sky
    zenith_color: Floats  # of the sky as it is seen
    horizon_color: Floats
    visibility: float  # m, distance at which contrast has fallen to 2 % (Koschmieder)
    cloud_seed: int
    cloud_cover: float
    wet: float  # 0 dry to 1, a road that mirrors


@dataclass(frozen=True)
class Crossing:
    """A crossroads: the middle of the other road along z and half its width."""

    z: float
    half_width: float
    green: bool  # for the other road

    def covers(self, low: float, high: float) -> bool:
        """Whether anything from z = `low` to `high` would stand in it."""
        return high > self.z - self.half_width and low < self.z + self.half_width


@dataclass(frozen=True)
class RoadLayout:
    """Where things are across the road; x in metres from the divide between the directions.

    Pairs are (left, right). Traffic keeps to the right; mirrored pictures show the rest.
    """

    lane_width: float
    lanes: tuple[int, int]  # oncoming and ahead
    own_lane: int  # of those ahead, from the divide
    median: float  # strip between the directions
    shoulder: float
    parking: tuple[float, float]
    pavement: tuple[float, float]  # 0: no kerb either
    kerb: float
    rise: tuple[float, float]  # of the land, per metre away from the road
    crossing: Crossing | None
    wear: float
    marking_seed: int

    @property
    def edges(self) -> tuple[float, float]:
        """X where the carriageway ends."""
        left, right = (count * self.lane_width + self.shoulder for count in self.lanes)
        if not self.lanes[0]:
            return -self.shoulder - self.parking[0], right + self.parking[1]
        half = self.median / 2
        return -half - left - self.parking[0], half + right + self.parking[1]

    @property
    def borders(self) -> tuple[float, float]:
        """X where pavements, or without them the carriageway, end."""
        left, right = self.edges
        kerbs = [0.15 if width else 0.0 for width in self.pavement]
        return left - kerbs[0] - self.pavement[0], right + kerbs[1] + self.pavement[1]

    @property
    def own_center(self) -> float:
        """X of the middle of the camera's lane."""
        return self.lane_centers()[self.lanes[0] + self.own_lane][0]

    def lane_centers(self) -> list[tuple[float, int]]:
        """All lanes as (x, driving direction), oncoming ones first, from the divide outwards."""
        half = self.median / 2 if self.lanes[0] else 0.0
        against = [(-half - (i + 0.5) * self.lane_width, -1) for i in range(self.lanes[0])]
        along = [(half + (i + 0.5) * self.lane_width, 1) for i in range(self.lanes[1])]
        return against + along

    def ground(self, x: float) -> float:
        """Height of the ground at x, metres above the carriageway."""
        side = int(x > 0)
        beyond = (x - self.borders[1]) if side else (self.borders[0] - x)
        if beyond > 0:
            return self._foot(side) + self.rise[side] * min(beyond, _BANK)
        inside = self.edges[0] < x < self.edges[1]
        return 0.0 if inside or not self.pavement[side] else self.kerb

    def bank(self, side: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Foot and top of the land's slope on a side (0 left, 1 right) as (x, height)."""
        sign = 2 * side - 1
        foot = self.borders[side], self._foot(side)
        return foot, (foot[0] + sign * _BANK, foot[1] + self.rise[side] * _BANK)

    @property
    def plain(self) -> float:
        """Height of the land far out, below all that falls away from the road."""
        return min(_PLAIN, *(self.bank(side)[1][1] - 0.5 for side in (0, 1)))

    def _foot(self, side: int) -> float:
        return self.kerb - 0.02 if self.pavement[side] else -0.03


class Terrain:
    """Lays the straight street along a road that bends (an arc) and goes up and down (a sine)."""

    def __init__(self, rng: np.random.Generator, ranges: RoadRanges) -> None:
        wave = rng.uniform(90, 400)
        self._wave = 2 * np.pi / wave
        self._phase = rng.uniform(0, 2 * np.pi)
        self._rise = rng.uniform(*ranges.slope) / self._wave
        self._curvature = rng.uniform(*ranges.curve) * rng.choice([-1, 1])

    def heading(self, z: NDArray[np.floating]) -> NDArray[np.floating]:
        """Direction of the road after z metres, radians from the world's z towards x."""
        return np.asarray(self._curvature * np.clip(z, 0, LENGTH))

    def grade(self, z: NDArray[np.floating]) -> NDArray[np.floating]:
        """Angle by which the road rises at z, radians."""
        slope = self._rise * self._wave * np.cos(self._wave * z + self._phase)
        return np.asarray(np.arctan(slope))

    def place(
        self, x: NDArray[np.floating], z: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
        """World (x, y, z) of points on the road, x across it and z along it, metres.

        The middle line is an arc from z = 0 to LENGTH and straight before and beyond.
        """
        heading, bent = self.heading(z), np.clip(z, 0, LENGTH)
        chord = bent * np.sinc(heading / 2 / np.pi)
        turning = np.clip(x, -_TURNING, _TURNING)
        across = chord * np.sin(heading / 2) + (z - bent) * np.sin(heading)
        along = chord * np.cos(heading / 2) + (z - bent) * np.cos(heading)
        return (
            across + turning * np.cos(heading) + x - turning,
            self._rise * np.sin(self._wave * z + self._phase),
            along - turning * np.sin(heading),
        )

    def bend(self, mesh: Mesh) -> Mesh:
        """Return the mesh with every vertex, and its normal, moved along with the road."""
        x, height, z = mesh.vertices.astype(np.float64).T
        across, up, along = self.place(x, z)
        cos, sin = np.cos(self.heading(z)), np.sin(self.heading(z))
        normals = mesh.normals.copy()
        normals[:, 0] = mesh.normals[:, 0] * cos + mesh.normals[:, 2] * sin
        normals[:, 2] = mesh.normals[:, 2] * cos - mesh.normals[:, 0] * sin
        vertices = np.stack([across, height + up, along], 1).astype(np.float32)
        return replace(mesh, vertices=vertices, normals=normals)


@dataclass(frozen=True)
class Street:
    """A street ready to be rendered."""

    mesh: Mesh
    layout: RoadLayout
    terrain: Terrain
    light: Light
