# SPDX-License-Identifier: Apache-2.0
"""Trained weights as a safetensors file that says what they are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_core.config import DPTConfig
from depth_dpt_core.files import write_atomically
from depth_dpt_core.model.dpt import DPT

_KEY = "depth_dpt_training"
_UNREADABLE = (
    OSError,
    SafetensorError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RuntimeError,
)


class CheckpointError(ValueError):
    """A weights file cannot be used; names it and the reason."""


@dataclass(frozen=True)
class TrainingRecord:
    """Where weights come from.

    `recipe` is `TrainingConfig.recipe()`; `validation` and `test` hold the seven metrics, `test`
    only once a model has been promoted; `run_id` is MLflow's.
    """

    name: str
    recipe: dict[str, Any]
    epoch: int
    validation: dict[str, float]
    run_id: str = ""
    source_revision: str = ""
    training_code: str = ""  # digest of the code that decided the weights
    data_fingerprint: str = ""
    test: dict[str, float] = field(default_factory=dict)

    def model_spec(self) -> ModelSpec:
        """What an artifact with these weights says about itself."""
        data, labels, model = (self.recipe[part] for part in ("data", "labels", "model"))
        run = f", run {self.run_id}" if self.run_id else ""
        return ModelSpec(
            width=model["width"],
            height=model["height"],
            canonical_focal_length=labels["canonical_focal_length"],
            aspect=labels["aspect"],
            min_depth=labels["min_depth"],
            max_depth=data["max_depth"],
            encoder=model["encoder"],
            dataset=data["description"],
            training_run=f"{self.name}, epoch {self.epoch}{run}",
            source_revision=self.source_revision,
            metrics=self.test,
        )


def save_model(path: Path, model: DPT, record: TrainingRecord) -> None:
    """Write weights with their record beside them, atomically."""
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    # safetensors' own writing would leave files of other names behind when killed
    write_atomically(path, save(tensors, {_KEY: json.dumps(asdict(record))}))


def read_record(path: Path) -> TrainingRecord:
    """Read where weights come from, and not the weights.

    Raises:
        CheckpointError: not such a file.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            return _record(file.metadata())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: run depth-dpt train first") from error
    except _UNREADABLE as error:
        raise CheckpointError(f"{path}: not a checkpoint of this program ({error})") from error


def load_model(path: Path) -> tuple[DPT, TrainingRecord]:
    """Read weights: the model in eval mode, and its record.

    Raises:
        CheckpointError: not such a file, or the weights do not fit the model that it names.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            record = _record(file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = DPT(DPTConfig(**record.recipe["model"]))
        model.load_state_dict(tensors)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing: run depth-dpt train first") from error
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0]  # torch lists every tensor
        raise CheckpointError(f"{path}: not a checkpoint of this program ({reason})") from error
    return model.eval(), record


def copy_weights(path: Path, model: DPT, canonical_focal_length: float | None) -> None:
    """Give a model the weights in a file, which may be of another image size.

    What looks equally large in pixels is answered equally far for a given camera: where the
    labels' canonical focal length is another one, all answers are scaled with it.

    Raises:
        CheckpointError: not such a file, or weights of another network.
    """
    source, record = load_model(path)
    wanted = model.config
    for name in ("encoder", "features", "output"):
        theirs, ours = getattr(source.config, name), getattr(wanted, name)
        if theirs != ours:
            raise CheckpointError(f"{path}: weights of model.{name} {theirs}, not {ours}")
    source.encoder.resize(wanted.height, wanted.width)
    model.load_state_dict(source.state_dict())
    theirs = record.recipe["labels"]["canonical_focal_length"]
    if theirs and canonical_focal_length:
        model.scale_answers(canonical_focal_length / theirs)


def _record(metadata: dict[str, str] | None) -> TrainingRecord:
    record = TrainingRecord(**json.loads((metadata or {})[_KEY]))
    record.model_spec()  # finds what is missing
    return record
