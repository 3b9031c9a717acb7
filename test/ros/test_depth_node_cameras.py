# SPDX-License-Identifier: Apache-2.0
"""Several cameras and one engine, between processes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")
pytest.importorskip("filelock")

from ros_harness import Camera, NodeProcess, camera_in
from ros_harness import metres as depth_of
from tiny_models import metres, write_own

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_ros.image_codec import rgb_to_image
from depth_dpt_ros.stamps import stamp_ns

pytestmark = pytest.mark.slow
STAND_IN = Path(__file__).parents[1] / "support" / "stand_in"
CANONICAL = 20.0
SPEC = ModelSpec(width=24, height=12, canonical_focal_length=CANONICAL, max_depth=1000.0)
OK, WARN, ERROR = b"\x00", b"\x01", b"\x02"
# width, height, focal length, colour; the factor by which the image is shrunk to the network
CAMERAS = {
    "front": (24, 12, 20.0, (10, 20, 30), 1.0),
    "left": (48, 24, 80.0, (200, 100, 50), 0.5),
    "rear/right": (20, 30, 10.0, (0, 250, 0), 0.4),
}
INFERENCE = 0.1  # s


@pytest.fixture
def slow_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An engine for processes started from here, which takes INFERENCE for each batch."""
    paths = [str(STAND_IN), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"execute_seconds": INFERENCE}))


@contextmanager
def cameras_in(domain: int, *names: str) -> Iterator[dict[str, Camera]]:
    with camera_in(domain, name=names[0]) as first:
        others = {name: Camera(first.context, name=name, beside=first) for name in names[1:]}
        yield {names[0]: first, **others}


@pytest.fixture
def three(domain: int) -> Iterator[dict[str, Camera]]:
    with cameras_in(domain, *CAMERAS) as cameras:
        yield cameras


def picture(name: str) -> np.ndarray:
    width, height, _, color, _ = CAMERAS[name]
    return np.full((height, width, 3), color, np.uint8)


def send(camera: Camera) -> None:
    camera.send(picture(camera.name), CAMERAS[camera.name][2])


def listen(cameras: dict[str, Camera], *topics: str) -> None:
    """Subscribe to what the node says, and wait until it listens to all cameras."""
    for camera in cameras.values():
        camera.listen(*topics)
        camera.wait_until_subscribed(settle=0.0)
    camera.spin(1.5)


def values_of(status: object) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def names(cameras: dict[str, Camera]) -> str:
    return f"[{', '.join(cameras)}]"


@pytest.mark.parametrize("batch", [1, 3])
def test_each_camera_gets_its_own_metres(
    three: dict[str, Camera], domain: int, tmp_path: Path, batch: int
) -> None:
    model = write_own(tmp_path / "tiny.onnx", SPEC, batch=batch)
    with NodeProcess(domain, tmp_path / "log", model=model, cameras=names(three)) as node:
        front = three["front"]
        listen(three, "depth", "info")
        end = time.monotonic() + 30
        while not all(len(camera.depth) >= 5 for camera in three.values()):
            assert time.monotonic() < end
            for camera in three.values():
                send(camera)
            front.spin(0.1)
        for name, camera in three.items():
            width, height, focal, _, shrunk = CAMERAS[name]
            wanted = metres(picture(name)) * (focal * shrunk / CANONICAL)
            stamps = [stamp_ns(message) for message in camera.depth]
            assert stamps == sorted(set(stamps))
            for message in camera.depth:
                assert (message.width, message.height) == (width, height)
                np.testing.assert_allclose(depth_of(message), wanted, rtol=1e-5)
            assert {info.p[0] for info in camera.info} == {focal}
            assert not camera.color

        def send_all() -> None:
            for camera in three.values():
                send(camera)

        def status(level: bytes, words: str, name: str) -> dict[str, str]:
            found = front.wait_for_status(level, words, name=f"depth_node: {name}", send=send_all)
            return values_of(found)

        engine = status(OK, "active", "depth")
        assert engine["model"] == str(model)
        assert "images received" not in engine
        for name, level, words in (
            ("front", OK, "active"),
            ("left", OK, "active"),  # twice exactly
            ("rear/right", WARN, "focal length of 10 pixels is 0.20 times that of the training"),
        ):
            values = status(level, words, name)
            assert int(values["images answered"]) >= 5
            assert float(values["output rate (Hz)"]) > 1
        assert node.log().count("rear/right: the focal length") == 1
        assert node.stop() == 0


