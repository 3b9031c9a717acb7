# SPDX-License-Identifier: Apache-2.0
"""How weights move: parameter groups, learning rates, and their running average."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from depth_dpt_core.config import OptimizationConfig
from depth_dpt_core.model.dpt import DPT

_LAST_RATE = 0.01  # of the highest
_NO_DECAY = ("pos_embed", "cls_token", "reg_token", "dist_token")


def parameter_groups(model: DPT, options: OptimizationConfig) -> list[dict[str, Any]]:
    """Two learning rates; no decay on biases, norms, and position, class and register tokens."""
    decoder = {id(parameter) for parameter in model.decoder_parameters()}
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        decays = parameter.ndim > 1 and not name.endswith(_NO_DECAY)
        groups.setdefault((id(parameter) in decoder, decays), []).append(parameter)
    return [
        {
            "params": parameters,
            "base_lr": options.decoder_lr if in_decoder else options.encoder_lr,
            "weight_decay": options.weight_decay if decays else 0.0,
        }
        for (in_decoder, decays), parameters in groups.items()
    ]


def learning_rates(options: OptimizationConfig, step: int, total: int) -> dict[str, float]:
    """Rates of encoder and decoder at a step."""
    factor = _rate_factor(options, step, total)
    return {"lr_encoder": options.encoder_lr * factor, "lr_decoder": options.decoder_lr * factor}


def set_learning_rates(
    optimizer: torch.optim.Optimizer, options: OptimizationConfig, step: int, total: int
) -> None:
    """Give each parameter group its rate at a step."""
    factor = _rate_factor(options, step, total)
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def _rate_factor(options: OptimizationConfig, step: int, total: int) -> float:
    """Linear warm-up, then half a cosine down to a hundredth."""
    if step < options.warmup_steps:
        return (step + 1) / options.warmup_steps
    progress = (step - options.warmup_steps) / max(1, total - options.warmup_steps)
    return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average of the weights, shorter while the run is young."""
    decay = min(decay, step / (step + 10))
    theirs = model.state_dict()
    for name, value in average.state_dict().items():
        if value.dtype.is_floating_point:
            value.lerp_(theirs[name], 1 - decay)
        else:
            value.copy_(theirs[name])
