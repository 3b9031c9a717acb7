# SPDX-License-Identifier: Apache-2.0
"""Image messages that are written in place, which spares filling a fresh one for every frame."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from depth_dpt_ros.image_codec import depth_to_image, rgb_to_image


class ReusedImage:
    """An Image message that is kept from frame to frame; publishing copies what it holds."""

    def __init__(self, encoding: Literal["32FC1", "rgb8"]) -> None:
        self._encoding = encoding
        self._message = Image()
        self._pixels: NDArray[Any] = np.empty(0)

    def pixels(self, height: int, width: int) -> NDArray[Any]:
        """The picture to write, [H,W] metres or [H,W,3] RGB; holds what was written before."""
        if self._pixels.shape[:2] != (height, width):
            if self._encoding == "32FC1":
                blank: NDArray[Any] = np.zeros((height, width), "<f4")
                self._message = depth_to_image(blank, Header(), "32FC1")
            else:
                blank = np.zeros((height, width, 3), np.uint8)
                self._message = rgb_to_image(blank, Header())
            self._pixels = np.frombuffer(self._message.data, blank.dtype).reshape(blank.shape)
        return self._pixels

    def message(self, header: Header) -> Image:
        """The picture as it is now, under a header."""
        self._message.header = header
        return self._message
