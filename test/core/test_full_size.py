# SPDX-License-Identifier: Apache-2.0
"""Pictures so large that they are worked on in parts, and written where the caller wants them."""

import math

import numpy as np
import pytest
from tiny_models import metres, write_own

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.colorize import UNKNOWN_COLOR, colorize
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.preprocess import Geometry

SPEC = ModelSpec(width=64, height=32, canonical_focal_length=50.0, max_depth=200.0)


@pytest.fixture
def estimator(tmp_path):
    return DepthEstimator.load(str(write_own(tmp_path / "tiny.onnx", SPEC)))


def picture(width, height):
    return np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("factors", [(2, 2), (4, 4), (6, 6), (8, 4), (12, 8), (5, 5), (6, 3)])
def test_shrinking_by_whole_factors_is_the_mean_of_the_area(factors):
    across, down = factors
    geometry = Geometry.fit((64 * across, 32 * down), (64, 32), stretch=True)
    image = picture(64 * across, 32 * down)
    exact = image.reshape(32, down, 64, across, 3).mean(axis=(1, 3))
    error = geometry.to_network(image) - exact
    assert np.abs(error).max() <= 1
    assert abs(error.mean()) < 0.4  # of a level: OpenCV rounds halves up


def test_depth_scale_and_the_farthest_wanted(estimator):
    image = picture(64, 32)
    answer = 1.1 * 3 * metres(image)
    end = float(np.median(answer))
    depth = estimator(image, Intrinsics(150.0, 150.0, 0, 0), depth_scale=1.1, max_depth=end)
    clear = np.abs(answer - end) > 1e-3
    np.testing.assert_array_equal(np.isnan(depth)[clear], (answer > end)[clear])
    near = clear & (answer < end)
    np.testing.assert_allclose(depth[near], answer[near], rtol=1e-5)


@pytest.mark.parametrize("at_network_size", [False, True])
@pytest.mark.parametrize("size", [(2048, 1024), (900, 700), (64, 32)])
def test_depth_is_written_where_it_is_wanted(estimator, size, at_network_size):
    image = picture(*size)
    end = float(np.median(estimator(image, None, at_network_size=at_network_size)))
    wanted = estimator(image, None, at_network_size=at_network_size, max_depth=end)
    assert 0.3 < np.isnan(wanted).mean() < 0.7
    out = np.zeros_like(wanted, order="C")
    got = estimator(image, None, at_network_size=at_network_size, max_depth=end, out=out)
    assert np.shares_memory(got, out)
    np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("size", [(1500, 1400), (2048, 1024), (37, 20), (16, 500), (2, 1)])
def test_range_of_pictures_larger_and_smaller_than_the_network(estimator, size):
    image = picture(*size)
    depth = estimator(image, None)
    low, high = np.quantile(depth, [0.2, 0.7])
    limits = {"min_depth": float(low), "max_depth": float(high) + 1e-3}
    part = DepthEstimator(ModelSpec(**{**vars(SPEC), **limits}), estimator.engine)(image, None)
    known = (depth >= limits["min_depth"]) & (depth <= limits["max_depth"])
    np.testing.assert_array_equal(part, np.where(known, depth, np.nan))


def test_an_answer_that_holds_nan_and_infinity_is_unknown_there(estimator):
    answer = np.full((1, 1, 32, 64), 10.0, np.float32)
    answer[..., :8, :] = np.nan
    answer[..., 24:, :16] = np.inf
    depth = estimator.metric_depth(answer, estimator.geometry(64, 32), None)
    np.testing.assert_array_equal(np.isnan(depth), ~np.isfinite(answer[0, 0]))
    large = estimator.metric_depth(answer, estimator.geometry(640, 320), None)
    assert not np.isinf(large).any()
    np.testing.assert_allclose(large[100:220], 10.0, rtol=1e-6)


@pytest.mark.parametrize("size", [(2048, 1024), (1, 300_000), (300_000, 1), (777, 555)])
def test_colours_of_a_pixel_do_not_depend_on_the_picture_around_it(size):
    rng = np.random.default_rng(4)
    depth = np.exp(rng.uniform(-1, 6, size[::-1])).astype(np.float32)
    depth[rng.random(depth.shape) < 0.1] = math.nan
    out = np.zeros((*depth.shape, 3), np.uint8)
    assert colorize(depth, 1.0, 80.0, out=out) is out
    order = rng.permutation(depth.size)[:4000]
    few = colorize(depth.reshape(-1)[order][None], 1.0, 80.0)[0]
    np.testing.assert_array_equal(out.reshape(-1, 3)[order], few)
    np.testing.assert_array_equal((out == UNKNOWN_COLOR).all(axis=2), np.isnan(depth))
