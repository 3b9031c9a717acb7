# SPDX-License-Identifier: Apache-2.0
"""Moving transforms, and points that nearer ones hide: scenes worked out by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from small_bags import tf

from depth_dpt_core.camera import Intrinsics
from depth_dpt_ros.replay.projection import project_points, visible_points
from depth_dpt_ros.replay.transforms import TransformTree

SECOND = 10**9
NOWHERE, LEVEL = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)


def turned(axis: tuple[float, float, float], degrees: float) -> tuple[float, ...]:
    """A rotation as x, y, z, w."""
    half = np.radians(degrees) / 2
    return (*(np.array(axis) * np.sin(half)), np.cos(half))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 1.0])
@pytest.mark.parametrize("flip", [1, -1])  # q and -q are the same rotation
def test_a_moving_frame_is_between_its_transforms(share: float, flip: int) -> None:
    axis, angle = np.array([1.0, 2, 2]) / 3, 130.0
    end = tuple(flip * value for value in turned(tuple(axis), angle))
    tree = TransformTree()
    tree.add(tf("a", "b", (1, 0, 0), LEVEL, 10 * SECOND))
    tree.add(tf("a", "b", (3, 4, 0), end, 11 * SECOND))
    matrix = tree.lookup("a", "b", 10 * SECOND + int(share * SECOND))
    rotation, _ = cv2.Rodrigues(axis * np.radians(angle) * share)
    np.testing.assert_allclose(matrix[:3, :3], rotation, atol=1e-12)
    np.testing.assert_allclose(matrix[:3, 3], (1 + 2 * share, 4 * share, 0), atol=1e-12)


def test_a_chain_of_fixed_and_moving_links_goes_both_ways() -> None:
    tree = TransformTree([tf("base", "lidar", (0, 0, 2), LEVEL)])
    for second, x in ((0, 0.0), (1, 10.0)):
        tree.add(tf("odom", "base", (x, 0, 0), turned((0, 0, 1), 90), second * SECOND))
    point = np.array([1.0, 0, 0, 1])
    forth = tree.lookup("odom", "lidar", SECOND // 2)
    np.testing.assert_allclose(forth @ point, (5, 1, 2, 1), atol=1e-12)
    back = tree.lookup("lidar", "odom", SECOND // 2)
    np.testing.assert_allclose(back @ forth, np.eye(4), atol=1e-12)


@pytest.mark.parametrize("stamp", [9, 21])
def test_a_moving_frame_is_not_guessed_outside_its_time(stamp: int) -> None:
    tree = TransformTree()
    for second in (10, 20):
        tree.add(tf("a", "b", NOWHERE, LEVEL, second * SECOND))
    with pytest.raises(LookupError, match=r"'b' in 'a' from 10000000000 to 20000000000 ns"):
        tree.lookup("a", "b", stamp * SECOND)
    assert tree.reaches("a", "b", stamp * SECOND) == (stamp < 20)


def test_transforms_that_come_out_of_order_are_sorted() -> None:
    tree = TransformTree()
    for second in (2, 0, 1):
        tree.add(tf("a", "b", (second**2, 0, 0), LEVEL, second * SECOND))
    assert tree.lookup("a", "b", SECOND)[0, 3] == 1


def test_only_ten_seconds_are_remembered() -> None:
    tree = TransformTree()
    for second in range(31):
        tree.add(tf("a", "b", NOWHERE, LEVEL, second * SECOND))
    tree.lookup("a", "b", 20 * SECOND)
    with pytest.raises(LookupError, match="from 20000000000"):
        tree.lookup("a", "b", 19 * SECOND)


def test_what_is_fixed_stays_so() -> None:
    tree = TransformTree([tf("a", "b", (1, 0, 0), LEVEL)])
    tree.add(tf("a", "b", (2, 0, 0), LEVEL, SECOND))
    assert tree.lookup("a", "b", 5 * SECOND)[0, 3] == 1


@pytest.mark.parametrize(
    ("place", "quaternion"),
    [(NOWHERE, (0, 0, 0, 0)), (NOWHERE, (np.nan, 0, 0, 1)), ((np.inf, 0, 0), LEVEL)],
)
def test_a_transform_that_is_none_is_named(
    place: tuple[float, ...], quaternion: tuple[float, ...]
) -> None:
    tree = TransformTree([tf("a", "b", place, quaternion)])
    with pytest.raises(LookupError, match="'b' in 'a' has a quaternion of length 0 or NaN"):
        tree.lookup("a", "b")


# Hidden points

CAMERA, SIZE = Intrinsics(200.0, 200.0, 159.5, 119.5), (240, 320)


def scan(depth_of_ray: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Points at a depth along rays (x, y, 1)."""
    return directions * depth_of_ray[:, None]


def rays(step: float = 0.02) -> np.ndarray:
    x, y = np.meshgrid(np.arange(-0.7, 0.7, step), np.arange(-0.5, 0.5, step))
    return np.stack([x.ravel(), y.ravel(), np.ones(x.size)], axis=1)


def test_a_wall_seen_over_a_box_by_a_high_lidar_is_dropped() -> None:
    """LiDAR 1 m above the camera; a box 5 m ahead hides the wall at 30 m only from the camera."""
    lidar = np.array([0, -1.0, 0])
    directions = rays(0.01)
    box = directions * 5 + lidar
    on_box = (np.abs(box[:, 0]) < 1) & (box[:, 1] > -0.5) & (box[:, 1] < 1.5)
    points = np.where(on_box[:, None], box, directions * 30 + lidar)
    depth = project_points(points, np.eye(4), CAMERA, SIZE)
    visible = visible_points(depth)
    row, column = np.nonzero(depth == 30)
    x, y = (column - CAMERA.cx) / CAMERA.fx * 5, (row - CAMERA.cy) / CAMERA.fy * 5
    behind = (np.abs(x) < 0.9) & (y > -0.4) & (y < 1.4)
    beside = (np.abs(x) > 1.3) | (y < -0.8) | (y > 1.8)
    assert behind.sum() > 50
    kept = np.isfinite(visible[row, column])
    assert kept[behind].mean() < 0.05
    assert kept[beside].all()
    assert (visible[depth == 5] == 5).mean() > 0.98


def test_flat_ground_is_kept_and_so_is_what_is_beside_a_wall() -> None:
    directions = rays()
    ground = np.where(directions[:, 1] > 0.03, 1.5 / np.maximum(directions[:, 1], 0.03), 60.0)
    depth = project_points(scan(ground, directions), np.eye(4), CAMERA, SIZE)
    np.testing.assert_array_equal(visible_points(depth), depth)
    # beside a wall only the corner between it and the horizon may be lost
    walled = np.where(directions[:, 0] < 0, np.minimum(ground, 12.0), ground)
    depth = project_points(scan(walled, directions), np.eye(4), CAMERA, SIZE)
    lost = np.isfinite(depth) & np.isnan(visible_points(depth))
    assert lost.sum() <= 0.005 * np.isfinite(depth).sum()


def test_no_points_stay_none() -> None:
    assert np.isnan(visible_points(np.full((4, 5), np.nan, np.float32))).all()
    alone = np.full((4, 5), np.nan, np.float32)
    alone[2, 3] = 7
    np.testing.assert_array_equal(visible_points(alone), alone)
