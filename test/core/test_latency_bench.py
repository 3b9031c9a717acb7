# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt bench latency`: what it counts, and that it measures what it says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_models import write_own

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install '.[train]'")

from depth_dpt_core.artifact import ModelSpec  # noqa: E402
from depth_dpt_core.benchmarks import latency  # noqa: E402
from depth_dpt_core.benchmarks.onnx_cost import count  # noqa: E402
from depth_dpt_core.frames import street_frames  # noqa: E402
from depth_dpt_ros.cli import main  # noqa: E402


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(latency, "ROUNDS", 2)
    monkeypatch.setattr(latency, "FRAMES", 5)


def test_a_products_cost_by_hand(tmp_path):
    path = write_own(tmp_path / "tiny.onnx", ModelSpec(width=24, height=12))
    cost = count(path)
    pixels = 24 * 12
    assert cost.flops == 2 * 3 * pixels
    assert cost.weight_bytes == 4 * (3 + 1)
    assert cost.tensor_bytes == 4 * pixels * (3 + 1 + 1 + 1)  # cast, product, sum, transposed


def test_the_numbers_are_of_frames_and_fit_together(tmp_path, quick, capsys):
    path = write_own(tmp_path / "tiny.onnx", ModelSpec(width=24, height=12))
    out = tmp_path / "out.json"
    assert main(["bench", "latency", "--model", str(path), "--json", str(out)]) == 0
    result = json.loads(out.read_bytes())
    speed = result["speeds"][0]
    assert speed["way"] == "onnxruntime (CPU)"
    assert (speed["ratio"], speed["abs_rel"], speed["frames"]) == (1, 0, 10)
    p50 = {stage["name"]: stage["p50"] for stage in speed["stages"]}
    assert list(p50) == ["prepare", "network", "finish", "total"]
    assert speed["frames_per_second"] == pytest.approx(1e3 / p50["total"])
    total = speed["stages"][-1]
    for stage in speed["stages"]:
        assert 0 < stage["p50"] <= stage["p95"] <= stage["p99"]
        # every frame's total holds its stages, so it does at every percentile, on any machine
        assert all(stage[part] <= total[part] for part in ("p50", "p95", "p99"))
    assert speed["tflops"] == pytest.approx(result["cost"]["flops"] / p50["network"] / 1e9)
    printed = capsys.readouterr().out
    assert "onnxruntime (CPU): " in printed
    assert "not measured: torch: an ONNX file holds no network for it" in printed


def test_tensorrt_is_measured_beside_the_baseline_with_the_parts_on_the_gpu(
    gpu, pair, quick, capsys
):
    assert main(["bench", "latency", "--model", str(pair.path)]) == 0
    result = latency.benchmark(str(pair.path))
    assert [it.way for it in result.speeds] == [
        "onnxruntime (CPU)", "tensorrt 10.3.0 (fp16, Stand-in GPU)",
    ]  # fmt: skip
    names = [stage.name for stage in result.speeds[1].stages]
    assert names[-3:] == ["upload", "compute", "download"]
    assert result.speeds[1].stages[-1].p99 == 0.25  # of the stand-in
    assert result.speeds[1].abs_rel < 1e-6
    assert "compute" in capsys.readouterr().out


def test_options_of_another_measurement_are_refused(capsys):
    assert main(["bench", "synth", "--encoder", "regnetx_004"]) == 1
    assert "--encoder goes with latency, not with synth" in capsys.readouterr().err
    assert main(["bench", "latency", "--model", "absent.onnx"]) == 1
    assert "absent.onnx: no such model file" in capsys.readouterr().err


@pytest.fixture(scope="module", params=["regnetx_002", "vit_tiny_patch16_224"])
def network(request):
    torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
    pytest.importorskip("timm", reason="needs timm: pip install '.[train]'")
    from depth_dpt_core.config import DPTConfig
    from depth_dpt_core.model.dpt import DPT

    torch.manual_seed(0)
    return DPT(DPTConfig(request.param, 64, 96, 16)).eval()


@pytest.fixture
def checkpoint(network, tmp_path):
    from depth_dpt_core.config import TrainingConfig
    from depth_dpt_core.model.checkpoint import TrainingRecord, save_model

    recipe = TrainingConfig(model=network.config).recipe()
    path = tmp_path / "city.safetensors"
    save_model(path, network, TrainingRecord("tiny", recipe, 0, {}, "", ""))
    return path


@pytest.mark.slow
def test_torch_runs_the_same_network_whose_cost_it_counts_alike(network, checkpoint, quick):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    result = latency.benchmark(str(checkpoint))
    speed = result.speeds[1]
    assert speed.way.startswith("torch ")
    assert "(fp32, CPU)" in speed.way
    assert speed.abs_rel < 1e-4
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 64, 96))
    assert result.cost.flops == pytest.approx(counter.get_total_flops(), rel=1e-3)
    weights = sum(p.numel() for p in network.parameters())
    assert result.cost.weight_bytes == pytest.approx(4 * weights, rel=0.05)


def test_torch_in_half_precision_answers_alike(network):
    from depth_dpt_core.benchmarks.torch_latency import TorchLatencyEngine

    frame = street_frames()[0][None, :64, :96]
    expected = TorchLatencyEngine(network, precision="fp32", device="cpu").infer(frame)
    for precision, limit in {"fp16": 1e-3, "bf16": 1e-2}.items():
        engine = TorchLatencyEngine(network, precision=precision, device="cpu")
        assert 0 < np.abs(engine.infer(frame) / expected - 1).mean() < limit


def test_an_encoder_that_timm_does_not_have_is_one_clear_line(network, capsys):
    assert main(["bench", "latency", "--encoder", "resnet_9000"]) == 1
    error = capsys.readouterr().err
    assert "encoder 'resnet_9000': timm" in error
    assert error.count("\n") == 1
