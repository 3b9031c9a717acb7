# SPDX-License-Identifier: Apache-2.0
"""Losses on log depth, in float32 whatever the network runs in.

All take log depth [B,1,H,W] and a mask of the same shape; an image without valid pixels adds
nothing, and a batch without any gives zero with a gradient of zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

_GRADIENT_SCALES = 4


def silog_loss(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Scale-invariant log loss, per image (Eigen et al., 2014; form of Lee et al., 2019).

    sqrt(mean(e^2) - 0.5 mean(e)^2) with e = ln p - ln g: half of the scale error stays in, since
    metres are wanted.
    """
    weight = valid.float()
    count = weight.sum((1, 2, 3))
    error = torch.where(valid, prediction.float() - target, 0.0)
    safe = count.clamp(min=1)
    mean = error.sum((1, 2, 3)) / safe
    variance = (error**2).sum((1, 2, 3)) / safe - 0.5 * mean**2
    per_image = (variance.clamp(min=0) + 1e-6).sqrt()
    return (per_image * (count > 0)).sum() / (count > 0).sum().clamp(min=1)


def gradient_loss(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference of log-depth gradients over four scales (Li & Snavely, 2018)."""
    error = torch.where(valid, prediction.float() - target, 0.0)
    total = error.new_zeros(())
    for scale in range(_GRADIENT_SCALES):
        step = 2**scale
        e, v = error[..., ::step, ::step], valid[..., ::step, ::step]
        for axis in (-1, -2):
            length = e.shape[axis] - 1
            both = v.narrow(axis, 1, length) & v.narrow(axis, 0, length)
            slope = (e.narrow(axis, 1, length) - e.narrow(axis, 0, length)).abs()
            total = total + (slope * both).sum() / both.sum().clamp(min=1)
    return total / _GRADIENT_SCALES


def far_loss(prediction: Tensor, far: Tensor, max_depth: float) -> Tensor:
    """Push what is known to be beyond the range (sky, far hills) beyond it, no matter how far."""
    limit = torch.log(torch.tensor(1.1 * max_depth, device=prediction.device))
    short = (limit - prediction.float()).clamp(min=0)
    return (short * far).sum() / far.sum().clamp(min=1)
