# SPDX-License-Identifier: Apache-2.0
"""From a point cloud to a depth image: static transforms, points of a message, projection."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics
from depth_dpt_ros.replay.bag import Bag, BagError, Message

Depth = NDArray[np.float32]
Floats = NDArray[Any]

_POINT_FIELDS = {7: "f4", 8: "f8"}  # sensor_msgs/PointField FLOAT32 and FLOAT64


class TransformTree:
    """Static transforms between frames, as [4, 4] matrices."""

    def __init__(self, messages: Iterable[Message]) -> None:
        """Take tf2_msgs/TFMessages; between two frames the last transform counts."""
        self._from: dict[str, dict[str, Floats]] = {}  # [a][b] takes points from frame b to a
        for transform in (each for message in messages for each in message.transforms):
            parent, child = frame_id(transform), transform.child_frame_id.lstrip("/")
            matrix = _matrix(transform.transform)
            self._from.setdefault(parent, {})[child] = matrix
            self._from.setdefault(child, {})[parent] = np.linalg.inv(matrix)

    @classmethod
    def from_bag(cls, bag: Bag) -> TransformTree:
        """Read all of /tf_static, also where it is in a namespace."""
        topics = [t for t in bag.of_type("tf2_msgs/msg/TFMessage") if t.endswith("/tf_static")]
        return cls(bag.deserialize(raw, topic) for topic, _, raw in bag.messages(topics))

    def lookup(self, target: str, source: str) -> Floats:
        """Return the matrix that takes points from frame source to frame target.

        Raises:
            LookupError: no chain of transforms ties the two.
        """
        reached: dict[str, Floats] = {target: np.eye(4)}
        border = deque([target])
        while border:
            frame = border.popleft()
            for neighbour in self._from.get(frame, {}).keys() - reached:
                reached[neighbour] = reached[frame] @ self._from[frame][neighbour]
                border.append(neighbour)
        if source not in reached:
            known = ", ".join(sorted(reached))
            raise LookupError(f"no static transforms tie frame {source!r} to any of {known}")
        return reached[source]

    def apart(self, a: str, b: str) -> bool:
        """Tell whether the origins of two frames are known to be over a millimetre apart."""
        try:
            return bool(np.linalg.norm(self.lookup(a, b)[:3, 3]) > 1e-3)
        except LookupError:
            return False


def project_points(
    points: Floats, cloud_to_camera: Floats, camera: Intrinsics, size: tuple[int, int]
) -> Depth:
    """Return points [N, 3] in metres as a depth image of size (H, W), NaN where no point falls.

    A point in front of the camera falls on the pixel at floor(u + 0.5), floor(v + 0.5), where
    the smallest Z wins. No lens distortion is applied: the image is taken to be rectified.
    """
    points = points[np.isfinite(points).all(axis=1)]
    points = points @ cloud_to_camera[:3, :3].T + cloud_to_camera[:3, 3]
    points = points[points[:, 2] > 0]
    uv = points[:, :2] / points[:, 2:] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    pixel = np.floor(uv + 0.5)
    inside = ((pixel >= 0) & (pixel < size[::-1])).all(axis=1)
    column, row = pixel[inside].astype(np.intp).T
    depth = np.full(size, np.inf, np.float32)
    np.minimum.at(depth, (row, column), points[inside, 2].astype(np.float32))
    depth[np.isinf(depth)] = np.nan
    return depth


def cloud_points(cloud: Message) -> Floats:
    """Return x, y, z of a sensor_msgs/PointCloud2 as [N, 3], row by row.

    Reads float32 and float64 of either byte order, padded points and padded rows.

    Raises:
        BagError: the cloud has no such x, y and z, or not the size it states.
    """
    fields = {field.name: field for field in cloud.fields}
    order = ">" if cloud.is_bigendian else "<"
    try:
        layout: Any = {
            "names": ["x", "y", "z"],
            "formats": [order + _POINT_FIELDS[fields[axis].datatype] for axis in "xyz"],
            "offsets": [fields[axis].offset for axis in "xyz"],
            "itemsize": cloud.point_step,
        }
        row_step = max(cloud.row_step, cloud.width * cloud.point_step)  # some leave it at 0
        shape, strides = (cloud.height, cloud.width), (row_step, cloud.point_step)
        grid = np.ndarray(shape, np.dtype(layout), cloud.data, strides=strides)
    except (KeyError, TypeError, ValueError) as error:
        raise BagError(
            f"a PointCloud2 of {cloud.height} x {cloud.width} points should have float x, y and z "
            f"within its {cloud.point_step} bytes a point and {len(cloud.data)} in all ({error})"
        ) from error
    return np.stack([grid[axis].ravel() for axis in "xyz"], axis=1).astype(np.float64)


def frame_id(message: Message) -> str:
    """Frame of a message with a header, without the slash that old ROS 1 bags put before it."""
    return str(message.header.frame_id).lstrip("/")  # ROS 1 may begin it with a slash


def _matrix(transform: Message) -> Floats:
    """Return a geometry_msgs/Transform as [4, 4]."""
    rotation, translation = transform.rotation, transform.translation
    quaternion = np.array([rotation.x, rotation.y, rotation.z, rotation.w])
    x, y, z, w = quaternion / np.linalg.norm(quaternion)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += 2 * w * cross + 2 * cross @ cross
    matrix[:3, 3] = translation.x, translation.y, translation.z
    return matrix
