# SPDX-License-Identifier: Apache-2.0
"""Image, depth and truth side by side, with a scale in metres."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.colorize import UNKNOWN_COLOR, colorize, scale_bar

NEAR, FAR = 1.0, 80.0  # m
_WIDTH = 640
_LARGEST_ERROR = 0.5  # relative, at the end of the colours
_SPARSE = 0.2  # share of known pixels below which they are drawn as dots


def side_by_side(
    image: NDArray[np.uint8],
    depth: NDArray[np.float32],
    truth: NDArray[np.float32] | None,
    *,
    error: bool = False,
) -> NDArray[np.uint8]:
    """Draw one frame.

    Args:
        image: [H,W,3] RGB.
        depth: [h,w] metres, NaN unknown.
        truth: [h',w'] metres, NaN unknown, or None.
        error: also draw (depth - truth) / truth: blue too near, white right, red too far.

    Returns:
        RGB picture: image, depth, truth where there is one, error if asked for, and the scale.
    """
    height = round(_WIDTH * image.shape[0] / image.shape[1])
    small = np.asarray(cv2.resize(image, (_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
    panels = [
        _titled(small, "image"),
        _titled(_nearest(colorize(depth, NEAR, FAR), height), "depth"),
    ]
    if truth is not None:
        known = np.isfinite(truth)
        panels.append(_titled(_draw(colorize(truth, NEAR, FAR), known, truth, small), "truth"))
        if error:
            colors = _error_colors(depth, truth)
            title = f"error, -{_LARGEST_ERROR:.0%} blue to +{_LARGEST_ERROR:.0%} red"
            panels.append(_titled(_draw(colors, known, truth, small), title))
    panels.append(scale_bar(height, NEAR, FAR))
    return np.hstack(panels)


def _error_colors(depth: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Signed relative error as colours [h',w',3]; grey where either is unknown."""
    here = cv2.resize(depth, truth.shape[::-1], interpolation=cv2.INTER_NEAREST)
    with np.errstate(over="ignore"):  # truth that is next to 0
        error = np.asarray(np.clip((here - truth) / truth / _LARGEST_ERROR, -1, 1))
    known = np.isfinite(error)
    share = np.where(known, error, 0)
    fade = 255 * (1 - np.abs(share))
    colors = np.stack([np.where(share > 0, 255, fade), fade, np.where(share < 0, 255, fade)], -1)
    colors[~known] = UNKNOWN_COLOR
    return np.asarray(colors, np.uint8)


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write an RGB picture as PNG."""
    path.write_bytes(cv2.imencode(".png", picture[..., ::-1])[1].tobytes())


def _nearest(picture: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    return np.asarray(
        cv2.resize(picture, (_WIDTH, height), interpolation=cv2.INTER_NEAREST), np.uint8
    )


def _draw(
    colors: NDArray[np.uint8],
    known: NDArray[np.bool_],
    truth: NDArray[np.float32],
    image: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Bring colours [h',w',3] to the image's size: as they are, or sparse ones as dots on it."""
    if known.mean() > _SPARSE:
        return _nearest(colors, image.shape[0])
    canvas = image // 3
    if not known.any():
        return canvas
    rows, columns = np.nonzero(known)
    scale = _WIDTH / truth.shape[1]
    # far points first, so that near ones stay on top
    for i in np.argsort(-truth[known]):
        center = int(columns[i] * scale), int(rows[i] * scale)
        cv2.circle(canvas, center, 1, colors[rows[i], columns[i]].tolist(), -1)
    return canvas


def _titled(panel: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    out = np.array(panel)
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(out, title, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, color, thickness,
                    cv2.LINE_AA)  # fmt: skip
    return out
