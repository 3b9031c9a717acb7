# SPDX-License-Identifier: Apache-2.0
"""Named ways to compare a prediction with the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.metrics import MIN_DEPTH, clip_depth, resize_depth

REFERENCE_SIZE = 224  # pixels; both sides
REFERENCE_BATCH = 8  # images
REFERENCE_LOG_OFFSET = 1e-8  # m


@dataclass(frozen=True)
class Comparison:
    """The valid pixels of one image, metres [N]; `missing` of them were not answered."""

    prediction: NDArray[np.float64]
    truth: NDArray[np.float64]
    missing: int


# (prediction [h,w], truth [H,W], max_depth), metres; NaN is unanswered or unknown
Compare = Callable[[NDArray[np.float32], NDArray[np.float32], float], Comparison]


@dataclass(frozen=True)
class EvaluationProtocol:
    """Which pixels are compared, how, and what is averaged.

    Attributes:
        name: as the configuration and the command line have it.
        summary: one line for people.
        compare: gives the valid pixels of one image.
        seen: share of the image's rows, from the top, that the network gets to see.
        batch: images whose pixels are pooled before averaging.
        empty_is_perfect: a batch without valid pixels counts as zero in every metric.
        log_offset: see `pixel_errors`.
        note: what every output must say beside the numbers.
    """

    name: str
    summary: str
    compare: Compare
    seen: float = 1.0
    batch: int = 1
    empty_is_perfect: bool = False
    log_offset: float = 0.0
    note: str = ""

    def rows_seen(self, height: int) -> int:
        """Rows of an image of `height` that the network gets to see."""
        return round(height * self.seen)

    @property
    def label(self) -> str:
        """The name, and the note where there is one."""
        return f"{self.name} ({self.note})" if self.note else self.name

    @property
    def key(self) -> str:
        """The label as a name in files."""
        return "_".join([self.name, *self.note.split()])


def manydepth_window(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns that ManyDepth compares: 256:768 and 192:1856 of 2048x1024."""
    return (
        slice(round(height * 256 / 1024), round(height * 768 / 1024)),
        slice(round(width * 192 / 2048), round(width * 1856 / 2048)),
    )


def _compare_metric(
    prediction: NDArray[np.float32], truth: NDArray[np.float32], max_depth: float
) -> Comparison:
    return _valid_pixels(resize_depth(prediction, truth.shape), truth, max_depth)


def _compare_manydepth(
    prediction: NDArray[np.float32], truth: NDArray[np.float32], max_depth: float
) -> Comparison:
    height, width = truth.shape
    answer = resize_depth(prediction, (PROTOCOLS["manydepth"].rows_seen(height), width))
    window = manydepth_window(height, width)
    return _valid_pixels(answer[window], truth[window], max_depth, scale_by_median=True)


def _valid_pixels(
    answer: NDArray[np.float64],
    truth: NDArray[np.float32],
    max_depth: float,
    *,
    scale_by_median: bool = False,
) -> Comparison:
    valid = (truth > MIN_DEPTH) & (truth < max_depth)
    p, g = answer[valid], truth[valid].astype(np.float64)
    answered = np.isfinite(p)
    if scale_by_median and answered.any():
        # the floor is for networks that answer 0
        p = p * (np.median(g[answered]) / max(float(np.median(p[answered])), MIN_DEPTH))
    missing = len(p) - int(np.count_nonzero(answered))
    return Comparison(clip_depth(p, MIN_DEPTH, max_depth), g, missing)


def _compare_reference(
    prediction: NDArray[np.float32], truth: NDArray[np.float32], max_depth: float
) -> Comparison:
    small = (REFERENCE_SIZE, REFERENCE_SIZE)
    rows, columns = (_nearest(side, REFERENCE_SIZE) for side in truth.shape)
    clamped = np.minimum(truth[rows[:, None], columns].astype(np.float64), max_depth)
    valid = clamped > MIN_DEPTH
    p = resize_depth(prediction, small)[valid]
    missing = int(np.count_nonzero(np.isnan(p)))
    return Comparison(clip_depth(p, MIN_DEPTH, max_depth), clamped[valid], missing)


def _nearest(there: int, here: int) -> NDArray[np.intp]:
    """Indices [here] that Pillow's nearest-neighbour resizing takes out of `there`.

    The positions are added up as Pillow does, whose rounding decides where two are as near.
    """
    step = there / here
    return np.asarray(np.cumsum([step / 2, *[step] * (here - 1)]), np.intp)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        EvaluationProtocol(
            "metric",
            "whole image at the truth's resolution, no scaling, mean of images",
            _compare_metric,
        ),
        # evaluate_depth.py of nianticlabs/manydepth, split cityscapes; the ego vehicle and the
        # rectification border are unknown here, as everywhere in this project
        EvaluationProtocol(
            "manydepth",
            "bottom quarter cut off the image, middle half compared, scaled by the median of each "
            "image, mean of images",
            _compare_manydepth,
            seen=0.75,
        ),
        # src/metrics.py and src/evaluate.py of aniketpoojari/Monocular-Depth-Estimation
        EvaluationProtocol(
            "reference",
            f"{REFERENCE_SIZE}x{REFERENCE_SIZE} pixels, truth clamped to the largest depth, mean "
            f"of batches of {REFERENCE_BATCH}, a batch without truth counts as no error",
            _compare_reference,
            batch=REFERENCE_BATCH,
            empty_is_perfect=True,
            log_offset=REFERENCE_LOG_OFFSET,
            note="for comparison only",
        ),
    )
}