def test_no_camera_delays_another_by_more_than_one_inference(
    domain: int, tmp_path: Path, slow_engine: None
) -> None:
    """One sends far faster than the engine answers, the other hardly ever."""
    model = write_own(tmp_path / "tiny.onnx", SPEC)
    image = picture("front")
    with cameras_in(domain, "fast", "slow") as cameras, \
         NodeProcess(domain, tmp_path / "log", model=model, cameras=names(cameras)):  # fmt: skip
        fast, slow = cameras.values()
        listen(cameras, "depth")
        fast.wait_for(lambda: fast.send(image, 20.0) and fast.depth, 60)  # the engine is proven
        sent = []
        for tick in range(200):
            fast.send(image, 20.0)
            if tick % 20 == 12:
                sent.append(slow.send(image, 20.0))
            fast.spin(0.02)
        fast.spin(3 * INFERENCE)
        assert [message.header.stamp for message in slow.depth] == [h.stamp for h in sent]
        values = values_of(fast.wait_for_status(WARN, name="depth_node: fast"))
        assert int(values["images replaced by newer ones"]) > 60
        values = values_of(fast.wait_for_status(WARN, name="depth_node: slow"))
        assert values["images replaced by newer ones"] == "0"
        assert float(values["wait p50 (ms)"]) < 1.2e3 * INFERENCE
        assert float(values["wait p95 (ms)"]) < 1.8e3 * INFERENCE  # of a busy machine
        assert float(values["network p50 (ms)"]) > 1e3 * INFERENCE


def test_waiting_images_are_answered_in_one_inference(
    three: dict[str, Camera], domain: int, tmp_path: Path, slow_engine: None
) -> None:
    model = write_own(tmp_path / "tiny.onnx", SPEC, batch=3)
    with NodeProcess(domain, tmp_path / "log", model=model, cameras=names(three)):
        front = three["front"]
        listen(three, "depth")

        def send_all() -> None:
            for camera in three.values():
                send(camera)

        def proven() -> bool:
            send_all()
            return all(camera.depth for camera in three.values())

        front.wait_for(proven, 60)
        begun = time.monotonic()
        before = {name: len(camera.depth) for name, camera in three.items()}
        while time.monotonic() - begun < 3:
            send_all()
            front.spin(0.04)
        inferences = (time.monotonic() - begun) / INFERENCE  # at most
        for name, camera in three.items():  # one after the other each would have a third
            assert len(camera.depth) - before[name] > 0.45 * inferences


def test_a_camera_in_trouble_leaves_the_others_alone(domain: int, tmp_path: Path) -> None:
    model = write_own(tmp_path / "tiny.onnx", SPEC)
    settings = {"model": model, "camera_info_timeout": 60.0}
    with cameras_in(domain, "good", "bad", "mute", "silent") as cameras, \
         NodeProcess(domain, tmp_path / "log", cameras=names(cameras), **settings):  # fmt: skip
        good, bad, mute, _ = cameras.values()
        listen(cameras, "depth")
        image = picture("front")

        def send_all() -> None:
            good.send(image, 20.0)
            header = bad.header()
            bad.send_info(bad.camera_info(header, 24, 12, 20.0))
            broken = rgb_to_image(image, header)
            broken.step = 7
            bad.send_message(broken)
            mute.send(image)  # without CameraInfo

        for _ in range(20):
            send_all()
            good.spin(0.1)
        good.spin(0.5)
        assert len(good.depth) >= 19
        assert not bad.depth
        assert not mute.depth
        for name, words in (
            ("bad", "images refused, the last: step 7 is too small"),
            ("mute", "no usable camera_info has come on /mute/camera_info: 1 publish it"),
            ("silent", "no image has come on /silent/image: 1 publish it"),
        ):
            good.wait_for_status(WARN, words, name=f"depth_node: {name}", send=send_all)
        found = good.wait_for_status(OK, name="depth_node: good", send=send_all)
        assert float(values_of(found)["wait p99 (ms)"]) < 100
