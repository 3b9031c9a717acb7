# SPDX-License-Identifier: Apache-2.0
"""A bag of what the model says, to be played beside the original."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.colorize import colorize
from depth_dpt_core.preprocess import Geometry
from depth_dpt_ros.camera_info import info_for_depth
from depth_dpt_ros.point_cloud import FIELDS, FLOAT32, organised_points
from depth_dpt_ros.replay.bag import Message
from depth_dpt_ros.replay.picture import FAR, NEAR

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

_STORE = get_typestore(Stores.ROS2_HUMBLE)
# What rclpy's default publishers offer; rosbag2 plays a topic as it was recorded.
_FOREVER = QosTime(2147483647, 4294967295)
_QOS = Qos(
    QosHistory.KEEP_LAST,
    10,
    QosReliability.RELIABLE,
    QosDurability.VOLATILE,
    _FOREVER,
    _FOREVER,
    QosLiveliness.AUTOMATIC,
    _FOREVER,
    avoid_ros_namespace_conventions=False,
)


class Serialized(NamedTuple):
    """A message on its way into a bag."""

    topic: str
    msgtype: str
    raw: bytes | memoryview


class OutputBag:
    """A new bag of one mcap file, named after its folder.

    Its metadata is of version 8, the last that Humble and Iron play too. It is whole when the
    context ends well; an error leaves it without an index.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP)
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> Self:
        self._writer.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def write(self, message: Serialized, time_ns: int) -> None:
        """Append a message at a log time."""
        topic = message.topic
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, message.msgtype, typestore=_STORE, offered_qos_profiles=[_QOS]
            )
        self._writer.write(self._connections[topic], time_ns, message.raw)


def depth_messages(
    header: Message,
    depth: NDArray[np.float32],
    info: Message | None,
    camera: Intrinsics | None,
    geometry: Geometry,
    *,
    points: bool,
) -> list[Serialized]:
    """What depth_node publishes for an image with output_size `network`, serialized.

    Args:
        header: the image's.
        depth: [h,w] metres at the network's resolution, padding cut.
        info: the image's, None if unknown.
        camera: the image's as in info.
        geometry: how the image lies in the network's input.
        points: also the cloud, where the camera is known.
    """
    messages = [
        _image("/depth/image", header, "32FC1", depth),
        _image("/depth/color/image", header, "rgb8", colorize(depth, NEAR, FAR)),
    ]
    if info is None or camera is None:
        return messages
    out = info_for_depth(info, camera, geometry, at_network_size=True)
    out.header = header
    out.k, out.p = np.array(out.k), np.array(out.p)
    messages.append(_serialized("/depth/camera_info", "sensor_msgs/msg/CameraInfo", out))
    if points:
        messages.append(_cloud(header, depth, geometry.intrinsics_at_content(camera)))
    return messages


def _image(topic: str, header: Message, encoding: str, pixels: NDArray[Any]) -> Serialized:
    data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
    height, width = pixels.shape[:2]
    kind = "sensor_msgs/msg/Image"
    step = data.size // height
    message = _STORE.types[kind](header, height, width, encoding, 0, step, data)
    return _serialized(topic, kind, message)


def _cloud(header: Message, depth: NDArray[np.float32], camera: Intrinsics) -> Serialized:
    """Organised x, y, z in metres; NaN where depth is unknown."""
    xyz = organised_points(depth, camera)
    kind, types = "sensor_msgs/msg/PointCloud2", _STORE.types
    field = types["sensor_msgs/msg/PointField"]
    fields = [field(name, 4 * at, FLOAT32, 1) for at, name in enumerate(FIELDS[:3])]
    height, width = depth.shape
    data = xyz.view(np.uint8).reshape(-1)
    message = types[kind](header, height, width, fields, False, 12, 12 * width, data, False)
    return _serialized("/depth/points", kind, message)


def _serialized(topic: str, kind: str, message: Message) -> Serialized:
    return Serialized(topic, kind, _STORE.serialize_cdr(message, kind))
