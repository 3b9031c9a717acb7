# SPDX-License-Identifier: Apache-2.0
"""Image to network input, and network depth back to the image: one geometry for both ways."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics

PADDING_COLOR = (124, 116, 104)  # ImageNet's mean: close to zero after normalisation


@dataclass(frozen=True)
class Geometry:
    """Where an image's content lies in the network's input.

    The image is resized to `content_width` x `content_height` and placed at (`left`, `top`);
    all lengths in pixels. Resampling keeps pixel centres at half pixels in both directions, so
    going there and back is the identity on smooth pictures.
    """

    image_width: int
    image_height: int
    network_width: int
    network_height: int
    content_width: int
    content_height: int
    left: int
    top: int

    @classmethod
    def fit(
        cls, image_size: tuple[int, int], network_size: tuple[int, int], *, stretch: bool = False
    ) -> Geometry:
        """Fit an image of (width, height) into the network's (width, height).

        The aspect ratio is kept and the rest padded evenly, unless `stretch`.

        Raises:
            ValueError: an image side is not positive.
        """
        (width, height), (wide, tall) = image_size, network_size
        if min(width, height) < 1:
            raise ValueError(f"image size {width}x{height}: both sides must be positive")
        if stretch:
            return cls(width, height, wide, tall, wide, tall, 0, 0)
        scale = min(wide / width, tall / height)
        inner_w, inner_h = max(1, round(width * scale)), max(1, round(height * scale))
        return cls(
            width, height, wide, tall, inner_w, inner_h,
            (wide - inner_w) // 2, (tall - inner_h) // 2,
        )  # fmt: skip

    @property
    def scale_x(self) -> float:
        """Content width over image width."""
        return self.content_width / self.image_width

    @property
    def scale_y(self) -> float:
        """Content height over image height."""
        return self.content_height / self.image_height

    @property
    def scale(self) -> float:
        """The resize factor r of the focal length where the aspect is kept.

        The exact one of the side that fits; the other side is rounded to whole pixels.
        """
        return min(self.network_width / self.image_width, self.network_height / self.image_height)

    @property
    def content_slices(self) -> tuple[slice, slice]:
        """Rows and columns of the network's input that show the image."""
        return (
            slice(self.top, self.top + self.content_height),
            slice(self.left, self.left + self.content_width),
        )

    def intrinsics_at_content(self, intrinsics: Intrinsics) -> Intrinsics:
        """The camera of the content region, padding cut."""
        return intrinsics.scaled(self.scale_x, self.scale_y)

    def resize(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize an image [H,W,3] to the content's size [h,w,3]."""
        content = (self.content_width, self.content_height)
        # whole halves first: of all areas OpenCV averages 2 x 2 pixels the fastest by far
        while image.shape[1] % (2 * content[0]) == 0 and image.shape[0] % (2 * content[1]) == 0:
            half = image.shape[1] // 2, image.shape[0] // 2
            image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
        # OpenCV averages areas only where both sides shrink: do that first, then enlarge
        smaller = min(image.shape[1], content[0]), min(image.shape[0], content[1])
        resized = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
        if smaller != content:
            resized = cv2.resize(resized, content, interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized, np.uint8)

    def to_network(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize and pad an image [H,W,3] to network size [H',W',3]."""
        resized = self.resize(image)
        if resized.shape[:2] == (self.network_height, self.network_width):
            return resized
        out = np.empty((self.network_height, self.network_width, 3), np.uint8)
        out[:] = PADDING_COLOR
        out[self.content_slices] = resized
        return out

    def crop(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut the padding off network depth [H',W']: a view [h,w]."""
        return depth[self.content_slices]

    def to_image(
        self, depth: NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Bring network depth [H',W'] to the image's size [H,W], bilinearly, padding cut.

        It is written to `out` where that is given.
        """
        return self.enlarge(self.crop(depth), out)

    def enlarge(
        self, content: NDArray[np.float32], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Bring what is of the content's size [h,w] to the image's size [H,W], bilinearly."""
        size = (self.image_width, self.image_height)
        resized = cv2.resize(content, size, out, interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized, np.float32)
