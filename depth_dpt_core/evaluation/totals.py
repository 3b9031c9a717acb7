# SPDX-License-Identifier: Apache-2.0
"""Errors summed by distance, and the metrics that follow from the sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.evaluation.protocols import Comparison, EvaluationProtocol
from depth_dpt_core.metrics import (
    BIAS,
    ERROR_NAMES,
    METRIC_NAMES,
    MIN_DEPTH,
    DepthMetrics,
    pixel_errors,
    take_roots,
)

CURVE_BINS = 40  # over two decades of depth: 12 % wide


@dataclass(frozen=True)
class RangeScore:
    """Metrics over truth from `low` (included) to `high` (excluded), metres.

    `metrics` and `bias` (mean of (prediction - truth) / truth) are averages over the images (or
    batches, as the protocol has it) that have such truth, None where there is none.
    """

    low: float
    high: float
    metrics: DepthMetrics | None
    bias: float | None
    images: int
    pixels: int

    @property
    def name(self) -> str:
        """Both ends, for instance `10-20`."""
        return f"{self.low:g}-{self.high:g}"

    def to_dict(self) -> dict[str, float]:
        """Plain values; those without truth are left out."""
        content: dict[str, float] = {"images": self.images, "pixels": self.pixels}
        if self.metrics is not None and self.bias is not None:
            content = {**self.metrics.to_dict(), BIAS: self.bias, **content}
        return content


@dataclass(frozen=True)
class ProtocolScore:
    """What one protocol says about a model on a split.

    `curve` holds narrow ranges, evenly spaced in the logarithm of depth. Of the images,
    `images` had valid truth; `missing` of the valid `pixels` were not answered.
    """

    protocol: EvaluationProtocol
    metrics: DepthMetrics
    bias: float
    by_range: tuple[RangeScore, ...]
    curve: tuple[RangeScore, ...]
    images: int
    images_without_truth: int
    pixels: int
    missing: int

    @property
    def missing_share(self) -> float:
        """Share of the valid truth that was not answered, and scored as the largest depth."""
        return self.missing / self.pixels

    def counts(self) -> dict[str, float]:
        """How much truth the metrics rest on."""
        return {
            "images": self.images,
            "images_without_truth": self.images_without_truth,
            "pixels": self.pixels,
            "missing_share": self.missing_share,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain values for files."""
        return {
            "protocol": self.protocol.label,
            "metrics": self.metrics.to_dict(),
            BIAS: self.bias,
            "by_range": {part.name: part.to_dict() for part in self.by_range},
            **self.counts(),
        }


class Totals:
    """Streams the comparisons of one protocol; memory does not grow with their number."""

    def __init__(
        self, protocol: EvaluationProtocol, *, max_depth: float, ranges: Sequence[float]
    ) -> None:
        """Start with nothing.

        Args:
            protocol: says what is averaged.
            max_depth: metres; where the curve ends.
            ranges: rising edges of the distance ranges, metres.
        """
        self.protocol, self.max_depth = protocol, max_depth
        curve = np.geomspace(max_depth / 100, max_depth, CURVE_BINS + 1)
        # every range, and the curve's bins, are unions of these finest bins
        self._edges = np.unique([0, *ranges, *curve, np.inf])
        self._ranges = [(0.0, np.inf), *_neighbours(ranges), *_neighbours(curve.tolist())]
        self._by_range = len(ranges) - 1
        low, high = np.array(self._ranges).T
        inside = (self._edges[:-1, None] >= low) & (self._edges[1:, None] <= high)
        self._membership = inside.astype(np.float64)  # [finest bins, ranges]

        self._batch = np.zeros((1 + len(ERROR_NAMES), len(self._edges) - 1))
        self._in_batch = 0
        self._means = np.zeros((len(ERROR_NAMES), len(self._ranges)))  # summed over batches
        self._batches, self._images, self._pixels = np.zeros((3, len(self._ranges)), np.int64)
        self._missing = self._without_truth = 0

    def add(self, comparison: Comparison) -> None:
        """Take an image's pixels into account."""
        p, g = comparison.prediction, comparison.truth
        index, bins = self.bins_of(g), self.bins
        self.add_sums(error_sums(p, g, index, bins, self.protocol.log_offset), comparison.missing)

    @property
    def bins(self) -> int:
        """Number of the finest bins of depth, of which all ranges are unions."""
        return len(self._edges) - 1

    def bins_of(self, truth: NDArray[np.float64]) -> NDArray[np.intp]:
        """The finest bin of each true depth, metres above 0."""
        return np.searchsorted(self._edges, truth, side="right") - 1

    def add_sums(self, sums: NDArray[np.float64], missing: int) -> None:
        """Take an image into account of which `error_sums` by finest bin are known."""
        pixels = (sums[0] @ self._membership).astype(np.int64)
        self._images += pixels > 0
        self._pixels += pixels
        self._missing += missing
        self._without_truth += not pixels[0]
        self._batch += sums
        self._in_batch += 1
        if self._in_batch == self.protocol.batch:
            self._close_batch()

    def score(self) -> ProtocolScore:
        """Average what was added.

        Raises:
            ValueError: no image had valid pixels.
        """
        if not self._images[0]:
            raise ValueError(
                f"no image has valid depth between {MIN_DEPTH} and {self.max_depth:g} m "
                f"under the protocol {self.protocol.name}"
            )
        if self._in_batch:
            self._close_batch()
        whole, *parts = (self._range_score(index) for index in range(len(self._ranges)))
        assert whole.metrics is not None
        assert whole.bias is not None
        return ProtocolScore(
            self.protocol,
            whole.metrics,
            whole.bias,
            tuple(parts[: self._by_range]),
            tuple(parts[self._by_range :]),
            whole.images,
            self._without_truth,
            whole.pixels,
            self._missing,
        )

    def _close_batch(self) -> None:
        sums = self._batch @ self._membership
        counted = sums[0] > 0
        means = np.divide(sums[1:], sums[0], out=np.zeros_like(sums[1:]), where=counted)
        self._means += take_roots(means)
        counted[0] |= self.protocol.empty_is_perfect
        self._batches += counted
        self._batch[:] = 0
        self._in_batch = 0

    def _range_score(self, index: int) -> RangeScore:
        metrics, bias = None, None
        if self._batches[index]:
            values = self._means[:, index] / self._batches[index]
            metrics = DepthMetrics(*values[: len(METRIC_NAMES)].tolist())
            bias = float(values[ERROR_NAMES.index(BIAS)])
        low, high = self._ranges[index]
        return RangeScore(
            low, high, metrics, bias, int(self._images[index]), int(self._pixels[index])
        )


def error_sums(
    prediction: NDArray[np.float64],
    truth: NDArray[np.float64],
    index: NDArray[np.intp],
    bins: int,
    log_offset: float = 0.0,
) -> NDArray[np.float64]:
    """Sums of `pixel_errors` [1 + errors, bins] over pixels by their bin; first their number.

    Args:
        prediction: [N] metres, above 0.
        truth: [N] metres, above 0.
        index: [N] bins.
        bins: number of bins.
        log_offset: see `pixel_errors`.
    """
    errors = pixel_errors(prediction, truth, log_offset=log_offset)
    return np.stack(
        [np.bincount(index, minlength=bins)]
        + [np.bincount(index, error, minlength=bins) for error in errors]
    )


def _neighbours(edges: Sequence[float]) -> list[tuple[float, float]]:
    return list(pairwise(edges))
