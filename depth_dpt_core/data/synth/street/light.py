# SPDX-License-Identifier: Apache-2.0
"""Draw the light and the air of a street."""

from __future__ import annotations

import numpy as np

from depth_dpt_core.data.synth.ranges import LightRanges
from depth_dpt_core.data.synth.street.street import Light

_CLEAR, _GREY = np.array([0.30, 0.50, 0.88]), np.array([0.78, 0.79, 0.81])


def draw_light(rng: np.random.Generator, ranges: LightRanges) -> Light:
    """Draw sun, sky, visibility and whether the road is wet."""
    sunny = rng.random() < ranges.sun_share
    elevation, azimuth = rng.uniform(*ranges.sun_elevation), rng.uniform(0, 2 * np.pi)
    flat = np.cos(elevation)
    direction = [flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth)]
    # the lower the sun, the redder and the weaker
    warmth = 1 - 0.45 * np.exp(-3 * elevation)
    sun = rng.uniform(*ranges.sun) * warmth * np.array([1.0, 0.4 + 0.6 * warmth, warmth**2])
    cover = rng.uniform(*(ranges.clouds_in_sun if sunny else ranges.clouds_overcast))
    sky = (_CLEAR + cover * (_GREY - _CLEAR)) * rng.uniform(*ranges.sky)
    # beside a sunlit street the blue above is no brighter than a wall; clouds are
    zenith = sky * rng.uniform(*(ranges.zenith_in_sun if sunny else ranges.zenith_overcast))
    foggy = rng.random() < ranges.fog_share
    low, high = np.log(ranges.fog if foggy else ranges.visibility)
    haze = np.array([0.82, 0.84, 0.86]) * rng.uniform(
        *(ranges.haze_in_sun if sunny else ranges.haze_overcast)
    )
    horizon = 0.4 * zenith + 0.6 * haze
    return Light(
        np.array(direction, np.float32),
        (sun * sunny * (0.25 if foggy else 1.0)).astype(np.float32),
        (sky * rng.uniform(*ranges.sky_light)).astype(np.float32),
        zenith.astype(np.float32),
        horizon.astype(np.float32),
        float(np.exp(rng.uniform(low, high))),
        int(rng.integers(1 << 30)),
        float(cover),
        float(rng.uniform(*ranges.wetness) * (rng.random() < ranges.wet_share)),
    )
