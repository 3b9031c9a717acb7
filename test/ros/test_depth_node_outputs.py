# SPDX-License-Identifier: Apache-2.0
"""Rectified images, points, compressed colours and filters of the real node."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")

from ros_harness import Camera, NodeProcess, metres
from sensor_msgs.msg import PointCloud2
from tiny_models import metres as answer
from tiny_models import write_own

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_ros.image_codec import rgb_to_image
from depth_dpt_ros.stamps import stamp_ns

pytestmark = pytest.mark.slow
WIDTH, HEIGHT, FOCAL = 320, 200, 210.0
V, U = np.mgrid[:HEIGHT, :WIDTH].astype(float)
SMOOTH = np.stack([40 + U / 4, 60 + V / 2, 200 - U / 8 - V / 8], -1).astype(np.uint8)
FISHEYE = [0.05, -0.02, 0.004, -0.001]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network of the image's size, whose answer is `answer` at any focal length."""
    return write_own(tmp_path / "own.onnx", ModelSpec(WIDTH, HEIGHT))


def numbers(cloud: PointCloud2) -> np.ndarray:
    """[h,w,4], by the message's own strides."""
    assert [field.offset for field in cloud.fields] == [0, 4, 8, 12]
    shape, strides = (cloud.height, cloud.width, 4), (cloud.row_step, cloud.point_step, 4)
    return np.ndarray(shape, np.float32, bytes(cloud.data), strides=strides)


def test_points_are_the_pinholes_and_have_the_pictures_colours(
    camera: Camera, domain: int, tmp_path: Path, model: Path
) -> None:
    with NodeProcess(domain, tmp_path / "log", model=model, max_depth=30.0):
        camera.listen("depth", "points")
        camera.wait_until_subscribed()
        message = camera.answer(SMOOTH, FOCAL)
        camera.wait_for(lambda: camera.points)
        cloud = camera.points[-1]
        depth = metres(message)
        assert cloud.header == message.header
        x, y, z, _ = np.moveaxis(numbers(cloud), -1, 0)
        np.testing.assert_array_equal(z, depth)
        np.testing.assert_allclose(x, (U - 159.5) * depth / FOCAL, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(y, (V - 99.5) * depth / FOCAL, rtol=1e-5, atol=1e-5)
        bits = np.ascontiguousarray(numbers(cloud)[..., 3]).view(np.uint32)
        red, green, blue = (SMOOTH[..., channel].astype(np.uint32) for channel in range(3))
        np.testing.assert_array_equal(bits, red << 16 | green << 8 | blue)
        refusals = camera.set_parameters(
            points_organised=False, points_stride=2, points_max_depth=25.0
        )
        assert refusals == ["", "", ""]
        camera.points.clear()
        camera.answer(SMOOTH, FOCAL)
        camera.wait_for(lambda: camera.points)
        sparse = depth[::2, ::2]
        wanted = sparse[sparse <= 25.0]
        assert 0 < len(wanted) < sparse.size
        np.testing.assert_array_equal(numbers(camera.points[-1])[0, :, 2], wanted)


def test_a_fisheye_camera_is_rectified(
    camera: Camera, domain: int, tmp_path: Path, model: Path
) -> None:
    with NodeProcess(domain, tmp_path / "log", model=model, rectify=True):
        camera.listen("depth", "info")
        camera.wait_until_subscribed()
        header = camera.header()
        info = camera.camera_info(header, WIDTH, HEIGHT, FOCAL)
        info.distortion_model, info.d = "equidistant", FISHEYE
        info.p[0], info.p[5] = 120.0, 120.0
        camera.send_info(info)
        camera.send_message(rgb_to_image(SMOOTH, header))
        camera.wait_for(lambda: camera.depth and camera.info)
    depth, out = metres(camera.depth[-1]), camera.info[-1]
    # the formula of the equidistant model
    x, y = (U - 159.5) / 120, (V - 99.5) / 120
    radius = np.hypot(x, y)
    theta = np.arctan(radius)
    bent = theta * (1 + sum(k * theta ** (2 * n) for n, k in enumerate(FISHEYE, 1)))
    raw_u, raw_v = 159.5 + FOCAL * x / radius * bent, 99.5 + FOCAL * y / radius * bent
    inside = (abs(raw_u - 159.5) <= WIDTH / 2) & (abs(raw_v - 99.5) <= HEIGHT / 2)
    assert 0.3 < inside.mean() < 0.95
    assert (np.isfinite(depth) == inside).mean() > 0.995
    picture = np.stack([40 + raw_u / 4, 60 + raw_v / 2, 200 - raw_u / 8 - raw_v / 8], -1)
    both = inside & np.isfinite(depth)
    np.testing.assert_allclose(depth[both], answer(picture)[both], atol=0.25)  # grey levels
    assert (list(out.d), list(out.k)) == ([0.0] * 5, [120, 0, 159.5, 0, 120, 99.5, 0, 0, 1])
    assert out.p[0] == 120


def test_compressed_colours_are_those_of_the_picture(
    camera: Camera, domain: int, tmp_path: Path, model: Path
) -> None:
    with NodeProcess(domain, tmp_path / "log", model=model):
        camera.listen("color", "compressed")
        camera.wait_until_subscribed()
        stamp = camera.send(SMOOTH, FOCAL).stamp
        camera.wait_for(lambda: camera.color and camera.compressed)
    color, compressed = camera.color[-1], camera.compressed[-1]
    assert stamp_ns(compressed) == stamp_ns(color) == stamp.sec * 10**9 + stamp.nanosec
    assert compressed.format == "rgb8; jpeg compressed bgr8"
    raw = np.frombuffer(color.data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    seen = cv2.imdecode(np.frombuffer(compressed.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(seen.astype(int) - raw).mean() < 2


def test_edges_and_the_own_bonnet_are_unknown(
    camera: Camera, domain: int, tmp_path: Path, model: Path
) -> None:
    step = np.full((HEIGHT, WIDTH, 3), 50, np.uint8)
    step[:, 100:] = 150
    with NodeProcess(domain, tmp_path / "log", model=model):
        camera.listen("depth")
        camera.wait_until_subscribed()
        assert np.isfinite(metres(camera.answer(step, FOCAL))).all()
        assert camera.set_parameters(edge_threshold=0.2, valid_bottom=0.8) == ["", ""]
        depth = metres(camera.answer(step, FOCAL))
    wanted = answer(step)
    wanted[:, 99:101] = np.nan
    wanted[160:] = np.nan
    np.testing.assert_allclose(depth, wanted, rtol=1e-5)
