# SPDX-License-Identifier: Apache-2.0
"""The way of a frame: from a camera's image to what is published for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.colorize import colorize
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.preprocess import Geometry
from depth_dpt_ros.camera import Camera, Received
from depth_dpt_ros.camera_info import info_for_depth, intrinsics_of
from depth_dpt_ros.depth_outputs import Heard
from depth_dpt_ros.image_codec import depth_to_image, rgb_to_image, to_rgb
from depth_dpt_ros.node_log import NodeLog
from depth_dpt_ros.parameters import NodeParameters

# The answer is scaled by f / f_canonical. A network has seen a range of focal lengths about the
# canonical one at best; beyond twice, either way, objects have sizes that it has not learned.
_FAR_FROM_TRAINING = 2.0


class StageTimes:
    """What each stage of a frame took, seconds."""

    def __init__(self, begun: float) -> None:
        """Begin at a monotonic time."""
        self._begun = self._last = begun
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """A stage ends now, and the next begins."""
        now = time.monotonic()
        self._laps[stage], self._last = now - self._last, now

    def all(self) -> dict[str, float]:
        """Each stage, after the whole as `latency`."""
        return {"latency": self._last - self._begun, **self._laps}


@dataclass(frozen=True)
class Frame:
    """An image that has been read and brought to the network's size.

    `tensor` is what `DepthEstimator.prepare` made of it. `info` and `intrinsics` are the
    camera's as far as they are known; `intrinsics` may stand in for a CameraInfo that is missing.
    """

    camera: Camera
    received: Received
    heard: Heard
    geometry: Geometry
    tensor: Any
    info: Any | None
    intrinsics: Intrinsics | None
    times: StageTimes

    def finish(
        self, answer: NDArray[np.float32], estimator: DepthEstimator, now: Callable[[], int]
    ) -> None:
        """Publish what the network's answer [H,W] says; `now` is the time of stamps, ns."""
        settings, header = self.received.settings, self.received.message.header
        outputs = self.camera.outputs
        depth = estimator.metric_depth(
            answer,
            self.geometry,
            self.intrinsics,
            at_network_size=settings.output_size == "network",
        )
        if settings.depth_scale != 1.0:
            depth *= np.float32(settings.depth_scale)
        with np.errstate(invalid="ignore"):
            depth[depth > settings.max_depth] = np.nan
        self.times.lap("finish")
        if self.heard.info:
            _publish_info(self.camera, self.received, self.info, self.intrinsics, self.geometry)
        if self.heard.depth:
            outputs.depth.publish(depth_to_image(depth, header, settings.depth_encoding))
        if self.heard.color:
            outputs.color.publish(rgb_to_image(_colors(depth, settings), header))
        self.times.lap("publish")
        age = (now() - self.received.stamp) * 1e-9
        self.camera.health.count_answered(self.times.all(), age)


def begin(
    camera: Camera, received: Received, estimator: DepthEstimator, log: NodeLog
) -> Frame | None:
    """Read an image and bring it to the network's size; None where nobody wants its depth.

    Raises:
        ImageCodecError: the image cannot be read.
        CameraInfoError: the CameraInfo is not the image's.
    """
    times = StageTimes(received.at)
    times.lap("wait")
    heard = camera.outputs.heard()
    if not any(heard):
        camera.health.count_unheard()
        return None
    info = camera.begin(received)
    image = to_rgb(received.message)
    times.lap("decode")
    height, width = image.shape[:2]
    geometry = estimator.geometry(width, height)
    if info is None:
        intrinsics, warning = _assumed_camera(received.settings, width, height)
    else:
        intrinsics = intrinsics_of(info, width, height)
        warning = _focal_warning(estimator.metric_scale(geometry, intrinsics), intrinsics)
    if camera.health.set_camera(warning, **{"image size": f"{width}x{height}"}):
        log.warn(camera.titled(warning))
    if not heard.needs_depth:
        _publish_info(camera, received, info, intrinsics, geometry)
        return None
    tensor = estimator.prepare(image)
    times.lap("prepare")
    return Frame(camera, received, heard, geometry, tensor, info, intrinsics, times)


def _assumed_camera(
    settings: NodeParameters, width: int, height: int
) -> tuple[Intrinsics | None, str]:
    """What stands in for a missing CameraInfo, and the warning that says so."""
    if settings.focal_length > 0:
        using = f"parameter focal_length ({settings.focal_length:g} pixels)"
        camera = Intrinsics.centered(settings.focal_length, width, height)
        return camera, f"no camera_info, using {using}"
    using = "the camera that the model was trained for: depth may be out of scale"
    return None, f"no camera_info, using {using}"


def _focal_warning(ratio: float, intrinsics: Intrinsics) -> str:
    """What to say of a focal length that is `ratio` times that of training."""
    if 1 / _FAR_FROM_TRAINING <= ratio <= _FAR_FROM_TRAINING:
        return ""
    return (
        f"the focal length of {intrinsics.fx:.0f} pixels is {ratio:.2f} times that of the "
        "training camera at this image size: depth may be unlike what was measured of the model"
    )


def _publish_info(
    camera: Camera,
    received: Received,
    info: Any | None,
    intrinsics: Intrinsics | None,
    geometry: Geometry,
) -> None:
    """Publish the camera of the depth, where it is known."""
    if info is None or intrinsics is None:
        return
    network = received.settings.output_size == "network"
    message = info_for_depth(info, intrinsics, geometry, at_network_size=network)
    message.header = received.message.header
    camera.outputs.info.publish(message)


def _colors(depth: NDArray[np.float32], settings: NodeParameters) -> NDArray[np.uint8]:
    return colorize(
        depth,
        settings.color_min_depth,
        settings.color_max_depth,
        color_map=settings.color_map,
    )
