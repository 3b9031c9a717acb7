# SPDX-License-Identifier: Apache-2.0
"""What the node publishes for one camera; each topic only while somebody listens."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.colorize import colorize
from depth_dpt_ros.image_codec import depth_to_image, rgb_to_compressed, rgb_to_image
from depth_dpt_ros.parameters import NodeParameters
from depth_dpt_ros.point_cloud import CloudWriter


class Heard(NamedTuple):
    """Which topics have subscribers."""

    depth: bool
    info: bool
    color: bool
    compressed: bool
    points: bool

    @property
    def needs_depth(self) -> bool:
        """Whether any of them takes an inference."""
        return self.depth or self.color or self.compressed or self.points


class DepthOutputs:
    """Publishers of one camera."""

    def __init__(self, node: LifecycleNode, prefix: str) -> None:
        """Create them; `prefix` goes before `depth/...`."""
        self._node = node
        self._cloud = CloudWriter()
        color = node.resolve_topic_name(f"{prefix}depth/color/image")
        topics: dict[str, tuple[type, str]] = {
            "depth": (Image, f"{prefix}depth/image"),
            "info": (CameraInfo, f"{prefix}depth/camera_info"),
            "color": (Image, color),
            # a remap of the picture does not move this by itself
            "compressed": (CompressedImage, f"{color}/compressed"),
            "points": (PointCloud2, f"{prefix}depth/points"),
        }
        # subscribers that want it reliable get it, the others connect all the same
        quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._publishers: dict[str, Any] = {
            name: node.create_lifecycle_publisher(
                kind,
                topic,
                quality,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for name, (kind, topic) in topics.items()
        }

    def heard(self) -> Heard:
        """Which of them have subscribers now."""
        return Heard(*(p.get_subscription_count() > 0 for p in self._publishers.values()))

    def destroy(self) -> None:
        """Take them off the network."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)

    def publish_info(self, message: CameraInfo) -> None:
        """Publish the camera of the depth."""
        self._publishers["info"].publish(message)

    def publish_depth(
        self, depth: NDArray[np.float32], header: Header, settings: NodeParameters
    ) -> None:
        """Publish depth [H,W] in metres."""
        self._publishers["depth"].publish(depth_to_image(depth, header, settings.depth_encoding))

    def publish_color(
        self, heard: Heard, depth: NDArray[np.float32], header: Header, settings: NodeParameters
    ) -> None:
        """Publish depth [H,W] in colours, to whom it may concern."""
        if not (heard.color or heard.compressed):
            return
        picture = colorize(
            depth,
            settings.color_min_depth,
            settings.color_max_depth,
            color_map=settings.color_map,
        )
        if heard.color:
            self._publishers["color"].publish(rgb_to_image(picture, header))
        if heard.compressed:
            jpeg = rgb_to_compressed(picture, header, quality=settings.color_jpeg_quality)
            self._publishers["compressed"].publish(jpeg)

    def publish_points(
        self,
        depth: NDArray[np.float32],
        camera: Intrinsics,
        color: NDArray[np.uint8] | None,
        header: Header,
        settings: NodeParameters,
    ) -> None:
        """Publish depth [H,W] of a camera as points, in the colours of an image of its size."""
        cloud = self._cloud(
            header,
            depth,
            camera,
            color,
            organised=settings.points_organised,
            stride=settings.points_stride,
            min_depth=settings.points_min_depth,
            max_depth=settings.points_max_depth,
        )
        self._publishers["points"].publish(cloud)
