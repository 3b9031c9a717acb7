# SPDX-License-Identifier: Apache-2.0
"""Depth as colours over a fixed range in metres, with a scale to read them by."""

from __future__ import annotations

import math
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

ColorMap = Literal["turbo", "inferno", "magma"]
COLOR_MAPS: tuple[ColorMap, ...] = get_args(ColorMap)
_UNKNOWN_LEVEL = 64
UNKNOWN_COLOR = (_UNKNOWN_LEVEL,) * 3  # a grey that none of the maps contains

_OPENCV = {
    "turbo": cv2.COLORMAP_TURBO,
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
}


def _table(name: ColorMap) -> NDArray[np.uint8]:
    """Colours near to far [256,1,3] RGB: near is the warm end of every map."""
    ramp = np.arange(255, -1, -1, dtype=np.uint8)[:, None]
    colors = cv2.applyColorMap(ramp, _OPENCV[name])[:, 0, ::-1]
    return np.ascontiguousarray(colors, np.uint8)[:, None]


_TABLES = {name: _table(name) for name in COLOR_MAPS}
_STRIPE = 1 << 17  # pixels worked on at a time, so that the steps meet them in the cache


def colorize(
    depth: NDArray[np.float32],
    min_depth: float,
    max_depth: float,
    *,
    color_map: ColorMap = "turbo",
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Colour depth by its logarithm between two fixed ends.

    The same metres give the same colour in every frame. Logarithmic steps show equal relative
    differences alike.

    Args:
        depth: [H,W] metres; non-finite values are unknown.
        min_depth: metres at the near end of the map; nearer takes its colour.
        max_depth: metres at the far end; farther takes its colour.
        color_map: `turbo`, `inferno` or `magma`.
        out: where to write, else fresh memory.

    Returns:
        [H,W,3] RGB; unknown pixels have `UNKNOWN_COLOR`.

    Raises:
        ValueError: unknown map, or not 0 < min_depth < max_depth.
    """
    if color_map not in _TABLES:
        raise ValueError(f"color map {color_map!r}: choose one of {', '.join(COLOR_MAPS)}")
    if not 0 < min_depth < max_depth:
        raise ValueError(f"needs 0 < min_depth < max_depth, got {min_depth} and {max_depth}")
    gain = 255 / np.log(max_depth / min_depth)
    if out is None:
        out = np.empty((*depth.shape, 3), np.uint8)
    rows = max(1, _STRIPE // depth.shape[1])
    near = np.full((min(rows, len(depth)), depth.shape[1]), min_depth, np.float32)
    gray = np.full((*near.shape, 3), _UNKNOWN_LEVEL, np.uint8)
    for top in range(0, len(depth), rows):
        part = depth[top : top + rows]
        above = cv2.max(part, near[: len(part)])
        cv2.log(above, above)
        # rounds and saturates at the far end; what becomes of unknown depth does not matter
        level = cv2.convertScaleAbs(above, alpha=gain, beta=-gain * np.log(min_depth))
        colors = cv2.applyColorMap(level, _TABLES[color_map], out[top : top + rows])
        unknown = ~np.isfinite(part)
        cv2.copyTo(gray[: len(part)], unknown.view(np.uint8), colors)
    return out


def colorize_nearness(
    nearness: NDArray[np.float32], *, color_map: ColorMap = "turbo"
) -> NDArray[np.uint8]:
    """Colour nearness [H,W] from 0 far to 1 near, NaN unknown, evenly over the map: [H,W,3]."""
    # the depth whose logarithm is 1 - nearness
    return colorize(np.exp(1 - nearness), 1.0, math.e, color_map=color_map)


def scale_bar(
    height: int,
    min_depth: float,
    max_depth: float,
    *,
    color_map: ColorMap = "turbo",
    width: int = 70,
) -> NDArray[np.uint8]:
    """A vertical colour scale labelled in metres, near at the bottom: [height,width,3] RGB.

    Raises:
        ValueError: as `colorize`, or the height leaves no room between the margins.
    """
    margin = 10
    if height < 2 * margin + 2:
        raise ValueError(f"a scale bar needs {2 * margin + 2} pixels of height, got {height}")
    bar = np.full((height, width, 3), 255, np.uint8)
    levels = np.geomspace(max_depth, min_depth, height - 2 * margin).astype(np.float32)
    bar[margin:-margin, 4:24] = colorize(
        levels[:, None], min_depth, max_depth, color_map=color_map
    )
    for metres in (1, 2, 3, 5, 10, 20, 30, 50, 80, 100, 150):
        if min_depth <= metres <= max_depth:
            share = np.log(metres / min_depth) / np.log(max_depth / min_depth)
            y = round(height - 1 - margin - share * (height - 1 - 2 * margin))
            cv2.line(bar, (24, y), (28, y), (0, 0, 0), 1)
            cv2.putText(bar, f"{metres} m", (31, y + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.36,
                        (0, 0, 0), 1, cv2.LINE_AA)  # fmt: skip
    return bar
