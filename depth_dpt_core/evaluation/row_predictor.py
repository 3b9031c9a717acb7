# SPDX-License-Identifier: Apache-2.0
"""The best guess of depth that sees no image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.metrics import MAX_DEPTH, MIN_DEPTH

BINS = 4096  # of the logarithm of depth: 0.28 % wide from 1 mm to 80 m


class RowPredictor:
    """The constant depth per image row that has the least possible abs_rel on given images.

    Rows of images of another height than the first are taken to the nearest of its rows.

    It knows how high the camera usually stands and that streets recede, but sees no image. The
    abs_rel of a constant c is a sum of |c - g| weighted with 1/g, so the best c is the weighted
    median. Fitted on the very images that it is scored on, it is the strongest of its kind.

    The medians come from one histogram per row, so memory does not grow with the images, and are
    right within half a bin.
    """

    def __init__(self, max_depth: float = MAX_DEPTH) -> None:
        """Truth counts from 1 mm to `max_depth` metres, both excluded."""
        self._max_depth = max_depth
        self._edges = np.geomspace(MIN_DEPTH, max_depth, BINS + 1)
        self._weights: NDArray[np.float64] = np.zeros((0, BINS))

    def add(self, truth: NDArray[np.float32]) -> None:
        """Take an image's truth [H,W] into account, metres, NaN unknown."""
        if not len(self._weights):
            self._weights = np.zeros((len(truth), BINS))
        rows, columns = np.nonzero((truth > MIN_DEPTH) & (truth < self._max_depth))
        depth = truth[rows, columns].astype(np.float64)
        bins = self._bins(depth) + _nearest(len(truth), len(self._weights))[rows] * BINS
        weights = np.bincount(bins, 1 / (depth * max(len(depth), 1)), self._weights.size)
        self._weights += weights.reshape(self._weights.shape)

    def best(self, height: int) -> NDArray[np.float32]:
        """Depth per row [height] in metres; rows without truth take that of the nearest with.

        Raises:
            ValueError: no image had truth.
        """
        below = np.cumsum(self._weights, axis=1)
        known = np.flatnonzero(below[:, -1:])
        if not len(known):
            raise ValueError("no image has truth to take the best guess per row from")
        middle = np.argmax(below >= below[:, -1:] / 2, axis=1)
        medians = np.sqrt(self._edges[middle] * self._edges[middle + 1])
        nearest = known[np.abs(known[:, None] - np.arange(len(medians))).argmin(0)]
        rows = _nearest(height, len(medians))
        return np.asarray(medians[nearest][rows], np.float32)

    def _bins(self, depth: NDArray[np.float64]) -> NDArray[np.intp]:
        share = np.log(depth / MIN_DEPTH) / np.log(self._max_depth / MIN_DEPTH)
        return np.asarray(np.clip(share * BINS, 0, BINS - 1), np.intp)


def _nearest(here: int, there: int) -> NDArray[np.intp]:
    """Row of an image of `there` rows for each of `here` rows."""
    return ((2 * np.arange(here) + 1) * there) // (2 * here)
