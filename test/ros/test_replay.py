# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt replay`: the running node's figures are those of `bag-eval`, lost images aside."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")
pytest.importorskip("rosbags", reason="needs rosbags: pip install '.[replay]'")

import cv2
from small_bags import START, camera_info, cloud, depth_image, header, image, ros, tf, write
from stand_in_ros2 import write_ros2
from tiny_models import process_environment, python, write_own

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_core.metrics import METRIC_NAMES
from depth_dpt_ros.replay.bag import Bag, Camera
from depth_dpt_ros.replay.feeds import Route, ros2_bag_command
from depth_dpt_ros.replay.live_answers import AnsweredFrame, LiveAnswers
from depth_dpt_ros.replay.matching import iter_frames
from depth_dpt_ros.replay.player import Playback
from depth_dpt_ros.stamps import stamp_ns

WIDTH, HEIGHT = 64, 32
FOCAL = 60.0
STEP = 400_000_000  # ns; slow enough for a busy machine to answer every image
FRAMES = 8
# what bag-eval says of answers, and the node must say too
FIGURES = ("metrics", "bias", "interval_95", "scale", "by_range", "by_region", "curve", "pixels")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = ModelSpec(48, 32, canonical_focal_length=FOCAL / 2, max_depth=60.0)
    return write_own(tmp_path_factory.mktemp("model") / "tiny.onnx", spec)


def drive(path: Path, *, truth: str, compressed: bool = False, step: int = STEP) -> Path:
    """Random pictures; truth from 1 to 100 m as depth images, or points straight ahead."""
    rng = np.random.default_rng(3)
    messages: list[tuple[str, int, Any]] = []
    if truth == "points":
        messages.append(("/tf_static", START, tf("optical", "lidar", (0, 0, 0), (0, 0, 0, 1))))
    for index in range(FRAMES):
        stamp = START + index * step
        picture = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        topic, shown = "/cam/image_raw", image(picture, stamp)
        if compressed:
            data = cv2.imencode(".png", picture)[1].ravel()
            topic = "/cam/jpegs"  # a name that the node cannot subscribe to
            shown = ros("sensor_msgs/CompressedImage", header(stamp), "png", data)
        messages.append(("/cam/camera_info", stamp, camera_info(FOCAL, WIDTH, HEIGHT, stamp)))
        messages.append((topic, stamp, shown))
        depth = np.exp(rng.uniform(0, np.log(100), (HEIGHT, WIDTH))).astype(np.float32)
        if truth == "depth":
            depth[rng.random(depth.shape) < 0.2] = np.nan
            messages.append(("/cam/truth", stamp + 10_000_000, depth_image(depth, stamp)))
        else:
            v, u = np.mgrid[:HEIGHT, :WIDTH]
            x, y = (u - (WIDTH - 1) / 2) / FOCAL, (v - (HEIGHT - 1) / 2) / FOCAL
            xyz = np.stack([x * depth, y * depth, depth], -1)[::4, ::4]
            messages.append(("/lidar/points", stamp + 10_000_000, cloud(xyz, stamp)))
    return write(path, messages)


def command(name: str, tmp_path: Path, model: Path, bag: Path, *options: str) -> list[str]:
    files = ["--out", tmp_path / name, "--json", tmp_path / f"{name}.json"]
    arguments = [name, bag, "--model", model, *files, *options]
    return python("-m", "depth_dpt_ros.cli", *arguments)


