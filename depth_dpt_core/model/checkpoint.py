# SPDX-License-Identifier: Apache-2.0
"""Trained weights as a safetensors file that says what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from depth_dpt_core.files import replacing
from depth_dpt_core.model.dpt import DPT, DPTConfig

_KEY = "depth_dpt_training"


class CheckpointError(ValueError):
    """A weights file cannot be used; names it and the reason."""


def save_model(path: Path, model: DPT, config: dict[str, Any], step: int) -> None:
    """Write weights with the training configuration and step beside them, atomically."""
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, {_KEY: json.dumps({"config": config, "step": step})})


def load_model(path: Path) -> tuple[DPT, dict[str, Any], int]:
    """Read weights: the model in eval mode, its training configuration, its step.

    Raises:
        CheckpointError: not such a file, or the weights do not fit the model that it names.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = DPT(DPTConfig(**about["config"]["model"]))
        model.load_state_dict(tensors)
        step = int(about["step"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]  # torch lists every tensor
        raise CheckpointError(f"{path}: not a checkpoint of this program ({reason})") from error
    return model.eval(), about["config"], step
