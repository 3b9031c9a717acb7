# SPDX-License-Identifier: Apache-2.0
"""Point clouds, read byte by byte as a foreign reader does, against the pinhole formula."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

pytest.importorskip("sensor_msgs", reason="needs ROS messages: pip install '.[ros]'")

from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from depth_dpt_core.camera import Intrinsics
from depth_dpt_ros.point_cloud import CloudWriter, dense_points, organised_points

HEIGHT, WIDTH = 7, 10
CAMERA = Intrinsics(11.0, 12.5, 4.2, 2.9)
DEPTH = np.random.default_rng(3).uniform(0.5, 60, (HEIGHT, WIDTH)).astype(np.float32)
DEPTH[1, 2] = DEPTH[6, 9] = np.nan
COLOR = np.random.default_rng(4).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
COLOR[0, :2] = [[255, 255, 255], [255, 128, 0]]
HEADER = Header(frame_id="front_optical")


def wanted(v: int, u: int) -> tuple[float, float, float]:
    """Formula of depth_image_proc's point_cloud_xyz."""
    z = float(DEPTH[v, u])
    return (u - CAMERA.cx) * z / CAMERA.fx, (v - CAMERA.cy) * z / CAMERA.fy, z


def read(cloud: PointCloud2, row: int, column: int) -> dict[str, float | int]:
    """A point by the fields that the message declares; rgb as the bits that it holds."""
    start = row * cloud.row_step + column * cloud.point_step
    point = {}
    for field in cloud.fields:
        assert (field.datatype, field.count) == (7, 1)  # FLOAT32
        form = "<I" if field.name == "rgb" else "<f"
        (point[field.name],) = struct.unpack_from(form, cloud.data, start + field.offset)
    return point


@pytest.mark.parametrize("stride", [1, 2, 3, 20])
@pytest.mark.parametrize("color", [None, COLOR], ids=["plain", "coloured"])
def test_organised(stride: int, color: np.ndarray | None) -> None:
    cloud = CloudWriter()(HEADER, DEPTH, CAMERA, color, stride=stride)
    rows, columns = range(0, HEIGHT, stride), range(0, WIDTH, stride)
    assert (cloud.height, cloud.width) == (len(rows), len(columns))
    assert cloud.header == HEADER
    assert not cloud.is_dense
    assert not cloud.is_bigendian
    assert len(cloud.data) == cloud.row_step * cloud.height
    names = ["x", "y", "z"] if color is None else ["x", "y", "z", "rgb"]
    assert [field.name for field in cloud.fields] == names
    for row, v in enumerate(rows):
        for column, u in enumerate(columns):
            point = read(cloud, row, column)
            if color is not None:
                r, g, b = (int(c) for c in COLOR[v, u])
                assert point.pop("rgb") == r << 16 | g << 8 | b
            if math.isnan(DEPTH[v, u]):
                assert all(math.isnan(number) for number in point.values())
            else:
                assert tuple(point.values()) == pytest.approx(wanted(v, u), rel=3e-7, abs=1e-6)


def test_no_colour_is_nan() -> None:
    """Readers with skip_nans look at all fields."""
    every = np.stack(np.meshgrid(*[[0, 1, 127, 128, 254, 255]] * 3), -1).astype(np.uint8)
    color = every.reshape(1, -1, 3)
    points = organised_points(np.ones(color.shape[:2], np.float32), CAMERA, color)
    assert np.isfinite(points).all()


@pytest.mark.parametrize("color", [None, COLOR], ids=["plain", "coloured"])
def test_dense_holds_the_known_points_row_by_row(color: np.ndarray | None) -> None:
    cloud = CloudWriter()(HEADER, DEPTH, CAMERA, color, organised=False)
    known = [(v, u) for v in range(HEIGHT) for u in range(WIDTH) if DEPTH[v, u] == DEPTH[v, u]]
    assert (cloud.height, cloud.width, cloud.is_dense) == (1, len(known), True)
    assert len(cloud.data) == cloud.row_step
    for column, pixel in enumerate(known):
        point = read(cloud, 0, column)
        assert [point[axis] for axis in "xyz"] == pytest.approx(wanted(*pixel), rel=3e-7, abs=1e-6)


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, math.inf), (10.0, math.inf), (0.0, 30.0), (10.0, 30.0), (70.0, 80.0)]
)
def test_range(low: float, high: float) -> None:
    points = organised_points(DEPTH, CAMERA, min_depth=low, max_depth=high)
    inside = np.array([[low <= z <= high for z in row] for row in DEPTH])
    np.testing.assert_array_equal(np.isfinite(points), np.dstack([inside] * 3))
    assert dense_points(points).shape == (1, inside.sum(), 3)
    cloud = CloudWriter()(HEADER, DEPTH, CAMERA, organised=False, min_depth=low, max_depth=high)
    assert cloud.width == inside.sum()
    assert len(cloud.data) == 12 * inside.sum()


def test_the_ends_of_the_range_belong_to_it() -> None:
    depth = np.array([[0.1, 0.3]], np.float32)
    assert np.isfinite(organised_points(depth, CAMERA, min_depth=0.1, max_depth=0.3)).all()


def test_colour_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="colour of 5x7 pixels for depth of 10x7: both should"):
        organised_points(DEPTH, CAMERA, COLOR[:, :5])


def test_one_writer_goes_on_through_every_change() -> None:
    """Its memory is used again where that fits, and never shows an older cloud."""
    writer = CloudWriter()
    changes = [
        (DEPTH, None, True), (DEPTH + 1, None, True), (DEPTH, COLOR, True), (DEPTH, None, False),
        (DEPTH[:4], None, True), (DEPTH, None, False), (DEPTH[:4], None, False),
        (DEPTH, COLOR, True),
    ]  # fmt: skip
    for depth, color, organised in changes:
        points = organised_points(depth, CAMERA, color)
        cloud = writer(HEADER, depth, CAMERA, color, organised=organised)
        bytes_wanted = (points if organised else dense_points(points)).tobytes()
        assert bytes(cloud.data) == bytes_wanted
        assert cloud.height * cloud.row_step == len(bytes_wanted)


def test_memory_is_used_again() -> None:
    writer = CloudWriter()
    first = writer(HEADER, DEPTH, CAMERA, COLOR)
    place = first.data.buffer_info()
    assert writer(HEADER, DEPTH, CAMERA, COLOR).data.buffer_info() == place


@pytest.mark.parametrize("make", [np.asfortranarray, lambda depth: np.repeat(depth, 2, 1)[:, ::2]])
def test_any_memory_layout_of_depth(make) -> None:
    points = organised_points(make(DEPTH), CAMERA, make(COLOR[..., 0])[..., None] + 0 * COLOR)
    np.testing.assert_array_equal(points[..., :3], organised_points(DEPTH, CAMERA))
