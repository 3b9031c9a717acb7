# SPDX-License-Identifier: Apache-2.0
"""Protocols against the vectors and index sets of their authors."""

from __future__ import annotations

import numpy as np
import pytest

from depth_dpt_core.evaluation.protocols import PROTOCOLS, manydepth_window
from depth_dpt_core.evaluation.totals import Totals

METRIC, MANYDEPTH, REFERENCE = (PROTOCOLS[n] for n in ("metric", "manydepth", "reference"))
B = [([10, 20, 40], [11, 20, 30]), ([5], [10])]
RANGES = (0.0, 10.0, 80.0)


def image_of(values, shape, fill=np.nan):
    """[H,W] that begins with the values and is unknown elsewhere."""
    image = np.full(shape, fill, np.float32)
    image.flat[: len(values)] = values
    return image


def score(protocol, images, shape, *, max_depth=80.0):
    totals = Totals(protocol, max_depth=max_depth, ranges=RANGES)
    for truth, prediction in images:
        answer = image_of(prediction, shape, fill=7.0)
        totals.add(protocol.compare(answer, image_of(truth, shape), max_depth))
    return totals.score()


def assert_metrics(metrics, **wanted):
    got = {name: metrics.to_dict()[name] for name in wanted}
    assert got == pytest.approx(wanted, rel=0, abs=1e-6)


def test_vector_a():
    result = score(METRIC, [([2, 4, 8, 10], [2.2, 5, 6, 25])], (3, 5))
    wanted = [0.525, 5.8175, 7.5835348, 0.4952845, 0.25, 0.75, 0.75]
    got = list(result.metrics.to_dict().values())
    # the arrays are float32, as frames are
    assert got == pytest.approx(wanted, rel=1e-7, abs=1e-6)


def test_vector_b_is_averaged_per_image():
    result = score(METRIC, [*B, ([], [])], (3, 5))
    wanted = [0.5583333, 2.9333333, 5.4011492, 0.4340593, 0.3333333, 0.5, 0.5]
    assert list(result.metrics.to_dict().values()) == pytest.approx(wanted, rel=0, abs=1e-6)
    assert (result.images, result.images_without_truth, result.pixels) == (2, 1, 4)


def test_vector_b_as_the_reference_averages():
    empty = ([], [])
    batch = [*B, *[empty] * 6]
    shape = (224, 224)
    wanted = {"abs_rel": 0.3375, "rmse": 5.6124861, "rmse_log": 0.3782519, "delta_1": 0.5}
    assert_metrics(score(REFERENCE, batch, shape).metrics, **wanted)
    # one image more is a batch of its own: no error at all, and not one hit
    result = score(REFERENCE, [*batch, empty], shape)
    assert_metrics(result.metrics, abs_rel=0.16875, rmse=2.806243, delta_1=0.25)
    assert (result.images, result.images_without_truth, result.pixels) == (2, 7, 4)
    # two batches of unequal size count alike
    result = score(REFERENCE, [*batch, B[1]], shape)
    assert_metrics(result.metrics, abs_rel=(0.3375 + 1) / 2, rmse=(5.6124861 + 5) / 2)


def test_vector_c_ends_are_exclusive_and_answers_are_clipped():
    truth, prediction = [0, 0.0005, 5, 50, 79.999, 80, 120], [3, 3, 4, 100, 0, 80, 10]
    result = score(METRIC, [(truth, prediction)], (2, 4))
    assert result.pixels == 3
    wanted = {"abs_rel": 0.5999958, "rmse": 49.3311261, "delta_2": 1 / 3, "delta_3": 2 / 3}
    assert_metrics(result.metrics, **wanted)
    assert result.metrics.rmse_log == pytest.approx(6.5250693, abs=1e-6)
    # the original recipe clamps the truth: 80 and 120 m are both 80 m
    clamped = score(REFERENCE, [(truth, prediction)], (224, 224))
    assert clamped.pixels == 5


