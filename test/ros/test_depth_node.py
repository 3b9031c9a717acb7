# SPDX-License-Identifier: Apache-2.0
"""The node between processes: what a vehicle relies on."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from rclpy.qos import ReliabilityPolicy
from ros_harness import Camera, NodeProcess, camera_in, metres
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from depth_dpt_core.artifact import resolve
from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.frames import street_frames
from depth_dpt_ros.image_codec import rgb_to_image

pytestmark = pytest.mark.slow
FRAME = street_frames()[0]
FOCAL = 400.0


def stamp_of(header: Header) -> int:
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def test_depth_equals_the_estimators_and_keeps_the_header(
    camera: Camera, domain: int, tmp_path: Path
) -> None:
    with NodeProcess(domain, tmp_path / "log", max_depth=200.0) as node:
        camera.listen("depth", "info", "color")
        camera.wait_until_subscribed()
        # until all three of our subscriptions are known to the node
        camera.wait_for(lambda: camera.send(FRAME, FOCAL) and camera.info and camera.color)
        camera.spin(1.0)
        message = camera.answer(FRAME, FOCAL)
        camera.wait_for(lambda: camera.color[-1].header == message.header)
        intrinsics = Intrinsics.centered(FOCAL, FRAME.shape[1], FRAME.shape[0])
        expected = DepthEstimator.load("builtin")(FRAME, intrinsics)
        np.testing.assert_allclose(metres(message), expected, rtol=1e-4)
        assert message.header.frame_id == "camera_optical"
        info, color = camera.info[-1], camera.color[-1]
        assert info.header == message.header
        assert color.header == message.header
        assert (info.width, info.height) == (message.width, message.height) == (512, 256)
        assert (color.encoding, color.width, color.step) == ("rgb8", 512, 512 * 3)
        assert info.p[0] == pytest.approx(FOCAL)
        assert node.stop() == 0


@pytest.mark.parametrize("info_first", [True, False])
def test_twice_the_focal_length_gives_twice_the_depth(
    camera: Camera, domain: int, tmp_path: Path, info_first: bool
) -> None:
    with NodeProcess(domain, tmp_path / "log"):
        camera.listen("depth")
        camera.wait_until_subscribed()
        for _ in range(3):  # the focal length alternates, so a late CameraInfo would show
            near = metres(camera.answer(FRAME, FOCAL, info_first=info_first))
            far = metres(camera.answer(FRAME, 2 * FOCAL, info_first=info_first))
        both = np.isfinite(near) & np.isfinite(far) & (near < 40)
        assert both.mean() > 0.2
        np.testing.assert_allclose(far[both], 2 * near[both], rtol=1e-4)


def _hostile_images() -> dict[str, Image | CompressedImage]:
    def broken(**changes: object) -> Image:
        image = rgb_to_image(FRAME, Header(frame_id="camera_optical"))
        for name, value in changes.items():
            setattr(image, name, value)
        return image

    truncated = broken()
    del truncated.data[len(truncated.data) // 2 :]
    return {
        "step": broken(step=7),
        "zero": broken(width=0, height=0),
        "truncated": truncated,
        "encoding": broken(encoding="nonsense"),
    }


@pytest.mark.parametrize("name", ["step", "zero", "truncated", "encoding"])
def test_goes_on_after_a_bad_image(camera: Camera, domain: int, tmp_path: Path, name: str) -> None:
    with NodeProcess(domain, tmp_path / "log") as node:
        camera.listen("depth")
        camera.wait_until_subscribed()
        camera.send_info(camera.camera_info(camera.header(), 512, 256, FOCAL))
        camera.spin(0.5)
        camera.send_message(_hostile_images()[name])
        camera.spin(1.0)
        assert not camera.depth
        assert camera.answer(FRAME, FOCAL).width == 512
        camera.wait_for_status(DiagnosticStatus.WARN, "refused")
        assert "image refused" in node.log()


def test_compressed_images_and_a_broken_jpeg(camera: Camera, domain: int, tmp_path: Path) -> None:
    packed = cv2.imencode(".png", FRAME[..., ::-1])[1].tobytes()
    with NodeProcess(domain, tmp_path / "log", image_transport="compressed"):
        camera.listen("depth")
        camera.wait_until_subscribed(compressed=True)
        camera.send_message(
            CompressedImage(header=camera.header(), format="jpeg", data=b"\xff\xd8\xff\xe0 broken")
        )
        header = camera.header()
        camera.send_info(camera.camera_info(header, 512, 256, FOCAL))
        camera.spin(0.5)
        camera.send_message(CompressedImage(header=header, format="rgb8; png compressed bgr8",
                                            data=packed))  # fmt: skip
        camera.wait_for(lambda: camera.depth)
        assert camera.depth[0].header.stamp == header.stamp
        expected = DepthEstimator.load("builtin")(FRAME, Intrinsics(FOCAL, FOCAL, 0, 0))
        near = np.isfinite(expected) & (expected < 79)
        np.testing.assert_allclose(metres(camera.depth[0])[near], expected[near], rtol=1e-4)


def test_without_camera_info_waits_then_warns_and_publishes_no_info(
    camera: Camera, domain: int, tmp_path: Path
) -> None:
    with NodeProcess(
        domain, tmp_path / "log", camera_info_timeout=1.0, focal_length=2 * FOCAL
    ) as node:
        camera.listen("depth", "info")
        camera.wait_until_subscribed()
        begun = time.monotonic()
        while not camera.depth:
            camera.send(FRAME)
            camera.spin(0.2)
            assert time.monotonic() - begun < 20
        assert time.monotonic() - begun > 0.9
        camera.wait_for_status(DiagnosticStatus.WARN, "no camera_info")
        assert node.log().count("no camera_info") == 1
        assert not camera.info
        expected = DepthEstimator.load("builtin")(FRAME, Intrinsics(2 * FOCAL, 2 * FOCAL, 0, 0))
        near = np.isfinite(expected) & (expected < 79)
        np.testing.assert_allclose(metres(camera.depth[-1])[near], expected[near], rtol=1e-4)


def test_a_camera_info_of_another_size_is_refused(
    camera: Camera, domain: int, tmp_path: Path
) -> None:
    with NodeProcess(domain, tmp_path / "log"):
        camera.listen("depth")
        camera.wait_until_subscribed()
        header = camera.header()
        camera.send_info(camera.camera_info(header, 1280, 720, FOCAL))
        camera.send_message(rgb_to_image(FRAME, header))
        camera.spin(1.5)
        assert not camera.depth
        assert "1280x720" in camera.status().message
        assert camera.answer(FRAME, FOCAL).width == 512


def test_nothing_is_computed_for_nobody(camera: Camera, domain: int, tmp_path: Path) -> None:
    with NodeProcess(domain, tmp_path / "log"):
        camera.wait_until_subscribed()
        for _ in range(5):
            camera.send(FRAME, FOCAL)
            camera.spin(0.2)
        values = {item.key: item.value for item in camera.status().values}
        assert int(values["images received"]) >= 4
        assert values["images answered"] == "0"
        camera.listen("color")
        camera.spin(1.0)
        camera.send(FRAME, FOCAL)
        camera.wait_for(lambda: camera.color)


def test_network_size_and_millimetres(camera: Camera, domain: int, tmp_path: Path) -> None:
    image = cv2.resize(FRAME, (960, 540))
    height = resolve("builtin").spec.height  # which is flatter than the image
    width = round(960 * height / 540)
    with NodeProcess(domain, tmp_path / "log", output_size="network", depth_encoding="16UC1"):
        camera.listen("depth", "info")
        camera.wait_until_subscribed()
        message = camera.answer(image, 800.0)
        camera.wait_for(lambda: camera.info)
        assert (message.width, message.height) == (width, height)
        assert message.encoding == "16UC1"
        info = camera.info[-1]
        assert (info.width, info.height) == (width, height)
        assert info.p[0] == pytest.approx(800.0 * width / 960)
        assert info.p[6] == pytest.approx((269.5 + 0.5) * height / 540 - 0.5)
        millimetres = np.frombuffer(message.data, "<u2").reshape(height, width)
        expected = DepthEstimator.load("builtin")(
            image, Intrinsics(800.0, 800.0, 0, 0), at_network_size=True
        )
        known = np.isfinite(expected) & (expected < 65)
        np.testing.assert_allclose(millimetres[known], expected[known] * 1000, rtol=1e-3, atol=1)
        assert (millimetres[~np.isfinite(expected)] == 0).all()


def test_a_bad_model_fails_loudly_and_the_node_stays(
    camera: Camera, domain: int, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a model")
    with NodeProcess(domain, tmp_path / "log", model=str(bad)) as node:
        status = camera.status()
        assert status.level == b"\x02"
        assert "bad.onnx" in status.message
        assert node.process.poll() is None
        assert "bad.onnx" in node.log()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("color_map", "rainbow", "must be one of turbo, inferno, magma"),
        ("color_min_depth", 90.0, "must be less than color_max_depth"),
        ("max_depth", -1.0, "max_depth"),
        ("max_depth", "far", "max_depth is 'far', must be a number"),
        ("num_threads", "two", "INTEGER"),
        ("cameras", "[front, front]", "cameras holds 'front' twice"),
        ("cameras", "[front, 7up]", "cameras holds '7up', must be names"),
    ],
)
def test_wrong_parameters_end_the_node_with_one_sentence(
    domain: int, tmp_path: Path, name: str, value: object, words: str
) -> None:
    with NodeProcess(domain, tmp_path / "log", **{name: value}) as node:
        assert node.process.wait(30) == 2  # launch leaves it be
        assert words in node.log()
        assert "Traceback" not in node.log()


def test_follows_the_reliability_that_the_camera_offers(domain: int, tmp_path: Path) -> None:
    with NodeProcess(domain, tmp_path / "log"):
        for best_effort in (False, True, False):  # the camera driver is started anew each time
            with camera_in(domain, best_effort=best_effort) as camera:
                camera.listen("depth")
                camera.wait_until_subscribed()
                assert camera.answer(FRAME, FOCAL).width == 512
                subscriptions = camera.node.get_subscriptions_info_by_topic("/image")
                offered = {s.qos_profile.reliability for s in subscriptions}
                wanted = "BEST_EFFORT" if best_effort else "RELIABLE"
                assert offered == {ReliabilityPolicy[wanted]}


def test_a_reliability_of_the_users_own_is_kept(
    camera: Camera, domain: int, tmp_path: Path
) -> None:
    override = {"qos_overrides./image.subscription.reliability": "best_effort"}
    with NodeProcess(domain, tmp_path / "log", **override):
        camera.listen("depth")
        camera.wait_until_subscribed()
        assert camera.answer(FRAME, FOCAL).width == 512
        (subscription,) = camera.node.get_subscriptions_info_by_topic("/image")
        assert subscription.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


def test_max_rate_and_lifecycle(camera: Camera, domain: int, tmp_path: Path) -> None:
    with NodeProcess(domain, tmp_path / "log", max_rate=2.0):
        camera.listen("depth")
        camera.wait_until_subscribed()
        for _ in range(30):
            camera.send(FRAME, FOCAL)
            camera.spin(0.1)
        assert 4 <= len(camera.depth) <= 7
        camera.change_state(Transition.TRANSITION_DEACTIVATE)
        before = len(camera.depth)
        camera.send(FRAME, FOCAL)
        camera.spin(1.0)
        assert len(camera.depth) == before
        camera.change_state(Transition.TRANSITION_CLEANUP)
        camera.change_state(Transition.TRANSITION_CONFIGURE)
        camera.change_state(Transition.TRANSITION_ACTIVATE)
        camera.wait_until_subscribed()
        assert camera.answer(FRAME, FOCAL).width == 512


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("pause", [0.0, 0.02, 0.05])
def test_signals_end_the_node_cleanly_while_it_works(
    camera: Camera, domain: int, tmp_path: Path, number: signal.Signals, pause: float
) -> None:
    with NodeProcess(domain, tmp_path / "log") as node:
        camera.listen("depth", "color")
        camera.wait_until_subscribed()
        camera.answer(FRAME, FOCAL)
        for _ in range(3):
            camera.send(FRAME, FOCAL)
        time.sleep(pause)
        node.process.send_signal(number)
        if number == signal.SIGINT:
            node.process.send_signal(number)  # as a terminal under ros2 launch does
        assert node.process.wait(20) == 0
        assert "Traceback" not in node.log()


def test_answers_large_images_at_ten_hertz(camera: Camera, domain: int, tmp_path: Path) -> None:
    """2048x1024 rgb8 for 8 s on a busy CPU: many are answered, each under its own header."""
    image = cv2.resize(FRAME, (2048, 1024))
    with NodeProcess(domain, tmp_path / "log"):
        camera.listen("depth", "info")
        camera.wait_until_subscribed()
        sent = set()
        due = time.monotonic()
        for _ in range(80):
            sent.add(stamp_of(camera.send(image, 4 * FOCAL)))
            due += 0.1
            camera.spin(due - time.monotonic())
        camera.spin(2.0)
        answered = [stamp_of(message.header) for message in camera.depth]
        assert len(answered) >= 20
        assert len(set(answered)) == len(answered)
        assert set(answered) <= sent
        assert {m.header.frame_id for m in camera.depth} == {"camera_optical"}
        assert {(m.width, m.height) for m in [*camera.depth, *camera.info]} == {(2048, 1024)}
        assert answered == sorted(answered)
