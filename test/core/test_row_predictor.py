# SPDX-License-Identifier: Apache-2.0
"""The best guess per row against exact medians and against every other guess."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from depth_dpt_core.evaluation.row_predictor import RowPredictor


def best_of(images, **options):
    predictor = RowPredictor(**options)
    for truth in images:
        predictor.add(truth.astype(np.float32))
    return predictor.best(len(images[0])).astype(float)


def mean_abs_rel(constant, images):
    """abs_rel of one depth per row, averaged over images, straight from its definition."""
    scores = []
    for truth in images:
        valid = np.isfinite(truth) & (truth > 0.001) & (truth < 80)
        if valid.any():
            guess = np.broadcast_to(constant[:, None], truth.shape)
            scores.append(np.mean(np.abs(guess - truth)[valid] / truth[valid]))
    return np.mean(scores)


@pytest.mark.parametrize("seed", range(8))
def test_no_other_depth_per_row_scores_better(seed):
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(3):
        truth = rng.uniform(2, 95, (3, 5))  # some beyond 80 m
        truth[rng.random(truth.shape) < rng.uniform(0.1, 0.6)] = np.nan
        images.append(truth)
    best = best_of(images)
    reached = mean_abs_rel(best, images)
    # rows are independent; the optimum is at a seen depth, but any depth may try
    for row in range(3):
        seen = np.concatenate([truth[row] for truth in images])
        for depth in [*seen[np.isfinite(seen)].tolist(), *np.linspace(1, 80, 60)]:
            other = best.copy()
            other[row] = depth
            assert mean_abs_rel(other, images) >= reached - 0.005  # what its resolution costs


@pytest.mark.parametrize("max_depth", [80.0, 300.0])
def test_within_half_a_percent_of_the_exact_weighted_median(max_depth):
    rng = np.random.default_rng(5)
    images = [np.exp(rng.normal(np.log([[3], [15], [60]]), 0.8, (3, 401))) for _ in range(5)]
    images[1][:, ::2] = np.nan
    best = best_of(images, max_depth=max_depth)
    for row in range(3):
        pairs = []
        for truth in images:
            share = 1 / np.count_nonzero(truth < max_depth)
            pairs += [(g, share / g) for g in truth[row] if g < max_depth]
        depth, weight = np.array(sorted(pairs)).T
        below = np.cumsum(weight)
        exact = depth[np.searchsorted(below, below[-1] / 2)]
        assert best[row] == pytest.approx(exact, rel=0.005)


@pytest.mark.parametrize("depth", [0.002, 0.0131, 1, 7.77, 79.99])
def test_one_depth_is_found_again(depth):
    assert best_of([np.full((1, 4), depth)]) == pytest.approx(depth, rel=0.0025)


def test_rows_without_truth_take_the_nearest_row():
    rows = np.array([np.nan, 30, np.nan, np.nan, 90, np.nan, 10])
    best = best_of([np.repeat(rows[:, None], 8, axis=1)])
    np.testing.assert_allclose(best, [30, 30, 30, 30, 10, 10, 10], rtol=0.0025)


def test_memory_does_not_grow_with_the_images():
    predictor = RowPredictor()
    rng = np.random.default_rng(6)
    held = []
    tracemalloc.start()
    try:
        for count in range(1, 41):
            predictor.add(rng.uniform(2, 90, (64, 2048)).astype(np.float32))
            if count in (2, 40):
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] < held[0] + 50_000  # the images: 20 MB
    assert held[0] > 0


def test_no_truth_is_an_error():
    predictor = RowPredictor()
    with pytest.raises(ValueError, match="no image has truth"):
        predictor.best(4)
    predictor.add(np.full((4, 8), np.nan, np.float32))
    with pytest.raises(ValueError, match="no image has truth"):
        predictor.best(4)


def test_images_of_other_heights_share_the_rows_of_the_first():
    predictor = RowPredictor()
    predictor.add(np.repeat([[20.0], [5.0]], 8, axis=1).astype(np.float32))
    predictor.add(np.repeat([[20.0], [20.0], [20.0], [5.0], [5.0], [5.0]], 8, axis=1))
    np.testing.assert_allclose(predictor.best(4), [20, 20, 5, 5], rtol=0.0025)
    np.testing.assert_allclose(predictor.best(2), [20, 5], rtol=0.0025)
    np.testing.assert_allclose(predictor.best(1), [5], rtol=0.0025)
