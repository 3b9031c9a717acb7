# SPDX-License-Identifier: Apache-2.0
"""How sure averages over images are, and what changes with time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95
_SEED = 0

Values = NDArray[np.float64]


def bootstrap_intervals(values: Values, *, statistic: str = "mean") -> Values | None:
    """95 % percentile intervals [2, M] of the mean or median over images, by resampling them.

    The seed is fixed: the same values give the same interval. Neighbouring images of a drive are
    alike, so that the interval is rather too narrow for other drives.

    Args:
        values: [N images, M].
        statistic: `mean` or `median`.

    Returns:
        None for fewer than two images.
    """
    count = len(values)
    if count < 2:
        return None
    rng = np.random.default_rng(_SEED)
    results = np.empty((RESAMPLES, values.shape[1]))
    for index in range(RESAMPLES):
        drawn = rng.integers(0, count, count)
        if statistic == "median":
            results[index] = np.median(values[drawn], axis=0)
        else:
            results[index] = np.bincount(drawn, minlength=count) @ values / count
    tail = 100 * (1 - LEVEL) / 2
    return np.asarray(np.percentile(results, [tail, 100 - tail], axis=0), np.float64)


def drift(seconds: Values, values: Values) -> float | None:
    """Slope of a straight line through values > 0 over time, as a share of their mean a second.

    None where there are fewer than three or all are of one time.
    """
    if len(values) < 3 or np.ptp(seconds) == 0:
        return None
    centred = seconds - seconds.mean()
    slope = float(centred @ (values - values.mean()) / (centred @ centred))
    return slope / float(values.mean())


def flicker(before: NDArray[np.float32], now: NDArray[np.float32]) -> tuple[float, float] | None:
    """How depth [H,W] changes from one image to the next, as logarithms of the ratio.

    Returns:
        (median of the absolute change of a pixel, absolute median change: a jump of scale), or
        None where the two have no known pixel in common.
    """
    if before.shape != now.shape:
        return None
    known = np.isfinite(before) & np.isfinite(now) & (before > 0) & (now > 0)
    if not known.any():
        return None
    change = np.log(now[known].astype(np.float64) / before[known])
    return float(np.median(np.abs(change))), abs(float(np.median(change)))
