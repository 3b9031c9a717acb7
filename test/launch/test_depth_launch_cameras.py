# SPDX-License-Identifier: Apache-2.0
"""depth.launch.py with several cameras."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("launch_ros", reason="needs launch_ros, which comes with ROS 2")

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch_process import launch
from ros_harness import Camera, camera_in
from stand_in_rviz2 import write_rviz2

from depth_dpt_core.frames import street_frames

try:
    SHARE = Path(get_package_share_directory("depth_dpt_ros"))
except PackageNotFoundError:
    pytest.skip("needs depth_dpt_ros installed by colcon", allow_module_level=True)

pytestmark = pytest.mark.slow
FILE = SHARE / "launch" / "depth.launch.py"
FRAME = street_frames()[0]


def test_each_camera_has_its_own_topics_below_the_namespace(domain: int, tmp_path: Path) -> None:
    shown = write_rviz2(tmp_path)
    arguments = {"cameras": "front,left", "namespace": "v", "rviz": "true", "rviz_frame": "base"}
    path = f"{tmp_path}:{os.environ['PATH']}"
    process = launch(FILE, domain, arguments, PATH=path, XDG_CACHE_HOME=str(tmp_path))
    try:
        with camera_in(domain, name="v/front") as front:
            left = Camera(front.context, name="v/left", beside=front)
            for camera, focal in ((front, 400.0), (left, 200.0)):
                camera.listen("depth", "info")
                camera.wait_until_subscribed(timeout=90)
                camera.answer(FRAME, focal)
                camera.wait_for(lambda camera=camera: camera.info)
                assert camera.info[0].p[0] == pytest.approx(focal)

            def started() -> bool:
                front.send(FRAME)
                return shown.exists()

            front.wait_for(started, 60)
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 0, said
    content = yaml.safe_load(shown.read_text())["Visualization Manager"]
    assert content["Global Options"]["Fixed Frame"] == "base"
    assert [display["Topic"]["Value"] for display in content["Displays"]] == [
        f"/v/{name}/{topic}"
        for name in ("front", "left")
        for topic in ("image", "depth/color/image", "depth/points")
    ]


def test_with_the_topics_of_a_single_camera_it_fails_with_a_sentence(domain: int) -> None:
    process = launch(FILE, domain, {"cameras": "front,left", "image": "/front/image_raw"})
    said = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 1
    assert "of a single camera" in said
    assert "Traceback" not in said


def test_wrong_parameters_end_it_and_are_not_tried_again(domain: int, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("/**: {ros__parameters: {max_depth: -1.0}}\n")
    process = launch(FILE, domain, {"params_file": file})
    said = process.communicate(timeout=60)[0].decode()
    assert said.count("process started") == 1
    assert "max_depth" in said
    assert "Traceback" not in said
