# SPDX-License-Identifier: Apache-2.0
"""depth.launch.py, run by launch: topics, parameters, environment and the end.

On ROS 2: `pytest test/launch`, or `launch_test test/launch/test_depth_launch.py`.
"""

from __future__ import annotations

import os
import signal
import sys
import unittest
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("launch_ros", reason="needs launch_ros, which comes with ROS 2")
pytest.importorskip("launch_testing", reason="needs launch_testing, which comes with ROS 2")

import launch_testing
import rclpy
import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchDescription
from launch.actions import (
    GroupAction,
    IncludeLaunchDescription,
    SetEnvironmentVariable,
    UnsetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import EXIT_OK
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.parameter import parameter_value_to_python

sys.path.append(str(Path(__file__).parents[1] / "support"))  # launch_test knows no pythonpath
from ros_harness import Camera, metres
from stand_in_rviz2 import write_rviz2

from depth_dpt_core.artifact import resolve
from depth_dpt_core.frames import street_frames
from depth_dpt_ros.own_domain import own_domain
from depth_dpt_ros.transport import PROFILE_VARIABLES

try:
    SHARE = Path(get_package_share_directory("depth_dpt_ros"))
except PackageNotFoundError:
    pytest.skip("needs depth_dpt_ros installed by colcon", allow_module_level=True)

FRAME = street_frames()[0]
FOCAL = 400.0
IMAGE = "/front/image_raw"
MODEL = str(resolve("builtin").path)
CHOICE = "FASTDDS_BUILTIN_TRANSPORTS"  # one by which users set the transport themselves


class Case(NamedTuple):
    arguments: dict[str, str]
    environment: dict[str, str]  # the user's
    node: str
    parameters: dict[str, Any]  # expected


DOMAINS = ExitStack()  # held until the process ends
CASES = {
    "only image": Case(
        arguments={"image": IMAGE},
        environment={},
        node="/depth_node",
        parameters={"model": "builtin", "use_sim_time": False, "image_transport": "raw"},
    ),
    "named": Case(
        arguments={
            "image": IMAGE,
            "namespace": "vehicle",
            "name": "front_depth",
            "model": MODEL,
            "use_sim_time": "true",
            "rviz": "true",
        },
        environment={CHOICE: "UDPv4"},
        node="/vehicle/front_depth",
        parameters={"model": MODEL, "use_sim_time": True, "image_transport": "raw"},
    ),
}


@pytest.mark.slow
@pytest.mark.launch_test
@launch_testing.parametrize("case", list(CASES))
def generate_test_description(case: str) -> tuple[LaunchDescription, dict[str, Any]]:
    domain = DOMAINS.enter_context(own_domain())
    stand_in = Path(mkdtemp())
    shown = write_rviz2(stand_in)
    environment = {
        "PATH": f"{stand_in}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(stand_in),
        **CASES[case].environment,
        "ROS_DOMAIN_ID": str(domain),
        "PYTHONUNBUFFERED": "1",
    }
    group = GroupAction(  # what is set in it ends with it
        [
            *(UnsetEnvironmentVariable(name) for name in (*PROFILE_VARIABLES, CHOICE)),
            *(SetEnvironmentVariable(name, value) for name, value in environment.items()),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SHARE / "launch" / "depth.launch.py")),
                launch_arguments=CASES[case].arguments.items(),
            ),
        ]
    )
    return LaunchDescription([group, ReadyToTest()]), {"domain": domain, "shown": shown}


