# SPDX-License-Identifier: Apache-2.0
"""Random changes of colour and sharpness; geometry is the data set's business."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms.v2 import functional

from depth_dpt_core.training.config import AugmentationConfig


def augment_colors(
    image: NDArray[np.uint8], rng: np.random.Generator, config: AugmentationConfig
) -> NDArray[np.uint8]:
    """Brightness, contrast, saturation, hue, grey, blur and noise: [H,W,3] RGB in and out."""
    spread = config.brightness
    tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
    tensor = functional.adjust_brightness(tensor, rng.uniform(1 - spread, 1 + spread))
    tensor = functional.adjust_contrast(tensor, rng.uniform(1 - spread, 1 + spread))
    tensor = functional.adjust_saturation(tensor, rng.uniform(1 - spread, 1 + spread))
    tensor = functional.adjust_hue(tensor, rng.uniform(-config.hue, config.hue))
    if rng.random() < config.grey:
        tensor = functional.rgb_to_grayscale(tensor, num_output_channels=3)
    if rng.random() < config.blur:
        tensor = functional.gaussian_blur(tensor, [3, 3], [rng.uniform(0.3, 1.2)])
    out = tensor.numpy().transpose(1, 2, 0).astype(np.float32)
    sigma = rng.uniform(0, config.noise) * 255
    out += rng.standard_normal(out.shape, np.float32) * np.float32(sigma)
    return np.asarray(np.clip(np.round(out), 0, 255), np.uint8)
