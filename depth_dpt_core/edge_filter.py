# SPDX-License-Identifier: Apache-2.0
"""Depth that is not to be trusted, made unknown: flying pixels, and what lies outside a region."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


def blank_edges(
    depth: NDArray[np.float32], threshold: float, *, grid: tuple[int, int] | None = None
) -> None:
    """Make NaN what lies at jumps of depth, in place.

    A network answers an edge by a ramp from the near thing to the far one, whose pixels fly in
    the void between the two. Both pixels at a jump go. Depth that was enlarged has ramps over
    many pixels: there, neighbours are compared on the grid that the network answered on, and
    whole cells of it go.

    Flat ground jumps too, by the share 1 / n from row n below the horizon to the next: at 0.1 it
    ends ten rows of the grid below the horizon.

    Args:
        depth: [H,W] metres; NaN is unknown and makes no jump.
        threshold: share by which the farther of two of the eight neighbours must lie beyond the
            nearer for an edge: 0.1 is 10 %. 0 does nothing.
        grid: (width, height) to compare on, such as `Geometry.content_width` and
            `content_height`; None compares the pixels of `depth`. A grid finer than `depth`
            counts as None.
    """
    if threshold <= 0:
        return
    height, width = depth.shape
    coarse = grid is not None and grid[0] <= width and grid[1] <= height
    near = cv2.resize(depth, grid, interpolation=cv2.INTER_LINEAR) if coarse else depth
    edge = _jumps(np.asarray(near, np.float32), threshold)
    if coarse:
        whole = cv2.resize(edge.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        edge = whole.view(np.bool_)
    np.copyto(depth, np.float32(np.nan), where=edge)


def _jumps(depth: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Which pixels [h,w] have a neighbour beyond the threshold."""
    edge = np.zeros(depth.shape, np.bool_)
    ratio = np.float32(1 + threshold)
    whole, head, tail = slice(None), slice(-1), slice(1, None)
    # beside, below, and below to either side
    pairs = (
        ((whole, head), (whole, tail)), ((head, whole), (tail, whole)),
        ((head, head), (tail, tail)), ((head, tail), (tail, head)),
    )  # fmt: skip
    for one, other in pairs:
        # NaN is never greater
        jump = np.maximum(depth[one], depth[other]) > ratio * np.minimum(depth[one], depth[other])
        edge[one] |= jump
        edge[other] |= jump
    return edge


@dataclass(frozen=True)
class ValidRegion:
    """The part of the image whose depth counts, in fractions of its sides.

    The bonnet of the own car goes with bottom=0.85, for instance. A pixel belongs to the region
    when its centre does.

    Raises:
        ValueError: not 0 <= left < right <= 1, or top and bottom likewise.
    """

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ValueError(
                f"valid region left {self.left:g}, top {self.top:g}, right {self.right:g}, "
                f"bottom {self.bottom:g}: should be 0 <= left < right <= 1 and "
                "0 <= top < bottom <= 1"
            )

    def blank_outside(self, depth: NDArray[np.float32]) -> None:
        """Make depth [H,W] outside the region NaN, in place."""
        height, width = depth.shape
        left, right = round(self.left * width), round(self.right * width)
        top, bottom = round(self.top * height), round(self.bottom * height)
        for outside in (depth[:top], depth[bottom:], depth[:, :left], depth[:, right:]):
            outside[...] = np.nan
