# SPDX-License-Identifier: Apache-2.0
"""The slope of power spectra."""

from __future__ import annotations

import numpy as np
import pytest

from depth_dpt_core.evaluation.spectrum import spectral_slope
from depth_dpt_core.frames import street_frames


@pytest.mark.parametrize("exponent", [-1.0, -2.0, -3.0])
def test_noise_of_a_known_spectrum(exponent):
    frequency = np.fft.fftfreq(512, 1 / 512)
    radius = np.hypot(frequency[:, None], frequency)
    radius[0, 0] = 1
    white = np.fft.fft2(np.random.default_rng(0).standard_normal((512, 512)))
    noise = np.fft.ifft2(white * radius ** (exponent / 2)).real
    grey = np.exp(0.5 * noise / noise.std()) * 100  # the logarithm is what is measured
    image = np.clip(np.round(grey), 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    assert spectral_slope(image) == pytest.approx(exponent, abs=0.15)


def test_rendered_streets_are_as_rough_as_pictures_of_the_world():
    slopes = [spectral_slope(frame) for frame in street_frames()]
    assert -3.0 < np.mean(slopes) < -2.0
