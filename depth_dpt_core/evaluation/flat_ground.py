# SPDX-License-Identifier: Apache-2.0
"""The depth of an empty, level road: what a camera's mounting alone says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics, Mounting


def flat_ground_depth(
    intrinsics: Intrinsics, shape: tuple[int, int], mounting: Mounting, *, max_depth: float
) -> NDArray[np.float32]:
    """Depth [H,W] in metres of a level plane under the camera; `max_depth` above its horizon.

    A point z (x, y, 1) lies on the plane where its product with the direction of gravity is the
    camera's height.
    """
    height, width = shape
    x = (np.arange(width) - intrinsics.cx) / intrinsics.fx
    y = (np.arange(height)[:, None] - intrinsics.cy) / intrinsics.fy
    right, down, ahead = mounting.down
    fall = right * x + down * y + ahead
    depth = mounting.height / np.maximum(fall, mounting.height / max_depth)
    return np.asarray(depth, np.float32)
