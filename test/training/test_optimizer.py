# SPDX-License-Identifier: Apache-2.0
"""Learning rates, what decays, and the running average, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("timm", reason="needs timm: pip install '.[train]'")

from depth_dpt_core.config import DPTConfig, OptimizationConfig  # noqa: E402
from depth_dpt_core.model.dpt import DPT  # noqa: E402
from depth_dpt_core.training.optimizer import (  # noqa: E402
    learning_rates,
    parameter_groups,
    set_learning_rates,
    update_average,
)

OPTIONS = OptimizationConfig(encoder_lr=2e-3, decoder_lr=1e-2, weight_decay=0.03, warmup_steps=10)
VIT, CONV = "vit_tiny_patch16_224", "regnetx_002"


def sgd(**groups) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        [{"params": [torch.zeros(1)], "base_lr": rate} for rate in groups.values()], lr=1.0
    )


def test_learning_rates_rise_linearly_then_fall_to_a_hundredth():
    optimizer = sgd(encoder=2e-3, decoder=1e-2)
    steps = range(101)
    rates = [learning_rates(OPTIONS, step, total=100) for step in steps]
    decoder = [rate["lr_decoder"] for rate in rates]
    np.testing.assert_allclose(decoder[:10], np.arange(1, 11) * 1e-3)
    cosine = 1e-2 * (0.01 + 0.99 * (1 + np.cos(np.pi * np.arange(91) / 90)) / 2)
    np.testing.assert_allclose(decoder[10:], cosine)
    np.testing.assert_allclose([rate["lr_encoder"] for rate in rates], np.array(decoder) / 5)
    set_learning_rates(optimizer, OPTIONS, 100, total=100)
    lasts = [group["lr"] for group in optimizer.param_groups]
    assert lasts == pytest.approx([2e-5, 1e-4])  # each group its own


@pytest.mark.parametrize(
    ("warmup", "total", "expected"),
    [
        (0, 4, [1.0, 0.01 + 0.99 * (1 + np.sqrt(0.5)) / 2, 0.505]),  # no warm-up
        (4, 2, [0.25, 0.5]),  # a run that ends before it is warm
        (2, 2, [0.5, 1.0]),
        (1, 1, [1.0]),
    ],
)
def test_short_runs_have_sensible_rates_too(warmup, total, expected):
    options = OptimizationConfig(decoder_lr=1.0, warmup_steps=warmup)
    rates = [learning_rates(options, step, total)["lr_decoder"] for step in range(len(expected))]
    np.testing.assert_allclose(rates, expected)


@pytest.mark.parametrize("encoder", [VIT, CONV])
def test_every_parameter_is_in_one_group_with_its_rate_and_decay(encoder):
    model = DPT(DPTConfig(encoder, 64, 96, 16))
    found = {}
    for group in parameter_groups(model, OPTIONS):
        assert set(group) == {"params", "base_lr", "weight_decay"}
        for parameter in group["params"]:
            assert id(parameter) not in found
            found[id(parameter)] = group["base_lr"], group["weight_decay"]
    assert len(found) == len(list(model.parameters()))

    norms = (torch.nn.LayerNorm, torch.nn.BatchNorm2d)
    weights = 0
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            rate, decay = found[id(parameter)]
            assert rate == (2e-3 if prefix.startswith("encoder") else 1e-2), prefix
            spared = isinstance(module, norms) or name in {"bias", "cls_token", "pos_embed"}
            assert decay == (0.0 if spared else 0.03), f"{prefix}.{name}"
            weights += not spared
    assert weights > 30


@pytest.mark.parametrize(
    ("encoder", "names"),
    [
        (VIT, {"cls_token", "pos_embed"}),
        ("vit_small_patch14_reg4_dinov2", {"cls_token", "pos_embed", "reg_token"}),
    ],
)
def test_tokens_and_position_embeddings_are_no_weights_to_shrink(encoder, names):
    side = 56 if "14" in encoder else 64
    model = DPT(DPTConfig(encoder, side, side, 16))
    vit = model.encoder.backbone.model
    free = [
        id(parameter)
        for group in parameter_groups(model, OPTIONS)
        for parameter in group["params"]
        if group["weight_decay"] == 0
    ]
    for name in names:
        assert id(getattr(vit, name)) in free, name
    assert id(vit.blocks[0].attn.qkv.weight) not in free


def test_decay_shrinks_weights_alone():
    """One AdamW step on gradients of zero multiplies by 1 - rate x decay, or does nothing."""
    model = DPT(DPTConfig(CONV, 64, 64, 16))
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(parameter_groups(model, OPTIONS))
    set_learning_rates(optimizer, OPTIONS, 9, 100)  # the highest
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, value in model.named_parameters():
        rate = 2e-3 if name.startswith("encoder") else 1e-2
        factor = 1 - rate * 0.03 if value.ndim > 1 else 1.0
        torch.testing.assert_close(value.detach(), before[name] * factor, rtol=1e-6, atol=0)


def small(value: float, seen: int) -> torch.nn.Module:
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    with torch.no_grad():
        for entry in module.state_dict().values():
            entry.fill_(seen if entry.dtype == torch.int64 else value)
    return module


def test_the_average_follows_at_its_decay_and_faster_while_the_run_is_young():
    average, model = small(8.0, 0), small(0.0, 5)
    expected = 8.0
    for step, decay in [(1, 1 / 11), (2, 2 / 12), (10, 0.5), (90, 0.9), (10**6, 0.9)]:
        update_average(average, model, decay=0.9, step=step)
        expected *= decay
        for name, value in average.state_dict().items():
            if name.endswith("num_batches_tracked"):
                assert value == 5  # a count, not a mean
            else:  # weights, biases, and the statistics of normalisation
                np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert all((value == 0).all() for value in model.parameters())  # which is left alone


def test_an_average_without_memory_is_the_model_itself():
    model = DPT(DPTConfig(CONV, 64, 64, 16))
    average = DPT(DPTConfig(CONV, 64, 64, 16))
    update_average(average, model, decay=0.0, step=1)
    theirs = model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in average.state_dict().items())


def test_an_average_of_full_memory_stays_once_the_run_is_old():
    average, model = small(8.0, 0), small(0.0, 1)
    for step in range(1, 4):
        update_average(average, model, decay=1.0, step=step)
    expected = 8 * (1 / 11) * (2 / 12) * (3 / 13)
    np.testing.assert_allclose(average[0].weight.detach(), expected, rtol=1e-5)
