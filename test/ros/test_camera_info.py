# SPDX-License-Identifier: Apache-2.0
"""Matching CameraInfo to images, and the camera that follows from it."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("sensor_msgs", reason="needs ROS messages: pip install '.[ros]'")

from sensor_msgs.msg import CameraInfo

from depth_dpt_core.preprocess import Geometry
from depth_dpt_ros.camera_info import (
    CameraInfoBuffer,
    CameraInfoError,
    info_for_depth,
    intrinsics_of,
)


def info(second: int = 0, focal: float = 400.0, **changes: object) -> CameraInfo:
    message = CameraInfo(width=640, height=320)
    message.header.stamp.sec = second
    message.k = [focal, 0.0, 319.5, 0.0, focal, 159.5, 0.0, 0.0, 1.0]
    message.p = [focal, 0.0, 319.5, 0.0, 0.0, focal, 159.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def second_of(message: CameraInfo | None) -> int | None:
    return None if message is None else message.header.stamp.sec


@pytest.mark.parametrize(
    ("kept", "image", "expected"),
    [([1, 2, 3], 2, 2), ([1, 3], 2, 1), ([3, 4], 2, 3), ([], 2, None), ([5, 1], 9, 5)],
)
def test_exact_stamp_else_latest_before(kept: list[int], image: int, expected: int | None) -> None:
    buffer = CameraInfoBuffer()
    for second in kept:
        buffer.add(info(second))
    assert second_of(buffer.match(image * 10**9)) == expected


def wait_of(buffer: CameraInfoBuffer, second: int, timeout: float = 5.0) -> float:
    """How long an image would wait from now on, seconds."""
    return buffer.due(second * 10**9, timeout) - time.monotonic()


def test_the_first_images_wait_for_any_camera_info_until_the_timeout() -> None:
    buffer = CameraInfoBuffer()
    begun = time.monotonic()
    due = buffer.due(10**9, 5.0)
    assert begun + 5.0 <= due <= time.monotonic() + 5.0
    time.sleep(0.2)
    assert buffer.due(2 * 10**9, 5.0) == due  # since the very first
    assert wait_of(buffer, 2, timeout=0.1) < 0
    buffer.add(info(1))
    assert wait_of(buffer, 2) <= 0


def test_an_image_waits_a_moment_for_its_own_where_there_are_pairs() -> None:
    buffer = CameraInfoBuffer()
    buffer.add(info(0))
    assert second_of(buffer.match(0)) == 0
    asked = time.monotonic()
    assert asked < buffer.due(10**9, 5.0) <= time.monotonic() + 0.1
    buffer.add(info(1))
    assert wait_of(buffer, 1) <= 0
    assert second_of(buffer.match(10**9)) == 1


def test_newer_images_do_not_wait_anew_when_the_camera_info_stops() -> None:
    buffer = CameraInfoBuffer()
    buffer.add(info(0))
    buffer.match(0)
    begun = time.monotonic()
    second = 1
    while wait_of(buffer, second) > 0:  # each replaced by the next before its time has come
        second += 1
        time.sleep(0.02)
        assert time.monotonic() - begun < 10
    assert second > 2
    assert second_of(buffer.match(second * 10**9)) == 0
    assert wait_of(buffer, second + 1) <= 0  # no pairs any more


def test_a_late_camera_info_brings_the_pairing_back() -> None:
    buffer = CameraInfoBuffer()
    buffer.add(info(0))
    assert second_of(buffer.match(1 * 10**9)) == 0
    buffer.add(info(1))
    assert 0 < wait_of(buffer, 2) <= 0.1


@pytest.mark.parametrize("focal", [0.0, -400.0, float("inf"), float("nan")])
def test_cameras_without_a_focal_length_are_not_kept(focal: float) -> None:
    buffer = CameraInfoBuffer()
    buffer.add(info(1, focal))
    assert buffer.match(10**9) is None
    with pytest.raises(CameraInfoError, match="no focal length"):
        intrinsics_of(info(1, focal), 640, 320)


def test_a_broken_principal_point_is_named() -> None:
    message = info()
    message.p[2] = float("nan")
    with pytest.raises(CameraInfoError, match="principal point"):
        intrinsics_of(message, 640, 320)


def test_the_camera_of_a_rectified_image_is_p() -> None:
    message = info(focal=400.0)
    message.p[:7] = [500.0, 0.0, 300.0, 0.0, 0.0, 510.0, 150.0]
    camera = intrinsics_of(message, 640, 320)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500.0, 510.0, 300.0, 150.0)
    message.p = [0.0] * 12
    camera = intrinsics_of(message, 640, 320)
    assert (camera.fx, camera.cx) == (400.0, 319.5)


def test_region_and_binning_end_in_the_published_camera() -> None:
    """A 400x200 region at (100, 50), binned by two: 200x100 pixels, half the focal length."""
    message = info(binning_x=2, binning_y=2)
    message.roi.x_offset, message.roi.y_offset = 100, 50
    message.roi.width, message.roi.height = 400, 200
    camera = intrinsics_of(message, 200, 100)
    assert (camera.fx, camera.fy) == (200.0, 200.0)
    assert camera.cx == pytest.approx((319.5 - 100 + 0.5) / 2 - 0.5)
    out = info_for_depth(
        message, camera, Geometry.fit((200, 100), (512, 256)), at_network_size=False
    )
    assert (out.width, out.height, out.binning_x, out.roi.width) == (200, 100, 0, 0)
    assert (out.p[0], out.p[2]) == pytest.approx((camera.fx, camera.cx))
    assert (out.k[0], out.k[2]) == pytest.approx((camera.fx, camera.cx))
    assert message.roi.width == 400  # the input is left alone
