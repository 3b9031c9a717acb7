# SPDX-License-Identifier: Apache-2.0
"""Point clouds from depth images, coloured where the picture is given.

Points are float32 x, y, z in metres in the camera's optical frame and, as a fourth number where
there is colour, `rgb`: the bits 0x00RRGGBB read as a float, which PCL and rviz expect. (With
anything but zero in the highest byte some colours would be NaN, and readers that skip NaN would
lose those points.) A point of a pixel (u, v) of depth Z is

    ((u - cx) Z / fx, (v - cy) Z / fy, Z)

as depth_image_proc computes it; NaN where depth is unknown.
"""

from __future__ import annotations

import array
import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics

if TYPE_CHECKING:
    from sensor_msgs.msg import PointCloud2
    from std_msgs.msg import Header

FIELDS = ("x", "y", "z", "rgb")
FLOAT32 = 7  # datatype of sensor_msgs/PointField

Floats = NDArray[np.float32]


def organised_points(
    depth: Floats,
    camera: Intrinsics,
    color: NDArray[np.uint8] | None = None,
    *,
    stride: int = 1,
    min_depth: float = 0.0,
    max_depth: float = math.inf,
    out: Floats | None = None,
) -> Floats:
    """One point for each pixel of every `stride`-th row and column.

    Args:
        depth: [H,W] metres; NaN is unknown.
        camera: of the depth image.
        color: [H,W,3] RGB of the depth image's size.
        stride: 1 takes every pixel.
        min_depth: metres along z; what is nearer becomes NaN.
        max_depth: metres along z; what is farther becomes NaN.
        out: where to write: of the answer's shape, C-contiguous.

    Returns:
        [h,w,3], or [h,w,4] with colour; `out` where that is given.

    Raises:
        ValueError: the colour image has another size than the depth image.
    """
    if color is not None and color.shape[:2] != depth.shape:
        raise ValueError(
            f"colour of {color.shape[1]}x{color.shape[0]} pixels for depth of "
            f"{depth.shape[1]}x{depth.shape[0]}: both should have one size"
        )
    height, width = depth.shape
    right = (np.arange(0, width, stride) - camera.cx) / camera.fx
    down = (np.arange(0, height, stride) - camera.cy) / camera.fy
    z = np.ascontiguousarray(depth[::stride, ::stride])
    if min_depth > 0 or max_depth < math.inf:
        in_range = cv2.inRange(z, np.array([min_depth]), np.array([max_depth]))
        z = np.asarray(cv2.copyTo(z, in_range, np.full_like(z, np.nan)), np.float32)
    planes = [z * right.astype(np.float32), z * down.astype(np.float32)[:, None], z]
    if color is not None:
        planes.append(_packed(np.ascontiguousarray(color[::stride, ::stride])))
    # interleaves several times faster than assigning to columns
    return np.asarray(cv2.merge(planes, dst=out), np.float32)


def dense_points(points: Floats) -> Floats:
    """The known ones of organised points [h,w,C], row by row: [1,N,C]."""
    whole = points.view(f"V{points.shape[2] * points.itemsize}")[..., 0]  # 20 times faster so
    known = whole[np.isfinite(points[..., 2])]
    return known.view(np.float32).reshape(1, len(known), points.shape[2])


class CloudWriter:
    """Makes clouds in one message, whose memory the next cloud of the same size uses again.

    A message is good until the next is asked for; `publish` has serialised it by then.
    """

    def __init__(self) -> None:
        self._message: Any = None
        self._points: Floats = np.empty((0, 0, 0), np.float32)  # the data of that message

    def __call__(
        self,
        header: Header,
        depth: Floats,
        camera: Intrinsics,
        color: NDArray[np.uint8] | None = None,
        *,
        organised: bool = True,
        stride: int = 1,
        min_depth: float = 0.0,
        max_depth: float = math.inf,
    ) -> PointCloud2:
        """The cloud of a depth image; for arguments and errors see `organised_points`.

        Args:
            header: shared by the message.
            depth: see there.
            camera: see there.
            color: see there.
            organised: keep rows and columns, unknown points NaN; else one row of the known ones.
            stride: see there.
            min_depth: see there.
            max_depth: see there.
        """
        rows, columns = (-(-side // stride) for side in depth.shape)
        shape = (rows, columns, 3 if color is None else 4)
        points = organised_points(
            depth, camera, color, stride=stride, min_depth=min_depth, max_depth=max_depth,
            out=self._room(shape) if organised else None,
        )  # fmt: skip
        if not organised:
            points = dense_points(points)
            self._message = _empty_cloud(points.shape)
            self._message.is_dense = True
            self._message.data.frombytes(points.view(np.uint8).reshape(-1))
        self._message.header = header
        return self._message

    def _room(self, shape: tuple[int, int, int]) -> Floats:
        """The data of the message, made anew where the shape is another."""
        if self._message is None or self._message.is_dense or self._points.shape != shape:
            self._message = _empty_cloud(shape)
            data: array.array[int] = self._message.data
            # by rows: repeating a single byte is slow before Python 3.12
            data.frombytes(bytes(self._message.row_step))
            data *= shape[0]
            self._points = np.frombuffer(data, np.float32).reshape(shape)
        return self._points


def _empty_cloud(shape: tuple[int, ...]) -> Any:
    """A message of points [h,w,C] without its data."""
    from sensor_msgs.msg import PointCloud2, PointField

    message = PointCloud2(height=shape[0], width=shape[1], is_bigendian=False, is_dense=False)
    message.fields = [
        PointField(name=name, offset=4 * at, datatype=FLOAT32, count=1)
        for at, name in enumerate(FIELDS[: shape[2]])
    ]
    message.point_step = 4 * shape[2]
    message.row_step = message.point_step * shape[1]
    return message


def _packed(color: NDArray[np.uint8]) -> Floats:
    """RGB [H,W,3] as `rgb` [H,W]."""
    bits = cv2.cvtColor(color, cv2.COLOR_RGB2BGRA).view("<u4")[..., 0]
    bits &= 0x00FFFFFF
    return np.asarray(bits.view("<f4"))
