# SPDX-License-Identifier: Apache-2.0
"""Pictures of the worst, the best and some other frames, kept while they stream by."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_dpt_core.metrics import METRIC_NAMES
from depth_dpt_ros.replay.frame_work import Outcome
from depth_dpt_ros.replay.picture import side_by_side
from depth_dpt_ros.replay.summary import FrameRecord

_KEPT = 3
_QUALITY = 85  # of JPEG
_ABS_REL = METRIC_NAMES.index("abs_rel")


@dataclass(frozen=True)
class Picture:
    """A frame side by side with its truth and error, as JPEG."""

    index: int
    seconds: float
    abs_rel: float | None
    jpeg: bytes


class Extremes:
    """Three frames of the largest and of the smallest abs_rel, and three evenly spread."""

    def __init__(self, images: int) -> None:
        """Expect so many images."""
        self._spread = {round(at) for at in np.linspace(0, max(images - 1, 0), _KEPT)}
        self.worst: list[Picture] = []
        self.best: list[Picture] = []
        self.spread: list[Picture] = []

    def add(self, record: FrameRecord, outcome: Outcome) -> None:
        """Draw a frame if it belongs to one of the groups."""
        if outcome.answer is None:
            return
        values = None if record.score is None else record.score.values
        error = None if values is None else float(values[_ABS_REL])
        groups = [self.spread] * (record.index in self._spread)
        if error is not None:
            groups += [self.worst] * (len(self.worst) < _KEPT or error > _error(self.worst[-1]))
            groups += [self.best] * (len(self.best) < _KEPT or error < _error(self.best[-1]))
        if not groups:
            return
        picture = Picture(record.index, record.seconds, error, _draw(outcome))
        for group in groups:
            group.append(picture)
        self.worst = sorted(self.worst, key=lambda it: (-_error(it), it.index))[:_KEPT]
        self.best = sorted(self.best, key=lambda it: (_error(it), it.index))[:_KEPT]


def _error(picture: Picture) -> float:
    assert picture.abs_rel is not None
    return picture.abs_rel


def _draw(outcome: Outcome) -> bytes:
    assert outcome.answer is not None
    truth = None if outcome.truth is None else outcome.truth.depth
    drawn = side_by_side(outcome.answer.image, outcome.answer.depth, truth, error=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    return cv2.imencode(".jpg", drawn[..., ::-1], options)[1].tobytes()
