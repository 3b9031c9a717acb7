# SPDX-License-Identifier: Apache-2.0
"""From linear light to the picture a vehicle camera delivers."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.synth.mesh import Floats
from depth_dpt_core.data.synth.ranges import SynthRanges


@dataclass(frozen=True)
class Sensor:
    """Lens and sensor of one camera; see `SynthRanges` for units."""

    exposure: float
    white_balance: tuple[float, float, float]
    gamma: float
    vignette: float
    noise: float
    blur: float
    jpeg_quality: int

    @classmethod
    def draw(cls, rng: np.random.Generator, ranges: SynthRanges) -> Sensor:
        """Draw a camera from the ranges."""
        red, green, blue = rng.uniform(*ranges.white_balance, 3)
        return cls(
            exposure=rng.uniform(*ranges.exposure),
            white_balance=(float(red), float(green), float(blue)),
            gamma=rng.uniform(*ranges.gamma),
            vignette=rng.uniform(*ranges.vignette),
            noise=rng.uniform(*ranges.noise),
            blur=rng.uniform(*ranges.blur),
            jpeg_quality=int(rng.integers(*ranges.jpeg_quality)),
        )

    def expose(self, linear: Floats, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Turn linear light [H,W,3] into an RGB picture [H,W,3] uint8."""
        height, width = linear.shape[:2]
        # auto exposure: a bright quantile lands near white, as cameras meter
        level = self.exposure * 0.85 / max(float(np.quantile(linear, 0.9)), 0.05)
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        falloff = 1 - self.vignette * ((x * x + y * y) / 2) ** 1.5
        gain = level * np.array(self.white_balance, np.float32)
        image = linear * gain * falloff[..., None].astype(np.float32)
        if self.blur > 0.3:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        shot = np.sqrt(np.clip(image, 0.02, 1) * 2) * self.noise
        image = image + rng.standard_normal(image.shape, np.float32) * shot
        shoulder = np.where(image > 0.8, 0.8 + 0.2 * np.tanh((image - 0.8) / 0.2), image)
        encoded = np.clip(shoulder, 0, 1) ** (1 / self.gamma)
        picture = np.round(encoded * 255).astype(np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality]
        _, packed = cv2.imencode(".jpg", picture[..., ::-1], quality)
        decoded = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
        return np.ascontiguousarray(decoded[..., ::-1])
