# SPDX-License-Identifier: Apache-2.0
"""DPT: image in, metric depth at the canonical focal length out.

Departures from the original design (ReLU output in metres), with their reasons:

* depth is exp(head): positive and unbounded like ReLU, but its gradient never vanishes. Ending in
  ReLU, this network gives zero everywhere for 6 of 40 random initialisations, and stays there;
  with exp for none (`test/training/test_model.py` counts both; ViT-Tiny at 96x64). `output: relu`
  is the original head, for comparison.
* position embeddings are resampled, so that any size that is a multiple of the patch works.
* normalisation constants come from the encoder's own weights and live in the model.
* the last convolution of a fusion block is 1x1 and stands before the upsampling: the two commute,
  and this order does a quarter of the work.
* convolutional encoders are accepted beside vision transformers.

Kept from the original design, though the DPT of the paper does otherwise: batch normalisation in
plain fusion blocks without residual units, and the readout token left aside. Residual units
without normalisation did no better in one short training; the readout was not tried.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_dpt_core.config import DPTConfig
from depth_dpt_core.model.decoder import Fusion, Head, Reassemble
from depth_dpt_core.model.encoder import Encoder, normalization_buffer

_STRIDES = (4, 8, 16, 32)
_TYPICAL_DEPTH = 12.0  # m; where an untrained network starts


class DPT(nn.Module):
    """Dense prediction transformer for metric depth."""

    def __init__(self, config: DPTConfig, *, pretrained: bool = False) -> None:
        """Build the network; only with `pretrained` are encoder weights downloaded.

        Raises:
            ValueError: no such encoder, or the image size does not suit it.
        """
        super().__init__()
        self.config = config
        size = (config.height, config.width)
        self.encoder = Encoder(config.encoder, size, pretrained=pretrained)
        self.check_size(*size)
        self.reassemble = nn.ModuleList(
            Reassemble(channels, config.features, stride, target)
            for channels, stride, target in zip(
                self.encoder.channels, self.encoder.strides, _STRIDES, strict=True
            )
        )
        self.fusion = nn.ModuleList(Fusion(config.features) for _ in _STRIDES)
        self.head = Head(config.features)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", normalization_buffer(self.encoder.mean), persistent=False)
        self.register_buffer("std", normalization_buffer(self.encoder.std), persistent=False)

    def check_size(self, height: int, width: int) -> None:
        """Raise ValueError unless the network can take images of this size."""
        multiple = self.encoder.multiple
        if height % multiple or width % multiple or min(height, width) < 32:
            raise ValueError(
                f"image size {width}x{height}: both sides must be multiples of {multiple} "
                f"for {self.config.encoder} and at least 32"
            )

    @torch.no_grad()
    def scale_answers(self, factor: float) -> None:
        """Change the last layer so that every depth comes out `factor` times as large."""
        last = self.head.out
        assert last.bias is not None
        if self.config.output == "relu":
            last.weight *= factor
            last.bias *= factor
        else:
            last.bias += math.log(factor)

    def decoder_parameters(self) -> list[nn.Parameter]:
        """Parameters that never come pretrained."""
        return [
            parameter
            for part in (self.reassemble, self.fusion, self.head)
            for parameter in part.parameters()
        ]

    def forward(self, image: Tensor) -> Tensor:
        """RGB image [B,3,H,W] in 0..1 to depth [B,1,H,W], metres at the canonical focal length."""
        self.check_size(*image.shape[-2:])
        maps = self.encoder((image - self.mean) / self.std)
        levels = [part(level) for part, level in zip(self.reassemble, maps, strict=True)]
        height, width = image.shape[-2:]
        sizes = [(height // 2, width // 2), *(level.shape[-2:] for level in levels)]
        fused: Tensor | None = None
        for i in reversed(range(len(levels))):
            fused = self.fusion[i](levels[i], fused, sizes[i])
        out: Tensor = self.head(fused, (height, width))
        if self.config.output == "relu":
            return functional.relu(out)
        return torch.exp(out + math.log(_TYPICAL_DEPTH))
