# SPDX-License-Identifier: Apache-2.0
"""The thread that turns the newest image into published depth."""

from __future__ import annotations

import time
from threading import Thread
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.colorize import colorize
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_ros.camera_info import (
    CameraInfoBuffer,
    CameraInfoError,
    PatientMatch,
    info_for_depth,
    intrinsics_of,
)
from depth_dpt_ros.diagnostics import NodeHealth
from depth_dpt_ros.image_codec import ImageCodecError, depth_to_image, to_rgb
from depth_dpt_ros.latest_frame import LatestFrame, Received
from depth_dpt_ros.parameters import NodeParameters
from depth_dpt_ros.reused_image import ReusedImage
from depth_dpt_ros.stamps import stamp_ns


class DepthOutputs(Protocol):
    """Where the worker reads settings and publishes; the node."""

    def current_parameters(self) -> NodeParameters:
        """Parameters to use for the next frame."""

    def listeners(self) -> tuple[bool, bool, bool]:
        """Whether anybody subscribes to depth, to its camera info, to colour."""

    def publish_info(self, message: CameraInfo) -> None:
        """Publish the CameraInfo of a frame's depth."""

    def publish_depth(self, message: Image) -> None:
        """Publish a frame's depth."""

    def publish_color(self, message: Image) -> None:
        """Publish a frame's depth in colours."""

    def warn(self, text: str) -> None:
        """Log a warning, throttled."""

    def warn_camera(self, text: str) -> None:
        """Log a warning about the camera, once."""

    def error(self, text: str) -> None:
        """Log an error with the current traceback."""


class FrameWorker:
    """Owns the estimator; takes images from the mailbox until stopped."""

    def __init__(
        self,
        estimator: DepthEstimator,
        frames: LatestFrame[Received[Image | CompressedImage]],
        infos: CameraInfoBuffer,
        outputs: DepthOutputs,
        health: NodeHealth,
    ) -> None:
        self._estimator = estimator
        self._frames = frames
        self._cameras = PatientMatch(infos)
        self._outputs = outputs
        self._health = health
        self._depth_image, self._color_image = ReusedImage("32FC1"), ReusedImage("rgb8")
        self._last_start = float("-inf")  # monotonic seconds, for max_rate
        frames.open()
        self._thread = Thread(target=self._run, name="depth", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the frame that it is at."""
        self._frames.close()
        self._thread.join()

    def _run(self) -> None:
        while (received := self._frames.take()) is not None:
            try:
                self._handle(received)
            except (ImageCodecError, CameraInfoError) as error:
                cause = "bad image" if isinstance(error, ImageCodecError) else "wrong camera_info"
                self._health.count_refused(cause, str(error))
                self._outputs.warn(f"image refused: {error}")
            except Exception as error:  # noqa: BLE001 - the thread must outlive any single frame
                self._health.count_refused("internal error", repr(error))
                self._outputs.error(f"frame lost to an unexpected error: {error!r}")

    def _handle(self, received: Received[Image | CompressedImage]) -> None:
        message = received.message
        parameters = self._outputs.current_parameters()
        depth_heard, info_heard, color_heard = self._outputs.listeners()
        if not (depth_heard or info_heard or color_heard):
            self._health.unheard += 1
            return
        if parameters.max_rate > 0:
            pause = self._last_start + 1 / parameters.max_rate - time.monotonic()
            if pause > 0:
                time.sleep(min(pause, 0.05))
                self._frames.give_back(received)
                return
        info, undecided = self._cameras.find(stamp_ns(message), parameters.camera_info_timeout)
        if undecided:
            self._frames.give_back(received)
            return
        self._last_start = time.monotonic()
        image = to_rgb(message)
        height, width = image.shape[:2]
        known = None if info is None else intrinsics_of(info, width, height)
        header = message.header
        depth = None
        if depth_heard or color_heard:
            depth = self._estimate(image, known, parameters)
        if info_heard and info is not None and known is not None:
            geometry = self._estimator.geometry(width, height)
            network = parameters.output_size == "network"
            out_info = info_for_depth(info, known, geometry, at_network_size=network)
            out_info.header = header
            self._outputs.publish_info(out_info)
        if depth is not None and depth_heard:
            if parameters.depth_encoding == "32FC1":
                self._outputs.publish_depth(self._depth_image.message(header))
            else:
                self._outputs.publish_depth(depth_to_image(depth, header, "16UC1"))
        if depth is not None and color_heard:
            _color(depth, self._color_image.pixels(*depth.shape), parameters)
            self._outputs.publish_color(self._color_image.message(header))
        self._health.count_answered(time.monotonic() - received.at)

    def _estimate(
        self,
        image: NDArray[np.uint8],
        known: Intrinsics | None,
        parameters: NodeParameters,
    ) -> NDArray[np.float32]:
        camera = known or self._assumed_camera(image, parameters)
        if known is not None:
            self._health.camera_warning = ""
        network = parameters.output_size == "network"
        geometry = self._estimator.geometry(image.shape[1], image.shape[0])
        size = (geometry.content_height, geometry.content_width) if network else image.shape[:2]
        return self._estimator(
            image,
            camera,
            at_network_size=network,
            depth_scale=parameters.depth_scale,
            max_depth=parameters.max_depth,
            out=self._depth_image.pixels(*size),
        )

    def _assumed_camera(
        self, image: NDArray[np.uint8], parameters: NodeParameters
    ) -> Intrinsics | None:
        """Stand in for a missing CameraInfo, and say so."""
        height, width = image.shape[:2]
        if parameters.focal_length > 0:
            using = f"parameter focal_length ({parameters.focal_length:g} pixels)"
        else:
            using = "the camera that the model was trained for: depth may be out of scale"
        self._health.camera_warning = f"no camera_info, using {using}"
        self._outputs.warn_camera(self._health.camera_warning)
        if parameters.focal_length > 0:
            return Intrinsics.centered(parameters.focal_length, width, height)
        return None


def _color(depth: NDArray[np.float32], out: NDArray[np.uint8], parameters: NodeParameters) -> None:
    colorize(
        depth,
        parameters.color_min_depth,
        parameters.color_max_depth,
        color_map=parameters.color_map,
        out=out,
    )
