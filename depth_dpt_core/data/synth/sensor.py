# SPDX-License-Identifier: Apache-2.0
"""From linear light to the picture a vehicle camera delivers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.geometry.mesh import Floats
from depth_dpt_core.data.synth.ranges import SensorRanges

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # ITU-R BT.709


@dataclass(frozen=True)
class Sensor:
    """Lens and sensor of one camera; see `SensorRanges` for units."""

    exposure: float
    white_balance: tuple[float, float, float]
    saturation: float
    gamma: float
    veil: float
    bloom: float
    vignette: float
    noise: float
    blur: float
    motion: float
    motion_angle: float  # radians from the picture's x axis
    sharpening: float
    jpeg_quality: int

    @classmethod
    def draw(cls, rng: np.random.Generator, ranges: SensorRanges) -> Sensor:
        """Draw a camera from the ranges."""
        red, green, blue = rng.uniform(*ranges.white_balance, 3)
        low, high = ranges.jpeg_quality
        return cls(
            exposure=rng.uniform(*ranges.exposure),
            white_balance=(float(red), float(green), float(blue)),
            saturation=rng.uniform(*ranges.saturation),
            gamma=rng.uniform(*ranges.gamma),
            veil=rng.uniform(*ranges.veil),
            bloom=rng.uniform(*ranges.bloom),
            vignette=rng.uniform(*ranges.vignette),
            noise=rng.uniform(*ranges.noise),
            blur=rng.uniform(*ranges.blur),
            motion=rng.uniform(*ranges.motion) * (rng.random() < ranges.motion_share),
            motion_angle=rng.uniform(0, np.pi),
            sharpening=rng.uniform(*ranges.sharpening),
            jpeg_quality=int(rng.integers(low, high + 1)),
        )

    def expose(self, linear: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Turn linear light [H,W,3] into an RGB picture [H,W,3] uint8."""
        # auto exposure, as cameras meter: the mean of the lower part lands at middle grey, but
        # not much more than a tenth of the picture is white
        height = linear.shape[0]
        road = float(np.mean(linear[height // 2 :] @ _LUMA))
        bright = float(np.quantile(linear @ _LUMA, 0.9))
        level = self.exposure * min(0.28 / max(road, 0.02), 1.3 / max(bright, 0.02))
        image = self._through_the_lens(linear * np.float32(level))
        image = image * np.array(self.white_balance, np.float32)
        grey = (image @ _LUMA)[..., None]
        image = np.clip(grey + self.saturation * (image - grey), 0, None)
        shot = np.sqrt(np.clip(image, 0.02, 1) * 2) * np.float32(self.noise)
        image = image + rng.standard_normal(image.shape, np.float32) * shot
        shoulder = np.where(image > 0.8, 0.8 + 0.2 * np.tanh((image - 0.8) / 0.2), image)
        encoded = np.clip(shoulder, 0, 1).astype(np.float32) ** np.float32(1 / self.gamma)
        if self.sharpening > 0.1:
            soft = cv2.GaussianBlur(encoded, (0, 0), 1.0)
            encoded = np.clip(encoded + self.sharpening * (encoded - soft), 0, 1)
        return self._compressed(np.round(encoded * 255).astype(np.uint8))

    def _through_the_lens(self, image: Floats) -> Floats:
        height, width = image.shape[:2]
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        falloff = 1 - self.vignette * ((x * x + y * y) / 2) ** 1.5
        image = np.asarray(image * falloff[..., None], np.float32)
        if self.bloom > 0.01:  # light that spreads around what is bright
            spread = cv2.GaussianBlur(np.clip(image, 0, 4), (0, 0), 0.02 * width)
            image = np.asarray((1 - self.bloom) * image + self.bloom * spread, np.float32)
        image = np.asarray(image + self.veil * image.mean(), np.float32)
        if self.blur > 0.3:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), self.blur), np.float32)
        if self.motion > 0.5:
            image = np.asarray(cv2.filter2D(image, -1, self._streak()), np.float32)
        return image

    def _streak(self) -> Floats:
        """Kernel of a motion blur: a short line."""
        kernel = np.zeros((7, 7), np.float32)
        step = self.motion / 2 * np.array([np.cos(self.motion_angle), np.sin(self.motion_angle)])
        for share in np.linspace(-1, 1, 15):
            x, y = np.round(3 + share * step).astype(int)
            kernel[y, x] += 1 / 15
        return kernel

    def _compressed(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        quality = [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality]
        _, packed = cv2.imencode(".jpg", picture[..., ::-1], quality)
        decoded = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
        return np.ascontiguousarray(decoded[..., ::-1])
