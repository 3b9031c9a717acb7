# SPDX-License-Identifier: Apache-2.0
"""The seven depth metrics of Eigen et al. (2014), averaged per image.

Per image, over valid pixels (min < truth < max): predictions are resized to the truth, clipped to
the range, and compared. Images are then averaged with equal weight; an image without valid pixels
is counted and left out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields

import cv2
import numpy as np
from numpy.typing import NDArray

MIN_DEPTH = 0.001  # m
MAX_DEPTH = 80.0  # m


@dataclass(frozen=True)
class DepthMetrics:
    """`abs_rel`, `rmse_log` and the deltas are ratios, `sq_rel` and `rmse` metres."""

    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    delta_1: float
    delta_2: float
    delta_3: float

    def to_dict(self) -> dict[str, float]:
        """The seven names and values."""
        return asdict(self)

    def __str__(self) -> str:
        return " ".join(f"{name} {value:.4f}" for name, value in self.to_dict().items())


METRIC_NAMES = tuple(item.name for item in fields(DepthMetrics))


@dataclass(frozen=True)
class ImageMetrics:
    """One image's metrics (None without valid pixels), and how many pixels they come from."""

    metrics: DepthMetrics | None
    valid: int
    missing: int  # valid truth where the prediction was not finite; scored as max_depth


def compute_metrics(
    prediction: NDArray[np.floating],
    truth: NDArray[np.floating],
    *,
    min_depth: float = MIN_DEPTH,
    max_depth: float = MAX_DEPTH,
) -> ImageMetrics:
    """Compare one image's depth with the truth.

    Args:
        prediction: [h,w] metres; non-finite means unanswered.
        truth: [H,W] metres; NaN or out of (min_depth, max_depth) means unknown.
        min_depth: exclusive lower end of valid truth, metres.
        max_depth: exclusive upper end, metres.
    """
    answer = np.where(np.isfinite(prediction), prediction, np.nan).astype(np.float64)
    if answer.shape != truth.shape:
        # half-pixel centres; what draws on an unanswered pixel counts as unanswered
        size, holes = truth.shape[::-1], np.isnan(answer)
        drawn = cv2.resize(holes.astype(np.float64), size, interpolation=cv2.INTER_LINEAR)
        filled = cv2.resize(np.where(holes, 0, answer), size, interpolation=cv2.INTER_LINEAR)
        answer = np.where(np.asarray(drawn) > 0, np.nan, np.asarray(filled, np.float64))
    valid = (truth > min_depth) & (truth < max_depth)
    p, g = answer[valid], truth[valid].astype(np.float64)
    missing = int(np.count_nonzero(np.isnan(p)))
    if not len(g):
        return ImageMetrics(None, 0, 0)
    p = np.clip(np.where(np.isnan(p), max_depth, p), min_depth, max_depth)
    error = p - g
    ratio = np.maximum(p / g, g / p)
    metrics = DepthMetrics(
        abs_rel=float(np.mean(np.abs(error) / g)),
        sq_rel=float(np.mean(error**2 / g)),
        rmse=float(np.sqrt(np.mean(error**2))),
        rmse_log=float(np.sqrt(np.mean((np.log(p) - np.log(g)) ** 2))),
        delta_1=float(np.mean(ratio < 1.25)),
        delta_2=float(np.mean(ratio < 1.25**2)),
        delta_3=float(np.mean(ratio < 1.25**3)),
    )
    return ImageMetrics(metrics, len(g), missing)


@dataclass
class MetricsAccumulator:
    """Streams images one by one; memory does not grow with their number."""

    min_depth: float = MIN_DEPTH
    max_depth: float = MAX_DEPTH
    images: int = 0  # with valid pixels
    images_without_truth: int = 0
    valid: int = 0  # pixels
    missing: int = 0  # pixels
    _sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(METRIC_NAMES)))

    def add(self, prediction: NDArray[np.floating], truth: NDArray[np.floating]) -> ImageMetrics:
        """Score one image and add it to the average."""
        result = compute_metrics(
            prediction, truth, min_depth=self.min_depth, max_depth=self.max_depth
        )
        if result.metrics is None:
            self.images_without_truth += 1
            return result
        self.images += 1
        self.valid += result.valid
        self.missing += result.missing
        self._sums += np.array(list(result.metrics.to_dict().values()))
        return result

    def mean(self) -> DepthMetrics:
        """Average over images with valid pixels.

        Raises:
            ValueError: there was no such image.
        """
        if not self.images:
            raise ValueError(
                f"no image has valid depth between {self.min_depth} and {self.max_depth} m"
            )
        return DepthMetrics(*(self._sums / self.images).tolist())
