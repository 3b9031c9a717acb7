# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt doctor` as its own process, on cameras and nodes that are really there."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import process_environment, python, write_own

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_ros.doctor import shared_memory

pytestmark = pytest.mark.slow
SUPPORT = Path(__file__).parents[1] / "support"
IMAGE = "/front/image_raw"
SPEC = ModelSpec(width=24, height=12, max_depth=100.0)
PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")

Doctor = Callable[..., "Examined"]


class Examined:
    """What a run of the doctor said."""

    def __init__(self, done: subprocess.CompletedProcess[str], written: Path) -> None:
        assert "Traceback" not in done.stderr, done.stderr
        self.status, self.screen = done.returncode, done.stdout
        content = json.loads(written.read_bytes())
        self.findings, self.facts = content["findings"], content["facts"]
        problems = [f for f in self.findings if f["level"] == "problem"]
        assert self.status == bool(problems)
        assert all(f["cure"] for f in problems)

    def about(self, part: str, level: str) -> list[dict[str, str]]:
        return [f for f in self.findings if f["about"] == part and f["level"] == level]

    def the_problem(self, part: str) -> dict[str, str]:
        (found,) = self.about(part, "problem")
        return found


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    def doctor(*words: str, unset: tuple[str, ...] = (), **environment: str) -> Examined:
        given = process_environment(XDG_CACHE_HOME=str(tmp_path / "cache"), **environment)
        for name in unset:
            given.pop(name, None)
        written = tmp_path / "doctor.json"
        model = [] if "--model" in words else ["--model", str(tmp_path / "city.onnx")]
        done = subprocess.run(
            python("-m", "depth_dpt_ros.cli", "doctor", "--seconds", "2", "--json", written,
                   *model, *words),
            env=given, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        return Examined(done, written)

    write_own(tmp_path / "city.onnx", SPEC)
    return doctor


@pytest.fixture
def domain(domain: int) -> int:
    pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")
    return domain


def test_a_camera_and_a_node_that_are_well(doctor: Doctor, domain: int, tmp_path: Path) -> None:
    from camera_process import CameraProcess
    from ros_harness import NodeProcess, camera_in

    remaps = ("-r", f"image:={IMAGE}", "-r", "camera_info:=/front/camera_info")
    with (
        CameraProcess(domain),
        NodeProcess(domain, tmp_path / "log", *remaps, model=tmp_path / "city.onnx"),
        camera_in(domain) as listener,
    ):
        listener.listen("depth")
        listener.wait_for(lambda: listener.depth, 60)
        found = doctor(ROS_DOMAIN_ID=str(domain))
        assert found.about("Cameras", "problem") == []
        image, info = found.about("Cameras", "ok")
        assert re.fullmatch(
            rf"{IMAGE}: 64x32 rgb8 \(6 kB\), (9|10|11)\.\d Hz, reliable", image["text"]
        )
        assert info["text"] == "/front/camera_info: focal length 50.0 px"
        assert found.about("Depth nodes", "problem") == []
        said = "\n".join(f["text"] for f in found.about("Depth nodes", "ok"))
        assert f"/depth_node listens to {IMAGE}" in said
        assert "depth_node: depth: active" in said
        assert "24x12" in found.about("Model", "ok")[0]["text"]
        (node,) = found.facts["graph"]["nodes"]
        assert (node["name"], node["state"]) == ("/depth_node", "active")


def test_a_driver_without_the_transport_setting_is_named(doctor: Doctor, domain: int) -> None:
    from camera_process import CameraProcess

    bare = {name: value for name, value in os.environ.items() if name not in PROFILES}
    with CameraProcess(domain, bare, width=1920, height=1080, best_effort=True) as driver:
        found = doctor("--image", IMAGE, ROS_DOMAIN_ID=str(domain))
        problem = found.the_problem("Cameras")
        assert f"process {driver.process.pid} " in problem["text"]
        assert "shared-memory segments of 0.5 MB" in problem["text"]
        assert f"before starting process {driver.process.pid} again: export" in problem["cure"]
        assert Path(problem["cure"].rpartition("=")[2]).name == "fastdds.xml"


def test_qos_that_does_not_connect(doctor: Doctor, domain: int) -> None:
    from camera_process import CameraProcess
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from ros_harness import camera_in
    from sensor_msgs.msg import Image

    with CameraProcess(domain, best_effort=True, no_info=True), camera_in(domain) as listener:
        reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        listener.node.create_subscription(Image, IMAGE, print, reliable)
        found = doctor("--image", IMAGE, ROS_DOMAIN_ID=str(domain))
    qos, info = found.about("Cameras", "problem")
    assert "/test_camera wants reliable messages, which /driver does not offer" in qos["text"]
    assert "/front/camera_info: nobody publishes the CameraInfo" in info["text"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"silent": True}, f"{IMAGE}: published, and nothing came"),
        ({"broken": True}, f"{IMAGE}: the node cannot use these images: step 96 is too small"),
        ({"unstamped": True}, f"{IMAGE}: stamps are zero"),
        ({"focal": 0}, "/front/camera_info: holds no focal length"),
        ({"info_width": 99}, "/front/camera_info: for 99x32 pixels, the images have 64x32"),
    ],
)
def test_faults_of_a_camera(
    doctor: Doctor, domain: int, fault: dict[str, object], words: str
) -> None:
    from camera_process import CameraProcess

    with CameraProcess(domain, **fault):
        found = doctor(ROS_DOMAIN_ID=str(domain))
    assert words in found.the_problem("Cameras")["text"]


