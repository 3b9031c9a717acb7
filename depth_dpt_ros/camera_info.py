# SPDX-License-Identifier: Apache-2.0
"""From sensor_msgs/CameraInfo to intrinsics, matched to images, and back."""

from __future__ import annotations

import copy
import math
import time
from collections import OrderedDict
from threading import Lock
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
        self._lock = Lock()
        self._infos: OrderedDict[int, Any] = OrderedDict()
        self._asked: int | None = None  # stamp of the last image
        self._paired = False  # that image had a CameraInfo of its very stamp, maybe a late one
        self._first_image: float | None = None  # monotonic s
        self._waiting_since: float | None = None  # monotonic s; for the next image's very own

    def add(self, info: Any) -> None:
        """Keep a CameraInfo, unless it says nothing (K is zero: an uncalibrated camera)."""
        if focal_lengths(info) is None:
            return
        with self._lock:
            stamp = stamp_ns(info)
            self._infos[stamp] = info
            self._paired |= stamp == self._asked
            while len(self._infos) > _KEPT:
                self._infos.popitem(last=False)

    @property
    def empty(self) -> bool:
        """Whether none has come."""
        with self._lock:
            return not self._infos

    def due(self, stamp: int, timeout: float) -> float:
        """When to stop waiting for the CameraInfo of an image, monotonic seconds.

        The first images wait until there is any, for `timeout` seconds at most. Where images
        and CameraInfo have had the same stamps, an image waits a moment for its own.
        """
        now = time.monotonic()
        with self._lock:
            if self._first_image is None:
                self._first_image = now
            if not self._infos:
                return self._first_image + timeout
            if not self._paired or stamp in self._infos:
                return now
            # not from this image on: newer ones keep coming while the CameraInfo has stopped
            if self._waiting_since is None:
                self._waiting_since = now
            return self._waiting_since + _PATIENCE

    def match(self, stamp: int) -> Any | None:
        """An image's CameraInfo: that of its stamp, else the latest before; None without any."""
        with self._lock:
            self._asked, self._paired = stamp, stamp in self._infos
            self._waiting_since = None
            if not self._infos:
                return None
            if self._paired:
                return self._infos[stamp]
            earlier = [known for known in self._infos if known <= stamp]
            return self._infos[max(earlier) if earlier else min(self._infos)]


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
