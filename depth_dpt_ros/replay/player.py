# SPDX-License-Identifier: Apache-2.0
"""Play a bag's camera to a running node at the recorded rate, and record what it publishes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_dpt_ros.replay.bag import Bag, Camera
from depth_dpt_ros.replay.output_bag import OutputBag, Serialized
from depth_dpt_ros.stamps import serialized_stamp_ns

_MATCH_TIMEOUT = 60.0  # s for the node to load its model and subscribe
_LAST_ANSWER = 3.0  # s to wait for answers after the last image
_RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_OUTPUTS = {"/depth/image": Image, "/depth/camera_info": CameraInfo, "/depth/color/image": Image}


@dataclass
class Playback:
    """What happened: per image stamp (ns) the monotonic time it was sent and answered."""

    played: int = 0  # images, also those whose stamp another one had before
    sent: dict[int, float] = field(default_factory=dict)
    answered: dict[int, float] = field(default_factory=dict)

    def latencies(self) -> list[float]:
        """Seconds from publishing an image to receiving its depth, in order of the images."""
        return [self.answered[s] - sent for s, sent in self.sent.items() if s in self.answered]


def play(
    bag: Bag, camera: Camera, folder: Path, *, domain: int, alive: Callable[[], bool]
) -> Playback:
    """Play a camera's images and CameraInfo; record them and the node's answers to `folder`.

    The node listens to `image` (or `image/compressed`) and `camera_info` on the ROS domain.

    Args:
        bag: an open bag.
        camera: what to play of it.
        folder: the new bag.
        domain: ROS domain of the node.
        alive: tells whether the node still runs.

    Raises:
        RuntimeError: the node died, or did not subscribe within a minute.
    """
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    try:
        with OutputBag(folder) as recording:
            return _Session(bag, camera, recording, context, alive).run()
    finally:
        rclpy.shutdown(context=context)


class _Session:
    def __init__(
        self,
        bag: Bag,
        camera: Camera,
        recording: OutputBag,
        context: Context,
        alive: Callable[[], bool],
    ) -> None:
        self._bag, self._camera, self._recording, self._alive = bag, camera, recording, alive
        self._node = Node("demo_player", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._playback = Playback()
        self._log_times: dict[int, int] = {}
        self._image_kind = CompressedImage if camera.compressed else Image
        self._image_topic = "/image/compressed" if camera.compressed else "/image"
        self._images = self._node.create_publisher(self._image_kind, self._image_topic, _RELIABLE)
        self._infos = self._node.create_publisher(CameraInfo, "/camera_info", _RELIABLE)
        for topic, kind in _OUTPUTS.items():
            self._node.create_subscription(
                kind, topic, self._receiver(topic, kind), _RELIABLE, raw=True
            )

    def run(self) -> Playback:
        self._wait_for_node()
        info_topic = self._camera.camera_info_topic
        topics = [self._camera.image_topic, *([info_topic] if info_topic else [])]
        began, first = time.monotonic(), None
        for topic, log_time, raw in self._bag.messages(topics):
            first = log_time if first is None else first
            self._spin_until(began + (log_time - first) / 1e9)
            if topic == info_topic:
                self._infos.publish(raw)
                continue
            stamp = serialized_stamp_ns(raw)
            self._playback.played += 1
            self._playback.sent[stamp] = time.monotonic()
            self._log_times[stamp] = log_time
            self._images.publish(raw)
            self._record(self._image_topic, self._image_kind, log_time, raw)
        self._wait_for_last_answers()
        return self._playback

    def _receiver(self, topic: str, kind: type) -> Callable[[bytes], None]:
        def receive(raw: bytes) -> None:
            stamp = serialized_stamp_ns(raw)
            if stamp not in self._playback.sent:
                return  # of another node, which is not ours to record
            now = time.monotonic()
            if topic == "/depth/image":
                self._playback.answered[stamp] = now
            delay = int((now - self._playback.sent[stamp]) * 1e9)
            self._record(topic, kind, self._log_times[stamp] + delay, raw)

        return receive

    def _record(self, topic: str, kind: type, log_time: int, raw: bytes) -> None:
        message = Serialized(topic, f"sensor_msgs/msg/{kind.__name__}", raw)
        self._recording.write(message, log_time)

    def _wait_for_node(self) -> None:
        end = time.monotonic() + _MATCH_TIMEOUT
        while not self._matched():
            if not self._alive():
                raise RuntimeError("the node ended before it subscribed")
            if time.monotonic() > end:
                raise RuntimeError(f"the node did not subscribe within {_MATCH_TIMEOUT:g} s")
            self._executor.spin_once(0.1)
        # a node that meets a reliable camera subscribes anew within a second
        self._spin_until(time.monotonic() + 1.5)

    def _matched(self) -> bool:
        return (
            self._images.get_subscription_count() > 0
            and self._infos.get_subscription_count() > 0
            and all(self._node.count_publishers(topic) > 0 for topic in _OUTPUTS)
        )

    def _spin_until(self, due: float) -> None:
        while (left := due - time.monotonic()) > 0:
            if not self._alive():
                raise RuntimeError("the node ended while the bag was played")
            self._executor.spin_once(min(left, 0.2))

    def _wait_for_last_answers(self) -> None:
        end = time.monotonic() + _LAST_ANSWER
        while time.monotonic() < end and len(self._playback.answered) < len(self._playback.sent):
            self._executor.spin_once(0.1)
        self._spin_until(time.monotonic() + 0.3)  # colour follows depth
