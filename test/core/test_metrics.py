# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from tiny_models import bilinear

from depth_dpt_core.data.cityscapes import decode_disparity, encode_disparity
from depth_dpt_core.metrics import (
    METRIC_NAMES,
    DepthMetrics,
    MetricsAccumulator,
    compute_metrics,
)

A = ([2, 4, 8, 10], [2.2, 5, 6, 25])
B = [([10, 20, 40], [11, 20, 30]), ([5], [10])]
C = ([0, 0.0005, 5, 50, 79.999, 80, 120], [3, 3, 4, 100, 0, 80, 10])
D = ([4, 8, 12, 16], [1, 2, 4, 8])


def score(truth, prediction, **options):
    return compute_metrics(np.array([prediction], float), np.array([truth], float), **options)


def assert_metrics(metrics, **wanted):
    got = {name: metrics.to_dict()[name] for name in wanted}
    assert got == pytest.approx(wanted, rel=0, abs=1e-6)


def test_names_and_order():
    names = ("abs_rel", "sq_rel", "rmse", "rmse_log", "delta_1", "delta_2", "delta_3")
    assert names == METRIC_NAMES


def test_vector_a_deltas_are_strict():
    result = score(*A)
    wanted = [0.525, 5.8175, 7.5835348, 0.4952845, 0.25, 0.75, 0.75]
    assert_metrics(result.metrics, **dict(zip(METRIC_NAMES, wanted, strict=True)))
    assert (result.valid, result.missing) == (4, 0)


def test_vector_b_averages_images_and_does_not_pool_pixels():
    totals = MetricsAccumulator()
    for truth, prediction in B:
        totals.add(np.array([prediction], float), np.array([truth], float))
    wanted = [0.5583333, 2.9333333, 5.4011492, 0.4340593, 0.3333333, 0.5, 0.5]
    assert_metrics(totals.mean(), **dict(zip(METRIC_NAMES, wanted, strict=True)))
    pooled = [0.3375, 1.9, 5.6124861, 0.3782519, 0.5, 0.75, 0.75]
    one = score([g for image, _ in B for g in image], [p for _, image in B for p in image])
    assert_metrics(one.metrics, **dict(zip(METRIC_NAMES, pooled, strict=True)))


def test_vector_b_with_an_image_without_truth_is_the_same():
    totals = MetricsAccumulator()
    nothing = np.full((1, 3), np.nan)
    for truth, prediction in [*B, (nothing[0], [1, 2, 3]), ([0, 80, 500], [1, 80, 500])]:
        totals.add(np.array([prediction], float), np.array([truth], float))
    assert_metrics(totals.mean(), abs_rel=0.5583333, rmse=5.4011492)
    assert (totals.images, totals.images_without_truth, totals.valid) == (2, 2, 4)


def test_vector_c_range_is_exclusive_and_predictions_are_clipped():
    result = score(*C)
    assert result.valid == 3
    assert_metrics(
        result.metrics,
        abs_rel=0.5999958,
        rmse=49.3311261,
        rmse_log=6.5250693,
        delta_1=0,
        delta_2=0.3333333,
        delta_3=0.6666667,
    )


def test_vector_d_scaled_by_its_median_ratio():
    truth, prediction = np.array(D[0], float), np.array(D[1], float)
    ratio = np.median(truth) / np.median(prediction)
    assert ratio == pytest.approx(3.3333333, abs=1e-6)
    assert_metrics(
        score(truth, prediction * ratio).metrics,
        abs_rel=0.2777778,
        rmse=5.4262735,
        rmse_log=0.2909149,
        delta_1=0.75,
        delta_2=0.75,
        delta_3=1,
    )


