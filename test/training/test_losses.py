# SPDX-License-Identifier: Apache-2.0
"""Losses against formulas written out in numpy float64, one pixel after the other."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")

from depth_dpt_core.config import LossConfig  # noqa: E402
from depth_dpt_core.training.losses import (  # noqa: E402
    far_loss,
    gradient_loss,
    reference_gradient_loss,
    reference_silog_loss,
    relative_loss,
    silog_loss,
    training_loss,
)

EPSILON = 1e-6  # under the square root, so that a perfect answer has a gradient
LOG = LossConfig("log", gradient_weight=0.7, relative_weight=0.3, far_weight=0.2)
REFERENCE = LossConfig("reference", gradient_weight=0.7, far_weight=0.2)
OURS = [silog_loss, gradient_loss, relative_loss]
ORIGINAL = [reference_silog_loss, reference_gradient_loss]


def batch(seed: int, shape=(3, 1, 24, 40), known: float = 0.7):
    """Log depth, or depth where the loss is in metres: positive nearly everywhere."""
    rng = np.random.default_rng(seed)
    prediction, target = rng.normal(2, 0.8, shape), rng.normal(2, 0.8, shape).clip(0.1)
    return prediction, target, rng.random(shape) < known


def tensors(prediction, target, valid):
    leaf = torch.tensor(prediction, dtype=torch.float32, requires_grad=True)
    return leaf, torch.tensor(target, dtype=torch.float32), torch.tensor(valid)


def mean(values) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def silog_formula(prediction, target, valid) -> float:
    images = []
    for p, g, v in zip(prediction, target, valid, strict=True):
        if v.any():
            e = (p - g)[v]
            images.append(np.sqrt(np.mean(e**2) - 0.5 * np.mean(e) ** 2 + EPSILON))
    return mean(images)


def slopes(error, valid, axis) -> list[float]:
    """Absolute differences of neighbours of one image [1,H,W] that are both valid."""
    found = []
    for index in np.ndindex(error.shape):
        beside = list(index)
        beside[axis] += 1
        if beside[axis] < error.shape[axis] and valid[index] and valid[tuple(beside)]:
            found.append(abs(error[tuple(beside)] - error[index]))
    return found


def gradient_formula(prediction, target, valid) -> float:
    total = 0.0
    for step in (1, 2, 4, 8):
        for axis in (1, 2):
            images = [
                slopes((p - g)[:, ::step, ::step], v[:, ::step, ::step], axis)
                for p, g, v in zip(prediction, target, valid, strict=True)
            ]
            total += mean([mean(image) for image in images if image])
    return total / 4


def relative_formula(prediction, target, valid) -> float:
    images = []
    for p, g, v in zip(np.exp(prediction), np.exp(target), valid, strict=True):
        if v.any():
            nearly = np.minimum(p, g * np.exp(3.0))
            images.append(np.mean((np.abs(nearly - g) / g)[v]))
    return mean(images)


def reference_silog_formula(depth, truth, valid) -> float:
    e = np.log(np.maximum(depth, 1e-3))[valid] - np.log(truth[valid])
    return float(np.mean(e**2) - 0.5 * np.mean(e) ** 2)


def reference_gradient_formula(depth, truth, valid) -> float:
    return sum(
        mean(
            [
                slope
                for p, g, v in zip(depth, truth, valid, strict=True)
                for slope in slopes(p - g, v, axis)
            ]
        )
        for axis in (1, 2)
    )


FORMULAS = [
    (silog_loss, silog_formula),
    (gradient_loss, gradient_formula),
    (relative_loss, relative_formula),
    (reference_silog_loss, reference_silog_formula),
    (reference_gradient_loss, reference_gradient_formula),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("known", [1.0, 0.7, 0.05])
@pytest.mark.parametrize(("loss", "formula"), FORMULAS)
def test_agrees_with_the_formula(loss, formula, seed, known):
    data = batch(seed, known=known)
    assert loss(*tensors(*data)).item() == pytest.approx(formula(*data), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 3, 50), (1, 1, 9, 8), (2, 1, 17, 1)])
@pytest.mark.parametrize(("loss", "formula"), FORMULAS)
def test_takes_images_smaller_than_its_scales(loss, formula, shape):
    data = batch(5, shape, known=1.0)
    assert loss(*tensors(*data)).item() == pytest.approx(formula(*data), rel=1e-5)


def test_the_original_loss_of_a_known_vector():
    depth, truth = torch.tensor([2.2, 5, 6, 25]), torch.tensor([2.0, 4, 8, 10])
    depth, truth = depth.reshape(1, 1, 1, 4), truth.reshape(1, 1, 1, 4)
    everywhere = torch.ones_like(truth, dtype=torch.bool)
    assert reference_silog_loss(depth, truth, everywhere).item() == pytest.approx(0.2172777)
    # errors 0.2, 1, -2, 15: they change by 0.8, 3 and 17
    assert reference_gradient_loss(depth, truth, everywhere).item() == pytest.approx(20.8 / 3)
    parts = training_loss(depth, truth, torch.zeros_like(truth), REFERENCE)
    assert parts["loss"].item() == pytest.approx(0.2172777 + 0.7 * 20.8 / 3)


@pytest.mark.parametrize("loss", OURS + ORIGINAL)
def test_nothing_valid_gives_zero_with_zero_gradient(loss):
    prediction, target, valid = tensors(*batch(0, known=-1.0))
    value = loss(prediction, target, valid)
    value.backward()
    assert value.item() == 0
    assert torch.count_nonzero(prediction.grad) == 0


@pytest.mark.parametrize("loss", OURS + ORIGINAL)
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


@pytest.mark.parametrize("loss", OURS + ORIGINAL)
def test_gradient_is_that_of_finite_differences(loss):
    prediction, target, valid = tensors(*batch(2, (2, 1, 4, 5)))
    with torch.no_grad():
        prediction.clamp_(min=0.1)
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
    for loss in OURS:
        assert loss(*moved).item() == pytest.approx(loss(prediction, target, valid).item(), 1e-4)


@pytest.mark.parametrize("factor", [0.5, 1.1, 4.0])
def test_silog_counts_half_of_a_scale_error_and_the_gradient_loss_none(factor):
    _, target, valid = tensors(*batch(4))
    prediction = target + np.log(factor)
    half = np.sqrt(0.5 * np.log(factor) ** 2 + EPSILON)
    assert silog_loss(prediction, target, valid).item() == pytest.approx(half, rel=1e-4)
    assert gradient_loss(prediction, target, valid).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("loss", OURS)
def test_images_weigh_alike_whatever_is_known_of_them_and_those_without_truth_nothing(loss):
    prediction, target, valid = batch(6, known=1.0)
    valid[1] = False
    valid[2] = False
    valid[2, 0, :2, :3] = True  # six pixels count as much as the whole first image
    prediction[2] *= 4
    both = loss(*tensors(prediction, target, valid)).item()
    alone = [
        loss(*tensors(*(array[i : i + 1] for array in (prediction, target, valid)))).item()
        for i in (0, 2)
    ]
    if loss is not gradient_loss:
        assert both == pytest.approx(np.mean(alone), rel=1e-5)
    else:  # but for scales at which six pixels have no neighbours
        assert both == pytest.approx(gradient_formula(prediction, target, valid), rel=1e-5)
    pooled = loss(*tensors(*(a.reshape(1, 1, 72, 40) for a in (prediction, target, valid))))
    assert abs(both - pooled.item()) > 0.01


# far


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        (80.0, np.log(1.1)),
        (44.0, np.log(2.0)),
        (88.0, 0.0),  # ten percent beyond the bound is far enough
        (5000.0, 0.0),
    ],
)
def test_far_pixels_are_pushed_beyond_their_bound_and_then_left_alone(depth, expected):
    prediction = torch.full((1, 1, 4, 6), float(np.log(depth)), requires_grad=True)
    bound = torch.zeros(1, 1, 4, 6)
    bound[..., :2, :] = 80.0
    value = far_loss(prediction, bound)
    value.backward()
    assert value.item() == pytest.approx(expected, abs=1e-5)
    assert torch.count_nonzero(prediction.grad[bound == 0]) == 0
    if expected:
        assert (prediction.grad[bound > 0] < 0).all()  # descending makes it farther


def test_each_far_pixel_has_its_own_bound():
    bound = torch.tensor([0.0, 10.0, 40.0, 80.0, 20.0]).reshape(1, 1, 1, 5)
    depth = torch.tensor([1.0, 5.5, 50.0, 44.0, 22.0]).reshape(1, 1, 1, 5)
    value = far_loss(depth.log(), bound)  # two fall short by half, two are far enough
    assert value.item() == pytest.approx(2 * np.log(2) / 4, abs=1e-5)


def test_without_far_pixels_the_far_loss_is_zero_with_zero_gradient():
    prediction = torch.zeros(2, 1, 4, 4, requires_grad=True)
    value = far_loss(prediction, torch.zeros(2, 1, 4, 4))
    value.backward()
    assert value.item() == 0
    assert torch.count_nonzero(prediction.grad) == 0


# the whole


def depths(seed: int, shape=(2, 1, 16, 24)):
    """Depth, truth and bounds in metres: in each image some known, some far, some neither."""
    rng = np.random.default_rng(seed)
    depth, truth = np.exp(rng.normal(2, 0.8, (2, *shape)))
    kind = rng.integers(0, 3, shape)
    truth, bound = np.where(kind == 0, truth, 0.0), np.where(kind == 1, 40.0, 0.0)
    return tuple(torch.tensor(array, dtype=torch.float32) for array in (depth, truth, bound))


def test_the_whole_is_the_weighted_sum_of_parts_in_logarithms():
    depth, truth, bound = depths(0)
    parts = training_loss(depth, truth, bound, LOG)
    assert list(parts) == ["loss", "silog", "gradient", "relative", "far"]
    known = (truth > 0).numpy()
    logs = np.log(depth.numpy()), np.log(np.where(known, truth.numpy(), 1)), known
    short = np.maximum(np.log(1.1 * 40) - logs[0][bound.numpy() > 0], 0).mean()
    formulas = (silog_formula, gradient_formula, relative_formula)
    expected = [*(formula(*logs) for formula in formulas), short]
    np.testing.assert_allclose([value.item() for value in parts.values()][1:], expected, 1e-5)
    assert parts["loss"].item() == pytest.approx(np.dot([1, 0.7, 0.3, 0.2], expected), rel=1e-5)


def test_the_original_whole_is_in_metres_and_knows_nothing_of_far():
    depth, truth, bound = depths(0)
    parts = training_loss(depth, truth, bound, REFERENCE)
    assert list(parts) == ["loss", "silog", "gradient"]
    data = depth.numpy().astype(float), truth.numpy().astype(float), (truth > 0).numpy()
    with np.errstate(divide="ignore"):
        expected = [reference_silog_formula(*data), reference_gradient_formula(*data)]
    np.testing.assert_allclose([parts["silog"], parts["gradient"]], expected, 1e-5)
    assert parts["loss"].item() == pytest.approx(np.dot([1, 0.7], expected), rel=1e-5)
    without = training_loss(depth, truth, torch.zeros_like(bound), REFERENCE)
    assert parts["loss"].item() == without["loss"].item()


def answer(raw, output: str):
    """As the network ends."""
    return torch.relu(raw) if output == "relu" else torch.exp(raw)


@pytest.mark.parametrize("config", [LOG, REFERENCE], ids=["log", "reference"])
@pytest.mark.parametrize("output", ["exp", "relu"])
def test_a_batch_of_which_nothing_is_known_costs_nothing_and_moves_nothing(config, output):
    raw = torch.linspace(-3, 3, 2 * 8 * 8).reshape(2, 1, 8, 8).requires_grad_()
    nothing = torch.zeros(2, 1, 8, 8)
    parts = training_loss(answer(raw, output), nothing, nothing, config)
    parts["loss"].backward()
    assert all(value.item() == 0 for value in parts.values())
    assert torch.count_nonzero(raw.grad) == 0
    assert not raw.grad.isnan().any()


@pytest.mark.parametrize("config", [LOG, REFERENCE], ids=["log", "reference"])
@pytest.mark.parametrize("output", ["exp", "relu"])
@pytest.mark.parametrize("hole", [float("nan"), -float("inf"), -1.0])
def test_what_is_no_truth_leaks_nowhere(config, output, hole):
    _, truth, bound = depths(1)
    raw = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    expected = training_loss(answer(raw, output), truth, bound, config)
    holes = torch.where(truth > 0, truth, hole)
    parts = training_loss(answer(raw, output), holes, bound, config)
    for name, value in parts.items():
        assert value.item() == pytest.approx(expected[name].item(), rel=1e-6)
    parts["loss"].backward()
    assert torch.isfinite(raw.grad).all()
    unknown = (truth == 0) & (bound == 0)
    assert torch.count_nonzero(raw.grad[unknown]) == 0
    assert torch.count_nonzero(raw.grad[truth > 0]) > 0


@pytest.mark.parametrize("config", [LOG, REFERENCE], ids=["log", "reference"])
def test_a_depth_of_zero_costs_much_but_not_without_end(config):
    """What a ReLU answers where it is off."""
    truth = torch.full((1, 1, 8, 8), 10.0)
    depth = torch.zeros_like(truth, requires_grad=True)
    parts = training_loss(depth, truth, torch.zeros_like(truth), config)
    parts["loss"].backward()
    least = 1e-6 if config is LOG else 1e-3
    half = 0.5 * np.log(10 / least) ** 2
    expected = np.sqrt(half) if config is LOG else half
    assert parts["silog"].item() == pytest.approx(expected, rel=1e-4)
    assert torch.isfinite(depth.grad).all()


@pytest.mark.parametrize("config", [LOG, REFERENCE], ids=["log", "reference"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_answers_are_computed_on_in_float32(config, dtype):
    depth, truth, bound = depths(7)
    coarse = depth.to(dtype)
    exact = training_loss(coarse.float(), truth, bound, config)
    for name, value in training_loss(coarse, truth, bound, config).items():
        assert value.dtype == torch.float32
        assert value.item() == exact[name].item()
