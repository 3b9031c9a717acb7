# SPDX-License-Identifier: Apache-2.0
"""A few packaged street frames (rendered by `depth-dpt synth`) to check models and engines on."""

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