def test_vector_e_decodes_disparity():
    codes = np.array([[257, 1517, 12125, 65535, 0, 1]], np.uint16)
    depth = decode_disparity(codes, 473.57484876)
    assert depth.dtype == np.float32
    wanted = [473.5748488, 79.9704230, 9.9996009, 1.8499582]
    np.testing.assert_allclose(depth[0, :4], wanted, rtol=1e-7)
    assert np.isnan(depth[0, 4:]).all()
    ends = decode_disparity(np.array([[1516, 1517]], np.uint16), 473.57484876)
    assert ends[0, 0] > 80 > ends[0, 1]
    np.testing.assert_array_equal(encode_disparity(depth, 473.57484876), [[*codes[0, :4], 0, 0]])


@pytest.mark.parametrize("hole", [math.nan, math.inf, -math.inf])
def test_a_prediction_that_is_not_finite_counts_as_max_depth_and_missing(hole):
    result = score([5, 10, 20, math.nan], [5, hole, hole, hole])
    assert (result.valid, result.missing) == (3, 2)
    assert result.metrics == score([5, 10, 20], [5, 80, 80]).metrics
    near = score([5, 10, 20], [5, hole, hole], max_depth=30.0)
    assert near.metrics == score([5, 10, 20], [5, 30, 30]).metrics


def test_perfect_answers():
    assert score([1, 2, 70], [1, 2, 70]).metrics == DepthMetrics(0, 0, 0, 0, 1, 1, 1)


def test_range_can_be_chosen():
    assert score([0.5, 5, 99], [1, 5, 99], min_depth=1, max_depth=100).valid == 2
    assert score([0.5, 5, 99], [1, 5, 99], min_depth=0.1, max_depth=50).valid == 2


@pytest.mark.parametrize("small", [(2, 2), (3, 5), (6, 4)])
@pytest.mark.parametrize("large", [(4, 4), (9, 10), (5, 3)])
def test_predictions_are_resized_bilinearly_at_half_pixels(small, large):
    prediction = np.random.default_rng(2).uniform(2, 60, small)
    truth = bilinear(prediction, *large)
    assert compute_metrics(prediction, truth).metrics.rmse < 1e-4
    if small == (2, 2) and large == (4, 4):  # the reference itself, by hand
        share = [0, 0.25, 0.75, 1]
        np.testing.assert_allclose(
            truth[0], prediction[0, 0] + np.array(share) * np.diff(prediction[0])
        )


def test_resizing_spreads_missing_pixels_and_never_blends_them():
    prediction = np.array([[5.0, np.nan, 5.0, 5.0]])
    result = compute_metrics(prediction, np.full((1, 8), 5.0))
    # half-pixel: of 8 pixels, those at 0.25, 0.75, 1.25 and 1.75 touch the hole
    assert (result.valid, result.missing) == (8, 4)
    assert_metrics(result.metrics, abs_rel=0.5 * 75 / 5, delta_1=0.5)


def test_float32_and_float64_agree():
    generator = np.random.default_rng(3)
    truth, prediction = generator.uniform(1, 79, (2, 20, 30)).astype(np.float32)
    single = compute_metrics(prediction, truth).metrics.to_dict()
    double = compute_metrics(prediction.astype(float), truth.astype(float)).metrics.to_dict()
    assert single == pytest.approx(double, rel=1e-12)


def test_streaming_is_the_mean_of_single_results():
    generator = np.random.default_rng(4)
    totals, singles = MetricsAccumulator(), []
    for number in range(6):
        truth = generator.uniform(0, 120, (5, 7 + number))
        prediction = generator.uniform(1, 90, truth.shape)
        prediction[0, number] = np.nan
        singles.append(totals.add(prediction, truth))
    for name in METRIC_NAMES:
        mean = np.mean([getattr(single.metrics, name) for single in singles])
        assert getattr(totals.mean(), name) == pytest.approx(mean, rel=1e-12)
    assert totals.images == 6
    assert totals.valid == sum(single.valid for single in singles)
    assert totals.missing == sum(single.missing for single in singles) > 0


def test_nothing_to_average_is_an_error_not_a_zero():
    totals = MetricsAccumulator()
    assert totals.add(np.ones((2, 2)), np.full((2, 2), 500.0)).metrics is None
    with pytest.raises(ValueError, match=r"no image has valid depth between 0\.001 and 80"):
        totals.mean()
