# SPDX-License-Identifier: Apache-2.0
"""Score a model on a split of a data set in the Cityscapes layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.config import EvaluationConfig
from depth_dpt_core.data.cityscapes import (
    CityscapesFrame,
    DataError,
    Sample,
    StereoRig,
    Unusable,
    list_split,
)
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.evaluation.frames import tell, usable_frames
from depth_dpt_core.evaluation.protocols import PROTOCOLS
from depth_dpt_core.evaluation.row_predictor import RowPredictor
from depth_dpt_core.evaluation.totals import ProtocolScore, Totals
from depth_dpt_core.metrics import MAX_DEPTH, DepthMetrics

# (frame, rows): depth [rows,W] of a frame's uppermost rows, metres
_Predict = Callable[[CityscapesFrame, int], NDArray[np.float32]]


@dataclass(frozen=True)
class SplitScore:
    """A model's scores on a split, by the name of the protocol.

    `baseline` holds those of the best constant-per-row guess, where it was asked for; `unusable`
    names the frames that were left out.
    """

    split: str
    scores: dict[str, ProtocolScore]
    unusable: list[Unusable]
    baseline: dict[str, ProtocolScore] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, DepthMetrics]:
        """The model's metrics by the name of the protocol."""
        return {name: score.metrics for name, score in self.scores.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for files."""
        content: dict[str, Any] = {
            "split": self.split,
            "model": {name: score.to_dict() for name, score in self.scores.items()},
            "unusable": [asdict(frame) for frame in self.unusable],
        }
        if self.baseline:
            content["baseline"] = {name: part.to_dict() for name, part in self.baseline.items()}
        return content


def score_split(
    estimator: DepthEstimator,
    root: Path,
    split: str,
    protocols: Sequence[str],
    *,
    max_depth: float = MAX_DEPTH,
    ranges: Sequence[float] = EvaluationConfig.ranges,
    rig: StereoRig | None = None,
    baseline: bool = False,
) -> SplitScore:
    """Score every frame of a split at the truth's own resolution, in one pass for all protocols.

    A frame that cannot be read is reported on standard error, listed in the result and left out.

    Args:
        estimator: the model.
        root: data set in the Cityscapes layout, as downloaded.
        split: name of the split.
        protocols: keys of `PROTOCOLS`.
        max_depth: metres; truth from here on does not count.
        ranges: rising edges of the distance ranges, metres.
        rig: camera of a data set that comes without camera files.
        baseline: also score the best constant-per-row guess, in a second pass.

    Raises:
        DataError: the split has no frame that can be used.
        ValueError: no frame has valid depth.
    """
    listing = list_split(root, split, rig)
    unusable = list(listing.unusable)
    for missing in unusable:
        tell(missing)

    def no_totals() -> list[Totals]:
        return [Totals(PROTOCOLS[name], max_depth=max_depth, ranges=ranges) for name in protocols]

    def ask_model(frame: CityscapesFrame, rows: int) -> NDArray[np.float32]:
        return estimator(frame.image[:rows], frame.intrinsics)

    title = f"{root.name}/{split}"
    totals, row_predictor, used = no_totals(), RowPredictor(max_depth), []
    for sample, frame in usable_frames(listing.samples, unusable, title):
        used.append(sample)
        _add(totals, frame, ask_model)
        if baseline:
            row_predictor.add(frame.depth)
    if not used:
        first = unusable[0]
        raise DataError(
            f"{root}: none of the {len(unusable)} frames of {split} can be used; "
            f"{first.name}: {first.reason}"
        )
    try:
        scores = {total.protocol.name: total.score() for total in totals}
    except ValueError as error:
        raise DataError(f"{root}: {split}: {error}") from error
    if not baseline:
        return SplitScore(split, scores, unusable)
    return SplitScore(
        split, scores, unusable, _score_guess(no_totals(), row_predictor, used, title)
    )


def _score_guess(
    totals: list[Totals], guess: RowPredictor, samples: list[Sample], title: str
) -> dict[str, ProtocolScore]:
    def ask_nobody(frame: CityscapesFrame, rows: int) -> NDArray[np.float32]:
        height, width = frame.depth.shape
        return np.broadcast_to(guess.best(height)[:rows, None], (rows, width))

    for _, frame in usable_frames(samples, [], f"{title}, guess per row"):
        _add(totals, frame, ask_nobody)
    return {total.protocol.name: total.score() for total in totals}


def _add(totals: list[Totals], frame: CityscapesFrame, predict: _Predict) -> None:
    answers: dict[int, NDArray[np.float32]] = {}
    for total in totals:
        rows = total.protocol.rows_seen(len(frame.depth))
        if rows not in answers:
            answers[rows] = predict(frame, rows)
        total.add(total.protocol.compare(answers[rows], frame.depth, total.max_depth))
