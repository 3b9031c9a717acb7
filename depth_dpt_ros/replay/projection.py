# SPDX-License-Identifier: Apache-2.0
"""From a point cloud to a depth image: points of a message, projection, what they hide."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics
from depth_dpt_ros.replay.bag import BagError, Message

Depth = NDArray[np.float32]
Floats = NDArray[Any]

_NEARER = 0.9  # a point hides what is behind it by more than a tenth
_HIDING = 3  # quadrants
_POINT_FIELDS = {7: "f4", 8: "f8"}  # sensor_msgs/PointField FLOAT32 and FLOAT64


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


def visible_points(depth: Depth) -> Depth:
    """Return a depth image from `project_points` without the points that nearer ones hide.

    A LiDAR that is mounted elsewhere than the camera sees past the edges of things. A point is
    taken for hidden when at least three of the four quadrants about its pixel hold a point at
    less than 0.9 of its distance, each quadrant a square whose side is the mean spacing of
    points. Beside an edge and on flat ground nearer points lie in two quadrants at most.
    """
    row, column = np.nonzero(np.isfinite(depth))
    if not len(row):
        return depth
    side = int(np.ceil(np.sqrt((np.ptp(row) + 1) * (np.ptp(column) + 1) / len(row)))) + 1
    far = np.where(np.isfinite(depth), depth, np.float32(np.inf))
    padded = np.pad(far, side, constant_values=np.inf)
    # the nearest point in the square that has a pixel at its top left
    nearest = np.asarray(cv2.erode(padded, np.ones((side, side), np.uint8), anchor=(0, 0)))
    # each square begins beside the pixel, so that its row and column are split among the four
    corners = ((1, 0), (0, -side), (-side, 1 - side), (1 - side, 1))
    limit = depth[row, column] * np.float32(_NEARER)
    nearer = sum(
        (nearest[row + side + down, column + side + right] < limit).astype(int)
        for down, right in corners
    )
    hidden = np.asarray(nearer) >= _HIDING
    visible: Depth = depth.copy()
    visible[row[hidden], column[hidden]] = np.nan
    return visible


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
