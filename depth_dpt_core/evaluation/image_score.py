# SPDX-License-Identifier: Apache-2.0
"""The errors of one image by distance and by region, which any thread may sum up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.evaluation.protocols import PROTOCOLS
from depth_dpt_core.evaluation.totals import Totals, error_sums
from depth_dpt_core.metrics import ERROR_NAMES, MIN_DEPTH, clip_depth, resize_depth, take_roots

Values = NDArray[np.float64]

_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
REGIONS = tuple(f"{row} {column}" for row in _ROWS for column in _COLUMNS)  # ninths of the image
DENSITY_BINS = 64
_DENSITY_SAMPLE = 20_000  # pixels of an image
DENSITY_DECADES = 2.0  # that the density shows, up to max_depth


@dataclass(frozen=True, eq=False)
class ImageScore:
    """What one image contributes.

    Attributes:
        sums: `error_sums` [1 + errors, finest bins of depth, regions].
        missing: valid pixels that were not answered; they count as max_depth.
        ratio: median of truth / prediction over answered pixels, None without any.
        density: pixels [bins of truth, bins of prediction], evenly spaced in the logarithm.
    """

    sums: Values
    missing: int
    ratio: float | None
    density: NDArray[np.int64]

    @property
    def pixels(self) -> int:
        """Number of valid pixels."""
        return int(self.sums[0].sum())

    @property
    def values(self) -> Values | None:
        """Metrics and bias, in the order of `ERROR_NAMES`; None without valid truth."""
        whole = self.sums.sum(axis=(1, 2))
        return take_roots(whole[1:] / whole[0]) if whole[0] else None


class ImageScorer:
    """Scores images alike; holds no state."""

    def __init__(self, *, max_depth: float, ranges: Sequence[float]) -> None:
        """Choose what is valid.

        Args:
            max_depth: metres; truth from here on does not count.
            ranges: rising edges of the distance ranges, metres.
        """
        self.max_depth, self.ranges = max_depth, tuple(ranges)
        self._layout = self.new_totals()

    def new_totals(self) -> Totals:
        """Totals by range that take the sums of this scorer's images."""
        return Totals(PROTOCOLS["metric"], max_depth=self.max_depth, ranges=self.ranges)

    def score_image(
        self, prediction: NDArray[np.floating], truth: NDArray[np.floating]
    ) -> ImageScore:
        """Compare depth [h,w] with an image of truth [H,W]: resized bilinearly, metres."""
        rows, columns = self._valid(truth)
        answers = resize_depth(prediction, truth.shape)[rows, columns]
        return self._score(answers, truth, rows, columns)

    def score_points(
        self, prediction: NDArray[np.floating], truth: NDArray[np.floating]
    ) -> ImageScore:
        """Compare depth [h,w] with single points in truth [H,W]: the nearest pixel, metres."""
        rows, columns = self._valid(truth)
        there, here = prediction.shape, truth.shape
        near = [
            np.minimum((2 * at + 1) * there[axis] // (2 * here[axis]), there[axis] - 1)
            for axis, at in enumerate((rows, columns))
        ]
        return self._score(prediction[near[0], near[1]], truth, rows, columns)

    def _valid(self, truth: NDArray[np.floating]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        rows, columns = np.nonzero((truth > MIN_DEPTH) & (truth < self.max_depth))
        return rows, columns

    def _score(
        self,
        answers: NDArray[np.floating],
        truth: NDArray[np.floating],
        rows: NDArray[np.intp],
        columns: NDArray[np.intp],
    ) -> ImageScore:
        g = truth[rows, columns].astype(np.float64)
        p = np.where(np.isfinite(answers), answers, np.nan).astype(np.float64)
        answered, positive = np.isfinite(p), p > 0
        ratio = float(np.median(g[positive] / p[positive])) if positive.any() else None
        clipped = clip_depth(p, MIN_DEPTH, self.max_depth)
        height, width = truth.shape
        region = rows * len(_ROWS) // height * len(_COLUMNS) + columns * len(_COLUMNS) // width
        bins = self._layout.bins
        index = self._layout.bins_of(g) * len(REGIONS) + region
        sums = error_sums(clipped, g, index, bins * len(REGIONS))
        missing = len(p) - int(np.count_nonzero(answered))
        shape = (1 + len(ERROR_NAMES), bins, len(REGIONS))
        return ImageScore(sums.reshape(shape), missing, ratio, self._density(p, g))

    def _density(self, p: Values, g: Values) -> NDArray[np.int64]:
        stride = max(1, len(g) // _DENSITY_SAMPLE)
        p, g = p[::stride], g[::stride]
        known = np.isfinite(p) & (p > 0)
        rows, columns = (self._density_bin(depth[known]) for depth in (g, p))
        counts = np.bincount(rows * DENSITY_BINS + columns, minlength=DENSITY_BINS**2)
        return counts.reshape(DENSITY_BINS, DENSITY_BINS)

    def _density_bin(self, depth: Values) -> NDArray[np.intp]:
        share = 1 + np.log10(depth / self.max_depth) / DENSITY_DECADES
        return np.clip(share * DENSITY_BINS, 0, DENSITY_BINS - 1).astype(np.intp)


class RegionTotals:
    """Averages images by region; an image counts where it has valid truth."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._means = np.zeros((len(ERROR_NAMES), len(REGIONS)))
        self._images, self._pixels = np.zeros((2, len(REGIONS)), np.int64)

    def add(self, score: ImageScore) -> None:
        """Take an image into account."""
        sums = score.sums.sum(axis=1)
        counted = sums[0] > 0
        means = np.divide(sums[1:], sums[0], out=np.zeros_like(sums[1:]), where=counted)
        self._means += take_roots(means)
        self._images += counted
        self._pixels += sums[0].astype(np.int64)

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Metrics and bias by region; those without truth are left out."""
        content: dict[str, dict[str, float]] = {}
        for index, name in enumerate(REGIONS):
            images, pixels = int(self._images[index]), int(self._pixels[index])
            content[name] = {"images": images, "pixels": pixels}
            if images:
                means = (self._means[:, index] / images).tolist()
                content[name] = {**dict(zip(ERROR_NAMES, means, strict=True)), **content[name]}
        return content
