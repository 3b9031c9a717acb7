# SPDX-License-Identifier: Apache-2.0
"""From a frame to what the network sees: transforms v2 on image, labels and camera together.

An example in the making is a dictionary of three: `image` (tv_tensors.Image [3,H,W] uint8),
`labels` (tv_tensors.Mask [2,H,W] float32: depth and lower bound, metres) and `focal` (`Focal`).
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from depth_dpt_core.config import AugmentationConfig
from depth_dpt_core.preprocess import PADDING_COLOR, Geometry


class Focal(tv_tensors.TVTensor):  # type: ignore[misc]
    """Focal lengths [2] (fx, fy) in pixels of the image that it travels with.

    Transforms that know nothing of it pass it on.
    """


def network_transform(
    size: tuple[int, int], *, stretch: bool, augmentation: AugmentationConfig | None
) -> v2.Transform:
    """All that happens to an example; `augmentation` None shows the whole frame as it is.

    Args:
        size: the network's (height, width), pixels.
        stretch: fill the network's input regardless of the aspect ratio.
        augmentation: ranges of random changes, drawn from torch's generator.
    """
    if augmentation is None:
        return v2.Compose([CropToNetwork(size, stretch=stretch), Letterbox(size)])
    a = augmentation
    return v2.Compose(
        [
            CropToNetwork(size, stretch=stretch, augmentation=a),
            v2.RandomHorizontalFlip(a.flip),
            v2.ColorJitter(a.brightness, a.contrast, a.saturation, a.hue),
            v2.RandomGrayscale(a.grey),
            v2.RandomApply([v2.GaussianBlur(3, sigma=(0.3, 1.2))], a.blur),
            SensorNoise(a.noise),
            v2.RandomApply([JpegCompression(a.jpeg_quality)], a.jpeg),
            # after the colours: padding looks the same when the model is used
            Letterbox(size),
        ]
    )


class CropToNetwork(v2.Transform):  # type: ignore[misc]
    """Cut out a part, or take the whole, and resize it to fit the network's input.

    The focal length grows with the part's enlargement, which keeps metric labels true.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        stretch: bool,
        augmentation: AugmentationConfig | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.stretch = stretch
        self.augmentation = augmentation

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the part and how it lies in the network's input."""
        height, width = v2.query_size(flat_inputs)
        x, y, wide, tall = 0, 0, width, height
        if self.augmentation is not None:
            x, y, wide, tall = self._draw(self.augmentation, width, height)
        geometry = Geometry.fit((wide, tall), self.size[::-1], stretch=self.stretch)
        return {"rows": slice(y, y + tall), "columns": slice(x, x + wide), "geometry": geometry}

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """Bring one of image, labels and focal length to the part."""
        geometry: Geometry = params["geometry"]
        if isinstance(inpt, Focal):
            scale = geometry.scale_x, geometry.scale_y
            if not self.stretch:
                scale = geometry.scale, geometry.scale
            return Focal(inpt.as_subclass(Tensor) * torch.tensor(scale))
        part = inpt[:, params["rows"], params["columns"]].permute(1, 2, 0).numpy()
        if isinstance(inpt, tv_tensors.Image):
            return _like(inpt, torch.from_numpy(geometry.resize(part)).permute(2, 0, 1))
        content = (geometry.content_width, geometry.content_height)
        labels = np.asarray(cv2.resize(part, content, interpolation=cv2.INTER_NEAREST_EXACT))
        return _like(inpt, torch.from_numpy(labels).permute(2, 0, 1))

    def _draw(
        self, augmentation: AugmentationConfig, width: int, height: int
    ) -> tuple[int, int, int, int]:
        aspect = width / height if self.stretch else self.size[1] / self.size[0]
        if torch.rand(()) < augmentation.letterbox:
            aspect = _log_uniform(augmentation.aspect)
        fitting = min(width, height * aspect) / _log_uniform(augmentation.zoom)
        wide, tall = max(1, round(fitting)), max(1, round(fitting / aspect))
        x, y = (int(torch.randint(n + 1, ())) for n in (width - wide, height - tall))
        return x, y, wide, tall


class Letterbox(v2.Transform):  # type: ignore[misc]
    """Pad to the network's size: the image as the estimator does, labels as unknown."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Find the padding."""
        height, width = v2.query_size(flat_inputs)
        geometry = Geometry.fit((width, height), self.size[::-1])
        right = self.size[1] - width - geometry.left
        bottom = self.size[0] - height - geometry.top
        return {"padding": [geometry.left, geometry.top, right, bottom]}

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """Pad one of image and labels."""
        if isinstance(inpt, Focal):
            return inpt
        fill = list(PADDING_COLOR) if isinstance(inpt, tv_tensors.Image) else 0
        padded: Tensor = functional.pad(inpt, params["padding"], fill=fill)
        return padded


class SensorNoise(v2.Transform):  # type: ignore[misc]
    """Add Gaussian noise of a random strength up to `sigma`, in parts of full scale."""

    _transformed_types = (tv_tensors.Image,)

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:  # noqa: ARG002
        """Add noise to the image."""
        sigma = 255 * self.sigma * float(torch.rand(()))
        noisy = inpt + sigma * torch.randn(inpt.shape)
        return _like(inpt, noisy.round_().clamp_(0, 255).to(torch.uint8))


class JpegCompression(v2.Transform):  # type: ignore[misc]
    """Compress and decompress with a random quality; torchvision gives its own up."""

    _transformed_types = (tv_tensors.Image,)

    def __init__(self, quality: tuple[int, int]) -> None:
        super().__init__()
        self.quality = quality

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:  # noqa: ARG002
        """Compress the image."""
        low, high = self.quality
        quality = int(torch.randint(low, high + 1, ()))
        pixels = np.ascontiguousarray(inpt.permute(1, 2, 0).numpy()[..., ::-1])
        packed = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
        decoded = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]
        return _like(inpt, torch.from_numpy(decoded.copy()).permute(2, 0, 1))


def _like(original: Tensor, changed: Tensor) -> Tensor:
    wrapped: Tensor = tv_tensors.wrap(changed, like=original)
    return wrapped


def _log_uniform(ends: tuple[float, float]) -> float:
    low, high = map(math.log, ends)
    return math.exp(low + (high - low) * float(torch.rand(())))
