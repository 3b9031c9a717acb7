# SPDX-License-Identifier: Apache-2.0
"""The demo as a user starts it: the real node, real bags, and what is left in the folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")
pytest.importorskip("rosbags", reason="needs rosbags: pip install '.[replay]'")

from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from depth_dpt_core.frames import street_frames
from depth_dpt_core.metrics import METRIC_NAMES, compute_metrics
from depth_dpt_ros.image_codec import depth_to_image, rgb_to_image, to_depth
from depth_dpt_ros.replay.bag import Bag
from depth_dpt_ros.stamps import stamp_ns

pytestmark = pytest.mark.slow
BAGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "bags"
OUTPUTS = {"/depth/image", "/depth/camera_info", "/depth/color/image"}


def demo(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "depth_dpt_ros.cli", "demo", "--out", str(out), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def report_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "metrics.json").read_text())


def real(name: str) -> str:
    if not (BAGS / name).exists():
        pytest.skip(f"needs the recording {name}, which is not part of the project")
    return str(BAGS / name)


def stamps_and_frames(bag: Bag, topic: str) -> set[tuple[int, str]]:
    messages = [bag.deserialize(raw, name) for name, _, raw in bag.messages([topic])]
    return {(stamp_ns(m), m.header.frame_id) for m in messages}


def test_bundled_drive(tmp_path: Path) -> None:
    result = demo(tmp_path / "out")
    assert result.returncode == 0, result.stderr
    report = report_of(tmp_path / "out")
    assert set(report["metrics"]) == set(METRIC_NAMES)
    images = report["images"]
    assert images["played"] == 60
    assert images["used"] + images["dropped"] == 60
    assert images["used"] == images["scored"] >= 20
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p95"]
    assert "abs_rel" in result.stdout
    assert "metrics.json" in result.stdout
    with Bag(tmp_path / "out" / "depth.mcap") as bag:
        assert {t.name for t in bag.topics} == {"/image/compressed"} | OUTPUTS
        played = stamps_and_frames(bag, "/image/compressed")
        assert len(played) == 60
        for topic in OUTPUTS:
            answered = stamps_and_frames(bag, topic)
            assert answered <= played
            assert len(answered) >= 20
    pictures = sorted((tmp_path / "out").glob("frame_*.png"))
    assert len(pictures) == 3
    picture = cv2.imread(str(pictures[0]))
    assert picture is not None
    assert picture.shape[1] > 3 * 640


def test_output_opens_with_the_mcap_library(tmp_path: Path) -> None:
    mcap_reader = pytest.importorskip("mcap.reader")
    decoder = pytest.importorskip("mcap_ros2.decoder")
    write_bag(tmp_path / "bag", frames=3)
    assert demo(tmp_path / "out", "--bag", str(tmp_path / "bag")).returncode == 0
    with (tmp_path / "out" / "depth.mcap").open("rb") as file:
        reader = mcap_reader.make_reader(file, decoder_factories=[decoder.DecoderFactory()])
        decoded = [
            message for _, channel, _, message in reader.iter_decoded_messages()
            if channel.topic == "/depth/image"
        ]  # fmt: skip
    assert decoded
    assert all((m.encoding, m.width, m.height) == ("32FC1", 512, 256) for m in decoded)


def write_bag(
    path: Path, *, frames: int, info: bool = True, truth: float = 10.0, encoding: str = "rgb8"
) -> None:
    """A raw camera at 5 Hz whose truth is the same everywhere."""
    types = get_typestore(Stores.ROS2_HUMBLE)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {"/cam/image_raw": "Image", "/cam/depth/image_rect": "Image"}
        if info:
            topics["/cam/camera_info"] = "CameraInfo"
        connections = {
            topic: writer.add_connection(topic, f"sensor_msgs/msg/{kind}", typestore=types)
            for topic, kind in topics.items()
        }
        for i in range(frames):
            time = 10**18 + i * 2 * 10**8
            header = Header(frame_id="cam")
            header.stamp.sec, header.stamp.nanosec = divmod(time, 10**9)
            k = [400.0, 0.0, 255.5, 0.0, 400.0, 127.5, 0.0, 0.0, 1.0]
            p = [400.0, 0.0, 255.5, 0.0, 0.0, 400.0, 127.5, 0.0, 0.0, 0.0, 1.0, 0.0]
            image = rgb_to_image(street_frames()[0], header)
            image.encoding = encoding
            messages = {
                "/cam/camera_info": CameraInfo(header=header, width=512, height=256, k=k, p=p),
                "/cam/image_raw": image,
                "/cam/depth/image_rect": depth_to_image(
                    np.full((256, 512), truth, np.float32), header, "32FC1"
                ),
            }
            for topic, connection in connections.items():
                writer.write(connection, time, serialize_message(messages[topic]))


def test_metrics_are_those_of_the_recorded_depth(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", frames=4)
    result = demo(tmp_path / "out", "--bag", str(tmp_path / "bag"))
    assert result.returncode == 0, result.stderr
    assert "camera /cam/image_raw" in result.stdout
    report = report_of(tmp_path / "out")
    assert report["truth_topic"] == "/cam/depth/image_rect"
    assert report["truth_kind"] == "depth_image"
    truth = np.full((256, 512), 10, np.float32)
    with Bag(tmp_path / "out" / "depth.mcap") as bag:
        answers: list[Image] = [
            bag.deserialize(raw, topic) for topic, _, raw in bag.messages(["/depth/image"])
        ]
    singles = [compute_metrics(to_depth(answer), truth).metrics for answer in answers]
    for name in METRIC_NAMES:
        mean = np.mean([getattr(single, name) for single in singles])
        assert report["metrics"][name] == pytest.approx(mean, rel=1e-6)


def test_truth_that_knows_nothing_is_drawn_and_not_scored(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", frames=2, truth=np.nan)
    result = demo(tmp_path / "out", "--bag", str(tmp_path / "bag"))
    assert result.returncode == 0, result.stderr
    assert report_of(tmp_path / "out")["metrics"] is None
    assert list((tmp_path / "out").glob("frame_*.png"))


def test_images_that_cannot_be_read_end_with_the_reason_kept(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", frames=2, encoding="nv99")
    result = demo(tmp_path / "out", "--bag", str(tmp_path / "bag"))
    assert result.returncode == 1
    assert "depth_node.log says why" in result.stderr
    assert "nv99" in (tmp_path / "out" / "depth_node.log").read_text()
    assert report_of(tmp_path / "out")["images"]["used"] == 0


def test_earlier_results_stay_when_a_run_fails(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "metrics.json").write_text("{}")
    (tmp_path / "broken.mcap").write_bytes(b"not a bag")
    write_bag(tmp_path / "bag", frames=1)
    for arguments, words in (
        (("--bag", str(tmp_path / "broken.mcap")), "broken.mcap"),
        (("--bag", str(tmp_path / "absent")), "absent"),
        (("--bag", str(tmp_path / "bag"), "--image", "/nose"), "/cam/image_raw"),
        (("--model", str(tmp_path / "none.onnx")), "none.onnx"),
    ):
        result = demo(out, *arguments)
        assert result.returncode == 1
        assert words in result.stderr
        assert "Traceback" not in result.stderr
    assert (out / "metrics.json").read_text() == "{}"
    assert {p.name for p in tmp_path.iterdir()} == {"out", "bag", "broken.mcap"}


def test_without_camera_info_depth_comes_at_once(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", frames=5, info=False)
    result = demo(tmp_path / "out", "--bag", str(tmp_path / "bag"))
    assert result.returncode == 0, result.stderr
    assert "no CameraInfo" in result.stdout
    assert report_of(tmp_path / "out")["images"]["used"] >= 4


@pytest.mark.parametrize("camera", ["01", "05", "06"])
def test_real_cameras_against_lidar(tmp_path: Path, camera: str) -> None:
    topic = f"/camera_{camera}/image_raw/compressed"
    result = demo(tmp_path / "out", "--bag", real("dgp_scene_01_mcap"), "--image", topic)
    assert result.returncode == 0, result.stderr
    report = report_of(tmp_path / "out")
    assert report["truth_kind"] == "points"
    assert report["images"]["scored"] == report["images"]["used"] >= 1
    assert np.isfinite(list(report["metrics"].values())).all()


def test_real_highway_without_truth(tmp_path: Path) -> None:
    result = demo(tmp_path / "out", "--bag", real("udacity_highway_db3"))
    assert result.returncode == 0, result.stderr
    report = report_of(tmp_path / "out")
    assert report["metrics"] is None
    assert report["images"]["played"] == 36
    assert report["images"]["used"] >= 24
