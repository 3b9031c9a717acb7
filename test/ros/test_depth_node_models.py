# SPDX-License-Identifier: Apache-2.0
"""Other people's models in the real node, described by files of config/models."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")

from ros_harness import Camera, NodeProcess, camera_in, metres
from sensor_msgs.msg import Image
from tiny_models import REPOSITORY, write_third_party

from depth_dpt_ros.stamps import stamp_ns

pytestmark = pytest.mark.slow
FOCAL = 450.0
WEIGHTS, BIAS = (1.0, 2.0, 3.0), 10.0  # of normalised r, g, b
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def picture() -> np.ndarray:
    v, u = np.mgrid[:360, :640]
    return np.stack([40 + u / 8, 60 + v / 4, 200 - u / 10 - v / 10], -1).astype(np.uint8)


def answer() -> np.ndarray:
    """What the network says of the picture, at the picture's size."""
    return (picture() / 255 - MEAN) / STD @ np.array(WEIGHTS) + BIAS


def model(folder: Path, description: str, size: tuple[int, int]) -> Path:
    """A small network of that size, whose input and output have names of their own."""
    path = write_third_party(folder / "theirs.onnx", size=size, weights=WEIGHTS, bias=BIAS)
    text = (REPOSITORY / "config" / "models" / description).read_text(encoding="utf-8")
    (folder / "theirs.yaml").write_text(text.replace("name: depth", 'name: ""'))
    return path


def test_metres_by_the_models_own_focal_length(
    camera: Camera, domain: int, tmp_path: Path
) -> None:
    path = model(tmp_path, "depth_anything_v3_metric.yaml", (504, 280))
    with NodeProcess(domain, tmp_path / "log", model=path, max_depth=500.0):
        camera.listen("depth", "info")
        camera.wait_until_subscribed()
        depth = metres(camera.answer(picture(), FOCAL))
        camera.wait_for(lambda: camera.info)
    wanted = FOCAL * (280 / 360) / 300 * answer()
    inner = (slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(depth[inner], wanted[inner], rtol=0.02)


def test_a_relative_model_is_published_as_such_until_a_scale_is_set(
    camera: Camera, domain: int, tmp_path: Path
) -> None:
    path = model(tmp_path, "depth_anything_v2_relative.yaml", (518, 518))
    near: list[Image] = []
    camera.node.create_subscription(Image, "depth/relative/image", near.append, 10)
    with NodeProcess(domain, tmp_path / "log", model=path, max_depth=500.0):
        camera.listen("depth", "info", "points", "color")
        camera.wait_until_subscribed()
        stamp = camera.send(picture(), FOCAL).stamp
        camera.wait_for(lambda: near and camera.color)
        camera.spin(1.0)
        assert [camera.depth, camera.info, camera.points] == [[], [], []]
        assert stamp_ns(near[0]) == stamp.sec * 10**9 + stamp.nanosec
        assert near[0].encoding == "mono8"
        low, high = np.percentile(answer(), [2, 98])
        wanted = 1 + 254 * np.clip((answer() - low) / (high - low), 0, 1)
        seen = np.reshape(near[0].data, (360, 640)).astype(float)
        np.testing.assert_allclose(seen[8:-8, 8:-8], wanted[8:-8, 8:-8], atol=8)
        assert camera.set_parameters(valid_bottom=0.5) == [""]
        count = len(near)
        camera.send(picture(), FOCAL)
        camera.wait_for(lambda: len(near) > count)
        upper, lower = np.split(np.reshape(near[-1].data, (360, 640)), 2)
        assert (upper > 0).all()
        assert (lower == 0).all()
        assert camera.set_parameters(valid_bottom=1.0, depth_scale=2.5) == ["", ""]
        camera.spin(1.0)
        count = len(near)
        depth = metres(camera.answer(picture(), FOCAL))
        camera.spin(0.5)
        assert len(near) == count
    wanted = 2.5 / (0.1 * answer())
    np.testing.assert_allclose(depth[8:-8, 8:-8], wanted[8:-8, 8:-8], rtol=0.03)


def test_without_a_description_the_node_says_where_there_are_some(
    domain: int, tmp_path: Path
) -> None:
    path = model(tmp_path, "depth_anything_v3_metric.yaml", (504, 280))
    shutil.move(tmp_path / "theirs.yaml", tmp_path / "other.yaml")
    with camera_in(domain) as camera, NodeProcess(domain, tmp_path / "log", model=path) as node:
        camera.wait_for(lambda: "is not beside it; copy one that fits from" in node.log(), 40)
        assert "config/models, or write one" in node.log()
