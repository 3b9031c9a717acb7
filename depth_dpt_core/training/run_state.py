# SPDX-License-Identifier: Apache-2.0
"""What an interrupted run needs to go on, in one file that is whole or absent."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from depth_dpt_core.config import ConfigError, TrainingConfig
from depth_dpt_core.files import replacing
from depth_dpt_core.revision import training_code

STATE_FILE = "state.pt"
BEST_FILE = "best.safetensors"


@dataclass
class Progress:
    """How far a run has come."""

    processes: int  # that share the run
    run_id: str = ""  # MLflow's
    epoch: int = 0  # finished epochs
    batches: int = 0  # batches of the present epoch that are done
    step: int = 0  # optimizer steps
    best: float | None = None  # the configured metric
    best_epoch: int = 0
    validation: dict[str, float] = field(default_factory=dict)  # of the best epoch
    stale_epochs: int = 0  # since the best
    sums: dict[str, float] = field(default_factory=dict)  # over the present epoch's batches


def run_folder(config: TrainingConfig, fingerprint: str) -> Path:
    """Working folder of a run, its own for every recipe, data set and state of the code."""
    key = json.dumps([config.name, config.recipe(), fingerprint, training_code()], sort_keys=True)
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return Path(config.output) / "runs" / f"{config.name}-{digest}"


def write_state(path: Path, progress: Progress, parts: dict[str, Any]) -> None:
    """Write progress and the state dictionaries of `parts`, atomically."""
    with replacing(path) as temporary:
        torch.save({"progress": asdict(progress), **parts}, temporary)


def read_state(path: Path) -> tuple[Progress, dict[str, Any]]:
    """Read progress and the state dictionaries.

    Raises:
        ConfigError: not the state of a run.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return Progress(**state.pop("progress")), state
    except (OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, RuntimeError,
            pickle.UnpicklingError) as error:  # fmt: skip
        raise ConfigError(f"{path}: not the state of a run; remove it to begin anew") from error
