# SPDX-License-Identifier: Apache-2.0
"""Pixels to the network's input tensor, and its answer to metres, as the model's spec says."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.artifact import InputSpec, OutputSpec

_ENDS = (2, 98)  # percentiles of an image that nearness spans
_TINY = 1e-6  # 1/m; an inverse depth below this is farther than any range


def to_tensor(
    image: NDArray[np.uint8], spec: InputSpec
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Network-sized RGB image [H,W,3] to the network's input, batch of one."""
    ordered = image if spec.color == "RGB" else image[..., ::-1]
    values: NDArray[Any] = ordered
    if spec.dtype == "float32":
        mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
        values = (ordered.astype(np.float32) / np.float32(255) - mean) / std
    if spec.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None])


def to_depth(answer: NDArray[np.float32], spec: OutputSpec) -> NDArray[np.float32]:
    """The network's answer to metres; infinite where an inverse depth is not positive."""
    if spec.scale != 1.0 or spec.shift != 0.0:
        answer = answer * np.float32(spec.scale) + np.float32(spec.shift)
    if spec.quantity == "inverse_depth":
        near = answer > _TINY
        return np.where(near, 1 / np.where(near, answer, 1), np.inf).astype(np.float32)
    return answer


def to_nearness(answer: NDArray[np.float32], spec: OutputSpec) -> NDArray[np.float32]:
    """The answer to an image [h,w] from 0, its far end, to 1, its near one; NaN not finite.

    Percentiles are the ends: a single outlier would make all the rest one grey.
    """
    toward = spec.scale if spec.quantity == "inverse_depth" else -spec.scale
    finite = np.isfinite(answer)
    near = np.where(finite, answer if toward > 0 else -answer, np.float32(np.nan))
    if finite.any():
        low, high = np.percentile(near[finite], _ENDS)
        near = np.clip((near - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    return np.asarray(near, np.float32)
