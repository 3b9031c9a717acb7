# SPDX-License-Identifier: Apache-2.0
"""Start depth_node: ros2 launch depth_dpt_ros depth.launch.py image:=/front/image_raw."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from depth_dpt_ros.parameters import PARAMETERS
from depth_dpt_ros.respawn import Respawn
from depth_dpt_ros.transport import process_settings

SHARE = Path(get_package_share_directory("depth_dpt_ros"))

YES_NO = ["true", "false", "True", "False"]
DEFAULT_IMAGE = "image"
FINAL = (0, 2)  # statuses of the node: ended well, wrong parameters
# parameters of the node that are arguments, too; README has them all
NODE_PARAMETERS = ("model", "runtime", "image_transport", "output_size", "autostart")


def _parameter_argument(name: str) -> DeclareLaunchArgument:
    """An argument for a parameter; empty, it leaves params_file its say."""
    spec = next(spec for spec in PARAMETERS if spec.name == name)
    choices = YES_NO if isinstance(spec.default, bool) else list(spec.choices)
    return DeclareLaunchArgument(
        name,
        default_value="",
        choices=["", *choices] if choices else None,
        description=f"{spec.description}; empty: see params_file",
    )


ARGUMENTS = (
    DeclareLaunchArgument("image", default_value=DEFAULT_IMAGE, description="camera image topic"),
    DeclareLaunchArgument(
        "camera_info",
        default_value="",
        description="CameraInfo topic; empty: camera_info beside the image topic",
    ),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="several cameras, as front,left,right, instead of image and camera_info: "
        "NAME uses NAME/image, NAME/camera_info and NAME/depth/...",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
    DeclareLaunchArgument("name", default_value="depth_node", description="name of the node"),
    *map(_parameter_argument, NODE_PARAMETERS),
    DeclareLaunchArgument(
        "params_file",
        default_value=str(SHARE / "config" / "depth.yaml"),
        description="YAML file with the node's parameters",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=["", *YES_NO],
        description="take the time from /clock; empty: see params_file, else false",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="true",
        choices=YES_NO,
        description="start the node anew when it crashes, after 1 s, then 2, 4, ... 60 s",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="false",
        choices=YES_NO,
        description="show image, coloured depth and points in rviz2",
    ),
    DeclareLaunchArgument(
        "rviz_frame",
        default_value="",
        description="fixed frame of rviz2, such as base_link; empty: the camera's, which needs no "
        "tf and is known with the first image",
    ),
    DeclareLaunchArgument("log_level", default_value="info", description="the node's log level"),
)


def camera_info_topic(image: str) -> str:
    """The CameraInfo that belongs to an image topic: its sibling, as image_transport has it."""
    parent, slash, _ = image.rpartition("/")
    return f"{parent}{slash}camera_info"


def camera_names(cameras: str) -> list[str]:
    """The names in `front,left` or `[front, left]`."""
    names = [name.strip() for name in cameras.strip("[] ").split(",")]
    if not all(names):
        raise ValueError(f"cameras is {cameras!r}, and should be names such as front,left")
    return names


def given_parameters(context: LaunchContext) -> dict[str, ParameterValue]:
    """Parameters that came as arguments."""
    given = {}
    for name in (*NODE_PARAMETERS, "use_sim_time"):
        if LaunchConfiguration(name).perform(context):
            kind = bool if name in ("autostart", "use_sim_time") else str
            given[name] = ParameterValue(LaunchConfiguration(name), value_type=kind)
    cameras = LaunchConfiguration("cameras").perform(context)
    if cameras:
        given["cameras"] = camera_names(cameras)
    return given


def remappings(context: LaunchContext) -> list[tuple[str, str]]:
    """Where the images come from; several cameras have their topics by name."""
    image = LaunchConfiguration("image").perform(context)
    camera_info = LaunchConfiguration("camera_info").perform(context)
    if not LaunchConfiguration("cameras").perform(context):
        return [("image", image), ("camera_info", camera_info or camera_info_topic(image))]
    if image != DEFAULT_IMAGE or camera_info:
        raise ValueError(
            "image and camera_info are of a single camera; with cameras, NAME uses NAME/image and "
            "NAME/camera_info, which SetRemap in a launch file of your own can change"
        )
    return []


def nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Build the actions once the arguments are known."""
    given = given_parameters(context)
    common = {
        "package": "depth_dpt_ros",
        "namespace": LaunchConfiguration("namespace"),
        "remappings": remappings(context),
        "additional_env": process_settings(context.environment),
        "output": "screen",
    }
    depth = Node(
        executable="depth_node",
        name=LaunchConfiguration("name"),
        parameters=[LaunchConfiguration("params_file"), *([given] if given else [])],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        **common,
    )
    actions = Respawn(FINAL).watched(depth) if _is_true("respawn", context) else [depth]
    if _is_true("rviz", context):
        seen = {name: given[name] for name in ("cameras", "use_sim_time") if name in given}
        seen["fixed_frame"] = ParameterValue(LaunchConfiguration("rviz_frame"), value_type=str)
        # params_file may name cameras, too
        parameters = [LaunchConfiguration("params_file"), seen]
        template = str(SHARE / "config" / "depth.rviz")
        actions.append(
            Node(executable="depth_rviz", arguments=[template], parameters=parameters, **common)
        )
    return actions


def _is_true(argument: str, context: LaunchContext) -> bool:
    return LaunchConfiguration(argument).perform(context).lower() == "true"


def generate_launch_description() -> LaunchDescription:
    """Arguments at the top level, so that --show-args lists them."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
