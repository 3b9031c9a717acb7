# SPDX-License-Identifier: Apache-2.0
"""What training minimises, in float32 whatever the network runs in.

All take maps [B,1,H,W]; an image without valid pixels adds nothing, and a batch without any gives
zero with a gradient of zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from depth_dpt_core.config import LossConfig

_GRADIENT_SCALES = 4
_FAR_MARGIN = 1.1
_LEAST_DEPTH = 1e-6  # m; where the logarithm ends
_LARGEST_LOG_ERROR = 3.0  # twenty times too far; the exponential of more would drown all else
_REFERENCE_LEAST_DEPTH = 1e-3  # m


def training_loss(
    depth: Tensor, truth: Tensor, farther_than: Tensor, config: LossConfig
) -> dict[str, Tensor]:
    """Sum and parts of the loss.

    Args:
        depth: the network's answer, metres.
        truth: depth in metres, 0 where unknown.
        farther_than: lower bound in metres where that is all that is known, else 0.
        config: form and weights.

    Returns:
        `loss`, the weighted sum of the others: `silog`, `gradient` and, but for the reference
        form, `relative` and `far`.
    """
    depth = depth.float()
    known = truth > 0
    if config.form == "reference":
        parts = {
            "silog": reference_silog_loss(depth, truth, known),
            "gradient": reference_gradient_loss(depth, truth, known),
        }
        return {"loss": parts["silog"] + config.gradient_weight * parts["gradient"], **parts}
    prediction = torch.log(depth.clamp(min=_LEAST_DEPTH))
    target = torch.log(torch.where(known, truth, 1.0))
    parts = {
        "silog": silog_loss(prediction, target, known),
        "gradient": gradient_loss(prediction, target, known),
        "relative": relative_loss(prediction, target, known),
        "far": far_loss(prediction, farther_than),
    }
    loss = parts["silog"] + config.gradient_weight * parts["gradient"]
    loss = loss + config.relative_weight * parts["relative"]
    return {"loss": loss + config.far_weight * parts["far"], **parts}


def silog_loss(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Scale-invariant log loss, per image (Eigen et al., 2014; form of Lee et al., 2019).

    sqrt(mean(e^2) - 0.5 mean(e)^2) with e = ln p - ln g: half of the scale error stays in, since
    metres are wanted.
    """
    count = valid.float().sum((1, 2, 3))
    error = torch.where(valid, prediction - target, 0.0)
    safe = count.clamp(min=1)
    mean = error.sum((1, 2, 3)) / safe
    variance = (error**2).sum((1, 2, 3)) / safe - 0.5 * mean**2
    return _mean_over_images((variance.clamp(min=0) + 1e-6).sqrt(), count)


def gradient_loss(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference of log-depth gradients over four scales (Li & Snavely, 2018).

    In logarithms: in metres the far half of the picture would decide alone.
    """
    error = torch.where(valid, prediction - target, 0.0)
    total = error.new_zeros(())
    for scale in range(_GRADIENT_SCALES):
        step = 2**scale
        e, v = error[..., ::step, ::step], valid[..., ::step, ::step]
        for axis in (-1, -2):
            difference, both = _differences(e, v, axis)
            count = both.sum((1, 2, 3))
            sums = (difference.abs() * both).sum((1, 2, 3))
            total = total + _mean_over_images(sums / count.clamp(min=1), count)
    return total / _GRADIENT_SCALES


def relative_loss(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean of |p - g| / g per image, of logarithms p and g: the metric abs_rel.

    Logarithms alike punish twice as far and half as far; this adds weight to the former.
    """
    count = valid.float().sum((1, 2, 3))
    error = torch.where(valid, prediction - target, 0.0).clamp(max=_LARGEST_LOG_ERROR)
    return _mean_over_images(torch.expm1(error).abs().sum((1, 2, 3)) / count.clamp(min=1), count)


def far_loss(prediction: Tensor, farther_than: Tensor) -> Tensor:
    """Push what is known to be beyond a bound (sky, far hills) beyond it, no matter how far."""
    known = farther_than > 0
    limit = torch.log(_FAR_MARGIN * torch.where(known, farther_than, 1.0))
    short = (limit - prediction).clamp(min=0)
    return (short * known).sum() / known.sum().clamp(min=1)


def reference_silog_loss(depth: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """The original recipe's: mean(e^2) - 0.5 mean(e)^2 over all pixels of the batch."""
    count = valid.sum().clamp(min=1)
    log_depth = torch.log(depth.clamp(min=_REFERENCE_LEAST_DEPTH))
    error = torch.where(valid, log_depth - torch.log(torch.where(valid, truth, 1.0)), 0.0)
    return (error**2).sum() / count - 0.5 * (error.sum() / count) ** 2


def reference_gradient_loss(depth: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """The original recipe's: L1 of neighbour differences in metres, over the batch."""
    error = torch.where(valid, depth - truth, 0.0)
    total = depth.new_zeros(())
    for axis in (-1, -2):
        difference, both = _differences(error, valid, axis)
        total = total + (difference.abs() * both).sum() / both.sum().clamp(min=1)
    return total


def _differences(values: Tensor, valid: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Differences of neighbours along an axis, and where both are valid."""
    length = values.shape[axis] - 1
    difference = values.narrow(axis, 1, length) - values.narrow(axis, 0, length)
    return difference, valid.narrow(axis, 1, length) & valid.narrow(axis, 0, length)


def _mean_over_images(values: Tensor, count: Tensor) -> Tensor:
    """Mean of one value per image [B] over those that have valid pixels."""
    known = count > 0
    return (values * known).sum() / known.sum().clamp(min=1)
