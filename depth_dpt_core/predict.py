# SPDX-License-Identifier: Apache-2.0
"""Depth of image files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.colorize import colorize
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.files import replacing, write_atomically

COLOR_RANGE = (1.0, 80.0)  # m


def predict_file(
    estimator: DepthEstimator, image: Path, intrinsics: Intrinsics | None, out: Path
) -> tuple[Path, Path]:
    """Write `STEM_depth.npy` (float32 metres, NaN unknown) and `STEM_depth.png` (turbo, 1-80 m).

    Args:
        estimator: the model.
        image: PNG, JPEG or whatever else OpenCV reads.
        intrinsics: the camera that took it, or None.
        out: folder, made if needed.

    Raises:
        OSError: the file cannot be read, or the results cannot be written.
        ValueError: the file is no readable image.
    """
    packed = np.frombuffer(image.read_bytes(), np.uint8)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    picture = cv2.imdecode(packed, flags) if len(packed) else None
    if picture is None:
        raise ValueError(f"{image}: not a readable image file")
    depth = estimator(np.ascontiguousarray(picture[..., ::-1]), intrinsics)
    array, color = out / f"{image.stem}_depth.npy", out / f"{image.stem}_depth.png"
    with replacing(array) as temporary:
        np.save(temporary, depth, allow_pickle=False)
    _, png = cv2.imencode(".png", colorize(depth, *COLOR_RANGE)[..., ::-1])
    write_atomically(color, png.tobytes())
    return array, color
