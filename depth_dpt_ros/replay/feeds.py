# SPDX-License-Identifier: Apache-2.0
"""Two ways to play a bag's camera: the project's own, and `ros2 bag play`."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_dpt_ros.replay.bag import Bag, Camera

Player = Literal["auto", "ros2bag", "own"]
_RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# ros2 bag play publishes as was recorded; best effort meets both
_ANY = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
_CLOCK_PERIOD = 0.025  # s, as ros2 bag play has it
_DISCOVERY = 3.0  # s for the node to find the publishers and to subscribe as they offer

Sent = Callable[[int, bytes], None]  # log time in ns, image
SpinUntil = Callable[[float], None]  # monotonic seconds


@dataclass(frozen=True)
class Route:
    """The topics on which a camera is played: what the node has for `image` and `camera_info`."""

    image: str
    camera_info: str
    compressed: bool

    @property
    def images(self) -> str:
        """Where the images are."""
        return f"{self.image}/compressed" if self.compressed else self.image


class Feed(Protocol):
    """Plays a camera; `name` tells how."""

    name: ClassVar[str]

    def matched(self) -> bool:
        """Whether somebody listens to the images and their CameraInfo."""

    def play(self, rate: float, spin_until: SpinUntil, sent: Sent) -> None:
        """Play to the end at `rate` times the recorded speed, and tell of every image."""


class OwnFeed:
    """Publishes images, CameraInfo and /clock itself, reliably."""

    name = "own"

    def __init__(self, node: Node, bag: Bag, camera: Camera, route: Route) -> None:
        self._bag, self._camera = bag, camera
        kind = CompressedImage if route.compressed else Image
        self._images = node.create_publisher(kind, route.images, _RELIABLE)
        self._infos = node.create_publisher(CameraInfo, route.camera_info, _RELIABLE)
        self._clock = node.create_publisher(Clock, "/clock", 1)

    def matched(self) -> bool:
        """See `Feed.matched`."""
        publishers = (self._images, self._infos)
        return all(publisher.get_subscription_count() for publisher in publishers)

    def play(self, rate: float, spin_until: SpinUntil, sent: Sent) -> None:
        """See `Feed.play`."""
        info_topic = self._camera.camera_info_topic
        topics = [self._camera.image_topic, *([info_topic] if info_topic else [])]
        began, first = time.monotonic(), None
        for topic, log_time, raw in self._bag.messages(topics):
            first = log_time if first is None else first
            due = began + (log_time - first) / 1e9 / rate
            while (left := due - time.monotonic()) > 0:
                self._tell_time(log_time - int(left * rate * 1e9))
                spin_until(min(due, time.monotonic() + _CLOCK_PERIOD))
            self._tell_time(log_time)
            if topic == info_topic:
                self._infos.publish(raw)
            else:
                sent(log_time, raw)
                self._images.publish(raw)

    def _tell_time(self, now: int) -> None:
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(now, 10**9)
        self._clock.publish(message)


class Ros2BagFeed:
    """Has `ros2 bag play --clock` publish, and listens to the images, too."""

    name = "ros2bag"

    def __init__(self, node: Node, bag: Bag, camera: Camera, route: Route) -> None:
        self._node, self._bag, self._camera, self._route = node, bag, camera, route
        self._sent: Sent | None = None
        self._first: float | None = None  # monotonic seconds
        kind = CompressedImage if route.compressed else Image
        node.create_subscription(kind, route.images, self._heard, _ANY, raw=True)

    def matched(self) -> bool:
        """See `Feed.matched`."""
        count = self._node.count_subscribers
        return count(self._route.images) > 1 and count(self._route.camera_info) > 0

    def play(self, rate: float, spin_until: SpinUntil, sent: Sent) -> None:
        """See `Feed.play`; images that do not come here are not told of.

        Raises:
            RuntimeError: the player failed.
        """
        self._sent = sent
        self._rate = rate
        self._began = next(self._bag.messages([self._camera.image_topic]))[1]
        command = ros2_bag_command(self._bag, self._camera, self._route, rate)
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as player:
            try:
                while player.poll() is None:
                    spin_until(time.monotonic() + 0.1)
            finally:
                player.terminate()
        if player.returncode:
            raise RuntimeError(
                f"{' '.join(command)} ended with status {player.returncode}; the project's own "
                "player reads more kinds of bags: --player own"
            )

    def _heard(self, raw: bytes) -> None:
        assert self._sent is not None
        now = time.monotonic()
        self._first = now if self._first is None else self._first
        self._sent(self._began + int((now - self._first) * self._rate * 1e9), raw)


def ros2_bag_command(bag: Bag, camera: Camera, route: Route, rate: float) -> list[str]:
    """The command that plays a camera, with options that Humble has."""
    topics = {camera.image_topic: route.images}
    if camera.camera_info_topic:
        topics[camera.camera_info_topic] = route.camera_info
    moved = [f"{old}:={new}" for old, new in topics.items() if old != new]
    command = ["ros2", "bag", "play", str(bag.path), "--clock", "--delay", f"{_DISCOVERY:g}"]
    command += ["--rate", f"{rate:g}", "--disable-keyboard-controls", "--topics", *topics]
    return [*command, "--remap", *moved] if moved else command


def choose_player(player: Player, bag: Bag) -> type[OwnFeed | Ros2BagFeed]:
    """The player asked for; `auto` is ros2bag where there is one, for bags of ROS 2."""
    if player == "auto":
        there = shutil.which("ros2") is not None and _has_ros2bag()
        return Ros2BagFeed if there and bag.path.suffix != ".bag" else OwnFeed
    return Ros2BagFeed if player == "ros2bag" else OwnFeed


def _has_ros2bag() -> bool:
    command = ["ros2", "bag", "play", "--help"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
