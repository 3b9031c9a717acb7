# SPDX-License-Identifier: Apache-2.0
"""The convolutional decoder: reassemble, fusion and head (Ranftl et al., ICCV 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)


class Reassemble(nn.Module):
    """Projects one encoder map to the decoder's channels and brings it to its own stride.

    Bilinear resampling followed by a 3x3 convolution, which leaves no checkerboard.
    """

    def __init__(self, channels: int, features: int, stride: int, target_stride: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, features, 1)
        self.smooth = nn.Conv2d(features, features, 3, padding=1)
        self.stride, self.target_stride = stride, target_stride

    def forward(self, maps: Tensor) -> Tensor:
        """[B,C,H/stride,W/stride] to [B,features,H/target,W/target]."""
        projected = self.project(maps)
        if self.stride != self.target_stride:
            height, width = (side * self.stride for side in maps.shape[-2:])
            target = (height // self.target_stride, width // self.target_stride)
            projected = _resize(projected, target)
        out: Tensor = self.smooth(projected)
        return out


class Fusion(nn.Module):
    """Adds a finer map, convolves, and goes to the next finer resolution.

    The last convolution is 1x1 and stands before the upsampling: the two commute, and this order
    costs a quarter.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.blend = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1, bias=False),
            nn.BatchNorm2d(features),
            nn.ReLU(inplace=True),
        )
        self.out = nn.Conv2d(features, features, 1)

    def forward(self, skip: Tensor, coarse: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Fuse `skip` [B,F,h,w] with `coarse` (same shape, or none) to [B,F,*size].

        `size` is that of the next finer map: twice (h, w), give or take a pixel where the image
        is no multiple of 32.
        """
        total = skip if coarse is None else skip + coarse
        out: Tensor = self.out(self.blend(total))
        return _resize(out, size)


class Head(nn.Module):
    """Conv, upsample, conv, ReLU, conv."""

    def __init__(self, features: int) -> None:
        super().__init__()
        half = features // 2
        self.reduce = nn.Conv2d(features, half, 3, padding=1)
        self.refine = nn.Conv2d(half, 32, 3, padding=1)
        self.out = nn.Conv2d(32, 1, 1)

    def forward(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """[B,F,H/2,W/2] to one value per pixel [B,1,H,W] in float32, `size` being (H, W)."""
        full = _resize(self.reduce(maps), size)
        fine = functional.relu(self.refine(full)).float()
        # bfloat16 would step by half a metre beyond 64 m
        with torch.autocast(fine.device.type, enabled=False):
            out: Tensor = self.out(fine)
        return out
