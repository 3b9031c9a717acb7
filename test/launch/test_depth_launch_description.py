# SPDX-License-Identifier: Apache-2.0
"""What depth.launch.py describes, nothing started."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("launch_ros", reason="needs launch_ros, which comes with ROS 2")

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch import LaunchContext
from launch.utilities import perform_substitutions
from launch_ros.actions import Node

from depth_dpt_ros.transport import PROFILE_VARIABLES, process_settings

try:
    get_package_share_directory("depth_dpt_ros")
except PackageNotFoundError:
    pytest.skip("needs depth_dpt_ros installed by colcon", allow_module_level=True)

FILE = Path(__file__).parents[2] / "launch" / "depth.launch.py"
ARGUMENTS = {
    "image", "camera_info", "cameras", "namespace", "name", "model", "runtime", "image_transport",
    "output_size", "autostart", "params_file", "use_sim_time", "respawn", "rviz", "rviz_frame",
    "log_level",
}  # fmt: skip


@pytest.fixture(scope="module")
def launch_file() -> dict[str, Any]:
    return runpy.run_path(str(FILE))


@pytest.fixture(autouse=True)
def no_choice_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {"FASTDDS_BUILTIN_TRANSPORTS", *process_settings({})}:
        monkeypatch.delenv(name, raising=False)


def context_with(launch_file: dict[str, Any], **given: str) -> LaunchContext:
    context = LaunchContext()
    context.launch_configurations.update(given)
    for argument in launch_file["ARGUMENTS"]:
        argument.execute(context)
    return context


def test_every_argument_is_declared_and_described(launch_file: dict[str, Any]) -> None:
    declared = launch_file["generate_launch_description"]().get_launch_arguments()
    assert {argument.name for argument in declared} == ARGUMENTS
    for argument in declared:
        assert argument.description, argument.name
        assert argument.default_value is not None, argument.name


@pytest.mark.parametrize(
    ("image", "camera_info"),
    [
        ("/front/image_raw", "/front/camera_info"),
        ("front/image", "front/camera_info"),
        ("image", "camera_info"),
        ("/image", "/camera_info"),
    ],
)
def test_camera_info_is_the_images_sibling(
    launch_file: dict[str, Any], image: str, camera_info: str
) -> None:
    assert launch_file["camera_info_topic"](image) == camera_info


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"model": "my.onnx"},
        {"use_sim_time": "true"},
        {"runtime": "onnxruntime", "output_size": "network"},
        {"image_transport": "compressed", "autostart": "false"},
        {"cameras": "front,left"},
    ],
)
def test_only_given_arguments_override_the_parameter_file(
    launch_file: dict[str, Any], given: dict[str, str]
) -> None:
    context = context_with(launch_file, **given)
    overrides = launch_file["given_parameters"](context)
    assert set(overrides) == set(given)


@pytest.mark.parametrize("text", ["front,left", "[front, left]", " front , left"])
def test_several_cameras_keep_their_own_topics(launch_file: dict[str, Any], text: str) -> None:
    context = context_with(launch_file, cameras=text)
    assert launch_file["given_parameters"](context) == {"cameras": ["front", "left"]}
    assert launch_file["remappings"](context) == []


@pytest.mark.parametrize("topic", ["image", "camera_info"])
def test_topics_of_a_single_camera_and_several_cameras_are_refused(
    launch_file: dict[str, Any], topic: str
) -> None:
    context = context_with(launch_file, cameras="front,left", **{topic: "/rear/it"})
    with pytest.raises(ValueError, match="of a single camera"):
        launch_file["nodes"](context)


def test_cameras_without_names_are_refused(launch_file: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="front,left"):
        launch_file["nodes"](context_with(launch_file, cameras="front,,left"))


@pytest.mark.parametrize(
    "name",
    ["use_sim_time", "image_transport", "runtime", "output_size", "autostart", "respawn", "rviz"],
)
def test_a_mistyped_choice_is_refused(launch_file: dict[str, Any], name: str) -> None:
    with pytest.raises(RuntimeError, match=name):
        context_with(launch_file, **{name: "jpeg"})


def processes(launch_file: dict[str, Any], context: LaunchContext) -> list[Node]:
    return [action for action in launch_file["nodes"](context) if isinstance(action, Node)]


@pytest.mark.parametrize("choice", [None, *PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS"])
def test_a_users_transport_is_kept(
    launch_file: dict[str, Any], monkeypatch: pytest.MonkeyPatch, choice: str | None
) -> None:
    if choice is not None:
        monkeypatch.setenv(choice, "the user's")
    context = context_with(launch_file)
    (node,) = processes(launch_file, context)
    extra = {
        perform_substitutions(context, name): perform_substitutions(context, value)
        for name, value in node.process_description.additional_env or ()
    }
    ours = {name: value for name, value in extra.items() if not name.startswith("MALLOC_")}
    assert set(ours) == (set(PROFILE_VARIABLES) if choice is None else set())
    assert all(Path(profile).is_file() for profile in ours.values())
    assert extra.keys() - ours.keys() == process_settings({}).keys() - set(PROFILE_VARIABLES)
