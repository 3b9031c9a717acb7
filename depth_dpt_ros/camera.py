# SPDX-License-Identifier: Apache-2.0
"""One camera of the node: what it sends, what is known of it, and what is published for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_dpt_ros.camera_health import CameraHealth
from depth_dpt_ros.camera_info import CameraInfoBuffer
from depth_dpt_ros.camera_subscriptions import CameraSubscriptions
from depth_dpt_ros.depth_outputs import DepthOutputs
from depth_dpt_ros.diagnostics import WARN, Report
from depth_dpt_ros.latest_frame import LatestFrames
from depth_dpt_ros.parameters import NodeParameters
from depth_dpt_ros.rectification import RectifierCache
from depth_dpt_ros.stamps import stamp_ns


@dataclass(frozen=True)
class Received:
    """An image, when it came (monotonic seconds), and the settings to use for it."""

    message: Image | CompressedImage
    settings: NodeParameters
    at: float = field(default_factory=time.monotonic)

    @property
    def stamp(self) -> int:
        """The image's stamp, nanoseconds."""
        return stamp_ns(self.message)


class Camera:
    """Fills its slot of the mailbox while active; the worker thread does the rest.

    Attributes:
        name: empty for the only camera of a node.
        infos: what CameraInfo has come.
        rectifiers: the maps that follow from it.
        outputs: its publishers.
        health: how it is doing.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        frames: CameraFrames,
        settings: Callable[[], NodeParameters],
    ) -> None:
        """Create the publishers; nothing is subscribed to yet. `settings` are those of now."""
        self.name = name
        prefix = f"{name}/" if name else ""
        self._image, self._camera_info = f"{prefix}image", f"{prefix}camera_info"
        self._node = node
        self._frames = frames
        self._settings = settings
        self._subscriptions: CameraSubscriptions | None = None
        self._last_begun = float("-inf")  # monotonic s
        self.infos = CameraInfoBuffer()
        self.rectifiers = RectifierCache()
        self.outputs = DepthOutputs(node, prefix)
        self.health = CameraHealth()

    def activate(self, *, compressed: bool) -> None:
        """Subscribe; what was known of the camera before is forgotten."""
        self.infos = CameraInfoBuffer()
        self._subscriptions = CameraSubscriptions(
            self._node,
            image=self._image,
            camera_info=self._camera_info,
            compressed=compressed,
            on_image=self._on_image,
            on_info=self._on_info,
        )
        self.health.activate()

    def deactivate(self) -> None:
        """Unsubscribe; harmless when not active."""
        if self._subscriptions is not None:
            self._subscriptions.close()
            self._subscriptions = None
        self.health.deactivate()

    def destroy(self) -> None:
        """Unsubscribe and take the publishers away."""
        self.deactivate()
        self.outputs.destroy()

    def follow_publishers(self) -> None:
        """Keep to the reliability that the camera's driver offers."""
        if self._subscriptions is not None:
            self._subscriptions.follow_publishers()

    def report(self) -> Report:
        """For /diagnostics."""
        report = self.health.report()
        if self._subscriptions is None:
            return report
        if self.health.silent:
            report.add(WARN, self._missing("image", self._subscriptions.topic))
        elif self.infos.empty:
            topic = self._node.resolve_topic_name(self._camera_info)
            report.add(WARN, self._missing("usable camera_info", topic))
        return report

    def _missing(self, what: str, topic: str) -> str:
        publishers = self._node.count_publishers(topic)
        offers = f"{publishers} publish it" if publishers else "nobody publishes it"
        return f"no {what} has come on {topic}: {offers}"

    def titled(self, text: str) -> str:
        """A text for the log, with the camera's name where it has one."""
        return f"{self.name}: {text}" if self.name else text

    def due(self, received: Received) -> float:
        """When an image may be worked on, monotonic seconds."""
        settings = received.settings
        due = self.infos.due(received.stamp, settings.camera_info_timeout)
        if settings.max_rate > 0:
            due = max(due, self._last_begun + 1 / settings.max_rate)
        return due

    def begin(self, received: Received) -> Any | None:
        """Work on an image begins now; its CameraInfo, if any."""
        self._last_begun = time.monotonic()
        return self.infos.match(received.stamp)

    def _on_image(self, message: Image | CompressedImage) -> None:
        received = Received(message, self._settings())
        self.health.count_received(replacing=self._frames.put(self, received))

    def _on_info(self, message: CameraInfo) -> None:
        self.infos.add(message)
        self._frames.wake()


CameraFrames = LatestFrames[Camera, Received]
