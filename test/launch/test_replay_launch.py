# SPDX-License-Identifier: Apache-2.0
"""replay.launch.py, run by launch: it ends by itself, with a report and a status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("rosbags", reason="needs rosbags: pip install '.[replay]'")
pytest.importorskip("launch_ros", reason="needs launch_ros, which comes with ROS 2")

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch_process import launch
from small_bags import START, camera_info, depth_image, image, write
from tiny_models import python

from depth_dpt_core.frames import street_frames

try:
    SHARE = Path(get_package_share_directory("depth_dpt_ros"))
except PackageNotFoundError:
    pytest.skip("needs depth_dpt_ros installed by colcon", allow_module_level=True)

pytestmark = pytest.mark.slow
FILE = SHARE / "launch" / "replay.launch.py"
FRAMES = 4
Start = Callable[..., "subprocess.Popen[bytes]"]


def drive(path: Path, step: int) -> Path:
    picture = street_frames()[0]
    height, width = picture.shape[:2]
    messages: list[tuple[str, int, Any]] = []
    for index in range(FRAMES):
        stamp = START + index * step
        messages.append(("/cam/camera_info", stamp, camera_info(400, width, height, stamp)))
        messages.append(("/cam/image_raw", stamp, image(picture, stamp)))
        truth = depth_image(picture.mean(axis=2) / 4 + 1, stamp)
        messages.append(("/cam/truth", stamp, truth))
    return write(path, messages)


@pytest.fixture
def start(domain: int, tmp_path: Path) -> Start:
    """Launches it with arguments."""
    files: dict[str, object] = {"out": tmp_path / "out", "json": tmp_path / "live.json"}
    return lambda **arguments: launch(FILE, domain, {**files, **arguments})


def figures(file: Path) -> dict[str, Any]:
    (bag,) = json.loads(file.read_text())["bags"]
    return dict(bag)


def test_ends_with_the_figures_of_bag_eval(start: Start, tmp_path: Path) -> None:
    bag = drive(tmp_path / "bag", step=10**9)
    process = start(bag=bag, player="own")
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 0, said.decode()
    live = figures(tmp_path / "live.json")
    assert live["live"]["images"] == {"played": FRAMES, "answered": FRAMES, "lost": 0}
    files = ["--out", tmp_path / "offline", "--json", tmp_path / "offline.json"]
    subprocess.run(python("-m", "depth_dpt_ros.cli", "bag-eval", bag, *files), check=True)
    offline = figures(tmp_path / "offline.json")
    for name in ("metrics", "bias", "scale", "by_range", "images"):
        assert live[name] == offline[name], name
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bag": "/no/bag"}, "/no/bag does not exist"),
        ({"image_topic": "/nose"}, "/cam/image_raw"),
        ({"max_depth": "far"}, "far"),
        ({"model": "/no/model.onnx"}, "/no/model.onnx"),
    ],
)
def test_what_cannot_work_fails_with_a_sentence(
    start: Start, tmp_path: Path, arguments: dict[str, str], words: str
) -> None:
    bag = drive(tmp_path / "bag", step=10**8)
    process = start(**{"bag": bag, **arguments})
    said = process.communicate(timeout=180)[0].decode()
    assert process.returncode == 1
    assert words in said
    assert "Traceback" not in said


def test_ctrl_c_leaves_a_report_of_what_was_played(start: Start, tmp_path: Path) -> None:
    process = start(bag=drive(tmp_path / "bag", step=20 * 10**9), player="own")
    assert process.stdout is not None
    said, end = b"", time.monotonic() + 90
    while b"runs on" not in said:
        assert time.monotonic() < end, said.decode()
        said += os.read(process.stdout.fileno(), 4096)
    time.sleep(20)  # two images
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=60)[0]
    assert (tmp_path / "live.json").exists(), said.decode()
    assert figures(tmp_path / "live.json")["ended"] == "interrupted"
    assert b"Traceback" not in said