class WhileRunning(unittest.TestCase):
    def setUp(self, domain: int, case: str) -> None:
        self.case = CASES[case]
        namespace = self.case.node.rpartition("/")[0]
        topics = {"image": IMAGE, "camera_info": "/front/camera_info"}
        for topic in ("depth/image", "depth/camera_info", "depth/color/image"):
            topics[topic] = f"{namespace}/{topic}"
        remaps = [part for pair in topics.items() for part in ("-r", ":=".join(pair))]
        self.context = Context()
        rclpy.init(args=["--ros-args", *remaps], context=self.context, domain_id=domain)
        self.camera = Camera(self.context)

    def tearDown(self) -> None:
        self.camera.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def call(self, kind: Any, name: str, request: Any) -> Any:
        client = self.camera.node.create_client(kind, f"{self.case.node}/{name}")
        self.camera.wait_for(client.service_is_ready, 60.0)
        future = client.call_async(request)
        self.camera.wait_for(future.done)
        return future.result()

    def is_active(self) -> bool:
        answer = self.call(GetState, "get_state", GetState.Request())
        return bool(answer.current_state.label == "active")

    def test_answers_the_camera_under_its_header(self) -> None:
        self.camera.wait_for(self.is_active, 60.0)
        self.camera.listen("depth", "info", "color")
        self.camera.wait_until_subscribed()
        depth = self.camera.answer(FRAME, FOCAL)
        self.camera.wait_for(lambda: self.camera.info and self.camera.color)
        info, color = self.camera.info[-1], self.camera.color[-1]
        assert depth.header.frame_id == "camera_optical"
        assert depth.header == info.header == color.header
        assert (depth.height, depth.width) == (info.height, info.width) == FRAME.shape[:2]
        assert info.p[0] == pytest.approx(FOCAL)
        assert color.encoding == "rgb8"
        assert (metres(depth) > 0).mean() > 0.5

    def test_rviz_shows_the_nodes_topics_in_the_cameras_frame(self, shown: Path) -> None:
        if "rviz" not in self.case.arguments:
            assert not shown.exists()
            return
        self.camera.wait_until_subscribed()

        def started() -> bool:
            self.camera.send(FRAME, FOCAL)
            return shown.exists()

        self.camera.wait_for(started, 60.0)
        content = yaml.safe_load(shown.read_text())["Visualization Manager"]
        topics = [display["Topic"]["Value"] for display in content["Displays"]]
        assert topics == [IMAGE, "/vehicle/depth/color/image", "/vehicle/depth/points"]
        assert content["Global Options"]["Fixed Frame"] == "camera_optical"

    def test_arguments_become_parameters(self) -> None:
        expected = self.case.parameters
        request = GetParameters.Request(names=list(expected))
        answer = self.call(GetParameters, "get_parameters", request)
        values = [parameter_value_to_python(value) for value in answer.values]
        assert dict(zip(expected, values, strict=True)) == expected

    def test_the_transport_is_ours_unless_the_user_chose(self, proc_info: Any) -> None:
        process = next(it for it in proc_info if "depth_node" in it.process_name)
        for name in PROFILE_VARIABLES:
            profile = process.env.get(name)
            if self.case.environment:
                assert profile is None
            else:
                assert Path(profile).name == "fastdds.xml"
                assert Path(profile).is_file()

    def test_z_a_killed_node_comes_back(self, proc_info: Any) -> None:
        """The last, by its name: the others look at the first process."""
        self.camera.wait_for(self.is_active, 60.0)
        process = next(it for it in proc_info if "depth_node" in it.process_name)
        os.kill(process.pid, signal.SIGKILL)
        self.camera.wait_for(lambda: len(names(proc_info)) > 1, 60.0)
        self.camera.listen("depth")

        def answered() -> bool:
            self.camera.send(FRAME, FOCAL)
            return bool(self.camera.depth)

        self.camera.wait_for(answered, 60.0)


def names(proc_info: Any) -> list[str]:
    return [it.process_name for it in proc_info if "depth_node" in it.process_name]


@launch_testing.post_shutdown_test()
class AfterShutdown(unittest.TestCase):
    def test_ended_in_good_order(self, proc_info: Any, proc_output: Any) -> None:
        codes = [it.returncode for it in proc_info if "depth_node" in it.process_name]
        assert codes == [-signal.SIGKILL, EXIT_OK]
        text = b"".join(part.text for part in proc_output)
        assert b"runs on" in text
        assert b"Traceback" not in text
