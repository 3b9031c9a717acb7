# SPDX-License-Identifier: Apache-2.0
"""What the node says of itself, and what it does when told otherwise, between processes."""

from __future__ import annotations

import dataclasses
import socket
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")

from lifecycle_msgs.msg import Transition
from rclpy.time import Time
from ros_harness import Camera, NodeProcess
from ros_harness import metres as depth_of
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header
from tiny_models import metres, write_own

from depth_dpt_core.artifact import ModelSpec, OutputSpec
from depth_dpt_ros.image_codec import rgb_to_image

pytestmark = pytest.mark.slow
SPEC = ModelSpec(width=24, height=12, canonical_focal_length=20.0, max_depth=1000.0)
FRAME = np.random.default_rng(3).integers(0, 256, (12, 24, 3)).astype(np.uint8)
FOCAL = 20.0
OK, WARN, ERROR = b"\x00", b"\x01", b"\x02"
STAGES = ("latency", "wait", "decode", "prepare", "network", "finish", "publish")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_own(tmp_path / "tiny.onnx", SPEC)


def values_of(status: object) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def send_at(camera: Camera, seconds: float, *, rgb: np.ndarray = FRAME) -> None:
    """Send an image and its CameraInfo with a stamp."""
    header = Header(frame_id="camera_optical")
    header.stamp = Time(nanoseconds=round(seconds * 1e9)).to_msg()
    camera.send_info(camera.camera_info(header, rgb.shape[1], rgb.shape[0], FOCAL))
    camera.send_message(rgb_to_image(rgb, header))


def test_stages_rates_and_age_and_a_camera_that_falls_silent(
    camera: Camera, domain: int, tmp_path: Path, model: Path
) -> None:
    with NodeProcess(domain, tmp_path / "log", model=model):
        camera.listen("depth")
        camera.wait_for_status(WARN, "no image has come on /image: 1 publish it")
        camera.wait_until_subscribed()

        def send() -> None:
            send_at(camera, time.time() - 0.3)  # as exposed, read out and transported

        for _ in range(50):
            send()
            camera.spin(0.05)
        values = values_of(camera.wait_for_status(OK, "active", send=send))
        for stage in STAGES:
            p50, p95, p99 = (float(values[f"{stage} p{p} (ms)"]) for p in (50, 95, 99))
            assert 0 <= p50 <= p95 <= p99 < 3000
            assert p50 <= float(values["latency p50 (ms)"])
        assert 300 < float(values["age p50 (ms)"]) < 3000
        assert float(values["age p99 (ms)"]) >= float(values["age p50 (ms)"])
        assert 4 < float(values["input rate (Hz)"]) < 21
        assert 4 < float(values["output rate (Hz)"]) < 21
        assert int(values["images answered"]) == len(camera.depth)
        silent = camera.wait_for_status(WARN, "no image for ")
        assert "before that one every 0.0" in silent.message
        silent = camera.wait_for_status(ERROR, "no image for")
        assert float(values_of(silent)["input rate (Hz)"]) < float(values["input rate (Hz)"])
        camera.wait_for_status(OK, "active", send=send)
        send_at(camera, 1e6)
        camera.wait_for(lambda: camera.depth[-1].header.stamp.sec == 10**6)
        values = values_of(camera.wait_for_status(OK, send=lambda: send_at(camera, 1e6)))
        assert values["age"].startswith("unknown, stamps of another clock")
        assert "age p50 (ms)" not in values


def test_a_camera_that_changes_its_resolution(
    camera: Camera, domain: int, tmp_path: Path, model: Path
) -> None:
    large = FRAME.repeat(2, axis=0).repeat(2, axis=1)  # shrinks back to exactly FRAME
    with NodeProcess(domain, tmp_path / "log", model=model):
        camera.listen("depth", "info")
        camera.wait_until_subscribed()
        camera.wait_for(lambda: camera.send(FRAME, 20.0) and camera.depth and camera.info)
        # the focal length grows with the image: the same camera, and the same metres
        for picture, focal in ((FRAME, 20.0), (large, 40.0), (FRAME, 20.0)):
            depth = camera.answer(picture, focal)
            assert (depth.height, depth.width) == picture.shape[:2]
            if picture is FRAME:
                np.testing.assert_allclose(depth_of(depth), metres(FRAME), rtol=1e-5)
            camera.wait_for(lambda sent=depth: camera.info[-1].header == sent.header)
            assert camera.info[-1].width == depth.width
        # the CameraInfo of the new size comes with the second image of it
        late = camera.header()
        camera.send_message(rgb_to_image(large, late))
        camera.spin(1.0)
        assert camera.depth[-1].header.stamp != late.stamp
        assert camera.answer(large, 40.0).width == 48
        status = camera.wait_for_status(
            WARN, "camera_info is for 24x12 pixels", send=lambda: camera.send(large, 40.0)
        )
        assert values_of(status)["refused, wrong camera_info"] == "1"


def test_sim_time_with_and_without_a_clock(
    camera: Camera, domain: int, tmp_path: Path, model: Path
) -> None:
    with NodeProcess(domain, tmp_path / "log", model=model, use_sim_time=True):
        camera.listen("depth")
        camera.wait_until_subscribed()
        found = camera.wait_for_status(OK, "active", send=lambda: send_at(camera, 1000.0))
        assert values_of(found)["age"].startswith("unknown, stamps of another clock (-1000 s)")
        clock = camera.node.create_publisher(Clock, "/clock", 10)

        def tick() -> None:
            now = 2000.0 + time.monotonic() % 1000
            clock.publish(Clock(clock=Time(nanoseconds=round(now * 1e9)).to_msg()))
            camera.spin(0.05)
            send_at(camera, now - 5.0)

        for _ in range(5):
            tick()
        found = camera.wait_for_status(OK, "active", send=tick)
        assert float(values_of(found)["age p50 (ms)"]) == pytest.approx(5000, abs=500)
        assert camera.diagnostics[-1].header.stamp.sec >= 2000


