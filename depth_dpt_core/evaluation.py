# SPDX-License-Identifier: Apache-2.0
"""Score an exported model on a split of a data set, beside the best guess that sees no image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from depth_dpt_core.data.cityscapes import find_samples, read_frame
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.metrics import (
    MAX_DEPTH,
    MIN_DEPTH,
    DepthMetrics,
    MetricsAccumulator,
)


@dataclass(frozen=True)
class Evaluation:
    """A model's metrics on a split, and those of the best constant-per-row predictor."""

    model: DepthMetrics
    row_predictor: DepthMetrics
    images: int
    images_without_truth: int
    missing_share: float  # of valid truth pixels without an answer

    def to_dict(self) -> dict[str, Any]:
        """Plain values for files."""
        return {
            "model": self.model.to_dict(),
            "row_predictor": self.row_predictor.to_dict(),
            "abs_rel_ratio": np.divide(self.model.abs_rel, self.row_predictor.abs_rel).item(),
            "images": self.images,
            "images_without_truth": self.images_without_truth,
            "missing_share": self.missing_share,
        }


def evaluate(estimator: DepthEstimator, root: Path, split: str) -> Evaluation:
    """Score every frame of a split in the Cityscapes layout.

    Raises:
        DataError: the split is empty or a file is broken.
        ValueError: no frame has valid depth.
    """
    totals = MetricsAccumulator()
    rows = RowPredictor()
    samples = find_samples(root, split)
    for sample in tqdm(samples, unit="image", desc=f"{root.name}/{split}"):
        frame = read_frame(sample)
        image = np.ascontiguousarray(frame.image)
        totals.add(estimator(image, frame.intrinsics), frame.depth)
        rows.add(frame.depth)
    model = totals.mean()
    baseline = MetricsAccumulator()
    constant = rows.best()
    for sample in samples:
        depth = read_frame(sample).depth
        if len(constant) != len(depth):
            raise ValueError(f"{sample.disparity}: all images of a split must be equally high")
        baseline.add(np.broadcast_to(constant[:, None], depth.shape), depth)
    return Evaluation(
        model,
        baseline.mean(),
        totals.images,
        totals.images_without_truth,
        totals.missing / totals.valid,
    )


class RowPredictor:
    """The constant depth per image row that has the least possible abs_rel on given images.

    It knows how high the camera usually stands and that streets recede, but sees no image. The
    abs_rel of a constant c is a sum of |c - g| weighted with 1/g, so the best c is the weighted
    median. Fitted on the very images that it is scored on, it is the strongest of its kind.
    """

    def __init__(self) -> None:
        self._values: list[list[NDArray[np.float32]]] = []
        self._weights: list[list[NDArray[np.float32]]] = []

    def add(self, truth: NDArray[np.float32]) -> None:
        """Take an image's truth [H,W] into account, metres, NaN unknown."""
        valid = (truth > MIN_DEPTH) & (truth < MAX_DEPTH)
        total = max(int(valid.sum()), 1)
        while len(self._values) < len(truth):
            self._values.append([])
            self._weights.append([])
        for row, (depth, known) in enumerate(zip(truth, valid, strict=True)):
            self._values[row].append(depth[known])
            self._weights[row].append(1 / (depth[known] * total))

    def best(self) -> NDArray[np.float32]:
        """Depth per row [H] in metres; rows without truth take that of the nearest row with."""
        medians = np.array(
            [
                _weighted_median(np.concatenate(values), np.concatenate(weights))
                for values, weights in zip(self._values, self._weights, strict=True)
            ]
        )
        known = np.flatnonzero(np.isfinite(medians))
        nearest = known[np.abs(known[:, None] - np.arange(len(medians))).argmin(0)]
        return np.asarray(medians[nearest], np.float32)


def _weighted_median(values: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    if not len(values):
        return float("nan")
    order = np.argsort(values)
    below = np.cumsum(weights[order], dtype=np.float64)
    return float(values[order][np.searchsorted(below, below[-1] / 2)])
