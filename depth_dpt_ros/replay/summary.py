# SPDX-License-Identifier: Apache-2.0
"""What the frames of one bag, or of several, say together."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.evaluation.image_score import (
    DENSITY_BINS,
    ImageScore,
    ImageScorer,
    RegionTotals,
)
from depth_dpt_core.evaluation.statistics import bootstrap_intervals, drift
from depth_dpt_core.metrics import BIAS, ERROR_NAMES, METRIC_NAMES

TIME_PARTS = 10
_LONG = 10.0  # s; over less, a drift a minute would say nothing
Values = NDArray[np.float64]
Status = Literal[
    "scored", "no_valid_truth", "invalid_truth", "unmatched", "no_truth", "invalid", "dropped"
]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class FrameRecord:
    """A frame in numbers; None where there is none.

    Attributes:
        status: what became of it.
        reason: why it was not scored.
        seconds: log time since the bag began.
        score: the comparison.
        score_with_hidden: with points that nearer ones hide.
        truth_offset: stamp of the truth less that of the image, seconds.
        answered: share of pixels with depth.
        flicker: change since the image before, see `statistics.flicker`.
        jump: jump of scale since then.
    """

    index: int
    stamp: int
    log_time: int
    seconds: float
    status: Status
    reason: str = ""
    score: ImageScore | None = None
    score_with_hidden: ImageScore | None = None
    truth_offset: float | None = None
    answered: float | None = None
    flicker: float | None = None
    jump: float | None = None


class Summary:
    """Takes frames in order; holds a few numbers of each and nothing else that grows."""

    def __init__(self, scorer: ImageScorer) -> None:
        """Start with nothing; `scorer` says what was valid."""
        self._max_depth = scorer.max_depth
        self._ranges, self._regions = scorer.new_totals(), RegionTotals()
        self._with_hidden = scorer.new_totals()
        self._hidden_pixels = 0
        self._compared_hidden = False
        self._statuses: Counter[Status] = Counter()
        self._scored = array("d")  # rows of seconds, metrics, bias, ratio
        self._stability = array("d")  # rows of flicker, jump
        self._seconds = array("d", [0.0, 0.0])  # first and last
        self._answered = 0.0
        self._pixels = self._missing = 0
        self.density = np.zeros((DENSITY_BINS, DENSITY_BINS), np.int64)

    def add(self, record: FrameRecord) -> None:
        """Take a frame into account."""
        if not self._statuses:
            self._seconds[0] = record.seconds
        self._seconds[1] = max(self._seconds[1], record.seconds)
        self._statuses[record.status] += 1
        self._answered += record.answered or 0.0
        if record.flicker is not None and record.jump is not None:
            self._stability.extend((record.flicker, record.jump))
        score, values = record.score, None
        if score is not None:
            values = score.values
        if score is None or values is None:
            return
        self._ranges.add_sums(score.sums.sum(axis=2), score.missing)
        self._regions.add(score)
        self._pixels += score.pixels
        self._missing += score.missing
        self.density += score.density
        ratio = np.nan if score.ratio is None else score.ratio
        self._scored.extend((record.seconds, *values.tolist(), ratio))
        hidden = record.score_with_hidden
        if hidden is not None:
            self._compared_hidden = True
            self._hidden_pixels += hidden.pixels - score.pixels
            self._with_hidden.add_sums(hidden.sums.sum(axis=2), hidden.missing)

    @property
    def scored(self) -> int:
        """Number of images with metrics."""
        return self._statuses["scored"]

    def rows(self) -> Values:
        """Seconds, metrics, bias and ratio of the scored images [N, 10]."""
        return np.frombuffer(self._scored, np.float64).reshape(-1, 2 + len(ERROR_NAMES))

    def counts(self) -> dict[str, int]:
        """Images by what became of them."""
        counts: dict[str, int] = {name: self._statuses[name] for name in STATUSES}
        total = sum(counts.values())
        return {
            "total": total,
            "evaluated": total - counts["invalid"] - counts["dropped"],
            "matched": counts["scored"] + counts["no_valid_truth"] + counts["invalid_truth"],
            **counts,
        }

    def to_dict(self) -> dict[str, Any]:
        """All figures; those that do not exist are None."""
        rows = self.rows()
        content: dict[str, Any] = {
            "images": self.counts(),
            "pixels": {"scored": self._pixels, "missing": self._missing},
            "metrics": None,
            "stability": self._stability_dict(),
        }
        if not len(rows):
            return content
        score = self._ranges.score()
        means = [*score.metrics.to_dict().values(), score.bias]
        intervals = bootstrap_intervals(rows[:, 1:-1])
        content |= {
            "metrics": score.metrics.to_dict(),
            BIAS: score.bias,
            "interval_95": _intervals(intervals),
            "scale": _scale(rows),
            "by_range": {part.name: part.to_dict() for part in score.by_range},
            "by_region": self._regions.to_dict(),
            "by_time": self._by_time(rows),
            "curve": [
                {"from_m": part.low, "to_m": part.high, **part.to_dict()}
                for part in score.curve
                if part.pixels
            ],
        }
        assert len(means) == len(ERROR_NAMES)
        if self._compared_hidden:
            whole = self._with_hidden.score()
            content["without_occlusion_filter"] = {
                "metrics": whole.metrics.to_dict(),
                BIAS: whole.bias,
                "pixels": whole.pixels,
                "hidden_pixels": self._hidden_pixels,
            }
        return content

    def _stability_dict(self) -> dict[str, Any]:
        pairs = np.frombuffer(self._stability, np.float64).reshape(-1, 2)
        counts = self.counts()
        content: dict[str, Any] = {
            "answered_share": self._answered / counts["evaluated"]
            if counts["evaluated"]
            else None,
            "pairs": len(pairs),
        }
        for name, column in zip(("flicker", "scale_jump"), pairs.T, strict=True):
            content[name] = float(column.mean()) if len(column) else None
            content[f"{name}_p95"] = float(np.percentile(column, 95)) if len(column) else None
        return content

    def _by_time(self, rows: Values) -> list[dict[str, Any]]:
        first, last = self._seconds
        edges = np.linspace(first, last, TIME_PARTS + 1)
        part = np.clip(np.searchsorted(edges, rows[:, 0], side="right") - 1, 0, TIME_PARTS - 1)
        parts = []
        for index in range(TIME_PARTS):
            inside = rows[part == index]
            entry: dict[str, Any] = {
                "from_s": float(edges[index]),
                "to_s": float(edges[index + 1]),
                "images": len(inside),
            }
            if len(inside):
                means = inside[:, 1:-1].mean(axis=0).tolist()
                entry |= dict(zip(ERROR_NAMES, means, strict=True))
                entry["scale"] = _median(inside[:, -1])
            parts.append(entry)
        return parts


def _intervals(intervals: Values | None) -> dict[str, list[float]] | None:
    if intervals is None:
        return None
    return dict(zip(ERROR_NAMES, intervals.T.tolist(), strict=True))


def _scale(rows: Values) -> dict[str, Any]:
    """Factor that would bring answers to the truth: median over images of median ratios."""
    known = rows[np.isfinite(rows[:, -1])]
    seconds, ratios = known[:, 0], known[:, -1]
    interval = bootstrap_intervals(ratios[:, None], statistic="median")
    slope, span = drift(seconds, ratios), float(np.ptp(seconds)) if len(seconds) else 0.0
    return {
        "factor": _median(ratios),
        "interval_95": None if interval is None else interval[:, 0].tolist(),
        "lowest": float(ratios.min()) if len(ratios) else None,
        "highest": float(ratios.max()) if len(ratios) else None,
        "drift": None if slope is None else slope * span,
        "drift_per_minute": None if slope is None or span < _LONG else slope * 60,
    }


def _median(values: Values) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def csv_header() -> list[str]:
    """Columns of `csv_row`."""
    return [
        "index", "stamp_ns", "log_time_ns", "seconds", "status", "reason", "truth_offset_s",
        "pixels", "missing", *METRIC_NAMES, BIAS, "scale", "answered_share", "flicker",
        "scale_jump",
    ]  # fmt: skip


def csv_row(record: FrameRecord) -> list[Any]:
    """A frame as a line; empty where there is nothing."""
    score = record.score
    values: list[Any] = [None] * len(ERROR_NAMES)
    if score is not None and score.values is not None:
        values = score.values.tolist()
    pixels, missing, ratio = (None, None, None)
    if score is not None:
        pixels, missing, ratio = score.pixels, score.missing, score.ratio
    return [
        record.index, record.stamp, record.log_time, record.seconds, record.status,
        record.reason, record.truth_offset, pixels, missing, *values, ratio, record.answered,
        record.flicker, record.jump,
    ]  # fmt: skip
