# SPDX-License-Identifier: Apache-2.0
"""Pinhole intrinsics, scaling and focal-length correction; how a camera is mounted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole camera of a rectified image.

    Focal lengths and principal point in pixels, pixel centres at integer coordinates (the
    convention of OpenCV and of sensor_msgs/CameraInfo).

    Raises:
        ValueError: a focal length is not a positive number, or the principal point not finite.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fx) and math.isfinite(self.fy) and min(self.fx, self.fy) > 0):
            raise ValueError(
                f"focal length must be a positive number of pixels, got {self.fx} x {self.fy}"
            )
        if not (math.isfinite(self.cx) and math.isfinite(self.cy)):
            raise ValueError(f"principal point must be finite, got ({self.cx}, {self.cy})")

    @classmethod
    def centered(cls, focal_length: float, width: int, height: int) -> Intrinsics:
        """Camera with square pixels and the principal point in the middle of the image."""
        return cls(focal_length, focal_length, (width - 1) / 2, (height - 1) / 2)

    def scaled(self, sx: float, sy: float) -> Intrinsics:
        """Intrinsics after resizing the image by `sx`, `sy` (half-pixel-centre resampling)."""
        return Intrinsics(
            self.fx * sx, self.fy * sy, (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        )

    def shifted(self, dx: float, dy: float) -> Intrinsics:
        """Intrinsics after the image content moved by `dx`, `dy` pixels (padding, cropping)."""
        return Intrinsics(self.fx, self.fy, self.cx + dx, self.cy + dy)


@dataclass(frozen=True)
class Mounting:
    """How a camera looks at the ground: `height` in metres above it, angles in radians.

    Positive `pitch` looks up; positive `roll` turns the camera clockwise, seen from behind.
    """

    height: float
    pitch: float
    roll: float

    @classmethod
    def of(cls, height: float, down: NDArray[np.floating]) -> Mounting:
        """Angles from the direction of gravity in the camera's frame [3] (right, down, ahead)."""
        x, y, z = (np.asarray(down, np.float64) / np.linalg.norm(down)).tolist()
        return cls(height, float(np.arcsin(-z)), float(np.arctan2(x, y)))

    @property
    def down(self) -> NDArray[np.float64]:
        """Direction of gravity in the camera's frame [3] (right, down, ahead)."""
        level = np.cos(self.pitch)
        return np.array(
            [np.sin(self.roll) * level, np.cos(self.roll) * level, -np.sin(self.pitch)]
        )


def focal_correction(
    fx: float, fy: float, canonical_fx: float, canonical_fy: float, *, stretched: bool
) -> float:
    """Factor from canonical to metric depth.

    Metric3D's label rule (Yin et al., ICCV 2023) read backwards: an object of given size and
    distance fills pixels in proportion to the focal length, so a network that assumes
    `canonical_fx` answers f / f_canonical too little or too much.

    Args:
        fx: horizontal focal length of the image as the network sees it, pixels.
        fy: vertical focal length likewise.
        canonical_fx: horizontal focal length the network was trained for, pixels.
        canonical_fy: vertical focal length likewise.
        stretched: the image's aspect ratio was not kept; then both directions count alike, as
            the geometric mean.
    """
    horizontal = fx / canonical_fx
    return math.sqrt(horizontal * fy / canonical_fy) if stretched else horizontal
