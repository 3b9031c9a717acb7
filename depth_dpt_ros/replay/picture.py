# SPDX-License-Identifier: Apache-2.0
"""Image, depth and truth side by side, with a scale in metres."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.colorize import colorize, scale_bar

NEAR, FAR = 1.0, 80.0  # m
_WIDTH = 640
_SPARSE = 0.2  # share of known pixels below which they are drawn as dots


def side_by_side(
    image: NDArray[np.uint8], depth: NDArray[np.float32], truth: NDArray[np.float32] | None
) -> NDArray[np.uint8]:
    """Draw one frame.

    Args:
        image: [H,W,3] RGB.
        depth: [h,w] metres, NaN unknown.
        truth: [h',w'] metres, NaN unknown, or None.

    Returns:
        RGB picture: image, depth, truth where there is one, and the scale.
    """
    height = round(_WIDTH * image.shape[0] / image.shape[1])
    small = np.asarray(cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
    panels = [
        _titled(small, "image"),
        _titled(_nearest(colorize(depth, NEAR, FAR), height), "depth"),
    ]
    if truth is not None:
        panels.append(_titled(_draw_truth(truth, small), "truth"))
    panels.append(scale_bar(height, NEAR, FAR))
    return np.hstack(panels)


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an RGB picture as PNG."""
    path.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())


def _nearest(picture: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    return np.asarray(
        cv2.resize(picture, (_WIDTH, height), interpolation=cv2.INTER_NEAREST), np.uint8
    )


def _draw_truth(truth: NDArray[np.float32], image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    known = np.isfinite(truth)
    if known.mean() > _SPARSE:
        return _nearest(colorize(truth, NEAR, FAR), image.shape[0])
    canvas = image // 3
    if not known.any():
        return canvas
    rows, columns = np.nonzero(known)
    colors = colorize(truth[known][None], NEAR, FAR)[0]
    scale = _WIDTH / truth.shape[1]
    # far points first, so that near ones stay on top
    for i in np.argsort(-truth[known]):
        center = int(columns[i] * scale), int(rows[i] * scale)
        cv2.circle(canvas, center, 1, colors[i].tolist(), -1)
    return canvas


def _titled(panel: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    out = np.array(panel)
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(out, title, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, color, thickness,
                    cv2.LINE_AA)  # fmt: skip
    return out
