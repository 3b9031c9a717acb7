# SPDX-License-Identifier: Apache-2.0
"""The node's ears: images and CameraInfo, as reliable as the camera offers them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image


class CameraSubscriptions:
    """Subscriptions to one camera, open from the beginning until closed.

    Attributes:
        topic: of the images, resolved.
    """

    def __init__(
        self,
        node: Node,
        *,
        image: str,
        camera_info: str,
        compressed: bool,
        on_image: Callable[[Image | CompressedImage], None],
        on_info: Callable[[CameraInfo], None],
    ) -> None:
        """Subscribe to `image`, or to `image/compressed`, and to `camera_info`.

        Raises:
            ValueError: the user's override of the reliability is none.
        """
        self._node = node
        self._on_image = on_image
        self._on_info = on_info
        self._kind = CompressedImage if compressed else Image
        topic: str = node.resolve_topic_name(image)
        # a remap of `image` does not move `image/compressed` by itself
        self.topic = f"{topic}/compressed" if compressed else topic
        self._camera_info = camera_info
        self._open: list[Subscription[Any]] = []
        self._reliability = self._wanted_reliability(ReliabilityPolicy.BEST_EFFORT)
        self._subscribe()

    def follow_publishers(self) -> None:
        """Subscribe anew if the publishers offer another reliability than before."""
        wanted = self._wanted_reliability(self._reliability)
        if wanted != self._reliability:
            self.close()
            self._reliability = wanted
            self._subscribe()

    def close(self) -> None:
        """Unsubscribe."""
        while self._open:
            self._node.destroy_subscription(self._open.pop())

    def _subscribe(self) -> None:
        image = self._node.create_subscription(
            self._kind,
            self.topic,
            self._on_image,
            QoSProfile(depth=1, reliability=self._reliability),
            # reliability is ours to change: an override declared by rclpy would freeze it
            qos_overriding_options=QoSOverridingOptions(
                [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
            ),
        )
        # small messages; best effort connects to every publisher
        info = self._node.create_subscription(
            CameraInfo,
            self._camera_info,
            self._on_info,
            QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._open = [image, info]

    def _wanted_reliability(self, now: ReliabilityPolicy) -> ReliabilityPolicy:
        """What the user set, else reliable if all publishers are, else best effort.

        Best effort connects to every publisher. While there is none, it stays as it is now.
        """
        override = f"qos_overrides.{self.topic}.subscription.reliability"
        if not self._node.has_parameter(override):
            about = "reliability of the image subscription, empty: as the publishers offer"
            self._node.declare_parameter(
                override, "", ParameterDescriptor(description=about, read_only=True)
            )
        chosen = self._node.get_parameter(override).value
        if chosen:
            names = [policy.name.lower() for policy in ReliabilityPolicy]
            if chosen not in names:
                raise ValueError(f"{override} is {chosen!r}, must be one of {', '.join(names)}")
            return ReliabilityPolicy[chosen.upper()]
        offers = self._node.get_publishers_info_by_topic(self.topic)
        if not offers:
            return now
        reliable = [o.qos_profile.reliability == ReliabilityPolicy.RELIABLE for o in offers]
        return ReliabilityPolicy.RELIABLE if all(reliable) else ReliabilityPolicy.BEST_EFFORT
