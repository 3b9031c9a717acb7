# SPDX-License-Identifier: Apache-2.0
"""A `ros2` that knows `bag play` with the options of Humble's, as far as replay uses them."""

from __future__ import annotations

import sys
from pathlib import Path

PROGRAM = """
import argparse, sys, time
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from depth_dpt_ros.replay.bag import Bag

parser = argparse.ArgumentParser(prog="ros2 bag play")
parser.add_argument("bag")
parser.add_argument("--clock", type=float, nargs="?", const=40, default=0)
parser.add_argument("-d", "--delay", type=float, default=0.0)
parser.add_argument("-r", "--rate", type=float, default=1.0)
parser.add_argument("--disable-keyboard-controls", action="store_true")
parser.add_argument("--topics", nargs="+", default=[])
parser.add_argument("--remap", "-m", nargs="+", default=[])
assert sys.argv[1:3] == ["bag", "play"], sys.argv
options = parser.parse_args(sys.argv[3:])
moved = dict(rule.split(":=") for rule in options.remap)
rclpy.init()
node = rclpy.create_node("rosbag2_player")
quality = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
with Bag(options.bag) as bag:
    kinds = {topic.name: topic.msgtype.rpartition("/")[2] for topic in bag.topics}
    classes = {"Image": Image, "CompressedImage": CompressedImage, "CameraInfo": CameraInfo}
    publishers = {
        topic: node.create_publisher(classes[kinds[topic]], moved.get(topic, topic), quality)
        for topic in options.topics
    }
    clock = node.create_publisher(Clock, "/clock", 1)
    assert options.clock, "the node would wait for the time"
    time.sleep(options.delay)
    began, first = time.monotonic(), None
    for topic, log_time, raw in bag.messages(options.topics):
        first = first or log_time
        time.sleep(max(0.0, began + (log_time - first) / 1e9 / options.rate - time.monotonic()))
        now = Clock()
        now.clock.sec, now.clock.nanosec = divmod(log_time, 10**9)
        clock.publish(now)
        publishers[topic].publish(raw)
    time.sleep(0.5)
rclpy.shutdown()
"""


def write_ros2(folder: Path) -> None:
    """Put it into a folder, for PATH."""
    folder.mkdir(exist_ok=True)
    program = folder / "ros2"
    program.write_text(f"#!{sys.executable}\n{PROGRAM}")
    program.chmod(0o755)
