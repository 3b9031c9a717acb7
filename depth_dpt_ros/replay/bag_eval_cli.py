# SPDX-License-Identifier: Apache-2.0
"""The arguments of `depth-dpt bag-eval` and `depth-dpt replay`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from depth_dpt_core.cli import add_model_argument
from depth_dpt_core.engines.choice import Runtime
from depth_dpt_core.metrics import MAX_DEPTH, MIN_DEPTH

if TYPE_CHECKING:
    from depth_dpt_ros.replay.evaluate import Settings


def add_bag_eval(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "bag-eval",
        help="score a model on bags",
        description="Score a model on every image of bags, against depth images, disparity or "
        "LiDAR in them. Topics are found where there is only one choice.",
    )
    parser.add_argument("bags", type=Path, nargs="+", metavar="BAG", help="bag or folder of bags")
    _add_options(parser)
    parser.add_argument(
        "--points", action="store_true", help="put point clouds into the output bag too"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("bag_eval"), help="folder for results (bag_eval)"
    )
    parser.set_defaults(command=_bag_eval)


def add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "replay",
        help="score the running node on a bag",
        description="Play a bag to depth_node and score what it publishes as bag-eval does, with "
        "latency, lost images and rates.",
    )
    _add_replay_options(parser)
    parser.set_defaults(command=_replay)


def replay_arguments(line: Sequence[str]) -> argparse.Namespace:
    """What the arguments of `depth-dpt replay` say.

    Raises:
        ValueError: they are wrong.
    """
    parser = argparse.ArgumentParser(exit_on_error=False, add_help=False)
    _add_replay_options(parser)
    try:
        return parser.parse_args(line)
    except argparse.ArgumentError as error:
        raise ValueError(str(error)) from error


def _add_replay_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bag", type=Path, metavar="BAG")
    _add_options(parser)
    parser.add_argument(
        "--runtime", choices=get_args(Runtime), default="onnxruntime",
        help="what runs the network (default: onnxruntime, as in bag-eval)",
    )  # fmt: skip
    parser.add_argument(
        "--player", choices=("auto", "ros2bag", "own"), default="auto",
        help="who plays the bag: `ros2 bag play`, or the project's own (default: the former "
        "where it is installed, for bags of ROS 2)",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=_positive, default=1.0, metavar="R",
        help="how many times the recorded speed (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--attach", action="store_true",
        help="use the node that replay.launch.py has started, in this ROS domain",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("replay"), help="folder for results (replay)"
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    """Options of how to evaluate."""
    add_model_argument(parser)
    parser.add_argument("--image-topic", help="pictures; X finds X/compressed too")
    parser.add_argument(
        "--camera-info-topic", help="their CameraInfo (default: camera_info beside the images)"
    )
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument("--depth-topic", help="truth: 32FC1, 16UC1 or compressedDepth images")
    truth.add_argument("--disparity-topic", help="truth: stereo_msgs/DisparityImage")
    truth.add_argument("--points-topic", help="truth: PointCloud2, through /tf and /tf_static")
    parser.add_argument(
        "--tolerance", type=_not_negative, default=0.05, metavar="S",
        help="largest difference between the stamps of an image and its truth, seconds "
        "(default: 0.05)",
    )  # fmt: skip
    parser.add_argument(
        "--max-depth", type=_depth, default=MAX_DEPTH, metavar="M",
        help="truth from here on does not count, metres (default: 80)",
    )  # fmt: skip
    parser.add_argument(
        "--focal-length", type=_positive, metavar="PX",
        help="of images without CameraInfo, pixels (default: the model's own camera)",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")


def _bag_eval(arguments: argparse.Namespace) -> None:
    from depth_dpt_ros.replay.bag_eval import bag_eval

    settings = replace(settings_of(arguments), points=arguments.points)
    bag_eval(arguments.bags, arguments.model, settings, arguments.out, arguments.json)


def _replay(arguments: argparse.Namespace) -> None:
    from depth_dpt_ros.replay.replay import replay

    replay(
        arguments.bag, arguments.model, settings_of(arguments), arguments.out, arguments.json,
        runtime=arguments.runtime, player=arguments.player, rate=arguments.rate,
        attach=arguments.attach,
    )  # fmt: skip


def settings_of(arguments: argparse.Namespace) -> Settings:
    """How to evaluate, as the arguments say."""
    from depth_dpt_ros.replay.evaluate import Settings
    from depth_dpt_ros.replay.topics import Topics

    named = {
        "depth_image": arguments.depth_topic,
        "disparity": arguments.disparity_topic,
        "points": arguments.points_topic,
    }
    truth = next(((kind, topic) for kind, topic in named.items() if topic), None)
    return Settings(
        topics=Topics(arguments.image_topic, arguments.camera_info_topic, truth),  # type: ignore[arg-type]
        max_depth=arguments.max_depth,
        tolerance_ns=round(arguments.tolerance * 1e9),
        focal_length=arguments.focal_length,
    )


def _positive(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} should be above 0")
    return value


def _not_negative(text: str) -> float:
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} should not be below 0")
    return value


def _depth(text: str) -> float:
    value = _number(text)
    if value <= MIN_DEPTH:
        raise argparse.ArgumentTypeError(f"{text} should be above {MIN_DEPTH} m")
    return value


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value
