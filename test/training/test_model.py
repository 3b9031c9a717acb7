# SPDX-License-Identifier: Apache-2.0
"""The network: alive from every seed, at every size, with every kind of encoder."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("timm", reason="needs timm: pip install '.[train]'")

from depth_dpt_core.config import DPTConfig  # noqa: E402
from depth_dpt_core.model.dpt import DPT  # noqa: E402

VIT, CONV = "vit_tiny_patch16_224", "regnetx_004"
SEEDS = 40


def build(encoder=VIT, height=64, width=96, features=64, seed=0, output="exp") -> DPT:
    torch.manual_seed(seed)
    return DPT(DPTConfig(encoder, height, width, features, output))


@functools.cache
def untouched(encoder: str) -> DPT:
    """A model that no test changes."""
    return build(encoder, 64, 96, 16).eval()


def gradients(model: DPT, depth) -> list:
    """Of every parameter, from a loss that a depth of zero does not please."""
    error = (depth.clamp(min=1e-3).log() - 2).abs().mean() + (depth - 10).abs().mean()
    return list(torch.autograd.grad(error, list(model.parameters()), allow_unused=True))


def answers_of_head(model: DPT, image):
    """What the head answers before it becomes depth."""
    seen = []
    hook = model.head.register_forward_hook(lambda _m, _i, out: seen.append(out))
    model(image)
    hook.remove()
    return seen[0]


@pytest.mark.slow
def test_no_seed_is_dead_while_the_relu_of_the_original_design_kills_some():
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    dead_relu = []
    for seed in range(SEEDS):
        model = build(seed=seed).train()
        depth = model(image)
        assert torch.isfinite(depth).all()
        assert depth.min() > 0
        assert all(float(answer.std()) > 0 for answer in depth.detach()), seed
        assert all(g is not None and g.any() for g in gradients(model, depth)), seed
        model.config = replace(model.config, output="relu")  # building takes the longest
        depth = model(image)
        if not depth.any():
            assert not any(g is not None and g.any() for g in gradients(model, depth))
            dead_relu.append(seed)
    assert len(dead_relu) >= 1  # why depth is the exponential of the head's answer


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("encoder", [VIT, CONV])
def test_both_outputs_are_metres_of_the_same_head(encoder, seed):
    image = torch.rand(1, 3, 64, 96)
    raw = []
    depths = {}
    for output in ("exp", "relu"):
        model = build(encoder, features=16, seed=seed, output=output).eval()
        with torch.no_grad():
            model.head.out.bias.sub_(answers_of_head(model, image).median())  # half of it negative
            model.head.register_forward_hook(lambda _m, _i, out: raw.append(out))
            depths[output] = model(image)
    assert torch.equal(*raw)
    torch.testing.assert_close(depths["exp"], 12 * torch.exp(raw[0]))
    assert torch.equal(depths["relu"], raw[0].clamp(min=0))
    assert depths["exp"].min() > 0
    assert 0.3 < float((depths["relu"] == 0).float().mean()) < 0.7


@pytest.mark.slow
@pytest.mark.parametrize(("output", "mean", "spread"), [("exp", 1.3, 0.25), ("relu", 55.0, 12.0)])
def test_mixed_precision_answers_in_finer_steps_than_its_own(output, mean, spread):
    """From 40 to 80 m bfloat16 knows 128 depths."""
    model = build(CONV, features=16, output=output).eval()
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        raw = answers_of_head(model, image)
        out, factor = model.head.out, spread / raw.std()
        out.bias.sub_(raw.mean()).mul_(factor).add_(mean)
        out.weight.mul_(factor)
        exact = model(image)
        with torch.autocast("cpu", torch.bfloat16):
            depth = model(image)
    assert depth.dtype == torch.float32
    torch.testing.assert_close(depth, exact, rtol=0.1, atol=3.0)

    def steps(values) -> int:
        return len(values[(values > 40) & (values < 80)].unique())

    assert steps(exact.bfloat16()) <= 129
    assert steps(exact) > 3000
    assert steps(depth) > 1500


def test_an_untrained_network_starts_at_a_plausible_depth():
    depth = build().eval()(torch.rand(1, 3, 64, 96)).detach()
    assert depth.shape == (1, 1, 64, 96)
    assert 6 < float(depth.median()) < 24


def test_vit_maps_are_the_tokens_after_blocks_3_6_9_and_12():
    model = build().eval()
    vit = model.encoder.backbone.model
    assert len(vit.blocks) == 12
    tokens = {}
    for number in range(1, 13):
        vit.blocks[number - 1].register_forward_hook(
            lambda _module, _inputs, out, number=number: tokens.__setitem__(number, out)
        )
    with torch.no_grad():
        maps = model.encoder(torch.rand(2, 3, 64, 96))
    for number, seen in zip((3, 6, 9, 12), maps, strict=True):
        patches = tokens[number][:, vit.num_prefix_tokens :]  # 4 x 6 of them, row by row
        assert torch.equal(seen, patches.transpose(1, 2).reshape(2, 192, 4, 6))


@pytest.mark.parametrize("encoder", [VIT, CONV])
def test_maps_are_reassembled_to_a_quarter_down_to_a_thirtysecond(encoder):
    model = build(encoder, 64, 128, 16).eval()
    shapes = []
    for part in model.reassemble:
        part.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape)))
    model(torch.rand(1, 3, 64, 128))
    expected = [(1, 16, 64 // stride, 128 // stride) for stride in (4, 8, 16, 32)]
    assert sorted(shapes, reverse=True) == expected


@pytest.mark.parametrize("encoder", [VIT, CONV])
@pytest.mark.parametrize("size", [(64, 96), (96, 64), (32, 160), (128, 128), (64, 64)])
def test_sizes_other_than_the_constructed_one_work(encoder, size):
    height, width = size
    with torch.no_grad():
        depth = untouched(encoder)(torch.rand(2, 3, height, width))
    assert depth.shape == (2, 1, height, width)
    assert torch.isfinite(depth).all()
    assert float(depth.std()) > 0


@pytest.mark.parametrize("size", [(48, 80), (240, 320), (80, 112)])
def test_any_multiple_of_the_patch_works(size):
    """16 but not 32: the coarse maps are not exact halves."""
    height, width = size
    with torch.no_grad():
        depth = build(VIT, height, width, 16).eval()(torch.rand(1, 3, height, width))
    assert depth.shape == (1, 1, height, width)
    assert float(depth.std()) > 0


def test_position_embeddings_follow_a_change_of_size_instead_of_being_cut():
    model = build().eval()
    with torch.no_grad():
        model.encoder.backbone.model.pos_embed.normal_(std=0.5)
        shape = (1, 3, 128, 192)  # twice the constructed size: each patch becomes 2 x 2
        first = model.encoder(torch.zeros(shape))[0]
        half = model.encoder(torch.zeros(1, 3, 64, 96))[0]
    pooled = torch.nn.functional.avg_pool2d(first, 2)
    likeness = torch.corrcoef(torch.stack([pooled.flatten(), half.flatten()]))[0, 1]
    mirrored = torch.corrcoef(torch.stack([pooled.flip(-1).flatten(), half.flatten()]))[0, 1]
    assert likeness > 0.8 > mirrored


@pytest.mark.parametrize("size", [(60, 96), (64, 100), (16, 64), (65, 97)])
@pytest.mark.parametrize("encoder", [VIT, CONV])
def test_a_size_that_does_not_fit_is_refused_when_built_and_when_run(encoder, size):
    height, width = size
    if encoder == VIT or size != (16, 64):
        pattern = f"{width}x{height}.*multiples of (16|32) for {encoder}"
    else:
        pattern = f"{width}x{height}.*at least 32"
    with pytest.raises(ValueError, match=pattern):
        build(encoder, height, width, 16)
    with pytest.raises(ValueError, match=pattern):
        untouched(encoder)(torch.zeros(1, 3, height, width))


@pytest.mark.parametrize("name", ["resnet_of_nowhere", "", "vit"])
def test_an_unknown_encoder_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"encoder {name!r}.*no such model"):
        build(name)


@pytest.mark.parametrize(
    ("encoder", "mean", "std"),
    [
        (VIT, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),  # augreg weights
        (CONV, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # ImageNet
    ],
)
def test_images_are_normalised_as_the_encoders_own_weights_expect(encoder, mean, std):
    model = build(encoder, features=16).eval()
    seen = []
    model.encoder.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    image = torch.rand(1, 3, 64, 96)
    model(image)
    expected = (image.numpy() - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(seen[0].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_encoder_and_decoder_share_no_parameter():
    model = build(features=16)
    decoder = {id(parameter) for parameter in model.decoder_parameters()}
    encoder = {id(parameter) for parameter in model.encoder.parameters()}
    assert decoder.isdisjoint(encoder)
    assert decoder | encoder == {id(parameter) for parameter in model.parameters()}


@pytest.mark.slow
def test_only_pretrained_asks_the_network(tmp_path):
    script = (
        "from depth_dpt_core.model.dpt import DPT, DPTConfig\n"
        f"config = DPTConfig({VIT!r}, 64, 96, 16)\n"
        "DPT(config)\n"
        "print('built', flush=True)\n"
        "DPT(config, pretrained=True)\n"
    )
    env = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=env, capture_output=True, text=True, timeout=120,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert done.stdout == "built\n"
    assert done.returncode != 0  # nothing is cached, and nothing may be downloaded
