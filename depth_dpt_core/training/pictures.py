# SPDX-License-Identifier: Apache-2.0
"""Pictures of what a model says while it learns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.colorize import colorize


def side_by_side(
    image: NDArray[np.uint8],
    depth: NDArray[np.float32],
    truth: NDArray[np.float32],
    max_depth: float,
) -> NDArray[np.uint8]:
    """Image [H,W,3], depth [H,W] and truth [H,W] (metres, 0 unknown) as [H,3W,3] RGB."""
    known = np.where(truth > 0, truth, np.nan).astype(np.float32)
    drawn = [colorize(part, 1.0, max_depth) for part in (depth, known)]
    return np.concatenate([image, *drawn], axis=1)