def test_vector_d_is_scaled_by_the_median():
    truth, answer = np.full((2, 8, 16), np.nan, np.float32)
    answer[:] = 33  # must not matter
    truth[0], answer[-2:] = 5, 9  # outside of what is compared, or unseen
    # compared are rows 2:6 and columns 2:14
    rows, columns = [2, 3, 4, 5], [2, 8, 13, 5]
    truth[rows, columns], answer[rows, columns] = [4, 8, 12, 16], [1, 2, 4, 8]
    totals = Totals(MANYDEPTH, max_depth=80.0, ranges=RANGES)
    totals.add(MANYDEPTH.compare(answer[:6], truth, 80.0))
    result = totals.score()
    assert result.pixels == 4
    wanted = {"abs_rel": 0.2777778, "rmse": 5.4262735, "rmse_log": 0.2909149}
    assert_metrics(result.metrics, **wanted, delta_1=0.75, delta_2=0.75, delta_3=1)


def test_manydepth_scales_before_it_clips():
    truth = np.full((8, 16), 60, np.float32)
    answer = np.full((6, 16), 90, np.float32)  # beyond the range until scaled
    answer[:, 8:] = 90.0 * 4
    truth[:, 8:] = 79
    comparison = MANYDEPTH.compare(answer, truth, 80.0)
    ratio = np.median([60, 79]) / np.median([90, 360])
    assert set(comparison.prediction) == {90 * ratio, 80.0}


def test_manydepth_takes_medians_where_there_are_answers():
    truth = np.full((8, 16), 20, np.float32)
    answer = np.full((6, 16), 10, np.float32)
    truth[4:], answer[4:] = 70, np.nan
    comparison = MANYDEPTH.compare(answer, truth, 80.0)
    assert comparison.missing == 2 * 12
    assert set(comparison.prediction) == {20.0, 80.0}


@pytest.mark.parametrize(
    ("size", "seen", "box"),
    [((1024, 2048), 768, (256, 768, 192, 1856)), ((256, 512), 192, (64, 192, 48, 464))],
)
def test_manydepth_crop(size, seen, box):
    assert MANYDEPTH.rows_seen(size[0]) == seen
    assert METRIC.rows_seen(size[0]) == REFERENCE.rows_seen(size[0]) == size[0]
    top, bottom, left, right = box
    assert manydepth_window(*size) == (slice(top, bottom), slice(left, right))
    truth = np.full(size, 30, np.float32)
    truth[top:bottom, left:right] = 10
    answer = np.full((seen, size[1]), 3, np.float32)
    comparison = MANYDEPTH.compare(answer, truth, 80.0)
    assert len(comparison.truth) == (bottom - top) * (right - left)
    assert set(comparison.truth) == {10.0}
    # every pixel of the box, by its place
    answer[:] = np.arange(answer.size).reshape(answer.shape) + 1
    places = MANYDEPTH.compare(answer, truth, 1e9).prediction
    wanted = answer[top:bottom, left:right].astype(float).ravel()
    np.testing.assert_allclose(places / places[0], wanted / wanted[0], rtol=1e-12)


@pytest.mark.parametrize("size", [(256, 512), (300, 400), (108, 192)])
def test_the_reference_compares_at_its_own_size(size):
    pil = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(4)
    truth = rng.uniform(2, 200, size).astype(np.float32)
    truth[rng.random(truth.shape) < 0.3] = np.nan
    height, width = size
    answer = np.repeat(np.linspace(5, 50, width, dtype=np.float32)[None], height, axis=0)
    comparison = REFERENCE.compare(answer, truth, 80.0)
    nearest = np.asarray(pil.fromarray(truth).resize((224, 224), pil.Resampling.NEAREST))
    wanted = np.minimum(nearest[np.isfinite(nearest)], 80)
    np.testing.assert_array_equal(comparison.truth, wanted)
    columns = (np.arange(224) + 0.5) * width / 224 - 0.5  # a ramp stays a ramp
    columns = np.clip(columns, 0, width - 1)
    ramp = 5 + 45 * columns / (width - 1)
    ramp = np.broadcast_to(ramp, (224, 224))[np.isfinite(nearest)]
    np.testing.assert_allclose(comparison.prediction, ramp, rtol=1e-6)
