# SPDX-License-Identifier: Apache-2.0
"""Listening to cameras: what arrives, measured by a subscriber like the node's."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_dpt_ros.camera_info import focal_lengths, image_size
from depth_dpt_ros.doctor.graph import Camera, Endpoint, Heard, Topic
from depth_dpt_ros.doctor.shared_memory import process_of, same_host
from depth_dpt_ros.image_codec import ImageCodecError, to_rgb
from depth_dpt_ros.stamps import stamp_ns

IMAGE_TYPES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
_REST = 0.3  # s after listening, for messages under way
_REMEMBERED = 10_000  # stamps


class Watcher:
    """A node of its own that looks and listens."""

    def __init__(self, node: Node, executor: SingleThreadedExecutor) -> None:
        self.node = node
        self._executor = executor
        self._own = self._own_identity()

    def spin(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Handle messages for a while, or until something holds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not until():
            self._executor.spin_once(min(left, 0.1))

    def topic(self, name: str) -> Topic:
        """Who is on a topic, without this node."""
        node = self.node
        publishers = node.get_publishers_info_by_topic(name)
        subscriptions = [
            end for end in node.get_subscriptions_info_by_topic(name)
            if end.node_name != node.get_name()
        ]  # fmt: skip
        types = sorted({end.topic_type for end in publishers})
        return Topic(
            name,
            tuple(types),
            tuple(self._endpoint(end) for end in publishers),
            tuple(self._endpoint(end) for end in subscriptions),
        )

    def camera(self, name: str, seconds: float) -> Camera:
        """Listen to an image topic and the CameraInfo beside it."""
        image = self.topic(name)
        base = name.removesuffix("/compressed")
        info = self.topic(f"{base.rpartition('/')[0]}/camera_info")
        kind = IMAGE_TYPES[next(kind for kind in image.types if kind in IMAGE_TYPES)]
        ears = _Ears()
        open_now = [
            self.node.create_subscription(kind, name, ears.on_image, _as_offered(image, 5)),
            self.node.create_subscription(
                CameraInfo, info.name, ears.on_info, _as_offered(info, 50)
            ),
        ]
        self.spin(seconds)
        heard = ears.sum_up(seconds)
        for subscription in open_now:
            self.node.destroy_subscription(subscription)
        return Camera(image, info, heard)

    def _endpoint(self, end: TopicEndpointInfo) -> Endpoint:
        quality = end.qos_profile
        identity = list(end.endpoint_gid)
        here = same_host(identity, self._own)
        return Endpoint(
            f"{end.node_namespace.rstrip('/')}/{end.node_name}",
            quality.reliability == ReliabilityPolicy.RELIABLE,
            quality.durability == DurabilityPolicy.TRANSIENT_LOCAL,
            here,
            process_of(identity) if here else None,
        )

    def _own_identity(self) -> list[int]:
        """Of an endpoint of this process; every node has one on /rosout or /parameter_events."""
        name = self.node.get_name()
        for _ in range(20):
            for end in self.node.get_publishers_info_by_topic("/parameter_events"):
                if end.node_name == name:
                    return list(end.endpoint_gid)
            self.spin(0.1)
        return [0] * 16


def _as_offered(topic: Topic, depth: int) -> QoSProfile:
    """Reliable if all publishers are, as the node subscribes."""
    reliable = bool(topic.publishers) and all(end.reliable for end in topic.publishers)
    policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=depth, reliability=policy)


class _Ears:
    """Takes down what comes."""

    def __init__(self) -> None:
        self._images: deque[int] = deque(maxlen=_REMEMBERED)  # stamps, ns
        self._infos: deque[int] = deque(maxlen=_REMEMBERED)
        self._ages: list[float] = []
        self._last: Any = None
        self._info: CameraInfo | None = None

    def on_image(self, message: Any) -> None:
        self._images.append(stamp_ns(message))
        self._ages.append(time.time() - stamp_ns(message) / 1e9)
        self._last = message

    def on_info(self, message: CameraInfo) -> None:
        self._infos.append(stamp_ns(message))
        self._info = message

    def sum_up(self, seconds: float) -> Heard:
        """What came in so many seconds."""
        if self._last is None:
            return Heard(seconds, infos=len(self._infos), **self._about_info())
        steps = [after - before for before, after in pairwise(self._images)]
        refusal, width, height = "", 0, 0
        try:
            height, width = to_rgb(self._last).shape[:2]
        except ImageCodecError as error:
            refusal = str(error)
        return Heard(
            seconds,
            images=len(self._images),
            rate=len(self._images) / seconds if len(self._images) > 1 else 0.0,
            width=width or getattr(self._last, "width", 0),
            height=height or getattr(self._last, "height", 0),
            encoding=getattr(self._last, "encoding", "") or self._last.format,
            size=len(self._last.data),
            refusal=refusal,
            frame_id=self._last.header.frame_id,
            infos=len(self._infos),
            unpaired=self._unpaired(),
            age=median(self._ages),
            unstamped=not any(self._images),
            backwards=len([step for step in steps if step < 0]),
            **self._about_info(),
        )

    def _unpaired(self) -> int:
        """CameraInfo without its image, between the first and the last that have one."""
        images = set(self._images)
        paired = [stamp for stamp in self._infos if stamp in images]
        if not paired:  # not stamped alike: nothing can be told
            return 0
        return sum(
            min(paired) < stamp < max(paired) and stamp not in images for stamp in self._infos
        )

    def _about_info(self) -> dict[str, Any]:
        if self._info is None:
            return {}
        focal = focal_lengths(self._info)
        return {
            "info_size": image_size(self._info),
            "focal_length": 0.0 if focal is None else focal[0],
            "distorted": any(self._info.d),
        }
