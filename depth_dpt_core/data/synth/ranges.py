# SPDX-License-Identifier: Apache-2.0
"""Every range that layout, camera, light, weather and sensor of the streets are drawn from.

Shapes and colours of single things stand with the things: `vehicles/`, `buildings/`, `plants/` ...

Uniform (low, high) unless a comment says otherwise; metres, radians, shares of 0..1. A file that
holds some of them changes those (`depth-dpt synth --ranges FILE`), by the names used here:

    camera:
      pitch: [0.0, 0.0]
    kinds:
      highway: {share: 0.0}
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Range = tuple[float, float]
_SIGNED = {"pitch", "roll", "yaw", "embankment"}
_POSITIVE = {"focal_over_width", "aspect", "pixel_aspect", "gamma", "fog", "visibility"}


@dataclass(frozen=True)
class CameraRanges:
    """Where the camera is and how it sees.

    Focal length over image width is 0.58 for KITTI (aspect 3.3), 1.10 for Cityscapes (2.0), 0.79
    for the front and 0.5 for the rear camera of nuScenes (1.78), 0.9 for Argoverse 2 (1.32 and
    0.76), 0.7 to 0.85 for a phone (1.33 or 1.78). Heights: 1.22 Cityscapes, 1.5 nuScenes, 1.65
    KITTI, 1.2 to 1.5 behind a windscreen, up to 2.4 on a van.
    """

    focal_over_width: Range = (0.45, 1.25)  # drawn log-uniformly
    aspect: Range = (1.3, 3.4)  # width / height, drawn log-uniformly; no portrait pictures
    pixel_aspect: Range = (0.99, 1.01)  # fy / fx
    principal_x: float = 0.01  # standard deviation from the middle, of the width
    principal_y: float = 0.03  # of the height
    place: Range = (0.0, 100.0)  # along the street
    height: Range = (1.1, 2.4)
    pitch: Range = (-0.1, 0.08)  # positive looks up
    roll: Range = (-0.035, 0.035)
    yaw: Range = (-0.14, 0.14)
    side_view_share: float = 0.25  # frames that look anywhere in +-side_view_yaw instead
    side_view_yaw: float = 3.1416
    offset: float = 0.4  # standard deviation across the lane
    bonnet_share: float = 0.2
    bonnet_height: Range = (0.02, 0.16)  # of the picture's
    bonnet_half_width: Range = (0.6, 1.3)  # of the picture's width
    bonnet_drop: Range = (0.1, 0.9)  # of its edge over that half width, of the picture's height
    stereo_baseline: Range = (0.2, 0.24)


@dataclass(frozen=True)
class StreetKind:
    """One kind of street; `*_per_100m` count along one side or lane."""

    share: float  # of all streets
    lanes_ahead: tuple[int, int]
    lanes_oncoming: tuple[int, int]  # none: a one-way street
    lane_width: Range
    median: Range = (0.0, 0.0)  # width of the strip between the directions
    median_share: float = 0.0
    shoulder: Range = (0.0, 0.4)  # asphalt beside the outermost lane
    parking_share: float = 0.0  # of the sides
    pavement: Range = (0.0, 0.0)  # width; none: no kerb, the ground begins at the road
    building_share: Range = (0.0, 0.0)  # of the length
    building_height: Range = (9.0, 30.0)  # that no building along one side exceeds
    setback: Range = (0.0, 6.0)  # of buildings from the pavement
    barrier_share: float = 0.0  # guard rails, concrete or noise barriers, of the sides
    fence_share: Range = (0.0, 0.4)  # where there is no building
    crossing_share: float = 0.0  # streets that have a crossroads
    overhead_share: float = 0.1  # streets with a bridge or a sign gantry above
    embankment: Range = (-0.05, 0.1)  # rise of the land per metre away from the road
    trees_per_100m: Range = (0.0, 8.0)
    bushes_per_100m: Range = (0.0, 8.0)
    posts_per_100m: Range = (1.0, 6.0)  # lamps, signs, lights, bollards
    furniture_per_100m: Range = (0.0, 3.0)
    people_per_100m: Range = (0.0, 0.5)
    cycles_per_100m: Range = (0.0, 0.5)
    parked_per_100m: Range = (2.0, 14.0)
    traffic_per_100m: Range = (0.0, 5.0)
    jam_share: float = 0.1  # of the lanes: standing bumper to bumper


def _kinds() -> dict[str, StreetKind]:
    return {
        "urban": StreetKind(
            share=0.34, lanes_ahead=(1, 2), lanes_oncoming=(0, 2), lane_width=(2.7, 3.6),
            parking_share=0.6, pavement=(1.3, 4.5), building_share=(0.6, 1.0), setback=(0.0, 3.0),
            crossing_share=0.35, trees_per_100m=(0.0, 8.0), bushes_per_100m=(0.0, 3.0),
            posts_per_100m=(2.0, 9.0), furniture_per_100m=(0.0, 7.0), people_per_100m=(0.0, 10.0),
            cycles_per_100m=(0.0, 4.0), traffic_per_100m=(0.0, 6.0), jam_share=0.2,
            median=(0.3, 3.0), median_share=0.1, embankment=(-0.01, 0.01),
        ),
        "residential": StreetKind(
            share=0.2, lanes_ahead=(1, 1), lanes_oncoming=(0, 1), lane_width=(2.5, 3.3),
            parking_share=0.6, pavement=(1.0, 2.5), building_share=(0.4, 0.9), setback=(2.0, 12.0),
            fence_share=(0.3, 0.9), crossing_share=0.2, overhead_share=0.02,
            trees_per_100m=(0.0, 12.0), bushes_per_100m=(0.0, 14.0), people_per_100m=(0.0, 3.0),
            cycles_per_100m=(0.0, 2.0), traffic_per_100m=(0.0, 2.0), embankment=(-0.03, 0.06),
        ),
        "arterial": StreetKind(
            share=0.2, lanes_ahead=(2, 4), lanes_oncoming=(2, 4), lane_width=(3.0, 3.8),
            median=(0.6, 6.0), median_share=0.6, parking_share=0.15, pavement=(1.2, 3.5),
            building_share=(0.2, 0.8), setback=(2.0, 20.0), barrier_share=0.1,
            crossing_share=0.5, overhead_share=0.15, trees_per_100m=(0.0, 7.0),
            posts_per_100m=(2.0, 7.0), furniture_per_100m=(0.0, 3.0), people_per_100m=(0.0, 3.0),
            cycles_per_100m=(0.0, 1.0), traffic_per_100m=(0.5, 7.0), jam_share=0.25,
        ),
        "highway": StreetKind(
            share=0.14, lanes_ahead=(2, 4), lanes_oncoming=(2, 4), lane_width=(3.4, 3.8),
            median=(1.5, 10.0), median_share=1.0, shoulder=(0.5, 3.5), barrier_share=0.7,
            building_share=(0.0, 0.15), setback=(8.0, 30.0), overhead_share=0.4,
            embankment=(-0.25, 0.35), trees_per_100m=(0.0, 12.0), bushes_per_100m=(0.0, 12.0),
            posts_per_100m=(0.5, 4.0), traffic_per_100m=(0.5, 6.0), jam_share=0.12,
        ),
        "rural": StreetKind(
            share=0.12, lanes_ahead=(1, 1), lanes_oncoming=(1, 1), lane_width=(2.6, 3.6),
            shoulder=(0.1, 1.0), barrier_share=0.15, building_share=(0.0, 0.2),
            setback=(4.0, 20.0), embankment=(-0.2, 0.3), trees_per_100m=(0.0, 16.0),
            bushes_per_100m=(0.0, 16.0), posts_per_100m=(0.5, 4.0), traffic_per_100m=(0.0, 3.0),
        ),
    }  # fmt: skip


@dataclass(frozen=True)
class RoadRanges:
    """How roads run, and what stands on them without belonging to any kind."""

    slope: Range = (0.0, 0.05)  # largest grade
    curve: Range = (0.0, 0.004)  # largest curvature, 1/m
    kerb_height: Range = (0.04, 0.18)
    crossing_place: Range = (10.0, 130.0)  # of a crossroads along the street
    crossing_half_width: Range = (3.5, 9.0)
    wear: Range = (0.0, 1.0)  # cracks, patches, stains, faded paint
    crossing_people: Range = (0.0, 2.5)  # on the carriageway, of the nearest 80 m
    clutter_per_100m: Range = (0.0, 3.0)  # boxes and balls of no kind, some of them floating


@dataclass(frozen=True)
class LightRanges:
    """Sun, sky and air."""

    sun_share: float = 0.6
    sun_elevation: Range = (0.12, 1.25)
    sun: Range = (0.9, 1.7)  # light of a high sun on a white surface that faces it
    clouds_in_sun: Range = (0.0, 0.65)  # share of the sky
    clouds_overcast: Range = (0.7, 1.0)
    sky: Range = (0.75, 1.15)  # brightness
    sky_light: Range = (0.35, 0.8)  # what of that falls on the street
    zenith_in_sun: Range = (0.4, 0.9)  # brightness that is seen, of the sky's own
    zenith_overcast: Range = (0.8, 1.1)
    haze_in_sun: Range = (0.55, 1.05)  # brightness of the air at the horizon
    haze_overcast: Range = (0.8, 1.05)
    fog_share: float = 0.15
    fog: Range = (120.0, 1200.0)  # visibility, drawn log-uniformly, as is the next
    visibility: Range = (3000.0, 30000.0)
    wet_share: float = 0.1  # streets whose road mirrors
    wetness: Range = (0.3, 1.0)  # of those


@dataclass(frozen=True)
class SensorRanges:
    """Lens, sensor and what cameras do to their pictures."""

    exposure: Range = (0.6, 1.5)
    white_balance: Range = (0.92, 1.08)
    saturation: Range = (0.6, 1.3)
    gamma: Range = (1.8, 2.6)
    veil: Range = (0.0, 0.06)  # light scattered over the whole picture, of its mean
    bloom: Range = (0.0, 0.12)  # share of light spread around bright spots
    vignette: Range = (0.0, 0.4)
    noise: Range = (0.0, 0.025)  # of full scale, at half brightness
    blur: Range = (0.0, 0.9)  # standard deviation, pixels
    motion: Range = (0.0, 2.0)  # length of motion blur, pixels
    motion_share: float = 0.25  # of the frames
    sharpening: Range = (0.0, 1.2)  # of the difference to a blurred copy
    jpeg_quality: tuple[int, int] = (50, 97)


@dataclass(frozen=True)
class SynthRanges:
    """All of them."""

    camera: CameraRanges = field(default_factory=CameraRanges)
    road: RoadRanges = field(default_factory=RoadRanges)
    kinds: dict[str, StreetKind] = field(default_factory=_kinds)
    light: LightRanges = field(default_factory=LightRanges)
    sensor: SensorRanges = field(default_factory=SensorRanges)

    def changed(self, changes: Mapping[str, Any], source: str = "ranges") -> SynthRanges:
        """Return ranges of which those in nested `changes` are others.

        Raises:
            ValueError: a name that does not exist, or a value of another form; the message
                begins with `source`.
        """
        ranges: SynthRanges = _changed(self, changes, source)
        if not any(kind.share for kind in ranges.kinds.values()):
            raise ValueError(f"{source}: kinds: one share at least must be above 0")
        return ranges


def load_ranges(path: Path) -> SynthRanges:
    """Read the ranges that a YAML file changes; all others keep their values.

    Raises:
        OSError: the file cannot be read.
        ValueError: not YAML, a name that does not exist, or a value of another form.
    """
    import yaml

    try:
        changes = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    return SynthRanges().changed(changes or {}, str(path))


def _changed(value: Any, change: Any, where: str, name: str = "") -> Any:
    """`value`, which has that name, with what `change` holds, of the same form."""
    if dataclasses.is_dataclass(value) or isinstance(value, dict):
        old = value if isinstance(value, dict) else vars(value)
        if not isinstance(change, Mapping):
            raise ValueError(f"{where}: {change!r} where names are expected: {', '.join(old)}")
        for key in change:
            if key not in old:
                raise ValueError(f"{where}: no range {key!r}; there are {', '.join(old)}")
        new = {key: _changed(old[key], change[key], f"{where}: {key}", key) for key in change}
        if isinstance(value, dict):
            return {**value, **new}
        return dataclasses.replace(value, **new)  # type: ignore[type-var]
    if isinstance(value, tuple):
        if not (
            isinstance(change, list | tuple) and len(change) == 2 and all(map(_is_number, change))
        ):
            raise ValueError(f"{where}: {change!r} where [low, high] is expected")
        if change[0] > change[1]:
            raise ValueError(f"{where}: {change!r}: low must not be above high")
        _check_limits(change, where, name)
        return tuple(type(old)(new) for old, new in zip(value, change, strict=True))
    if not _is_number(change):
        raise ValueError(f"{where}: {change!r} where a number is expected")
    _check_limits([change], where, name)
    return float(change)


def _check_limits(numbers: Sequence[float], where: str, name: str) -> None:
    """Refuse what cannot be drawn from."""
    if name not in _SIGNED and min(numbers) < 0:
        raise ValueError(f"{where}: {min(numbers)}: must not be below 0")
    if name in _POSITIVE and min(numbers) <= 0:
        raise ValueError(f"{where}: {min(numbers)}: must be above 0")
    if name.endswith("share") and name != "share" and max(numbers) > 1:
        raise ValueError(f"{where}: {max(numbers)}: a share is 1 at most")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
