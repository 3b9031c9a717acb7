# SPDX-License-Identifier: Apache-2.0
"""Start depth_node: ros2 launch depth_dpt_ros depth.launch.py image:=/front/image_raw."""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from depth_dpt_ros.transport import large_image_settings

SHARE = Path(get_package_share_directory("depth_dpt_ros"))

_RESPAWN_DELAY = 2.0  # s; a lost GPU needs a moment

ARGUMENTS = (
    DeclareLaunchArgument("image", default_value="image", description="camera image topic"),
    DeclareLaunchArgument(
        "camera_info",
        default_value="",
        description="CameraInfo topic; empty: camera_info beside the image topic",
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", "raw", "compressed"],
        description="subscribe to the image topic, or to its /compressed; empty: see params_file",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
    DeclareLaunchArgument("name", default_value="depth_node", description="name of the node"),
    DeclareLaunchArgument(
        "model",
        default_value="",
        description="builtin, an ONNX file, or hf://owner/repo/file@revision; "
        "empty: see params_file",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(SHARE / "config" / "depth.yaml"),
        description="YAML file with the node's parameters",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=["", "true", "false", "True", "False"],
        description="take the time from /clock; empty: see params_file, else false",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="false",
        choices=["true", "false"],
        description="start the node anew when it ends, as with exit_on_gpu_fault",
    ),
    DeclareLaunchArgument("log_level", default_value="info", description="the node's log level"),
)


def camera_info_topic(image: str) -> str:
    """The CameraInfo that belongs to an image topic: its sibling, as image_transport has it."""
    parent, slash, _ = image.rpartition("/")
    return f"{parent}{slash}camera_info"


def given_parameters(context: LaunchContext) -> list[dict[str, ParameterValue]]:
    """Parameters that came as arguments; an empty argument leaves params_file its say."""
    types = {"model": str, "image_transport": str, "use_sim_time": bool}
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in types.items()
        if LaunchConfiguration(name).perform(context)
    }
    return [given] if given else []


def depth_node(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Build the node's action once the arguments are known."""
    image = LaunchConfiguration("image").perform(context)
    camera_info = LaunchConfiguration("camera_info").perform(context)
    node = Node(
        package="depth_dpt_ros",
        executable="depth_node",
        namespace=LaunchConfiguration("namespace"),
        name=LaunchConfiguration("name"),
        parameters=[LaunchConfiguration("params_file"), *given_parameters(context)],
        remappings=[
            ("image", image),
            ("camera_info", camera_info or camera_info_topic(image)),
        ],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        # Fast DDS loses large images by default; a setting of the user's own is kept
        additional_env=large_image_settings(dict(os.environ)),
        output="screen",
        respawn=LaunchConfiguration("respawn").perform(context) == "true",
        respawn_delay=_RESPAWN_DELAY,
    )
    return [node]


def generate_launch_description() -> LaunchDescription:
    """Arguments at the top level, so that --show-args lists them."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=depth_node)])
