# SPDX-License-Identifier: Apache-2.0
"""Score the newest training run as the configuration says, for DVC and MLflow."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from depth_dpt_core.config import TrainingConfig
from depth_dpt_core.data.cityscapes import StereoRig, list_split
from depth_dpt_core.evaluation.checkpoint import estimator_of
from depth_dpt_core.evaluation.figure import draw_error_by_distance
from depth_dpt_core.evaluation.protocols import PROTOCOLS
from depth_dpt_core.evaluation.report import to_json
from depth_dpt_core.evaluation.score import SplitScore, score_split
from depth_dpt_core.files import check_writable, sha256_of, write_atomically
from depth_dpt_core.model.checkpoint import TrainingRecord, read_record

SPLITS = ("val", "test")
METRICS_FILE = "metrics.json"
FIGURE_FILE = "error_by_distance.png"


@dataclass(frozen=True)
class CandidateEvaluation:
    """The candidate's scores, and the files that hold them."""

    record: TrainingRecord
    scores: dict[str, SplitScore]  # by split
    metrics: dict[str, Any]  # content of `metrics_file`
    metrics_file: Path
    figure: Path


def evaluate_candidate(config: TrainingConfig) -> CandidateEvaluation:
    """Score the candidate on validation and test, and write the results beside the configuration.

    Raises:
        CheckpointError: there is no candidate, or it is broken.
        DataError: a split is missing or useless.
        OSError: the results cannot be written.
    """
    first = PROTOCOLS[config.evaluation.protocols[0]]
    folder = Path(config.file).parent
    check_writable(folder)  # before the work rather than after it
    root, rig = Path(config.data.root), StereoRig(config.data.baseline, config.data.focal_length)
    record = read_record(config.candidate)
    digest = sha256_of(config.candidate)
    for split in SPLITS:
        list_split(root, split, rig)
    estimator = estimator_of(config.candidate)
    scores = {
        split: score_split(
            estimator,
            root,
            split,
            config.evaluation.protocols,
            max_depth=config.data.max_depth,
            ranges=config.evaluation.ranges,
            rig=rig,
        )
        for split in SPLITS
    }
    content = _metrics(scores, first.name)
    content["settings"] = validation_settings(config)
    content["model"] = {"name": record.name, "run_id": record.run_id, "sha256": digest}
    metrics_file, figure = folder / METRICS_FILE, folder / FIGURE_FILE
    draw_error_by_distance(
        {split: score.scores[first.name] for split, score in scores.items()},
        f"{config.data.description}: {record.name}, {first.name}",
        figure,
    )
    write_atomically(metrics_file, to_json(content))
    return CandidateEvaluation(record, scores, content, metrics_file, figure)


def validation_settings(config: TrainingConfig) -> dict[str, Any]:
    """What the figures that decide depend on beside the model; file sizes stand for frames."""
    root, rig = Path(config.data.root), StereoRig(config.data.baseline, config.data.focal_length)
    frames = [
        [sample.name, *(path.stat().st_size for path in sample.files if path.exists())]
        for sample in list_split(root, "val", rig).samples
    ]
    return {
        "frames": hashlib.sha256(json.dumps(frames).encode()).hexdigest(),
        "max_depth": config.data.max_depth,
        "baseline": config.data.baseline,
        "focal_length": config.data.focal_length,
    }


def _metrics(scores: dict[str, SplitScore], first: str) -> dict[str, Any]:
    """Named groups of numbers: SPLIT for the first protocol, SPLIT_PROTOCOL for the others."""
    groups = {
        split if name == first else f"{split}_{score.protocol.key}": score
        for split, result in scores.items()
        for name, score in result.scores.items()
    }
    content: dict[str, Any] = {
        group: {**score.metrics.to_dict(), "bias": score.bias} for group, score in groups.items()
    }
    content["by_range"] = {
        group: {part.name: part.to_dict() for part in score.by_range}
        for group, score in groups.items()
    }
    content["counts"] = {group: score.counts() for group, score in groups.items()}
    for split, result in scores.items():
        content["counts"][split]["unusable"] = len(result.unusable)
    content["unusable"] = {
        split: [asdict(frame) for frame in result.unusable] for split, result in scores.items()
    }
    return content
