# SPDX-License-Identifier: Apache-2.0
"""Start rviz2 on the cameras that the node works on, in the frame of their images."""

from __future__ import annotations

import copy
import math
import os
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
import yaml
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CompressedImage, Image

from depth_dpt_core.files import cache_folder, write_atomically
from depth_dpt_ros.transport import large_image_settings

_PATIENCE = 5.0  # s between words on what is waited for
_LEFT_WIDTH, _HEIGHT = 560, 900  # pixels of the column of windows
# what to see of a frame with x ahead and z up, such as base_link
_UPRIGHT_VIEW = {"Focal Point": {"X": 15, "Y": 0, "Z": 0}, "Pitch": 0.3, "Yaw": math.pi}


@dataclass(frozen=True)
class Seen:
    """A camera's topics; its name is empty if it is the only one."""

    name: str
    image: str
    color: str
    points: str


def configuration(template: str, cameras: Sequence[Seen], frame: str, *, optical: bool) -> str:
    """Fill in a configuration of rviz2 that shows one camera.

    Args:
        template: YAML with the displays Image, Depth and Points.
        cameras: what to show.
        frame: the fixed frame.
        optical: its z axis points ahead and its y axis down.

    Returns:
        YAML.
    """
    content = yaml.safe_load(template)
    manager = content["Visualization Manager"]
    manager["Displays"] = [
        _display(display, camera) for camera in cameras for display in manager["Displays"]
    ]
    manager["Global Options"]["Fixed Frame"] = frame
    if not optical:
        manager["Views"]["Current"] |= _UPRIGHT_VIEW
    windows = [d["Name"] for d in manager["Displays"] if d["Class"].endswith("/Image")]
    content["Window Geometry"]["QMainWindow State"] = _window_state(["Displays", *windows]).hex()
    text: str = yaml.safe_dump(content, sort_keys=False)
    return text


def _display(template: dict[str, Any], camera: Seen) -> dict[str, Any]:
    display = copy.deepcopy(template)
    kind = display["Name"]
    topics = {"Image": camera.image, "Depth": camera.color, "Points": camera.points}
    display["Topic"]["Value"] = topics[kind]
    display["Name"] = f"{camera.name} {kind}".strip()
    return display


def _window_state(docks: Sequence[str]) -> bytes:
    """What Qt saves of a main window with these docks one below the other on its left.

    Without it rviz2 opens every image in a window of its own (QMainWindow::saveState; the
    markers are those of Qt's qmainwindowlayout and qdockarealayout).
    """
    height = _HEIGHT // len(docks)
    state = struct.pack(">iiBi", 0xFF, 0, 0xFD, 1)  # version 0; docks on one side
    state += struct.pack(">iiiBBi", 0, _LEFT_WIDTH, _HEIGHT, 0xFC, 2, len(docks))  # left, vertical
    for index, name in enumerate(docks):
        text = name.encode("utf-16-be")
        state += struct.pack(">BI", 0xFB, len(text)) + text
        state += struct.pack(">Biiii", 1, index * height, height, 50, 0xFFFFFF)  # 1: visible
    state += struct.pack(">iiiiii", 1000, _HEIGHT, 4, 4, 8, 8)  # middle, whose the corners are
    tools = "Tools".encode("utf-16-be")
    state += struct.pack(">BiiiI", 0xFC, 1, 2, 1, len(tools)) + tools  # tool bar, on top
    return state + struct.pack(">Biiii", 1, 0, -1, 0, 0)


class _Finder(Node):
    """Looks at the cameras until the first one has sent an image."""

    def __init__(self) -> None:
        super().__init__("depth_rviz")
        self._names: Any = self.declare_parameter("cameras", [""]).value
        self.frame = str(self.declare_parameter("fixed_frame", "").value)
        self.optical = not self.frame or "optical" in self.frame
        self._image: Image | CompressedImage | None = None
        self._first = self._topic(self._names[0], "image")

    def wait(self) -> None:
        """Return once there is an image; say from time to time that there is none."""
        compressed = ""
        while not compressed and not self.count_publishers(self._first):
            if self.count_publishers(f"{self._first}/compressed"):
                compressed = "/compressed"
            self._spin(f"nothing publishes {self._first} or {self._first}/compressed yet")
        self._first += compressed
        self.create_subscription(
            CompressedImage if compressed else Image,
            self._first,
            self._take,
            QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
        )
        while self._image is None:
            self._spin(f"no image on {self._first} yet")
        frame = self._image.header.frame_id
        if not frame:
            self.get_logger().warning(f"images on {self._first} name no frame: no points in rviz2")
        self.frame = self.frame or frame

    def cameras(self) -> list[Seen]:
        """What to show; all images come as those of the first camera do."""
        transport = "/compressed" if self._first.endswith("/compressed") else ""
        return [
            Seen(
                name,
                self._topic(name, "image") + transport,
                self._topic(name, "depth/color/image"),
                self._topic(name, "depth/points"),
            )
            for name in self._names
        ]

    def _topic(self, name: str, topic: str) -> str:
        resolved: str = self.resolve_topic_name(f"{name}/{topic}" if name else topic)
        return resolved

    def _take(self, image: Image | CompressedImage) -> None:
        self._image = image

    def _spin(self, waiting_for: str) -> None:
        self.get_logger().info(
            f"{waiting_for}: rviz2 starts with the first image",
            throttle_duration_sec=_PATIENCE, skip_first=True,
        )  # fmt: skip
        rclpy.spin_once(self, timeout_sec=0.2)


def main(args: list[str] | None = None) -> int:
    """Become rviz2 with a configuration made from the file named as argument."""
    os.environ.update(large_image_settings(os.environ))
    arguments = sys.argv if args is None else ["depth_rviz", *args]
    (template,) = remove_ros_args(arguments)[1:]
    rclpy.init(args=arguments)
    try:
        node = _Finder()
        node.wait()
        sim_time = node.get_parameter("use_sim_time").value
        text = configuration(
            Path(template).read_text(encoding="utf-8"),
            node.cameras(), node.frame, optical=node.optical,
        )  # fmt: skip
        name = node.get_fully_qualified_name()
        node.destroy_node()
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        rclpy.try_shutdown()
    # kept: rviz2 saves there what its user changes
    file = cache_folder() / "rviz" / f"{name.strip('/').replace('/', '_')}.rviz"
    write_atomically(file, text.encode())
    command = ["rviz2", "-d", str(file), "--ros-args", "-p", f"use_sim_time:={sim_time}"]
    try:
        os.execvp(command[0], command)  # noqa: S606
    except FileNotFoundError:
        print(
            "depth_rviz: rviz2 is not installed: apt install ros-$ROS_DISTRO-rviz2",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
