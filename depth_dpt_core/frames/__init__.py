# SPDX-License-Identifier: Apache-2.0
"""A few packaged street frames to check models and engines on.

Inner city, country, haze and a crossroads: numbers 2, 3, 5 and 6 of `depth-dpt synth --seed 7
--scenes 10 --views 1` with the ranges `camera: {aspect: [2, 2], side_view_share: 0}`.
"""

from __future__ import annotations

from importlib import resources

import cv2
import numpy as np
from numpy.typing import NDArray


def street_frames() -> list[NDArray[np.uint8]]:
    """The frames, each [H,W,3] RGB uint8, in a fixed order."""
    files = sorted(
        (f for f in resources.files(__name__).iterdir() if f.name.endswith(".png")),
        key=lambda f: f.name,
    )
    frames = []
    for file in files:
        packed = np.frombuffer(file.read_bytes(), np.uint8)
        image = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        assert image is not None, f"packaged frame {file.name} is broken"
        frames.append(np.ascontiguousarray(image[..., ::-1], np.uint8))
    return frames