def test_a_node_on_the_wrong_topic_and_one_that_is_inactive(
    doctor: Doctor, domain: int, tmp_path: Path
) -> None:
    from camera_process import CameraProcess
    from ros_harness import NodeProcess, camera_in

    model = tmp_path / "city.onnx"
    with (
        CameraProcess(domain),
        NodeProcess(domain, tmp_path / "log", "-r", "image:=/wrong", model=model),
        NodeProcess(domain, tmp_path / "log2", "-r", "__node:=rear_depth", "-r",
                    f"image:={IMAGE}", model=model, autostart=False),
        camera_in(domain) as listener,
    ):  # fmt: skip
        listener.wait_for(lambda: len({m.status[0].name for m in listener.diagnostics}) == 2, 60)
        found = doctor(ROS_DOMAIN_ID=str(domain))
    inactive, astray = sorted(found.about("Depth nodes", "problem"), key=lambda f: f["text"])
    assert astray["text"].startswith(f"nobody publishes images on /wrong; images are on {IMAGE}")
    assert astray["cure"] == f"name the right topic: image:={IMAGE}"
    assert "/rear_depth: is unconfigured" in inactive["text"]
    assert inactive["cure"] == "ros2 lifecycle set /rear_depth configure"


def test_nothing_on_the_domain_and_a_model_that_is_not_there(doctor: Doctor, domain: int) -> None:
    found = doctor("--model", "absent.onnx", "--image", "front/image", ROS_DOMAIN_ID=str(domain))
    assert "nobody publishes images on /front/image" in found.the_problem("Cameras")["text"]
    assert "absent.onnx: no such model file" in found.the_problem("Model")["text"]
    assert found.screen.splitlines()[-1].startswith("wrote ")


def test_settings_with_which_no_node_starts(doctor: Doctor, domain: int) -> None:
    far = doctor(ROS_DOMAIN_ID="500")  # Fast DDS ends the process that tries
    assert far.the_problem("ROS")["text"] == "ROS_DOMAIN_ID is '500', no node starts with that"
    small = doctor(
        unset=PROFILES,
        ROS_DOMAIN_ID=str(domain),
        FASTDDS_BUILTIN_TRANSPORTS="LARGE_DATA?max_msg_size=10MB&sockets_size=2MB",
        ROS_AUTOMATIC_DISCOVERY_RANGE="SUBNET",
    )
    assert small.the_problem("Cameras")["text"].startswith("nothing can be seen: ")


