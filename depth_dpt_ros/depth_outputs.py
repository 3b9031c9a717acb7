# SPDX-License-Identifier: Apache-2.0
"""What the node publishes for one camera; each topic only while somebody listens."""

from __future__ import annotations

from typing import Any, NamedTuple

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image


class Heard(NamedTuple):
    """Which topics have subscribers."""

    depth: bool
    info: bool
    color: bool

    @property
    def needs_depth(self) -> bool:
        """Whether any of them takes an inference."""
        return self.depth or self.color


class DepthOutputs:
    """Publishers of one camera."""

    def __init__(self, node: LifecycleNode, prefix: str) -> None:
        """Create them; `prefix` goes before `depth/...`."""
        self._node = node
        self.depth = self._create(Image, f"{prefix}depth/image")
        self.info = self._create(CameraInfo, f"{prefix}depth/camera_info")
        self.color = self._create(Image, f"{prefix}depth/color/image")

    def _create(self, kind: type, topic: str) -> Any:
        # the subscribers that want it reliable get it, the others connect all the same
        reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        return self._node.create_lifecycle_publisher(
            kind,
            topic,
            reliable,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def heard(self) -> Heard:
        """Which of them have subscribers now."""
        publishers = (self.depth, self.info, self.color)
        return Heard(*(publisher.get_subscription_count() > 0 for publisher in publishers))

    def destroy(self) -> None:
        """Take them off the network."""
        for publisher in (self.depth, self.info, self.color):
            self._node.destroy_lifecycle_publisher(publisher)
