# SPDX-License-Identifier: Apache-2.0
"""The seven depth metrics of Eigen et al. (2014), averaged per image.

Per image, over valid pixels (min < truth < max): predictions are resized to the truth, clipped to
the range, and compared. Images are then averaged with equal weight; an image without valid pixels
is counted and left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields

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


BIAS = "bias"  # mean of (prediction - truth) / truth; above 0 where the model sees too far
ERROR_NAMES = (*METRIC_NAMES, BIAS)
_ROOTS = [METRIC_NAMES.index("rmse"), METRIC_NAMES.index("rmse_log")]


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
    valid = (truth > min_depth) & (truth < max_depth)
    g = truth[valid].astype(np.float64)
    if not len(g):
        return ImageMetrics(None, 0, 0)
    answer = resize_depth(prediction, truth.shape)[valid]
    missing = int(np.count_nonzero(np.isnan(answer)))
    p = clip_depth(answer, min_depth, max_depth)
    means = take_roots(np.array([np.mean(error) for error in pixel_errors(p, g)]))
    metrics = DepthMetrics(*means[: len(METRIC_NAMES)].tolist())
    return ImageMetrics(metrics, len(g), missing)


def resize_depth(prediction: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Depth [h,w] brought to `shape` (H, W), bilinearly with half-pixel centres.

    What draws on a non-finite pixel is NaN.
    """
    answer = np.where(np.isfinite(prediction), prediction, np.nan).astype(np.float64)
    if answer.shape == shape:
        return answer
    import cv2  # here, so that commands that need none start without it

    size, holes = shape[::-1], np.isnan(answer)
    drawn = cv2.resize(holes.astype(np.float64), size, interpolation=cv2.INTER_LINEAR)
    filled = cv2.resize(np.where(holes, 0, answer), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.where(np.asarray(drawn) > 0, np.nan, filled), np.float64)


def clip_depth(
    depth: NDArray[np.float64], min_depth: float, max_depth: float
) -> NDArray[np.float64]:
    """Depth within its range; NaN, which is unanswered, counts as `max_depth`."""
    known = np.where(np.isnan(depth), max_depth, depth)
    return np.asarray(np.clip(known, min_depth, max_depth), np.float64)


def pixel_errors(
    prediction: NDArray[np.float64], truth: NDArray[np.float64], *, log_offset: float = 0.0
) -> Iterator[NDArray[np.float64] | NDArray[np.bool_]]:
    """What the metrics are means of, in the order of `ERROR_NAMES`; `rmse*` still squared.

    One after the other, since together they would fill memory.

    Args:
        prediction: [N] metres, above 0.
        truth: [N] metres, above 0.
        log_offset: added to both before taking logarithms, metres.
    """
    error = prediction - truth
    yield np.abs(error) / truth
    yield error**2 / truth
    yield error**2
    yield (np.log(prediction + log_offset) - np.log(truth + log_offset)) ** 2
    ratio = np.maximum(prediction / truth, truth / prediction)
    for power in (1, 2, 3):
        yield ratio < 1.25**power
    yield error / truth


def take_roots(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metrics [M,...] from means of `pixel_errors` [M,...]."""
    metrics: NDArray[np.float64] = means.copy()
    metrics[_ROOTS] = np.sqrt(means[_ROOTS])
    return metrics


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


def is_better(name: str, value: float, than: float | None) -> bool:
    """Whether one value of a metric beats another; anything finite beats none."""
    if not np.isfinite(value):
        return False
    if than is None:
        return True
    return value > than if name.startswith("delta") else value < than
