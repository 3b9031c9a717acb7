# SPDX-License-Identifier: Apache-2.0
"""Messages that are written again and again: what was published before must not change."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")

from rclpy.serialization import deserialize_message, serialize_message
from ros_harness import Camera, NodeProcess, metres
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.colorize import colorize
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.frames import street_frames
from depth_dpt_ros.image_codec import depth_to_image, rgb_to_image
from depth_dpt_ros.reused_image import ReusedImage

FOCAL = 400.0


def header(frame: str) -> Header:
    return Header(frame_id=frame)


def test_it_is_the_message_of_a_fresh_image() -> None:
    rng = np.random.default_rng(0)
    depths, colors = ReusedImage("32FC1"), ReusedImage("rgb8")
    for size in ((5, 7), (5, 7), (3, 2), (6, 8)):
        depth = rng.random(size, np.float32)
        rgb = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
        depths.pixels(*size)[:] = depth
        colors.pixels(*size)[:] = rgb
        assert depths.message(header("a")) == depth_to_image(depth, header("a"), "32FC1")
        assert colors.message(header("b")) == rgb_to_image(rgb, header("b"))


def test_writing_again_leaves_what_was_serialized() -> None:
    image = ReusedImage("32FC1")
    image.pixels(4, 6)[:] = 1.5
    sent = serialize_message(image.message(header("first")))
    image.pixels(4, 6)[:] = 2.5
    image.message(header("second"))
    received = deserialize_message(sent, Image)
    assert received.header.frame_id == "first"
    assert (metres(received) == 1.5).all()


@pytest.mark.slow
def test_each_frame_keeps_its_own_depth_and_colours(
    camera: Camera, domain: int, tmp_path: Path
) -> None:
    """Different scenes and sizes in turn through the node, compared with the estimator."""
    frames = [
        cv2.resize(frame, size)
        for frame, size in zip(
            street_frames(), ((512, 256), (512, 256), (640, 480), (512, 256)), strict=True
        )
    ]
    with NodeProcess(domain, tmp_path / "log", max_depth=60.0):
        camera.listen("depth", "color")
        camera.wait_until_subscribed()
        for frame in frames:
            camera.answer(frame, FOCAL)
            wanted = len(camera.depth)
            camera.wait_for(lambda wanted=wanted: len(camera.color) == wanted)
    estimator = DepthEstimator.load("builtin")
    assert len(camera.depth) == len(frames)
    for frame, depth, color in zip(frames, camera.depth, camera.color, strict=True):
        height, width = frame.shape[:2]
        expected = estimator(frame, Intrinsics.centered(FOCAL, width, height), max_depth=60.0)
        np.testing.assert_allclose(metres(depth), expected, rtol=1e-4)
        rgb = np.frombuffer(color.data, np.uint8).reshape(height, width, 3)
        np.testing.assert_array_equal(rgb, colorize(metres(depth), 1.0, 80.0))
