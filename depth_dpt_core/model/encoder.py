# SPDX-License-Identifier: Apache-2.0
"""Any timm backbone as a source of four feature maps."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

MAPS = 4


class Encoder(nn.Module):
    """Four feature maps of a timm model.

    A vision transformer gives the tokens after a quarter, half, three quarters and all of its
    blocks (3, 6, 9, 12 for ViT-B), laid out as maps, all at 1/patch of the image. A convolutional
    network gives its last four stages.

    Attributes:
        channels: channels of each map.
        strides: image pixels per map pixel.
        multiple: image sides must be a multiple of this.
        mean, std: the normalisation that the encoder's published weights were trained with.
    """

    def __init__(self, name: str, image_size: tuple[int, int], *, pretrained: bool) -> None:
        """Build the backbone; only with `pretrained` are weights downloaded.

        Raises:
            ValueError: timm has no such model, or it is of another kind (Swin and the like).
        """
        super().__init__()
        if not timm.is_model(name):
            raise ValueError(f"encoder {name!r}: timm {timm.__version__} has no such model")
        with torch.device("meta"):  # to look at, without weights
            probe = timm.create_model(name, pretrained=False, num_classes=0)
        blocks = getattr(probe, "blocks", None)
        if hasattr(probe, "patch_embed") and blocks is not None:
            depth = len(blocks)
            self.backbone = timm.create_model(
                name,
                pretrained=pretrained,
                features_only=True,
                out_indices=tuple(depth * (i + 1) // MAPS - 1 for i in range(MAPS)),
                img_size=image_size,
                dynamic_img_size=True,
            )
        else:
            self.backbone = timm.create_model(
                name, pretrained=pretrained, features_only=True, out_indices=(-4, -3, -2, -1)
            )
        if getattr(self.backbone, "output_fmt", "NCHW") != "NCHW":
            raise ValueError(
                f"encoder {name!r}: neither a plain vision transformer nor a convolutional network"
            )
        info: Any = self.backbone.feature_info
        self.channels: list[int] = info.channels()
        self.strides: list[int] = info.reduction()
        self.multiple = max(self.strides)
        cfg: Any = probe.pretrained_cfg
        self.mean: tuple[float, ...] = tuple(cfg.get("mean", (0.5,) * 3))
        self.std: tuple[float, ...] = tuple(cfg.get("std", (0.5,) * 3))

    def resize(self, height: int, width: int) -> None:
        """Resample position embeddings, where there are any, to another image size."""
        vit = getattr(self.backbone, "model", None)
        if vit is not None and hasattr(vit, "set_input_size"):
            vit.set_input_size(img_size=(height, width))

    def freeze_image_size(self, image_size: tuple[int, int]) -> None:
        """Resample position embeddings for good, so that an exported graph does not."""
        self.resize(*image_size)
        vit = getattr(self.backbone, "model", None)
        if vit is not None and hasattr(vit, "set_input_size"):
            vit.dynamic_img_size, vit.patch_embed.flatten = False, True

    def forward(self, image: Tensor) -> list[Tensor]:
        """Normalised image [B,3,H,W] to four maps [B,C_i,H/s_i,W/s_i], finest first."""
        maps: list[Tensor] = self.backbone(image)
        return maps


def normalization_buffer(values: tuple[float, ...]) -> Tensor:
    """Per-channel constants shaped to broadcast over [B,3,H,W]."""
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)
