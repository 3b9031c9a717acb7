# SPDX-License-Identifier: Apache-2.0
"""How good a model is while it trains, at the network's size."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from depth_dpt_core.config import TrainingConfig
from depth_dpt_core.data.dataset import DepthDataset, Example, batches_of
from depth_dpt_core.metrics import METRIC_NAMES, compute_metrics
from depth_dpt_core.training.pictures import side_by_side

_PICTURES = 4


@torch.no_grad()
def validate(
    model: nn.Module, batches: Iterable[Example], config: TrainingConfig, accelerator: Accelerator
) -> dict[str, float]:
    """The seven metrics in true metres, averaged over the images of all processes.

    Raises:
        ValueError: no image has valid depth.
    """
    rows = []
    for batch in batches_of(batches):
        with accelerator.autocast():
            answer = model(batch["image"].float() / 255)
        scale = batch["scale"].view(-1, 1, 1, 1)
        scored = _scored(answer.float() * scale, batch["depth"] * scale, config.data.max_depth)
        rows.append(accelerator.gather_for_metrics(scored.to(accelerator.device)).cpu())
    table = torch.cat(rows)
    table = table[torch.isfinite(table[:, 0])]
    if not len(table):
        raise ValueError(f"{config.data.processed}: no image of the val split has valid depth")
    return dict(zip(METRIC_NAMES, table.mean(0).tolist(), strict=True))


def _scored(depth: Tensor, truth: Tensor, max_depth: float) -> Tensor:
    """Metrics of each image [B,7]; NaN where an image has no valid depth."""
    rows = []
    for answer, known in zip(depth.cpu().numpy(), truth.cpu().numpy(), strict=True):
        metrics = compute_metrics(answer[0], known[0], max_depth=max_depth).metrics
        values = (
            [float("nan")] * len(METRIC_NAMES) if metrics is None else metrics.to_dict().values()
        )
        rows.append(torch.tensor(list(values), dtype=torch.float64))
    return torch.stack(rows)


@torch.no_grad()
def sample_pictures(
    model: nn.Module, examples: DepthDataset, config: TrainingConfig, device: torch.device
) -> list[NDArray[np.uint8]]:
    """Image, answer and truth of the first validation frames, side by side."""
    pictures = []
    for index in range(min(_PICTURES, len(examples))):
        example = examples[index]
        answer = model(example["image"][None].to(device).float() / 255)[0, 0]
        scale = float(example["scale"])
        pictures.append(
            side_by_side(
                example["image"].permute(1, 2, 0).numpy(),
                answer.float().cpu().numpy() * np.float32(scale),
                example["depth"][0].numpy() * np.float32(scale),
                config.data.max_depth,
            )
        )
    return pictures
