# SPDX-License-Identifier: Apache-2.0
"""Small bags of one camera and its truth, made without ROS."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

HUMBLE = get_typestore(Stores.ROS2_HUMBLE)
START = 1_700_000_000 * 10**9  # ns
STEP = 10**8  # ns between images
FRAME_ID = "optical"

Messages = Iterable[tuple[str, int, Any]]  # topic, log time in ns, message


def ros(name: str, *values: Any) -> Any:
    package, _, kind = name.partition("/")
    return HUMBLE.types[f"{package}/msg/{kind}"](*values)


def header(stamp: int, frame: str = FRAME_ID) -> Any:
    time = ros("builtin_interfaces/Time", stamp // 10**9, stamp % 10**9)
    return ros("std_msgs/Header", time, frame)


def image(pixels: np.ndarray, stamp: int, encoding: str = "rgb8", frame: str = FRAME_ID) -> Any:
    data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
    height, width = pixels.shape[:2]
    size = (height, width, encoding, 0, data.size // height)
    return ros("sensor_msgs/Image", header(stamp, frame), *size, data)


def depth_image(depth: np.ndarray, stamp: int) -> Any:
    return image(depth.astype("<f4"), stamp, "32FC1")


def disparity(
    pixels: np.ndarray, stamp: int, f: float, t: float, ends: tuple[float, float]
) -> Any:
    roi = ros("sensor_msgs/RegionOfInterest", 0, 0, 0, 0, False)
    shown = depth_image(pixels, stamp)
    return ros("stereo_msgs/DisparityImage", header(stamp), shown, f, t, roi, *ends, 0.125)


def camera_info(focal_length: float, width: int, height: int, stamp: int) -> Any:
    k = np.array([focal_length, 0, (width - 1) / 2, 0, focal_length, (height - 1) / 2, 0, 0, 1])
    roi = ros("sensor_msgs/RegionOfInterest", 0, 0, 0, 0, False)
    matrices = (np.zeros(5), k, np.eye(3).ravel(), np.zeros(12))
    size = (height, width, "plumb_bob")
    return ros("sensor_msgs/CameraInfo", header(stamp), *size, *matrices, 0, 0, roi)


def cloud(xyz: np.ndarray, stamp: int, frame: str = "lidar") -> Any:
    points = np.asarray(xyz, "<f4").reshape(-1, 3)
    fields = [ros("sensor_msgs/PointField", name, 4 * i, 7, 1) for i, name in enumerate("xyz")]
    size = (1, len(points), fields, False, 12, points.nbytes)
    data = points.view("u1").ravel()
    return ros("sensor_msgs/PointCloud2", header(stamp, frame), *size, data, True)


def tf(
    parent: str, child: str, xyz: Iterable[float], xyzw: Iterable[float], stamp: int = 0
) -> Any:
    pose = ros(
        "geometry_msgs/Transform",
        ros("geometry_msgs/Vector3", *xyz),
        ros("geometry_msgs/Quaternion", *xyzw),
    )
    one = ros("geometry_msgs/TransformStamped", header(stamp, parent), child, pose)
    return ros("tf2_msgs/TFMessage", [one])


def write(
    path: Path,
    messages: Messages,
    *,
    plugin: StoragePlugin = StoragePlugin.MCAP,
    version: int = 9,
    compression: CompressionMode = CompressionMode.NONE,
) -> Path:
    """A bag of these messages, in their order of log time."""
    writer = Writer(path, version=version, storage_plugin=plugin)  # type: ignore[arg-type]
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for topic, log_time, message in sorted(messages, key=lambda it: it[1]):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=HUMBLE)
            writer.write(connections[topic], log_time, HUMBLE.serialize_cdr(message, kind))
    return path
