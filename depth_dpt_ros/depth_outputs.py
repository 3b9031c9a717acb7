# SPDX-License-Identifier: Apache-2.0
"""What the node publishes for one camera; each topic only while somebody listens."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import PublisherEventCallbacks  # type: ignore[attr-defined]
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.colorize import colorize, colorize_nearness
from depth_dpt_ros.image_codec import (
    depth_to_image,
    nearness_to_image,
    rgb_to_compressed,
)
from depth_dpt_ros.parameters import NodeParameters
from depth_dpt_ros.point_cloud import CloudWriter
from depth_dpt_ros.reused_image import ReusedImage


class Heard(NamedTuple):
    """Which topics have subscribers, of those that the model has something for."""

    depth: bool
    info: bool
    color: bool
    compressed: bool
    points: bool
    nearness: bool

    @property
    def colors(self) -> bool:
        """Whether a coloured picture is wanted."""
        return self.color or self.compressed

    @property
    def needs_inference(self) -> bool:
        """Whether anything is wanted that only the network can say."""
        return any(self._replace(info=False))


class DepthOutputs:
    """Publishers of one camera."""

    def __init__(self, node: LifecycleNode, prefix: str) -> None:
        """Create them; `prefix` goes before `depth/...`."""
        self._node = node
        # written anew for each frame, when the last one has been published
        self._cloud = CloudWriter()
        self._depth, self._color = ReusedImage("32FC1"), ReusedImage("rgb8")
        color = node.resolve_topic_name(f"{prefix}depth/color/image")
        topics: dict[str, tuple[type, str]] = {
            "depth": (Image, f"{prefix}depth/image"),
            "info": (CameraInfo, f"{prefix}depth/camera_info"),
            "color": (Image, color),
            # a remap of the picture does not move this by itself
            "compressed": (CompressedImage, f"{color}/compressed"),
            "points": (PointCloud2, f"{prefix}depth/points"),
            "nearness": (Image, f"{prefix}depth/relative/image"),
        }
        # subscribers that want it reliable get it, the others connect all the same
        quality = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        self._publishers: dict[str, Any] = {
            name: node.create_lifecycle_publisher(
                kind,
                topic,
                quality,
                # rclpy asks each handler at every message; a subscriber that asks for another
                # quality than this warns by itself
                event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for name, (kind, topic) in topics.items()
        }

    def heard(self, *, relative: bool) -> Heard:
        """Which of them have subscribers now; a relative model has no metres to give."""
        heard = Heard(*(p.get_subscription_count() > 0 for p in self._publishers.values()))
        if relative:
            return heard._replace(depth=False, info=False, points=False)
        return heard._replace(nearness=False)

    def destroy(self) -> None:
        """Take them off the network."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)

    def publish_info(self, message: CameraInfo) -> None:
        """Publish the camera of the depth."""
        self._publishers["info"].publish(message)

    def room_for_depth(self, height: int, width: int) -> NDArray[np.float32]:
        """Where to write the depth [H,W] of the next frame."""
        return self._depth.pixels(height, width)

    def publish_depth(
        self, depth: NDArray[np.float32], header: Header, settings: NodeParameters
    ) -> None:
        """Publish depth in metres that was written where there was room for it."""
        if settings.depth_encoding == "32FC1":
            message = self._depth.message(header)
        else:
            message = depth_to_image(depth, header, settings.depth_encoding)
        self._publishers["depth"].publish(message)

    def publish_nearness(self, nearness: NDArray[np.float32], header: Header) -> None:
        """Publish nearness [H,W], from 0 far to 1 near."""
        self._publishers["nearness"].publish(nearness_to_image(nearness, header))

    def publish_color(
        self, heard: Heard, depth: NDArray[np.float32], header: Header, settings: NodeParameters
    ) -> None:
        """Publish depth [H,W] in colours."""
        colorize(
            depth,
            settings.color_min_depth,
            settings.color_max_depth,
            color_map=settings.color_map,
            out=self._color.pixels(*depth.shape),
        )
        self._publish_picture(heard, header, settings)

    def publish_nearness_color(
        self, heard: Heard, nearness: NDArray[np.float32], header: Header, settings: NodeParameters
    ) -> None:
        """Publish nearness [H,W] in colours."""
        picture = self._color.pixels(*nearness.shape)
        picture[:] = colorize_nearness(nearness, color_map=settings.color_map)
        self._publish_picture(heard, header, settings)

    def _publish_picture(self, heard: Heard, header: Header, settings: NodeParameters) -> None:
        message = self._color.message(header)
        if heard.color:
            self._publishers["color"].publish(message)
        if heard.compressed:
            picture = self._color.pixels(message.height, message.width)
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
