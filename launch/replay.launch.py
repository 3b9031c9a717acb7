# SPDX-License-Identifier: Apache-2.0
"""Score the running node on a bag: ros2 launch depth_dpt_ros replay.launch.py bag:=drive/."""

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import ExecutableInPackage

from depth_dpt_ros.replay.bag import Bag
from depth_dpt_ros.replay.bag_eval_cli import replay_arguments, settings_of
from depth_dpt_ros.replay.replay import node_settings
from depth_dpt_ros.replay.topics import choose
from depth_dpt_ros.transport import process_settings

# options of `depth-dpt replay`, which has their defaults; --image-topic is image_topic here
OPTIONS = {
    "model": "builtin, an ONNX file, or hf://owner/repo/file@revision",
    "runtime": "what runs the network: onnxruntime (as bag-eval has), auto or tensorrt",
    "player": "ros2bag, own, or auto: ros2 bag play where it is installed, for bags of ROS 2",
    "rate": "how many times the recorded speed; below 1, a slow machine loses no images",
    "image_topic": "pictures in the bag; empty: the only camera",
    "camera_info_topic": "their CameraInfo; empty: camera_info beside the images",
    "depth_topic": "truth: depth images",
    "disparity_topic": "truth: stereo_msgs/DisparityImage",
    "points_topic": "truth: PointCloud2",
    "tolerance": "largest difference between the stamps of an image and its truth, seconds",
    "max_depth": "truth from here on does not count, metres",
    "focal_length": "of images without CameraInfo, pixels",
    "out": "folder for the results; empty: replay",
    "json": "file for the numbers",
}
STOP_TIMEOUT = "600"  # s; after Ctrl-C, what was played is scored

ARGUMENTS = (
    DeclareLaunchArgument("bag", description="bag to play"),
    *(DeclareLaunchArgument(n, default_value="", description=d) for n, d in OPTIONS.items()),
    DeclareLaunchArgument("log_level", default_value="info", description="the node's log level"),
)


def command_line(context: LaunchContext) -> list[str]:
    """The arguments that were given, as `depth-dpt replay` has them."""
    line = [LaunchConfiguration("bag").perform(context), "--attach"]
    for name in OPTIONS:
        value = LaunchConfiguration(name).perform(context)
        line += [f"--{name.replace('_', '-')}", value] if value else []
    return line


def processes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The node, set up for what is in the bag, and the evaluator, which also plays."""
    line = command_line(context)
    given = replay_arguments(line)
    with Bag(Path(given.bag)) as bag:
        choice = choose(bag, settings_of(given).topics)
    parameters, remappings = node_settings(choice, given.model, given.runtime, given.focal_length)
    environment = process_settings(context.environment)
    node = Node(
        package="depth_dpt_ros",
        executable="depth_node",
        parameters=[{name: ParameterValue(value) for name, value in parameters.items()}],
        remappings=list(remappings.items()),
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        additional_env=environment,
        output="screen",
    )
    evaluator = ExecuteProcess(
        cmd=[ExecutableInPackage("depth-dpt", "depth_dpt_ros"), "replay", *line],
        additional_env=environment,
        output="screen",
        sigterm_timeout=STOP_TIMEOUT,
    )
    return [
        RegisterEventHandler(OnProcessExit(target_action=evaluator, on_exit=end)),
        RegisterEventHandler(
            OnProcessExit(
                target_action=node, on_exit=EmitEvent(event=Shutdown(reason="the node ended"))
            )
        ),
        node,
        evaluator,
    ]


def end(event: ProcessExited, context: LaunchContext) -> EmitEvent | None:
    """End with the evaluator, and fail if it did."""
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(f"the replay ended with status {event.returncode}")
    return EmitEvent(event=Shutdown(reason="the bag has been played and scored"))


def generate_launch_description() -> LaunchDescription:
    """Arguments at the top level, so that --show-args lists them."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=processes)])
