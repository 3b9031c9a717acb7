# SPDX-License-Identifier: Apache-2.0
"""Who is champion: the model with the best validation result, and never a worse one.

The registry's alias `champion` says who it is; `OUTPUT/champion.safetensors` is its copy for
export. Where the two disagree, after an interruption or a promotion elsewhere, the registry wins.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from depth_dpt_core.config import TrainingConfig
from depth_dpt_core.data.cityscapes import StereoRig
from depth_dpt_core.evaluation.candidate import validation_settings
from depth_dpt_core.evaluation.checkpoint import estimator_of
from depth_dpt_core.evaluation.score import score_split
from depth_dpt_core.files import check_writable, sha256_of, write_atomically
from depth_dpt_core.locking import only_one_at
from depth_dpt_core.metrics import METRIC_NAMES, is_better
from depth_dpt_core.model.checkpoint import (
    CheckpointError,
    TrainingRecord,
    load_model,
    read_record,
    save_model,
)
from depth_dpt_core.training.tracking import CHAMPION, model_version_of_run, tracking

_PATIENCE = 3600.0  # s to wait for another promotion to end


class PromotionError(RuntimeError):
    """Nothing can be decided; says what is missing."""


@dataclass(frozen=True)
class Decision:
    """Who is champion from now on, and why."""

    promoted: bool
    reason: str
    metric: str  # of the validation split
    candidate: float
    champion: float | None  # before; None where there was none
    run_id: str  # of the candidate

    def __str__(self) -> str:
        return f"{'promoted' if self.promoted else 'not promoted'}: {self.reason}"


def promote(config: TrainingConfig) -> Decision:
    """Make the candidate champion if its validation result is better than the champion's.

    Both are scored on the same frames by the same code: the candidate by `depth-dpt evaluate`
    just before, the champion here. The decision is written to `promotion.json` beside the
    configuration and to the candidate's run.

    Raises:
        BusyError: another promotion takes longer than an hour.
        CheckpointError: there is no candidate, or a weights file is broken.
        PromotionError: the candidate was not evaluated, or is not in the registry.
        TrackingError: MLflow cannot be reached.
    """
    folder = Path(config.file).parent
    check_writable(folder)
    with only_one_at(config.champion, wait=_PATIENCE), tracking(config) as client:
        record = read_record(config.candidate)
        result = _evaluation_of(config, folder / "metrics.json")
        record = replace(record, test={name: float(result["test"][name]) for name in METRIC_NAMES})
        champion = _present_champion(config, client)
        decision = _decide(config, record, champion, float(result["val"][config.promotion.metric]))
        again = champion is not None and champion.run_id == record.run_id
        if decision.promoted or (again and champion != record):  # the test split was scored anew
            _install(config, client, record, result["model"]["sha256"])
        if not again:  # the tag says when and why it became champion
            client.set_tag(record.run_id, "promotion", str(decision))
        text = json.dumps(asdict(decision), indent=1) + "\n"
        write_atomically(folder / "promotion.json", text.encode())
    return decision


def _evaluation_of(config: TrainingConfig, path: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(path.read_text())
        scored, settings = result["model"]["sha256"], result["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PromotionError(f"{path}: no evaluation, run depth-dpt evaluate first") from error
    if sha256_of(config.candidate) != scored:
        raise PromotionError(f"{path}: scores another model, run depth-dpt evaluate first")
    if settings != validation_settings(config):
        raise PromotionError(f"{path}: scored with other settings, run depth-dpt evaluate first")
    return result


def _decide(
    config: TrainingConfig, record: TrainingRecord, champion: TrainingRecord | None, value: float
) -> Decision:
    metric = config.promotion.metric

    def decided(promoted: bool, reason: str, other: float | None) -> Decision:
        return Decision(promoted, reason, metric, value, other, record.run_id)

    if champion is None:
        first = is_better(metric, value, None)
        return decided(first, f"the first model, val {metric} {value:.4f}", None)
    if champion.run_id == record.run_id:
        return decided(False, "the candidate is the champion already", value)
    other = _score_champion(config)
    numbers = f"val {metric} {value:.4f} against the champion's {other:.4f}"
    if not is_better(metric, value, other):
        return decided(False, f"no improvement: {numbers}", other)
    if abs(value - other) <= config.promotion.min_improvement:
        least = config.promotion.min_improvement
        return decided(False, f"less than {least:g} better: {numbers}", other)
    return decided(True, f"better: {numbers}", other)


def _score_champion(config: TrainingConfig) -> float:
    protocol = config.evaluation.protocols[0]
    result = score_split(
        estimator_of(config.champion),
        Path(config.data.root),
        "val",
        [protocol],
        max_depth=config.data.max_depth,
        ranges=config.evaluation.ranges,
        rig=StereoRig(config.data.baseline, config.data.focal_length),
    )
    return float(getattr(result.metrics[protocol], config.promotion.metric))


def _present_champion(
    config: TrainingConfig, client: mlflow.MlflowClient
) -> TrainingRecord | None:
    """The champion's record, its file brought in line with the registry."""
    version = _aliased(config, client)
    local = None
    if config.champion.exists():
        try:
            local = read_record(config.champion)
        except CheckpointError:
            if version is None:
                raise
    if version is None or (local is not None and local.run_id == version.run_id):
        return local
    metrics = client.get_run(str(version.run_id)).data.metrics
    test = {name: metrics[f"test_{name}"] for name in METRIC_NAMES if f"test_{name}" in metrics}
    with tempfile.TemporaryDirectory() as folder:
        uri = f"models:/{config.name}/{version.version}"
        model_folder = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder))
        (checkpoint,) = (model_folder / "artifacts").glob("*.safetensors")
        model, record = load_model(checkpoint)
    record = replace(record, test=test)
    save_model(config.champion, model, record)
    return record


def _aliased(config: TrainingConfig, client: mlflow.MlflowClient) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(config.name, CHAMPION)
    except MlflowException as error:
        # a file-based registry has no better word for an alias that is not there
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _install(
    config: TrainingConfig, client: mlflow.MlflowClient, record: TrainingRecord, scored: str
) -> None:
    """Make the candidate, whose file has the digest `scored`, the champion."""
    version = model_version_of_run(client, config.name, record.run_id)
    if version is None:
        raise PromotionError(f"run {record.run_id} has no registered model: train again")
    model, _ = load_model(config.candidate)
    if sha256_of(config.candidate) != scored:
        raise PromotionError(f"{config.candidate} was replaced meanwhile: evaluate it first")
    client.set_registered_model_alias(config.name, CHAMPION, version)
    # killed from here on, the next promotion brings the file in line
    save_model(config.champion, model, record)