def run(name: str, tmp_path: Path, model: Path, bag: Path, *options: str) -> dict[str, Any]:
    line = command(name, tmp_path, model, bag, *options)
    done = subprocess.run(line, env=process_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (figures,) = json.loads((tmp_path / f"{name}.json").read_text())["bags"]
    return dict(figures)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "frames.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "compressed", "player", "rate"),
    [
        ("depth", False, "own", 1.0),
        ("points", True, "own", 0.1),
        ("points", False, "ros2bag", 0.1),
    ],
)
def test_without_loss_the_figures_are_those_of_bag_eval(
    tmp_path: Path, model: Path, truth: str, compressed: bool, player: str, rate: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    write_ros2(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    step = round(STEP * rate)
    bag = drive(tmp_path / "bag", truth=truth, compressed=compressed, step=step)
    live = run("replay", tmp_path, model, bag, "--player", player, "--rate", str(rate))
    offline = run("bag-eval", tmp_path, model, bag)
    assert live["live"]["player"] == player
    assert live["live"]["images"] == {"played": FRAMES, "answered": FRAMES, "lost": 0}
    assert live["images"] == offline["images"]
    for name in FIGURES:
        assert live[name] == offline[name], name
    if truth == "points":  # published at the network's resolution, as bag-eval looks at it
        assert live["stability"] == offline["stability"]
        assert live["without_occlusion_filter"] == offline["without_occlusion_filter"]
    latency = live["live"]["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"] < 1e4
    assert live["live"]["rate"]["played"] == pytest.approx(1e9 / STEP, rel=0.2)
    page = (tmp_path / "replay" / "report.html").read_text()
    assert "In real time" in page
    assert "latency p99 [ms]" in page


@pytest.mark.slow
def test_lost_images_are_counted_and_the_others_scored_as_ever(tmp_path: Path) -> None:
    bag = drive(tmp_path / "bag", truth="depth", step=1_000_000)  # a thousand images a second
    builtin = Path("builtin")
    live = run("replay", tmp_path, builtin, bag, "--player", "own")
    run("bag-eval", tmp_path, builtin, bag)
    counts = live["live"]["images"]
    assert counts["lost"] > 0
    assert counts["answered"] + counts["lost"] == counts["played"] == FRAMES
    assert live["images"]["dropped"] == counts["lost"]
    assert live["images"]["scored"] == counts["answered"]
    assert any("not answered" in note for note in live["notes"])
    tables = [rows(tmp_path / name / "bag") for name in ("replay", "bag-eval")]
    for ours, theirs in zip(*tables, strict=True):
        assert ours["status"] in ("scored", "dropped")
        for name in METRIC_NAMES:
            assert ours[name] == (theirs[name] if ours["status"] == "scored" else "")


def said_until(process: subprocess.Popen[bytes], pattern: bytes) -> None:
    """Wait until a process has said something on standard error."""
    assert process.stderr is not None
    said, end = b"", time.monotonic() + 90
    while not re.search(pattern, said):
        assert time.monotonic() < end, said
        part = os.read(process.stderr.fileno(), 4096)
        assert part, said
        said += part


@pytest.mark.slow
def test_an_interrupted_replay_scores_what_was_played(tmp_path: Path, model: Path) -> None:
    bag = drive(tmp_path / "bag", truth="depth", step=3 * 10**9)
    line = command("replay", tmp_path, model, bag, "--player", "own")
    process = subprocess.Popen(line, env=process_environment(), stderr=subprocess.PIPE)
    said_until(process, rb" 2/8 ")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # as launch and a terminal do together
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    (figures,) = json.loads((tmp_path / "replay.json").read_text())["bags"]
    assert figures["ended"] == "interrupted"
    assert 1 <= figures["images"]["scored"] < FRAMES
    assert figures["images"]["total"] == figures["live"]["images"]["played"] < FRAMES


@pytest.mark.slow
def test_what_cannot_work_ends_with_a_sentence(tmp_path: Path, model: Path) -> None:
    bag = drive(tmp_path / "bag", truth="depth")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    (tmp_path / "bin").mkdir()
    failing = tmp_path / "bin" / "ros2"
    failing.write_text("#!/bin/sh\nexit 3\n")
    failing.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    for arguments, words in (
        ((model, tmp_path / "none"), "does not exist"),
        ((broken, bag), "broken.onnx"),
        ((model, bag, "--image-topic", "/nose"), "/cam/image_raw"),
        ((model, bag, "--player", "ros2bag"), "--player own"),
        ((model, bag, "--runtime", "tensorrt"), "TensorRT"),
    ):
        line = command("replay", tmp_path, *arguments)  # type: ignore[arg-type]
        done = subprocess.run(
            line, env=process_environment(PATH=path), capture_output=True, text=True
        )
        assert done.returncode == 1, arguments
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_ros2_bag_is_asked_for_the_camera_alone(tmp_path: Path) -> None:
    bag = drive(tmp_path / "bag", truth="depth", compressed=True)
    camera = Camera("/cam/jpegs", compressed=True, camera_info_topic="/cam/camera_info")
    with Bag(bag) as opened:
        line = ros2_bag_command(opened, camera, Route("/cam/jpegs", "/cam/camera_info", True), 0.5)
    assert line == [
        "ros2", "bag", "play", str(bag), "--clock", "--delay", "3", "--rate", "0.5",
        "--disable-keyboard-controls", "--topics", "/cam/jpegs", "/cam/camera_info",
        "--remap", "/cam/jpegs:=/cam/jpegs/compressed",
    ]  # fmt: skip


def joined(tmp_path: Path, stamps: list[int], answers: list[int], **playback: Any) -> list[bool]:
    """Which images with these stamps, in ms, get the depth published under those stamps."""
    times = [START + n * 10**8 for n in range(len(stamps))]
    picture = np.zeros((4, 4, 3), np.uint8)
    shown = [
        ("/cam/image_raw", time_ns, image(picture, stamp * 10**6))
        for time_ns, stamp in zip(times, stamps, strict=True)
    ]
    depth = np.ones((4, 4))
    said = [
        ("/depth/image", START + n, depth_image(depth * n, stamp * 10**6))
        for n, stamp in enumerate(answers)
    ]
    camera = Camera("/cam/image_raw", compressed=False, camera_info_topic=None)
    known = {
        "played": Counter(stamp * 10**6 for stamp in stamps),
        "answers": Counter(stamp * 10**6 for stamp in answers),
    }
    happened = Playback("own", **{**known, **playback})
    with Bag(write(tmp_path / "bag", shown)) as bag, Bag(write(tmp_path / "said", said)) as there:
        frames = list(LiveAnswers(there, happened).join(iter_frames(bag, camera)))
    for frame in frames:
        assert isinstance(frame, AnsweredFrame)
        assert frame.depth is None or stamp_ns(frame.depth) == frame.stamp
    return [frame.depth is not None for frame in frames]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("stamps", "answers", "expected"),
    [
        ([10, 20, 30], [10, 30], [True, False, True]),
        ([10, 30, 20, 40], [10, 30, 20, 40], [True] * 4),  # stamps that go back
        ([10, 30, 20, 40], [30, 40], [False, True, False, True]),
        ([10, 20, 20, 30], [10, 20, 20, 30], [True] * 4),
        # which of the two was answered cannot be told
        ([10, 20, 20, 30], [10, 20, 30], [True, False, False, True]),
    ],
)
def test_answers_belong_to_the_images_of_their_stamp(
    tmp_path: Path, stamps: list[int], answers: list[int], expected: list[bool]
) -> None:
    assert joined(tmp_path, stamps, answers) == expected


def test_images_after_an_interruption_do_not_count(tmp_path: Path) -> None:
    played = Counter([10 * 10**6, 20 * 10**6])
    assert joined(tmp_path, [10, 20, 30], [10], played=played, interrupted=True) == [True, False]
