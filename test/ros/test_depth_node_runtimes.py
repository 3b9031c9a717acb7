# SPDX-License-Identifier: Apache-2.0
"""The node with TensorRT's stand-in: real processes, wrong engines, lost GPUs."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")
pytest.importorskip("filelock")

from lifecycle_msgs.msg import Transition
from ros_harness import Camera, NodeProcess
from ros_harness import metres as depth_of
from tiny_models import metres, write_own

from depth_dpt_core.artifact import ModelSpec

pytestmark = pytest.mark.slow
STAND_IN = Path(__file__).parents[1] / "support" / "stand_in"
SPEC = ModelSpec(width=24, height=12, max_depth=100.0)
FRAME = np.random.default_rng(3).integers(0, 256, (12, 24, 3)).astype(np.uint8)
FOCAL = 20.0
PROOF = 3 * 8 + 1  # runs before the first image: three of each frame, and the warm-up
OK, WARN, ERROR = b"\x00", b"\x01", b"\x02"


@pytest.fixture
def model(tmp_path: Path) -> str:
    """The same network in both precisions; the fp32 file."""
    for precision, name, sibling in (
        ("fp16", "city.fp16.onnx", "city.onnx"),
        ("fp32", "city.onnx", "city.fp16.onnx"),
    ):
        spec = dataclasses.replace(SPEC, precision=precision, sibling=sibling)
        write_own(tmp_path / name, spec)
    return str(tmp_path / "city.onnx")


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Install the stand-in for processes started from here, with what goes wrong in it."""

    def install(**faults: object) -> None:
        monkeypatch.setenv("STAND_IN_FAULTS", json.dumps(faults))

    paths = [str(STAND_IN), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("STAND_IN_LOG", str(tmp_path / "gpu.log"))
    install()
    return install


def values(status: object) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def engines(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cache/depth_dpt_ros/engines").glob("*.engine"))


def wait_for_level(camera: Camera, level: bytes, words: str = "") -> object:
    return camera.wait_for_status(level, words, send=lambda: camera.send(FRAME, FOCAL))


def assert_right(camera: Camera) -> None:
    np.testing.assert_allclose(depth_of(camera.answer(FRAME, FOCAL)), metres(FRAME), rtol=1e-5)


def test_an_engine_is_built_behind_the_node_and_nothing_is_published_before_it_is_proven(
    camera: Camera, domain: int, tmp_path: Path, model: str, tensorrt: Callable[..., None]
) -> None:
    tensorrt(step_seconds=1.0)  # of ten
    with NodeProcess(domain, tmp_path / "log", model=model) as node:
        camera.listen("depth")
        camera.wait_until_subscribed()
        while not camera.depth:
            camera.send(FRAME, FOCAL)
            camera.spin(0.1)
        seen = [message.status[0] for message in camera.diagnostics]
        building = [s for s in seen if "building the engine" in s.message]
        assert {s.level for s in building} == {WARN}
        assert {values(s)["state"] for s in building} >= {"active"}
        assert {values(s)["images answered"] for s in building} == {"0"}
        shares = [int(re.search(r"(\d+)%", s.message)[1]) for s in building]
        assert len(set(shares)) > 1
        assert shares == sorted(shares)
        assert int(values(building[-1])["images received"]) > 0
        np.testing.assert_allclose(depth_of(camera.depth[0]), metres(FRAME), rtol=1e-5)
        assert_right(camera)
        status = wait_for_level(camera, OK)
        found = values(status)
        assert found["runtime"] == "tensorrt 10.3.0 (fp16, Stand-in GPU)"
        assert (found["precision"], Path(found["model"]).name) == ("fp16", "city.fp16.onnx")
        assert found["engine check"].startswith("passed, ")
        assert "[depth_node]: building a TensorRT engine" in node.log()
        assert node.stop() == 0
    with NodeProcess(domain, tmp_path / "log", model=model) as node:
        camera.wait_until_subscribed()
        assert_right(camera)
        assert "building a TensorRT engine" not in node.log()
        assert node.stop() == 0
    assert "violation" not in (tmp_path / "gpu.log").read_text()


def test_engines_that_answer_wrongly_never_publish_and_diagnostics_say_why(
    camera: Camera, domain: int, tmp_path: Path, model: str, tensorrt: Callable[..., None]
) -> None:
    tensorrt(scale=1.3)
    with NodeProcess(domain, tmp_path / "log", model=model):
        camera.listen("depth")
        camera.wait_until_subscribed()
        for _ in range(3):
            assert_right(camera)
        status = wait_for_level(camera, WARN, "stands in for TensorRT")
        found = values(status)
        assert found["runtime"].startswith("onnxruntime (")
        assert found["precision"] == "fp32"
        assert found["not used (1)"].startswith("city.fp16.onnx (fp16): refused, ")
        assert found["not used (2)"].startswith("city.onnx (fp32): refused, ")
        assert "abs_rel 0.3" in found["not used (2)"]
    assert engines(tmp_path) == []


def test_only_tensorrt_when_only_that_is_asked_for(
    camera: Camera, domain: int, tmp_path: Path, model: str, tensorrt: Callable[..., None]
) -> None:
    tensorrt(nan=True)
    with NodeProcess(domain, tmp_path / "log", model=model, runtime="tensorrt") as node:
        camera.listen("depth")
        camera.wait_until_subscribed()
        status = wait_for_level(camera, ERROR, "city.onnx does not run: city.fp16.onnx (fp16)")
        for _ in range(3):
            camera.send(FRAME, FOCAL)
            camera.spin(0.2)
        assert not camera.depth
        assert values(status)["runtime"] == ""
        assert "Traceback" not in node.log()
        # the transitions tell it too, and the node can be mended
        camera.change_state(Transition.TRANSITION_DEACTIVATE)
        with pytest.raises(AssertionError):
            camera.change_state(Transition.TRANSITION_ACTIVATE)
        assert node.stop() == 0


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="has TensorRT")
def test_tensorrt_that_is_not_installed_is_a_failure_to_configure(
    camera: Camera, domain: int, tmp_path: Path, model: str
) -> None:
    with NodeProcess(domain, tmp_path / "log", model=model, runtime="tensorrt") as node:
        status = wait_for_level(camera, ERROR, "configure failed: TensorRT cannot be used here")
        assert values(status)["state"] == "unconfigured"
        assert "Traceback" not in node.log()


def test_a_gpu_lost_while_running_loses_no_frame_and_is_left_alone(
    camera: Camera, domain: int, tmp_path: Path, model: str, tensorrt: Callable[..., None]
) -> None:
    tensorrt(execute_from=PROOF + 3)
    with NodeProcess(domain, tmp_path / "log", model=model) as node:
        camera.listen("depth")
        camera.wait_until_subscribed()
        for _ in range(6):
            assert_right(camera)
        status = wait_for_level(camera, ERROR, "onnxruntime (CPU) stands in for the GPU")
        assert "illegal memory access" in status.message
        assert values(status)["runtime"] == "onnxruntime (CPU)"
        for transition in ("DEACTIVATE", "CLEANUP", "CONFIGURE", "ACTIVATE"):
            camera.change_state(getattr(Transition, f"TRANSITION_{transition}"))
        camera.wait_until_subscribed()
        assert_right(camera)
        wait_for_level(camera, ERROR, "not used again in this process")
        assert node.log().count("ONNX Runtime goes on, on the CPU") == 1
        assert node.stop() == 0


def test_a_process_that_lost_its_gpu_ends_and_the_next_one_has_it_again(
    camera: Camera, domain: int, tmp_path: Path, model: str, tensorrt: Callable[..., None]
) -> None:
    tensorrt(execute_from=PROOF + 2)
    settings = {"model": model, "exit_on_gpu_fault": True}
    with NodeProcess(domain, tmp_path / "log", **settings) as node:
        camera.listen("depth")
        camera.wait_until_subscribed()
        assert_right(camera)
        assert_right(camera)  # by the CPU
        assert node.process.wait(10) == 70
        assert "the GPU is lost: ending to be started anew" in node.log()
    tensorrt()
    with NodeProcess(domain, tmp_path / "log", **settings) as node:
        camera.wait_until_subscribed()
        for _ in range(3):  # the ended process may still be seen, and this one not yet heard
            assert_right(camera)
            camera.spin(0.5)
        assert values(wait_for_level(camera, OK))["runtime"].startswith("tensorrt")
        assert "building a TensorRT engine" not in node.log()


def test_a_gpu_that_fails_from_the_start_does_not_start_the_process_over_and_over(
    camera: Camera, domain: int, tmp_path: Path, model: str, tensorrt: Callable[..., None]
) -> None:
    tensorrt(execute=True)
    with NodeProcess(domain, tmp_path / "log", model=model, exit_on_gpu_fault=True) as node:
        camera.listen("depth")
        camera.wait_until_subscribed()
        assert_right(camera)
        wait_for_level(camera, ERROR, "onnxruntime (CPU) stands in for the GPU")
        assert node.process.poll() is None


def test_cleanup_gives_up_a_build_and_frees_an_engine_on_its_own_thread(
    camera: Camera, domain: int, tmp_path: Path, model: str, tensorrt: Callable[..., None]
) -> None:
    tensorrt(step_seconds=1.0)  # of ten
    with NodeProcess(domain, tmp_path / "log", model=model, autostart=False) as node:
        camera.listen("depth")
        camera.change_state(Transition.TRANSITION_CONFIGURE)
        wait_for_level(camera, WARN, "building the engine")
        begun = time.monotonic()
        camera.change_state(Transition.TRANSITION_CLEANUP)
        assert time.monotonic() - begun < 5
        assert engines(tmp_path) == []
        assert (tmp_path / "gpu.log").read_text().splitlines()[-1] == "gpu: pop"
        (tmp_path / "gpu.log").unlink()

        camera.change_state(Transition.TRANSITION_CONFIGURE)
        camera.change_state(Transition.TRANSITION_ACTIVATE)
        camera.wait_until_subscribed()
        wait_for_level(camera, OK)
        assert_right(camera)
        assert not (tmp_path / "gpu.log").exists()
        camera.change_state(Transition.TRANSITION_DEACTIVATE)
        camera.change_state(Transition.TRANSITION_CLEANUP)
        freed = (tmp_path / "gpu.log").read_text().splitlines()
        assert freed == [
            "gpu: free execution context",
            "gpu: free engine",
            "gpu: free buffer",
            "gpu: free buffer",
            "gpu: free stream",
            "gpu: pop",
        ]
        assert node.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_build(
    camera: Camera, domain: int, tmp_path: Path, model: str,
    tensorrt: Callable[..., None], number: signal.Signals,
) -> None:  # fmt: skip
    tensorrt(step_seconds=1.0)  # of ten
    with NodeProcess(domain, tmp_path / "log", model=model) as node:
        wait_for_level(camera, WARN, "building the engine")
        begun = time.monotonic()
        assert node.stop(number) == 0
        assert time.monotonic() - begun < 5
        assert "Traceback" not in node.log()
    assert engines(tmp_path) == []
    assert "violation" not in (tmp_path / "gpu.log").read_text()
