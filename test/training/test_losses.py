# SPDX-License-Identifier: Apache-2.0
"""Losses against formulas written out in numpy float64, one pixel after the other."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")

from depth_dpt_core.training.losses import far_loss, gradient_loss, silog_loss  # noqa: E402

EPSILON = 1e-6  # under the square root, so that a perfect answer has a gradient


def batch(seed: int, shape=(3, 1, 24, 40), known: float = 0.7):
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(2, 0.8, shape), rng.normal(2, 0.8, shape)
    return prediction, target, rng.random(shape) < known


def tensors(prediction, target, valid):
    leaf = torch.tensor(prediction, dtype=torch.float32, requires_grad=True)
    return leaf, torch.tensor(target, dtype=torch.float32), torch.tensor(valid)


def silog_reference(prediction, target, valid) -> float:
    images = []
    for p, g, v in zip(prediction, target, valid, strict=True):
        if v.any():
            e = (p - g)[v]
            images.append(np.sqrt(np.mean(e**2) - 0.5 * np.mean(e) ** 2 + EPSILON))
    return float(np.mean(images))


def gradient_reference(prediction, target, valid) -> float:
    total = 0.0
    for step in (1, 2, 4, 8):
        e = (prediction - target)[..., ::step, ::step]
        v = valid[..., ::step, ::step]
        for axis in (2, 3):
            slopes = []
            for index in np.ndindex(e.shape):
                beside = list(index)
                beside[axis] += 1
                if beside[axis] < e.shape[axis] and v[index] and v[tuple(beside)]:
                    slopes.append(abs(e[tuple(beside)] - e[index]))
            total += np.mean(slopes) if slopes else 0.0
    return total / 4


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("known", [1.0, 0.7, 0.05])
@pytest.mark.parametrize(
    ("loss", "reference"),
    [(silog_loss, silog_reference), (gradient_loss, gradient_reference)],
)
def test_agrees_with_the_formula(loss, reference, seed, known):
    data = batch(seed, known=known)
    assert loss(*tensors(*data)).item() == pytest.approx(reference(*data), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 3, 50), (1, 1, 9, 8)])
def test_gradient_loss_takes_images_smaller_than_its_scales(shape):
    data = batch(5, shape, known=1.0)
    assert gradient_loss(*tensors(*data)).item() == pytest.approx(
        gradient_reference(*data), rel=1e-5
    )


@pytest.mark.parametrize("loss", [silog_loss, gradient_loss])
def test_nothing_valid_gives_zero_with_zero_gradient(loss):
    prediction, target, valid = tensors(*batch(0, known=-1.0))
    value = loss(prediction, target, valid)
    value.backward()
    assert value.item() == 0
    assert torch.count_nonzero(prediction.grad) == 0


@pytest.mark.parametrize("loss", [silog_loss, gradient_loss])
@pytest.mark.parametrize("hole", [float("nan"), float("inf"), -float("inf")])
def test_unknown_pixels_count_neither_in_the_value_nor_in_the_gradient(loss, hole):
    prediction, target, valid = tensors(*batch(1))
    expected = loss(prediction, target, valid).item()
    value = loss(prediction, torch.where(valid, target, hole), valid)
    value.backward()
    assert value.item() == pytest.approx(expected, rel=1e-6)
    assert torch.isfinite(prediction.grad).all()
    assert torch.count_nonzero(prediction.grad[~valid]) == 0
    assert torch.count_nonzero(prediction.grad[valid]) > 0


@pytest.mark.parametrize("loss", [silog_loss, gradient_loss])
def test_gradient_is_that_of_finite_differences(loss):
    prediction, target, valid = tensors(*batch(2, (2, 1, 4, 5)))
    loss(prediction, target, valid).backward()
    step = 1e-3
    for index in np.ndindex(tuple(prediction.shape)):
        moved = prediction.detach().clone().repeat(2, 1, 1, 1, 1)
        moved[(0, *index)] += step
        moved[(1, *index)] -= step
        slope = (loss(moved[0], target, valid) - loss(moved[1], target, valid)) / (2 * step)
        assert prediction.grad[index].item() == pytest.approx(slope.item(), abs=2e-3)


@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_a_common_scale_of_prediction_and_truth_changes_nothing(factor):
    prediction, target, valid = tensors(*batch(3))
    moved = (prediction + np.log(factor), target + np.log(factor), valid)
    for loss in (silog_loss, gradient_loss):
        assert loss(*moved).item() == pytest.approx(loss(prediction, target, valid).item(), 1e-4)


@pytest.mark.parametrize("factor", [0.5, 1.1, 4.0])
def test_silog_counts_half_of_a_scale_error_and_the_gradient_loss_none(factor):
    _, target, valid = tensors(*batch(4))
    prediction = target + np.log(factor)
    half = np.sqrt(0.5 * np.log(factor) ** 2 + EPSILON)
    assert silog_loss(prediction, target, valid).item() == pytest.approx(half, rel=1e-4)
    assert gradient_loss(prediction, target, valid).item() == pytest.approx(0, abs=1e-5)


def test_silog_weighs_images_not_pixels_and_leaves_out_images_without_truth():
    prediction, target, valid = batch(6)
    valid[1] = False
    valid[2] = False
    valid[2, 0, 0, :3] = True  # three pixels count as much as the whole first image
    both = silog_loss(*tensors(prediction, target, valid)).item()
    alone = [
        silog_loss(*tensors(*(array[i : i + 1] for array in (prediction, target, valid)))).item()
        for i in (0, 2)
    ]
    assert both == pytest.approx(np.mean(alone), rel=1e-5)
    pooled = silog_loss(*tensors(*(a.reshape(1, 1, 72, 40) for a in (prediction, target, valid))))
    assert abs(both - pooled.item()) > 0.01


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_predictions_are_computed_on_in_float32(dtype):
    prediction, target, valid = tensors(*batch(7))
    coarse = prediction.detach().to(dtype).requires_grad_()
    for loss in (silog_loss, gradient_loss):
        value = loss(coarse, target, valid)
        exact = loss(coarse.detach().float(), target, valid)
        assert value.dtype == torch.float32
        assert value.item() == exact.item()
    far = far_loss(coarse, valid, 80.0)
    assert far.dtype == torch.float32
    assert far.item() == far_loss(coarse.detach().float(), valid, 80.0).item()


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (80.0, np.log(1.1)),
        (44.0, np.log(2.0)),
        (88.0, 0.0),  # ten percent beyond the range is far enough
        (5000.0, 0.0),
    ],
)
def test_far_pixels_are_pushed_beyond_the_range_and_then_left_alone(depth, expected):
    prediction = torch.full((1, 1, 4, 6), float(np.log(depth)), requires_grad=True)
    far = torch.zeros(1, 1, 4, 6, dtype=torch.bool)
    far[..., :2, :] = True
    value = far_loss(prediction, far, 80.0)
    value.backward()
    assert value.item() == pytest.approx(expected, abs=1e-5)
    assert torch.count_nonzero(prediction.grad[~far]) == 0
    if expected:
        assert (prediction.grad[far] < 0).all()  # descending makes it farther


def test_without_far_pixels_the_far_loss_is_zero_with_zero_gradient():
    prediction = torch.zeros(2, 1, 4, 4, requires_grad=True)
    value = far_loss(prediction, torch.zeros(2, 1, 4, 4, dtype=torch.bool), 80.0)
    value.backward()
    assert value.item() == 0
    assert torch.count_nonzero(prediction.grad) == 0
