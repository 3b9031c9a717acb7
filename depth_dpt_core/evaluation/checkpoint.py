# SPDX-License-Identifier: Apache-2.0
"""Trained weights as something that answers images."""

from __future__ import annotations

from pathlib import Path

from depth_dpt_core.engines.torch import TorchEngine
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.model.checkpoint import load_model


def estimator_of(path: Path, *, device: str | None = None) -> DepthEstimator:
    """The estimator of a checkpoint, on the GPU where there is one.

    Args:
        path: weights written by the trainer.
        device: torch's name of the device, instead.

    Raises:
        CheckpointError: the weights cannot be used.
    """
    model, record = load_model(path)
    return DepthEstimator(record.model_spec(), TorchEngine(model, device=device))
