# SPDX-License-Identifier: Apache-2.0
"""Edges and regions against loops over single pixels."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from depth_dpt_core.edge_filter import ValidRegion, blank_edges

NAN = float("nan")


def by_loops(depth: np.ndarray, threshold: float) -> np.ndarray:
    out = depth.copy()
    height, width = depth.shape
    for y, x in itertools.product(range(height), range(width)):
        for v, u in itertools.product((y - 1, y, y + 1), (x - 1, x, x + 1)):
            if 0 <= v < height and 0 <= u < width:
                near, far = sorted((float(depth[y, x]), float(depth[v, u])))
                if (far - near) / near > threshold:
                    out[y, x] = NAN
    return out


@pytest.mark.parametrize("threshold", [0.03, 0.1, 0.5, 3.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (17, 23)])
def test_jumps_to_neighbours(shape: tuple[int, int], threshold: float) -> None:
    random = np.random.default_rng(5)
    depth = (5 * np.exp(random.normal(0, 0.1, shape))).astype(np.float32)
    depth[random.random(shape) < 0.1] *= 4
    depth[random.random(shape) < 0.1] = NAN
    wanted = by_loops(depth, threshold)
    blank_edges(depth, threshold)
    np.testing.assert_array_equal(depth, wanted)


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ([10, 10.9, 11.8, 12.9], [10, 10.9, 11.8, 12.9]),  # a slope under the threshold stays
        ([10, 10, 12, 12], [10, NAN, NAN, 12]),
        ([10, 10, 30, 80, 80], [10, NAN, NAN, NAN, 80]),  # the flying pixel, and both rims
        ([10, NAN, 80, 80], [10, NAN, 80, 80]),  # the unknown makes no jump
        ([5, 5.5, 5], [5, 5.5, 5]),  # not beyond 0.1
    ],
)
def test_rows(row: list[float], wanted: list[float]) -> None:
    for turned in (False, True):
        depth = np.array([row], np.float32)
        depth = np.ascontiguousarray(depth.T) if turned else depth
        blank_edges(depth, 0.1)
        np.testing.assert_array_equal(depth.ravel(), np.array(wanted, np.float32))


def test_zero_does_nothing() -> None:
    depth = np.array([[1, 50]], np.float32)
    blank_edges(depth, 0.0)
    assert depth.tolist() == [[1, 50]]


@pytest.mark.parametrize(("scale_x", "scale_y"), [(4, 4), (3, 5), (2.5, 2.5), (1, 1)])
def test_the_whole_ramp_of_an_enlarged_edge_goes(scale_x: float, scale_y: float) -> None:
    """A car at 10 m before a wall at 40 m, enlarged as the estimator enlarges."""
    height, width = 24, 40
    small = np.full((height, width), 40, np.float32)
    small[8:20, 10:30] = 10
    size = round(width * scale_x), round(height * scale_y)
    depth = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    flying = (depth > 10.01) & (depth < 39.99)
    assert flying.any() or scale_x == 1
    before = depth.copy()
    blank_edges(depth, 0.2, grid=(width, height))
    gone = np.isnan(depth)
    assert gone[flying].all()
    np.testing.assert_array_equal(depth[~gone], before[~gone])
    # three cells across the edge at most: that of either side, and one of rounding
    assert gone.sum() <= 3 * 2 * (20 + 12 + 2) * scale_x * scale_y


def test_a_coarse_grid_leaves_smooth_ground_alone() -> None:
    rows = np.arange(1, 257, dtype=np.float32)
    ground = np.repeat((600 / rows)[:, None], 64, axis=1)  # n rows below the horizon
    depth = cv2.resize(ground, (256, 1024), interpolation=cv2.INTER_LINEAR)
    blank_edges(depth, 0.1, grid=(64, 256))
    assert np.isfinite(depth[11 * 4 :]).all()
    assert np.isnan(depth[: 8 * 4]).all()


def test_a_grid_finer_than_the_depth_compares_its_pixels() -> None:
    depth = np.array([[10, 10, 12, 12]], np.float32)
    blank_edges(depth, 0.1, grid=(8, 2))
    np.testing.assert_array_equal(depth, np.array([[10, NAN, NAN, 12]], np.float32))


@pytest.mark.parametrize("shape", [(4, 4), (10, 7), (1, 1), (101, 57)])
@pytest.mark.parametrize(
    "fractions", [(0, 0, 1, 1), (0, 0, 1, 0.85), (0.25, 0.3, 0.75, 0.9), (0.13, 0.0, 0.5, 0.51)]
)
def test_region_by_pixel_centres(shape: tuple[int, int], fractions: tuple) -> None:
    left, top, right, bottom = fractions
    depth = np.ones(shape, np.float32)
    ValidRegion(*fractions).blank_outside(depth)
    y, x = ((np.arange(side) + 0.5) / side for side in shape)
    wanted = ((y >= top) & (y <= bottom))[:, None] & ((x >= left) & (x <= right))
    on_the_line = np.isclose(y[:, None], [top, bottom]).any(1)[:, None] | (
        np.isclose(x[:, None], [left, right]).any(1)
    )
    np.testing.assert_array_equal(np.isfinite(depth)[~on_the_line], wanted[~on_the_line])


@pytest.mark.parametrize(
    "fractions",
    [(0.5, 0, 0.5, 1), (0, 0, 1.1, 1), (-0.1, 0, 1, 1), (0, 0.9, 1, 0.1), (NAN, 0, 1, 1)],
)
def test_impossible_regions_are_refused(fractions: tuple) -> None:
    with pytest.raises(ValueError, match=r"valid region .* should be 0 <= left < right <= 1"):
        ValidRegion(*fractions)