def block(folder: Path, name: str, error: str) -> str:
    """A PYTHONPATH on which importing `name` raises `error`."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(f"raise {error}\n")
    return str(folder)


def test_works_without_rclpy_and_with_a_broken_opencv(doctor: Doctor, tmp_path: Path) -> None:
    """As with a pip-installed numpy 2 under a ROS whose packages were built for 1."""
    folder = tmp_path / "broken"
    block(folder, "rclpy", "ModuleNotFoundError(\"No module named 'rclpy'\")")
    block(folder, "cv2", "ImportError('numpy.core.multiarray failed to import')")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    found = doctor("--width", "1920", "--height", "1080", PYTHONPATH=path, unset=PROFILES)
    assert "pip install 'numpy<2'" in found.the_problem("Packages")["cure"]
    assert "no node runs here" in found.the_problem("ROS")["text"]
    assert "not looked at" in found.about("Cameras", "note")[0]["text"]
    assert "not looked at" in found.about("Model", "note")[0]["text"]
    assert any("images larger than 0.3 MB" in f["text"] for f in found.about("Transport", "note"))


def test_engines_and_their_last_check(
    doctor: Doctor, domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("filelock")
    paths = [str(SUPPORT / "stand_in"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    built = subprocess.run(
        python("-m", "depth_dpt_ros.cli", "engine", "build", "--model", tmp_path / "city.onnx"),
        env=process_environment(XDG_CACHE_HOME=str(tmp_path / "cache")),
    )
    assert built.returncode == 0
    found = doctor(ROS_DOMAIN_ID=str(domain))
    (engine,) = [f["text"] for f in found.about("Model", "ok") if "Stand-in GPU" in f["text"]]
    assert re.search(r"passed, tensorrt 10\.3\.0 .*\(20\d\d-\d\d-\d\d \d\d:\d\d UTC\)$", engine)
    reports = [f["text"] for f in found.about("Hardware", "note")]
    assert any("TensorRT 10.3.0 has been reported wrong" in text for text in reports)


def test_wrong_arguments_are_one_line(tmp_path: Path) -> None:
    for words, said in (
        (("--width", "640"), "--width and --height go together"),
        (("--seconds", "0"), "--seconds is 0.0, must be more than 0"),
    ):
        done = subprocess.run(
            python("-m", "depth_dpt_ros.cli", "doctor", *words),
            env=process_environment(), capture_output=True, text=True,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (1, f"depth-dpt: {said}\n")


HOLD = """
import fcntl, sys
file = open(sys.argv[1], "rb")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_segments_of_ended_processes_are_told_from_those_in_use(tmp_path: Path) -> None:
    assert shared_memory.gather(tmp_path / "none") is None
    for name in ("fastdds_0123456789abcdef", "fastdds_fedcba9876543210"):
        (tmp_path / name).write_bytes(bytes(1 << 20))
        (tmp_path / f"{name}_el").touch()
    (tmp_path / "sem.mp-abc").touch()
    held = tmp_path / "fastdds_0123456789abcdef_el"
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, held], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert owner.stdout.readline() == b"held\n"
        memory = shared_memory.gather(tmp_path)
    finally:
        owner.kill()
        owner.wait()
    assert (memory.live, memory.stale, memory.others) == (1, 1, ())
    assert memory.stale_size == pytest.approx(1 << 20, rel=0.01)
    with held.open("rb") as file:  # looking has not kept it
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("own", [True, False])
def test_whose_process_an_endpoint_is(domain: int, own: bool) -> None:
    """Against the middleware's own word: the segment it made for a process started here."""
    from camera_process import CameraProcess
    from ros_harness import camera_in

    bare = {name: value for name, value in os.environ.items() if name not in PROFILES}
    with (
        CameraProcess(domain, None if own else bare) as driver,
        camera_in(domain) as listener,
    ):
        listener.wait_for(lambda: listener.node.get_publishers_info_by_topic(IMAGE), 60)
        (end,) = listener.node.get_publishers_info_by_topic(IMAGE)
        process = shared_memory.process_of(list(end.endpoint_gid))
    assert process.pid == driver.process.pid
    assert "camera_process.py" in process.command
    expected: Any = (64 << 20) if own else (512 << 10)
    assert np.log2(process.segment / expected) == pytest.approx(0, abs=0.2)
