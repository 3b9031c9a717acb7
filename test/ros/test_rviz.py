# SPDX-License-Identifier: Apache-2.0
"""What rviz2 is started with: topics, quality of service, frame and windows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")

from ros_harness import Camera, camera_in
from sensor_msgs.msg import CompressedImage
from stand_in_rviz2 import write_rviz2

from depth_dpt_core.frames import street_frames
from depth_dpt_ros.rviz import Seen, configuration

TEMPLATE = Path(__file__).parents[2] / "config" / "depth.rviz"
FRAME = street_frames()[0]
FRONT = Seen("front", "/v/front/image", "/v/front/depth/color/image", "/v/front/depth/points")
LEFT = Seen("left", "/v/left/image", "/v/left/depth/color/image", "/v/left/depth/points")


def content(*cameras: Seen, frame: str = "optical", optical: bool = True) -> dict[str, Any]:
    text = configuration(TEMPLATE.read_text(), cameras, frame, optical=optical)
    filled: dict[str, Any] = yaml.safe_load(text)
    return filled


def displays(filled: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {display["Name"]: display for display in filled["Visualization Manager"]["Displays"]}


def test_every_camera_has_image_depth_and_points() -> None:
    shown = displays(content(FRONT, LEFT))
    topics = {name: display["Topic"]["Value"] for name, display in shown.items()}
    assert topics == {
        "front Image": FRONT.image, "front Depth": FRONT.color, "front Points": FRONT.points,
        "left Image": LEFT.image, "left Depth": LEFT.color, "left Points": LEFT.points,
    }  # fmt: skip


def test_cameras_of_either_reliability_are_met_and_ours_is_kept() -> None:
    shown = displays(content(FRONT))
    policies = {name: display["Topic"]["Reliability Policy"] for name, display in shown.items()}
    assert policies == {
        "front Image": "Best Effort", "front Depth": "Reliable", "front Points": "Reliable",
    }  # fmt: skip
    assert {display["Topic"]["Depth"] for display in shown.values()} == {1}


def test_the_view_is_ahead_in_either_kind_of_frame() -> None:
    for optical, axis in ((True, "Z"), (False, "X")):
        manager = content(FRONT, frame="f", optical=optical)["Visualization Manager"]
        focus = manager["Views"]["Current"]["Focal Point"]
        assert manager["Global Options"]["Fixed Frame"] == "f"
        assert [name for name, value in focus.items() if value > 0] == [axis]


def test_images_are_docked_in_the_window() -> None:
    # what Qt reads is described in rviz.py; the names must be those of the displays
    state = bytes.fromhex(content(FRONT)["Window Geometry"]["QMainWindow State"])
    for name in ("Displays", "front Image", "front Depth"):
        text = name.encode("utf-16-be")
        assert b"\xfb" + len(text).to_bytes(4, "big") + text + b"\x01" in state


def started_with(tmp_path: Path, camera: Camera, domain: int, send: Any, *arguments: str) -> Path:
    shown = write_rviz2(tmp_path)
    command = [sys.executable, "-m", "depth_dpt_ros.rviz", str(TEMPLATE), "--ros-args"]
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path),
        "ROS_DOMAIN_ID": str(domain),
    }
    process = subprocess.Popen([*command, *arguments], env=environment)

    def ended() -> bool:
        send()
        return process.poll() is not None

    camera.wait_for(ended, 60)
    assert process.returncode == 0
    return shown


@pytest.mark.slow
@pytest.mark.parametrize("best_effort", [True, False])
def test_frame_and_topics_are_those_of_the_camera(
    domain: int, tmp_path: Path, best_effort: bool
) -> None:
    with camera_in(domain, best_effort=best_effort) as camera:
        shown = started_with(
            tmp_path, camera, domain, lambda: camera.send(FRAME),
            "-r", "__ns:=/vehicle", "-r", "image:=/image", "-p", "use_sim_time:=true",
        )  # fmt: skip
    manager = yaml.safe_load(shown.read_text())["Visualization Manager"]
    topics = [display["Topic"]["Value"] for display in manager["Displays"]]
    assert topics == ["/image", "/vehicle/depth/color/image", "/vehicle/depth/points"]
    assert manager["Global Options"]["Fixed Frame"] == "camera_optical"
    assert shown.with_suffix(".rviz.txt").read_text().split()[2:] == [
        "--ros-args", "-p", "use_sim_time:=True",
    ]  # fmt: skip


@pytest.mark.slow
def test_compressed_images_and_a_frame_of_ones_own(domain: int, tmp_path: Path) -> None:
    with camera_in(domain) as camera:
        for publisher in list(camera.node.publishers):
            if publisher.topic_name == "/image":
                camera.node.destroy_publisher(publisher)

        def send() -> None:
            camera.send_message(CompressedImage(header=camera.header(), format="jpeg"))

        shown = started_with(tmp_path, camera, domain, send, "-p", "fixed_frame:=base_link")
    manager = yaml.safe_load(shown.read_text())["Visualization Manager"]
    assert manager["Displays"][0]["Topic"]["Value"] == "/image/compressed"
    assert manager["Global Options"]["Fixed Frame"] == "base_link"
    assert manager["Views"]["Current"]["Focal Point"]["X"] > 0


@pytest.mark.slow
def test_without_rviz2_a_sentence_says_so(domain: int, tmp_path: Path) -> None:
    with camera_in(domain) as camera:
        process = subprocess.Popen(
            [sys.executable, "-m", "depth_dpt_ros.rviz", str(TEMPLATE)],
            stderr=subprocess.PIPE,
            env={**os.environ, "PATH": str(tmp_path), "ROS_DOMAIN_ID": str(domain),
                 "XDG_CACHE_HOME": str(tmp_path)},
        )  # fmt: skip

        def ended() -> bool:
            camera.send(FRAME)
            return process.poll() is not None

        camera.wait_for(ended, 60)
    assert process.returncode == 1
    _, said = process.communicate()
    assert b"rviz2 is not installed" in said
    assert b"Traceback" not in said
