# SPDX-License-Identifier: Apache-2.0
"""Models whose answers are no metres."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import describe, write_third_party

from depth_dpt_core.artifact import ArtifactError, read
from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.colorize import UNKNOWN_COLOR, colorize, colorize_nearness
from depth_dpt_core.engines.onnxruntime import OnnxRuntimeEngine
from depth_dpt_core.estimator import DepthEstimator

WIDTH, HEIGHT = 40, 20
WEIGHTS, BIAS = (1.0, 2.0, 4.0), 0.5  # of r, g, b from 0 to 1
PICTURE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
ANSWER = (PICTURE / 255) @ np.array(WEIGHTS) + BIAS


@pytest.fixture
def relative(tmp_path):
    def make(**output: object) -> DepthEstimator:
        path = tmp_path / "relative.onnx"
        write_third_party(path, size=(WIDTH, HEIGHT), weights=WEIGHTS, bias=BIAS)
        describe(
            path, width=WIDTH, height=HEIGHT, min_depth=0.001, max_depth=100.0,
            input={"name": "pixels", "layout": "NCHW", "dtype": "float32"},
            output={"name": "out", "relative": True, **output},
        )  # fmt: skip
        artifact = read(path)
        return DepthEstimator(artifact.spec, OnnxRuntimeEngine(artifact, num_threads=1))

    return make


@pytest.mark.parametrize(
    ("output", "near_is_more"),
    [
        ({"quantity": "inverse_depth"}, True),
        ({"quantity": "inverse_depth", "scale": -2.0}, False),
        ({"quantity": "depth"}, False),
        ({"quantity": "depth", "scale": -1.0, "shift": 100.0}, True),
    ],
)
def test_nearness_is_linear_between_two_percentiles(relative, output, near_is_more):
    estimator = relative(**output)
    assert estimator.relative
    answer = estimator.engine.infer(estimator.prepare(PICTURE))
    near = estimator.nearness(answer, estimator.geometry(WIDTH, HEIGHT))
    low, high = np.sort(ANSWER.ravel())[[round(p * (ANSWER.size - 1)) for p in (0.02, 0.98)]]
    wanted = np.clip((ANSWER - low) / (high - low), 0, 1)
    np.testing.assert_allclose(near, wanted if near_is_more else 1 - wanted, atol=0.01)
    assert (near.min(), near.max()) == (0, 1)


def test_scale_and_shift_of_the_network_do_not_show(relative):
    estimator = relative(quantity="inverse_depth")
    geometry = estimator.geometry(WIDTH, HEIGHT)
    answer = estimator.engine.infer(estimator.prepare(PICTURE))
    once, again = (estimator.nearness(a, geometry) for a in (answer, 70 * answer - 3))
    np.testing.assert_allclose(once, again, atol=1e-4)


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (80, 80), (33, 40)])
def test_padding_does_not_count(relative, size):
    """Where padding counted, its answer would be one of the ends."""
    estimator = relative(quantity="inverse_depth")
    dark = np.full((size[1], size[0], 3), 10, np.uint8)
    dark[:, size[0] // 2 :] = 12
    answer = estimator.engine.infer(estimator.prepare(dark))
    geometry = estimator.geometry(*size)
    near = estimator.nearness(answer, geometry)
    assert near.shape == dark.shape[:2]
    assert near[:, 0].max() == pytest.approx(0, abs=1e-6)
    assert near[:, -1].min() == pytest.approx(1, abs=1e-6)
    small = estimator.nearness(answer, geometry, at_network_size=True)
    assert small.shape == (geometry.content_height, geometry.content_width)


@pytest.mark.parametrize("value", [3.0, np.nan, np.inf])
def test_images_without_any_near_and_far(relative, value):
    estimator = relative(quantity="inverse_depth")
    answer = np.full((1, 1, HEIGHT, WIDTH), value, np.float32)
    near = estimator.nearness(answer, estimator.geometry(WIDTH, HEIGHT))
    wanted = 0 if np.isfinite(value) else np.nan
    np.testing.assert_array_equal(near, np.full((HEIGHT, WIDTH), wanted, np.float32))


def test_metres_are_refused(relative, tmp_path):
    estimator = relative(quantity="inverse_depth")
    with pytest.raises(ArtifactError, match="relative depth, no metres; measure the scale"):
        estimator(PICTURE, Intrinsics(50, 50, 20, 10))
    with pytest.raises(ArtifactError, match=r"relative\.onnx: answers relative depth, no metres"):
        DepthEstimator.load(str(tmp_path / "relative.onnx"))


@pytest.mark.parametrize("scale", [0.5, 1.0, 12.0])
@pytest.mark.parametrize(
    ("output", "depth"),
    [
        ({"quantity": "inverse_depth"}, 1 / ANSWER),
        ({"quantity": "inverse_depth", "scale": 2.0, "shift": 0.1}, 1 / (2 * ANSWER + 0.1)),
        ({"quantity": "depth", "scale": 3.0, "shift": 0.2}, 3 * ANSWER + 0.2),
    ],
)
def test_a_scale_makes_metres(relative, output, depth, scale):
    metric = relative(**output).with_scale(scale)
    assert not metric.relative
    np.testing.assert_allclose(metric(PICTURE, None), scale * depth, rtol=1e-4)
    assert (metric.spec.min_depth, metric.spec.max_depth) == (0.001 * scale, 100 * scale)


def test_relative_must_be_a_truth_value(relative):
    with pytest.raises(ArtifactError, match="output relative is 'yes', must be one of"):
        relative(relative="yes")


@pytest.mark.parametrize("color_map", ["turbo", "inferno", "magma"])
def test_colours_of_nearness(color_map):
    near = np.array([[0, 0.25, 0.5, 1, np.nan]], np.float32)
    colors = colorize_nearness(near, color_map=color_map)
    # the same colours as of depth from 80 m to 1 m, at even steps of its logarithm
    depth = np.array([[80, 80**0.75, 80**0.5, 1, np.nan]], np.float32)
    wanted = colorize(depth, 1, 80, color_map=color_map).astype(int)
    assert np.abs(colors.astype(int) - wanted).max() <= 5  # a level of rounding
    assert tuple(colors[0, 4]) == UNKNOWN_COLOR
