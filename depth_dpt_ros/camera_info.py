# SPDX-License-Identifier: Apache-2.0
"""From sensor_msgs/CameraInfo to intrinsics, matched to images, and back."""

from __future__ import annotations

import copy
import math
import time
from collections import OrderedDict
from threading import Condition
from typing import Any

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.preprocess import Geometry
from depth_dpt_ros.stamps import stamp_ns

_KEPT = 30
_PATIENCE = 0.1  # s; CameraInfo of the same stamp is published within this of its image


class CameraInfoError(ValueError):
    """A CameraInfo contradicts its image; says both."""


class CameraInfoBuffer:
    """Recent CameraInfo by stamp; filled by a callback, asked by the worker thread."""

    def __init__(self) -> None:
        self._arrived = Condition()
        self._infos: OrderedDict[int, Any] = OrderedDict()
        self._asked: int | None = None  # stamp of the last image
        self._paired = False  # that image had a CameraInfo of its very stamp, maybe a late one

    def add(self, info: Any) -> None:
        """Keep a CameraInfo, unless it says nothing (K is zero: an uncalibrated camera)."""
        if focal_lengths(info) is None:
            return
        with self._arrived:
            stamp = stamp_ns(info)
            self._infos[stamp] = info
            self._paired |= stamp == self._asked
            while len(self._infos) > _KEPT:
                self._infos.popitem(last=False)
            self._arrived.notify_all()

    def match(self, stamp: int, *, wait: float) -> Any | None:
        """Find an image's CameraInfo: that of its stamp, else the latest at or before.

        Args:
            stamp: the image's, nanoseconds.
            wait: seconds to wait while there is none at all.

        Returns:
            The message, or None if there is none at all.
        """
        with self._arrived:
            self._arrived.wait_for(lambda: bool(self._infos), wait)
            if self._paired:
                # the image came first; its CameraInfo is on the way
                self._arrived.wait_for(lambda: stamp in self._infos, _PATIENCE)
            self._asked, self._paired = stamp, stamp in self._infos
            if not self._infos:
                return None
            if self._paired:
                return self._infos[stamp]
            earlier = [known for known in self._infos if known <= stamp]
            return self._infos[max(earlier) if earlier else min(self._infos)]


class PatientMatch:
    """Decides how long images wait for their first CameraInfo."""

    def __init__(self, buffer: CameraInfoBuffer) -> None:
        self._buffer = buffer
        self._first_image: float | None = None

    def find(self, stamp: int, timeout: float) -> tuple[Any | None, bool]:
        """Look for an image's CameraInfo for a moment.

        Returns:
            The CameraInfo, if any, and whether it is worth asking again: False once `timeout`
            seconds have passed since the first image.
        """
        now = time.monotonic()
        if self._first_image is None:
            self._first_image = now
        left = self._first_image + timeout - now
        info = self._buffer.match(stamp, wait=max(0.0, min(left, 0.05)))
        return info, info is None and left > 0


def focal_lengths(info: Any) -> tuple[float, float] | None:
    """(fx, fy) in pixels: P where it is set, else K; None for an uncalibrated camera."""
    p, k = _matrices(info)
    for fx, fy in ((p[0], p[5]), (k[0], k[4])):
        if 0 < fx < math.inf:
            return fx, fy if 0 < fy < math.inf else fx
    return None


def _matrices(info: Any) -> tuple[list[float], list[float]]:
    return [float(x) for x in info.p], [float(x) for x in info.k]


def image_size(info: Any) -> tuple[int, int]:
    """(width, height) of the images that a CameraInfo belongs to; zero where it does not say."""
    width, height = info.roi.width or info.width, info.roi.height or info.height
    binning = _binning(info)
    return width // binning[0], height // binning[1]


def _binning(info: Any) -> tuple[int, int]:
    return max(1, info.binning_x), max(1, info.binning_y)


def intrinsics_of(info: Any, width: int, height: int) -> Intrinsics:
    """The camera of an image of `width` x `height` pixels, region of interest and binning applied.

    Raises:
        CameraInfoError: the sizes contradict each other, or the camera is not calibrated.
    """
    focal = focal_lengths(info)
    if focal is None:
        raise CameraInfoError("camera_info holds no focal length: P and K are zero")
    p, k = _matrices(info)
    center = (p[2], p[6]) if 0 < p[0] < math.inf else (k[2], k[5])
    size = image_size(info)
    if all(size) and size != (width, height):
        raise CameraInfoError(
            f"camera_info is for {size[0]}x{size[1]} pixels, the image has {width}x{height}"
        )
    try:
        whole = Intrinsics(*focal, *center)
    except ValueError as error:
        raise CameraInfoError(f"camera_info: {error}") from error
    binning = _binning(info)
    roi = info.roi
    return whole.shifted(-roi.x_offset, -roi.y_offset).scaled(1 / binning[0], 1 / binning[1])


def info_for_depth(
    info: Any, intrinsics: Intrinsics, geometry: Geometry, *, at_network_size: bool
) -> Any:
    """The CameraInfo of the published depth: exactly its size, no region of interest, no binning.

    Args:
        info: the image's.
        intrinsics: the image's, as from `intrinsics_of`.
        geometry: how the image lies in the network's input.
        at_network_size: the depth has the network's resolution, padding cut.
    """
    out = copy.copy(info)
    out.width, out.height = geometry.image_width, geometry.image_height
    camera, before = intrinsics, intrinsics
    if at_network_size:
        out.width, out.height = geometry.content_width, geometry.content_height
        camera = geometry.intrinsics_at_content(intrinsics)
    out.roi = copy.copy(info.roi)
    out.roi.x_offset = out.roi.y_offset = out.roi.width = out.roi.height = 0
    out.roi.do_rectify = False
    out.binning_x = out.binning_y = 0
    p, k = _matrices(info)
    sx, sy = camera.fx / before.fx, camera.fy / before.fy
    binning = _binning(info)
    if 0 < k[0] < math.inf:
        raw = Intrinsics(k[0], k[4] if k[4] > 0 else k[0], k[2], k[5])
        raw = raw.shifted(-info.roi.x_offset, -info.roi.y_offset)
        raw = raw.scaled(1 / binning[0], 1 / binning[1]).scaled(sx, sy)
        out.k = [raw.fx, k[1] * sx / binning[0], raw.cx, 0.0, raw.fy, raw.cy, 0.0, 0.0, 1.0]
    tx, ty = p[3] * sx / binning[0], p[7] * sy / binning[1]
    out.p = [camera.fx, 0.0, camera.cx, tx, 0.0, camera.fy, camera.cy, ty, 0.0, 0.0, 1.0, 0.0]
    return out
