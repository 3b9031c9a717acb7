# SPDX-License-Identifier: Apache-2.0
"""Every range the synthetic streets are drawn from, in one place."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class SynthRanges:
    """Uniform ranges (low, high) unless a comment says otherwise; metres, radians, seconds.

    Camera values follow vehicle cameras of public driving data: focal length over image width is
    0.58 for KITTI, 1.10 for Cityscapes, 0.79 for the nuScenes front camera.
    """

    # camera; focal length in units of the image width, drawn log-uniformly
    focal_over_width: Range = (0.48, 1.25)
    camera_height: Range = (1.1, 2.3)
    camera_pitch: Range = (-0.09, 0.07)  # positive looks up
    camera_roll: Range = (-0.035, 0.035)
    camera_yaw: Range = (-0.14, 0.14)
    side_view_share: float = 0.15  # frames that look anywhere in +-side_view_yaw instead
    side_view_yaw: float = 1.6
    bonnet_share: float = 0.25
    stereo_baseline: Range = (0.2, 0.24)

    # road
    lane_width: Range = (2.7, 3.8)
    lanes_per_side: tuple[int, int] = (1, 3)
    parking_share: float = 0.6
    pavement_width: Range = (1.2, 4.5)
    kerb_height: Range = (0.04, 0.18)
    slope: Range = (0.0, 0.035)  # largest grade
    curve: Range = (0.0, 0.0025)  # largest curvature, 1/m

    # surroundings
    building_share: Range = (0.0, 1.0)  # of the road's length
    building_setback: Range = (0.0, 9.0)
    building_height: Range = (4.0, 26.0)
    building_front: Range = (7.0, 30.0)
    trees_per_100m: Range = (0.0, 14.0)
    poles_per_100m: Range = (1.0, 8.0)
    people_per_100m: Range = (0.0, 9.0)
    parked_per_100m: Range = (0.0, 13.0)
    traffic_per_100m: Range = (0.0, 7.0)
    clutter_per_100m: Range = (0.0, 8.0)  # boxes and balls of no kind, some of them floating

    # light and air
    sun_share: float = 0.6
    sun_elevation: Range = (0.25, 1.2)
    sky_light: Range = (0.35, 0.75)
    visibility: Range = (150.0, 4000.0)  # drawn log-uniformly

    # lens and sensor
    exposure: Range = (0.75, 1.35)
    white_balance: Range = (0.88, 1.12)
    gamma: Range = (1.8, 2.5)
    vignette: Range = (0.0, 0.35)
    noise: Range = (0.0, 0.022)  # of full scale, at half brightness
    blur: Range = (0.0, 0.9)  # standard deviation, pixels
    jpeg_quality: tuple[int, int] = (55, 97)