def test_another_model_and_other_cameras_while_inactive(
    camera: Camera, domain: int, tmp_path: Path, model: Path
) -> None:
    twice = dataclasses.replace(SPEC, output=OutputSpec(scale=2.0))
    other = write_own(tmp_path / "twice.onnx", twice)
    with NodeProcess(domain, tmp_path / "log", model=model) as node:
        camera.listen("depth")
        camera.wait_until_subscribed()
        np.testing.assert_allclose(depth_of(camera.answer(FRAME, FOCAL)), metres(FRAME), rtol=1e-5)
        (reason,) = camera.set_parameters(model=str(other))
        assert reason == "model can be set only while the node is not active: deactivate it first"
        assert camera.set_parameters(depth_scale=3.0, max_depth=200) == ["", ""]
        wanted = np.where(metres(FRAME) > 200 / 3, np.nan, 3 * metres(FRAME))
        np.testing.assert_allclose(depth_of(camera.answer(FRAME, FOCAL)), wanted, rtol=1e-5)
        assert camera.set_parameters(depth_scale=1.0) == [""]

        camera.change_state(Transition.TRANSITION_DEACTIVATE)
        assert camera.set_parameters(model="nowhere.onnx") == [""]
        assert not camera.try_transition(Transition.TRANSITION_ACTIVATE)
        failed = "activate failed: nowhere.onnx: no such model file"
        assert values_of(camera.wait_for_status(ERROR, failed))["state"] == "inactive"
        assert failed in node.log()
        assert "Traceback" not in node.log()
        assert camera.set_parameters(model=str(other)) == [""]
        camera.change_state(Transition.TRANSITION_ACTIVATE)
        camera.wait_until_subscribed()
        doubled = depth_of(camera.answer(FRAME, FOCAL))
        np.testing.assert_allclose(doubled, 2 * metres(FRAME), rtol=1e-5)
        send = lambda: camera.send(FRAME, FOCAL)  # noqa: E731
        assert values_of(camera.wait_for_status(OK, send=send))["model"] == str(other)

        camera.change_state(Transition.TRANSITION_DEACTIVATE)
        assert camera.set_parameters(cameras=["front"]) == [""]
        camera.change_state(Transition.TRANSITION_ACTIVATE)
        front = Camera(camera.context, name="front", beside=camera)
        front.listen("depth")
        front.wait_until_subscribed()
        np.testing.assert_allclose(depth_of(front.answer(FRAME, FOCAL)), doubled)
        assert camera.node.count_subscribers("/image") == 0
        assert node.stop() == 0


def test_what_fails_in_a_transition_is_logged_and_can_be_mended(
    camera: Camera, domain: int, tmp_path: Path, model: Path
) -> None:
    override = {"qos_overrides./image.subscription.reliability": "certain"}
    settings = {"model": tmp_path / "later.onnx", "autostart": False, **override}
    with NodeProcess(domain, tmp_path / "log", **settings) as node:
        camera.listen("depth")
        assert not camera.try_transition(Transition.TRANSITION_CONFIGURE)
        found = camera.wait_for_status(ERROR, "configure failed: ")
        assert "later.onnx: no such model file" in found.message
        assert values_of(found)["state"] == "unconfigured"
        model.rename(tmp_path / "later.onnx")
        camera.change_state(Transition.TRANSITION_CONFIGURE)
        camera.wait_for_status(OK, "inactive")
        assert not camera.try_transition(Transition.TRANSITION_ACTIVATE)
        camera.wait_for_status(ERROR, "'certain', must be one of ")
        assert "activate failed: qos_overrides./image.subscription.reliability" in node.log()
        camera.change_state(Transition.TRANSITION_CLEANUP)
        camera.wait_for_status(OK, "unconfigured")
        assert node.stop() == 0


def test_a_download_holds_up_nothing_but_depth(
    camera: Camera, domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    with socket.create_server(("127.0.0.1", 0)) as hub:  # which never answers
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.getsockname()[1]}")
        monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "60")
        with NodeProcess(domain, tmp_path / "log", model="hf://own/er/model.onnx") as node:
            found = camera.wait_for_status(WARN, "downloading the model, 0%")
            assert values_of(found)["state"] == "active"
            camera.wait_until_subscribed()
            camera.change_state(Transition.TRANSITION_DEACTIVATE)
            camera.change_state(Transition.TRANSITION_CLEANUP)
            begun = time.monotonic()
            assert node.stop() == 0
            assert time.monotonic() - begun < 10
            assert "Traceback" not in node.log()


def test_a_wrong_name_in_a_parameter_file_is_told(
    camera: Camera, domain: int, tmp_path: Path, model: Path
) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(f"/**:\n  ros__parameters:\n    model: {model}\n    focal_lenght: 900.0\n")
    log = tmp_path / "log"
    with NodeProcess(domain, log, "--params-file", str(file)) as node:
        camera.wait_for_status(WARN, "no image")
        told = "there is no parameter 'focal_lenght': do you mean 'focal_length'?"
        assert told in node.log()
