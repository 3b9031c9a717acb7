# SPDX-License-Identifier: Apache-2.0
"""Whether pictures are as rough as real ones at every scale."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_WIDTH = 512  # pixels at which pictures of all sizes are compared
_LOWEST = 3  # cycles per picture
_HIGHEST = 0.35  # cycles per pixel; above, resizing and compression decide


def spectral_slope(image: NDArray[np.uint8]) -> float:
    """Exponent of the power spectrum over frequency, about -2 for pictures of the world.

    Of the logarithm of grey, in the middle square of the picture brought to one width, averaged
    over all directions; after Ruderman and Bialek, Statistics of natural images: scaling in the
    woods, 1994.

    Args:
        image: [H,W,3] RGB uint8.
    """
    height = round(image.shape[0] * _WIDTH / image.shape[1])
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    size = min(grey.shape) // 2 * 2
    top, left = (height - size) // 2, (_WIDTH - size) // 2
    square = np.log(grey[top : top + size, left : left + size] + 1.0)
    window = np.hanning(size)
    spectrum = np.fft.fft2((square - square.mean()) * window[:, None] * window)
    frequency = np.fft.fftfreq(size, 1 / size)
    ring = np.hypot(frequency[:, None], frequency).astype(int).ravel()
    power = np.bincount(ring, (np.abs(spectrum) ** 2).ravel()) / np.bincount(ring)
    kept = np.arange(_LOWEST, int(_HIGHEST * size))
    return float(np.polyfit(np.log(kept), np.log(power[kept] + 1e-12), 1)[0])
