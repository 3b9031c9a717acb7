# SPDX-License-Identifier: Apache-2.0
"""The model as the vehicle runs it: camera pixels in, depth out."""

from __future__ import annotations

from torch import Tensor, nn

from depth_dpt_core.model.dpt import DPT


class Deployed(nn.Module):
    """Preprocessing and network in one graph; the cast comes first, TensorRT wants it so."""

    def __init__(self, model: DPT) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        """RGB images uint8 [N,H,W,3] to depth float32 [N,1,H,W] in metres."""
        pixels = image.float().permute(0, 3, 1, 2) / 255
        depth: Tensor = self.model(pixels)
        return depth
