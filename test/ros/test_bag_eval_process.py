# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt bag-eval` as a process: Ctrl-C, killing, memory, and no ROS."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_bags import START, STEP, depth_image, image, write
from tiny_models import process_environment, python, write_own

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_ros.replay.bag import Bag

pytestmark = pytest.mark.slow
WIDTH, HEIGHT = 640, 320


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = ModelSpec(WIDTH, HEIGHT, max_depth=200.0)
    return write_own(tmp_path_factory.mktemp("model") / "tiny.onnx", spec)


def drive(path: Path, frames: int) -> Path:
    picture = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    truth = np.full((HEIGHT, WIDTH), 15.0)
    times = [START + n * STEP for n in range(frames)]
    messages: list[tuple[str, int, Any]] = []
    for time_ns in times:
        messages.append(("/cam/image_raw", time_ns, image(picture, time_ns)))
        messages.append(("/cam/truth", time_ns, depth_image(truth, time_ns)))
    return write(path, messages)


def command(tmp_path: Path, model: Path, bag: Path) -> list[str]:
    options = ["--model", model, "--out", tmp_path / "out", "--json", tmp_path / "figures.json"]
    return python("-m", "depth_dpt_ros.cli", "bag-eval", bag, *options)


def start(tmp_path: Path, model: Path, bag: Path) -> subprocess.Popen[bytes]:
    """Run until some frames are done."""
    process = subprocess.Popen(
        command(tmp_path, model, bag), stderr=subprocess.PIPE, env=process_environment()
    )
    assert process.stderr is not None
    said = b""
    os.set_blocking(process.stderr.fileno(), False)
    end = time.monotonic() + 60
    while not re.search(rb" [3-9]/| \d\d/", said):
        assert process.poll() is None, said
        assert time.monotonic() < end, said
        said += process.stderr.read() or b""
        time.sleep(0.02)
    os.set_blocking(process.stderr.fileno(), True)
    return process


def run(tmp_path: Path, model: Path, bag: Path) -> None:
    subprocess.run(command(tmp_path, model, bag), env=process_environment(), check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_reports_what_was_done(
    tmp_path: Path, model: Path, number: int
) -> None:
    process = start(tmp_path, model, drive(tmp_path / "bag", 120))
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in said
    (bag,) = json.loads((tmp_path / "figures.json").read_text())["bags"]
    assert bag["ended"] == "interrupted"
    done = bag["images"]["scored"]
    assert 3 <= done == bag["images"]["total"] < 120
    assert "Interrupted" in (tmp_path / "out" / "report.html").read_text()
    rows = (tmp_path / "out" / "bag" / "frames.csv").read_text().splitlines()
    assert len(rows) == 1 + done
    with Bag(tmp_path / "out" / "bag" / "depth") as output:
        assert {topic.count for topic in output.topics} == {done}


def test_a_killed_run_leaves_earlier_results_and_nothing_in_the_way(
    tmp_path: Path, model: Path
) -> None:
    short = drive(tmp_path / "short", 3)
    assert (
        subprocess.run(command(tmp_path, model, short), env=process_environment()).returncode == 0
    )
    before = (tmp_path / "out" / "report.html").read_bytes()
    process = start(tmp_path, model, drive(tmp_path / "bag", 120))
    process.kill()
    process.communicate()
    assert (tmp_path / "out" / "report.html").read_bytes() == before
    assert (
        subprocess.run(command(tmp_path, model, short), env=process_environment()).returncode == 0
    )
    left = {entry.name for entry in (tmp_path / "out").iterdir() if entry.suffix != ".lock"}
    assert left == {"report.html", "short"}


def test_memory_does_not_grow_with_the_bag(tmp_path: Path, model: Path) -> None:
    peaks = []
    for frames in (30, 300):  # 1.4 MB of messages each
        bag = drive(tmp_path / f"bag_{frames}", frames)
        program = (
            "import re, sys; from pathlib import Path; from depth_dpt_ros.cli import main\n"
            "status = main(sys.argv[1:])\n"
            "memory = Path('/proc/self/status').read_text()\n"
            "print('peak', re.search(r'VmHWM:\\s+(\\d+)', memory)[1])\n"
            "sys.exit(status)"
        )
        ended = subprocess.run(
            python("-c", program, *command(tmp_path, model, bag)[3:]),
            capture_output=True,
            text=True,
            env=process_environment(),
        )
        assert ended.returncode == 0, ended.stderr
        peaks.append(int(ended.stdout.rpartition("peak ")[2]) / 1024)
    assert peaks[1] < peaks[0] + 60, peaks  # MB; the longer bag has 380 more


def test_needs_no_ros(tmp_path: Path, model: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('rclpy', 'sensor_msgs', 'std_msgs', 'cv_bridge', 'torch'):\n"
        "    sys.modules[name] = None\n"
        "from depth_dpt_ros.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    bag = drive(tmp_path / "bag", 3)
    arguments = command(tmp_path, model, bag)[3:]
    ended = subprocess.run(
        python("-c", program, *arguments), capture_output=True, env=process_environment()
    )
    assert ended.returncode == 0, ended.stderr
