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
from depth_dpt_core.edge_filter import ValidRegion, blank_edges
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.preprocess import Geometry
from depth_dpt_ros.camera import Camera, Received
from depth_dpt_ros.camera_info import info_for_depth, intrinsics_of
from depth_dpt_ros.depth_outputs import Heard
from depth_dpt_ros.image_codec import to_rgb
from depth_dpt_ros.node_log import NodeLog
from depth_dpt_ros.parameters import NodeParameters
from depth_dpt_ros.rectification import Rectifier

# The answer is scaled by f / f_canonical. A network has seen a range of focal lengths about the
# canonical one at best; beyond twice, either way, objects have sizes that it has not learned.
_FAR_FROM_TRAINING = 2.0


class Stopwatch:
    """Measures what each stage of a frame takes."""

    def __init__(self, begun: float) -> None:
        """Begin at a monotonic time."""
        self._begun = self._last = begun
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """A stage ends now, or a part of it, and the next begins."""
        now = time.monotonic()
        self._laps[stage] = self._laps.get(stage, 0.0) + now - self._last
        self._last = now

    def all(self) -> dict[str, float]:
        """Seconds of each stage, after the whole as `latency`."""
        return {"latency": self._last - self._begun, **self._laps}


@dataclass(frozen=True)
class View:
    """An image [H,W,3], and its camera as far as it is known.

    `intrinsics` may stand in for a CameraInfo that is missing; `warning` says so, or what else is
    odd about the camera. Rectified images have a `rectifier`, and `info` is theirs.
    """

    image: NDArray[np.uint8]
    geometry: Geometry
    info: Any | None
    intrinsics: Intrinsics | None
    rectifier: Rectifier | None
    warning: str


@dataclass(frozen=True)
class Frame:
    """An image on its way through the network; `tensor` is what `prepare` made of it."""

    camera: Camera
    received: Received
    estimator: DepthEstimator
    heard: Heard
    view: View
    tensor: Any
    times: Stopwatch

    def finish(self, answer: NDArray[np.float32], now: Callable[[], int]) -> None:
        """Publish what the network's answer [H,W] says; `now` is the time of stamps, ns."""
        if self.estimator.relative:
            self._publish_nearness(answer)
        else:
            depth = self._depth(answer)
            self.times.lap("finish")
            self._publish(depth)
        self.times.lap("publish")
        age = (now() - self.received.stamp) * 1e-9
        self.camera.health.count_answered(self.times.all(), age)

    def _depth(self, answer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Metres [H,W] at the size to publish, NaN where they are unknown or not wanted."""
        settings, view, geometry = self.received.settings, self.view, self.view.geometry
        content = geometry.content_width, geometry.content_height
        network = settings.output_size == "network"
        width, height = content if network else (geometry.image_width, geometry.image_height)
        depth = self.estimator.metric_depth(
            answer,
            geometry,
            view.intrinsics,
            at_network_size=network,
            depth_scale=settings.depth_scale,
            max_depth=settings.max_depth,
            out=self.camera.outputs.room_for_depth(height, width),
        )
        blank_edges(depth, settings.edge_threshold, grid=content)
        self._blank_outside(depth)
        return depth

    def _blank_outside(self, depth: NDArray[np.float32]) -> None:
        """Make NaN what the camera did not see, or what is not wanted of it."""
        settings = self.received.settings
        if self.view.rectifier is not None:
            self.view.rectifier.blank(depth)
        ValidRegion(
            settings.valid_left, settings.valid_top, settings.valid_right, settings.valid_bottom
        ).blank_outside(depth)

    def _publish(self, depth: NDArray[np.float32]) -> None:
        settings, header = self.received.settings, self.received.message.header
        outputs, view = self.camera.outputs, self.view
        if self.heard.info:
            _publish_info(self.camera, self.received, view)
        if self.heard.depth:
            outputs.publish_depth(depth, header, settings)
        if self.heard.colors:
            outputs.publish_color(self.heard, depth, header, settings)
        if self.heard.points and view.info is not None and view.intrinsics is not None:
            camera, image = view.intrinsics, view.image
            if settings.output_size == "network":
                camera, image = (
                    view.geometry.intrinsics_at_content(camera),
                    view.geometry.resize(image),
                )
            color = image if settings.points_color else None
            outputs.publish_points(depth, camera, color, header, settings)

    def _publish_nearness(self, answer: NDArray[np.float32]) -> None:
        """Of a model that knows no metres: what is near, what is far."""
        settings, header = self.received.settings, self.received.message.header
        network = settings.output_size == "network"
        geometry = self.view.geometry
        nearness = self.estimator.nearness(answer, geometry, at_network_size=network)
        self._blank_outside(nearness)
        self.times.lap("finish")
        if self.heard.nearness:
            self.camera.outputs.publish_nearness(nearness, header)
        if self.heard.colors:
            self.camera.outputs.publish_nearness_color(self.heard, nearness, header, settings)


def begin(
    camera: Camera, received: Received, estimator: DepthEstimator, log: NodeLog
) -> Frame | None:
    """Read an image and bring it to the network's size; None where nobody wants its depth.

    Raises:
        ImageCodecError: the image cannot be read.
        CameraInfoError: the CameraInfo is not the image's, or cannot be rectified by.
    """
    times = Stopwatch(received.at)
    times.lap("wait")
    heard = camera.outputs.heard(relative=estimator.relative)
    if not any(heard):
        camera.health.count_unheard()
        return None
    view = _view(camera, received, estimator)
    if camera.health.set_camera(view.warning):
        log.warn(camera.titled(view.warning))
    times.lap("decode")
    if not heard.needs_inference:
        _publish_info(camera, received, view)
        return None
    tensor = estimator.prepare(view.image)
    times.lap("prepare")
    return Frame(camera, received, estimator, heard, view, tensor, times)


def _view(camera: Camera, received: Received, estimator: DepthEstimator) -> View:
    """The picture, rectified if that is wanted, with its camera."""
    info = camera.begin(received)
    image = to_rgb(received.message)
    height, width = image.shape[:2]
    geometry = estimator.geometry(width, height)
    if info is None:
        intrinsics, warning = _assumed_camera(received.settings, width, height)
        return View(image, geometry, None, intrinsics, None, warning)
    rectifier = None
    if received.settings.rectify:
        rectifier = camera.rectifiers.get(info, width, height)
        image, info = rectifier(image), rectifier.info
    intrinsics = intrinsics_of(info, width, height)
    warning = _focal_warning(estimator.metric_scale(geometry, intrinsics), intrinsics)
    return View(image, geometry, info, intrinsics, rectifier, warning)


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


def _publish_info(camera: Camera, received: Received, view: View) -> None:
    """Publish the camera of the depth, where it is known."""
    if view.info is None or view.intrinsics is None:
        return
    network = received.settings.output_size == "network"
    message = info_for_depth(view.info, view.intrinsics, view.geometry, at_network_size=network)
    message.header = received.message.header
    camera.outputs.publish_info(message)
