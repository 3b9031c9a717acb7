# SPDX-License-Identifier: Apache-2.0
"""What breaks comes back by itself: node, camera driver, network; nothing is left half."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")
from camera_process import CameraProcess
from diagnostic_msgs.msg import DiagnosticStatus
from ros_harness import Camera, NodeProcess
from ros_harness import metres as depth_of
from tiny_models import metres, process_environment, write_own

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_ros.stamps import stamp_ns

pytestmark = pytest.mark.slow
SUPPORT = Path(__file__).parents[1] / "support"
SPEC = ModelSpec(width=24, height=12, max_depth=100.0)
FRAME = np.random.default_rng(3).integers(0, 256, (12, 24, 3)).astype(np.uint8)
DRIVER = ("-r", "image:=/front/image_raw", "-r", "camera_info:=/front/camera_info")
PATIENCE = 90.0  # s, on a busy machine


@pytest.fixture
def camera(camera: Camera) -> Camera:
    """One that listens to depth."""
    camera.listen("depth")
    return camera


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_own(tmp_path / "city.onnx", SPEC))


def assert_answers(camera: Camera) -> None:
    """Send frames until one that was sent from now on is answered, rightly."""
    camera.depth.clear()
    sent = set()
    end = time.monotonic() + PATIENCE
    while not any(stamp_ns(message) in sent for message in camera.depth):
        assert time.monotonic() < end, "no depth"
        header = camera.send(FRAME, 20.0)
        sent.add(header.stamp.sec * 10**9 + header.stamp.nanosec)
        camera.spin(0.2)
    np.testing.assert_allclose(depth_of(camera.depth[-1]), metres(FRAME), rtol=1e-5)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_killed_node_is_back_as_soon_as_its_parent_starts_it_again(
    camera: Camera, domain: int, tmp_path: Path, model: str
) -> None:
    node = f"{sys.executable} -m depth_dpt_ros.depth_node --ros-args -p model:={model}"
    with (tmp_path / "log").open("wb") as log:
        parent = subprocess.Popen(
            ["sh", "-c", f"while :; do {node}; sleep 0.5; done"],
            env=process_environment(ROS_DOMAIN_ID=str(domain)),
            stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            for _ in range(2):
                assert_answers(camera)
                camera.send(FRAME, 20.0)  # killed at work
                (child,) = children(parent.pid)
                os.kill(child, signal.SIGKILL)
            assert_answers(camera)
            camera.wait_for_status(DiagnosticStatus.OK, send=lambda: camera.send(FRAME, 20.0))
        finally:
            os.killpg(parent.pid, signal.SIGKILL)
            parent.wait()


def test_a_killed_camera_driver_is_taken_up_again_whatever_it_offers_then(
    camera: Camera, domain: int, tmp_path: Path, model: str
) -> None:
    with NodeProcess(domain, tmp_path / "log", *DRIVER, model=model) as node:
        before = CameraProcess(domain)
        camera.wait_for(lambda: camera.depth, PATIENCE)
        before.kill()
        camera.spin(1.0)  # what was under way
        camera.depth.clear()
        camera.spin(2.0)
        assert camera.depth == []  # nothing old is told as new
        begun = time.time_ns()
        with CameraProcess(domain, width=48, height=24, best_effort=True):
            camera.wait_for(lambda: camera.depth, PATIENCE)
            assert (camera.depth[0].width, camera.depth[0].height) == (48, 24)
            stamps = [stamp_ns(message) for message in camera.depth]
            assert min(stamps) > begun
        assert "Traceback" not in node.log()
        assert node.stop() == 0


def test_depth_comes_again_after_the_network_was_cut(tmp_path: Path) -> None:
    """Longer than participants remember each other (20 s)."""
    own_network = ["unshare", "--user", "--map-root-user", "--net"]
    try:
        subprocess.run([*own_network, "ip", "link", "set", "lo", "up"], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs the right to make a network namespace, and iproute2")
    done = subprocess.run(
        [*own_network, sys.executable, SUPPORT / "cut_network.py", tmp_path / "log", "24"],
        env=process_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "depth again after" in done.stdout
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_killed_while_an_engine_is_built_leaves_nothing_half(
    camera: Camera, domain: int, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("filelock")
    paths = [str(SUPPORT / "stand_in"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("STAND_IN_FAULTS", json.dumps({"step_seconds": 1.0}))  # of ten
    folder = tmp_path / "cache/depth_dpt_ros/engines"
    with NodeProcess(domain, tmp_path / "log", model=model) as node:
        camera.wait_for(
            lambda: any("building" in m.status[0].message for m in camera.diagnostics), PATIENCE
        )
        node.stop(signal.SIGKILL)
    assert [file.name for file in folder.iterdir() if file.suffix != ".lock"] == ["refused"]
    monkeypatch.setenv("STAND_IN_FAULTS", "{}")
    with NodeProcess(domain, tmp_path / "log2", model=model) as node:
        assert_answers(camera)
        assert "runs on tensorrt" in node.log()
        assert node.stop() == 0
    left = {file.name for file in folder.iterdir() if file.suffix != ".lock"}
    assert len([name for name in left if name.endswith(".engine")]) == 1
    assert not [name for name in left if name.startswith(".")]


def test_killed_while_a_model_is_downloaded_leaves_nothing_half(
    camera: Camera, domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    from hub_server import HubServer

    content = write_own(tmp_path / "own.onnx", SPEC).read_bytes()
    with HubServer() as hub:
        hub.add("owner/repo", {"own.onnx": content})
        home = tmp_path / "hf"
        for name, value in hub.environment(home).items():
            monkeypatch.setenv(name, value)
        hub.slow.set()
        parameters = {"model": "hf://owner/repo/own.onnx@main", "runtime": "onnxruntime"}
        with NodeProcess(domain, tmp_path / "log", **parameters) as node:
            assert hub.stuck.wait(PATIENCE)
            camera.spin(1.0)
            node.stop(signal.SIGKILL)
        assert list(home.rglob("*.onnx")) == []
        hub.slow.clear()
        with NodeProcess(domain, tmp_path / "log2", **parameters) as node:
            assert_answers(camera)
            assert node.stop() == 0
        (whole,) = home.rglob("*.onnx")
        assert whole.read_bytes() == content
