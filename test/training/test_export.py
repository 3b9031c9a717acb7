# SPDX-License-Identifier: Apache-2.0
"""The exported artifact: one file that answers like the model, or none at all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from street_data import write_roads

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("timm", reason="needs timm: pip install '.[train]'")
onnx = pytest.importorskip("onnx", reason="needs onnx: pip install '.[train]'")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install '.[train]'")

import onnxruntime  # noqa: E402

from depth_dpt_core.artifact import read  # noqa: E402
from depth_dpt_core.export import onnx as export_module  # noqa: E402
from depth_dpt_core.export.onnx import ExportError, export, verify  # noqa: E402
from depth_dpt_core.frames import street_frames  # noqa: E402
from depth_dpt_core.metrics import METRIC_NAMES  # noqa: E402
from depth_dpt_core.model.checkpoint import CheckpointError, save_model  # noqa: E402
from depth_dpt_core.model.dpt import DPT, DPTConfig  # noqa: E402
from depth_dpt_core.training.config import (  # noqa: E402
    DataConfig,
    OptimizationConfig,
    TrainingConfig,
)
from depth_dpt_ros.cli import main  # noqa: E402

MODELS = {
    "conv": DPTConfig("regnetx_002", 64, 128, 16),
    "vit": DPTConfig("vit_tiny_patch16_224", 64, 96, 16),
}
BATCH = {"conv": 2, "vit": 1}


def model_of(kind, seed=0) -> DPT:
    torch.manual_seed(seed)
    model = DPT(MODELS[kind])
    with torch.no_grad():
        for name, buffer in model.named_buffers():  # as after training: nothing is 0 or 1
            if name.endswith("running_mean"):
                buffer.normal_(std=0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    return model.eval()


def checkpoint_of(kind, folder, *, step=42):
    path = folder / f"{kind}.safetensors"
    data = DataConfig(canonical_focal_length=75.0, min_depth=0.5, max_depth=90.0)
    options = OptimizationConfig(steps=42)
    config = TrainingConfig(name="tiny", data=data, model=MODELS[kind], optimization=options)
    save_model(path, model_of(kind), config.to_dict(), step)
    return path


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """Both kinds exported: one through the command line, one through the library."""
    folder = tmp_path_factory.mktemp("export")
    paths = {kind: folder / kind / "model.onnx" for kind in MODELS}
    arguments = ["export", str(checkpoint_of("conv", folder)), "--out", str(paths["conv"])]
    described = ["--dataset", "flat roads", "--revision", "abc123"]
    assert main([*arguments, "--batch", "2", *described]) == 0
    export(checkpoint_of("vit", folder), paths["vit"])
    return paths


@pytest.fixture(scope="module", params=MODELS)
def kind(request):
    return request.param


@pytest.mark.slow
def test_one_file_holds_everything(artifacts, kind):
    path = artifacts[kind]
    assert [item.name for item in path.parent.iterdir()] == ["model.onnx"]
    graph = onnx.load(path, load_external_data=False).graph
    assert not any(tensor.external_data for tensor in graph.initializer)
    weights = sum(p.numel() for p in model_of(kind).parameters())
    assert path.stat().st_size > 0.95 * 4 * weights


def shape_of(value):
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


@pytest.mark.slow
def test_interface_is_that_of_the_contract(artifacts, kind):
    model = onnx.load(artifacts[kind])
    (image,), (depth,) = model.graph.input, model.graph.output
    height, width = MODELS[kind].height, MODELS[kind].width
    assert (image.name, shape_of(image)) == ("image", [BATCH[kind], height, width, 3])
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert (depth.name, shape_of(depth)) == ("depth", [BATCH[kind], 1, height, width])
    assert depth.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    (opset,) = [entry.version for entry in model.opset_import if entry.domain == ""]
    assert 17 <= opset <= 20
    first = [node.op_type for node in model.graph.node if "image" in node.input]
    assert first == ["Cast"]


@pytest.mark.slow
def test_nothing_is_left_that_runtimes_stumble_over(artifacts, kind):
    graph = onnx.load(artifacts[kind]).graph
    kinds = {node.op_type for node in graph.node}
    assert "Conv" in kinds
    assert "Resize" in kinds
    assert kinds.isdisjoint({"BatchNormalization", "Shape", "NonZero", "If", "Loop", "Scan"})
    modes = [
        attribute.s
        for node in graph.node
        if node.op_type == "Resize"
        for attribute in node.attribute
        if attribute.name == "mode"
    ]
    assert set(modes) == {b"linear"}  # the decoder's, none of position embeddings
    assert {node.domain for node in graph.node} <= {"", "ai.onnx"}


@pytest.mark.slow
def test_description_is_complete(artifacts, kind):
    model = onnx.load(artifacts[kind])
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    about = json.loads(metadata["depth_dpt"])
    config = MODELS[kind]
    conv = kind == "conv"
    expected = {
        "schema_version": 1, "width": config.width, "height": config.height, "aspect": "pad",
        "canonical_focal_length": 75.0, "min_depth": 0.5, "max_depth": 90.0,
        "encoder": config.encoder, "training_run": "tiny, step 42", "precision": "fp32",
        "dataset": "flat roads" if conv else "", "source_revision": "abc123" if conv else "",
        "metrics": {},
    }  # fmt: skip
    assert expected.items() <= about.items()
    assert about["input"]["dtype"] == "uint8"
    assert read(artifacts[kind]).spec.width == config.width


@pytest.mark.slow
def test_answers_are_those_of_the_model_on_every_image_of_the_batch(artifacts, kind):
    session = onnxruntime.InferenceSession(
        str(artifacts[kind]), providers=["CPUExecutionProvider"]
    )
    height, width = MODELS[kind].height, MODELS[kind].width
    rng = np.random.default_rng(0)
    frames = [frame[:height, :width] for frame in street_frames()]
    frames.append(rng.integers(0, 256, (height, width, 3), np.uint8))
    for frame in frames:
        images = np.stack([frame, frame[:, ::-1]])[: BATCH[kind]]
        (answer,) = session.run(["depth"], {"image": images})
        with torch.no_grad():
            pixels = torch.tensor(images.transpose(0, 3, 1, 2) / 255.0, dtype=torch.float32)
            expected = model_of(kind)(pixels).numpy()
        assert expected.std() > 0
        np.testing.assert_allclose(answer, expected, rtol=1e-3)


@pytest.mark.slow
def test_another_number_of_images_is_refused(artifacts, kind):
    session = onnxruntime.InferenceSession(
        str(artifacts[kind]), providers=["CPUExecutionProvider"]
    )
    images = np.zeros((3, MODELS[kind].height, MODELS[kind].width, 3), np.uint8)
    with pytest.raises(Exception, match="invalid dimensions"):
        session.run(["depth"], {"image": images})


@pytest.mark.slow
def test_verification_tells_models_apart(artifacts, kind):
    artifact = read(artifacts[kind])
    assert verify(model_of(kind), artifact, batch=BATCH[kind]) < 1e-3
    assert verify(model_of(kind, seed=1), artifact, batch=BATCH[kind]) > 1e-2
    slightly = model_of(kind)
    with torch.no_grad():
        slightly.head.out.bias += 0.002  # 0.2 % of depth
    assert verify(slightly, artifact, batch=BATCH[kind]) == pytest.approx(0.002, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), 1000.0])  # exp overflows
def test_verification_refuses_a_model_without_finite_answers(artifacts, value):
    broken = model_of("conv")
    with torch.no_grad():
        broken.head.out.bias.fill_(value)
    assert verify(broken, read(artifacts["conv"]), batch=2) == float("inf")


@pytest.mark.slow
def test_a_file_that_differs_from_its_model_is_not_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "MAX_RELATIVE_ERROR", -1.0)
    out = tmp_path / "out" / "model.onnx"
    with pytest.raises(ExportError, match=r"model\.onnx: differs from the model by"):
        export(checkpoint_of("conv", tmp_path), out)
    assert list(out.parent.iterdir()) == []


def test_a_run_that_is_not_finished_is_refused(tmp_path):
    out = tmp_path / "out" / "model.onnx"
    with pytest.raises(ExportError, match=r"conv\.safetensors.*step 41 of 42"):
        export(checkpoint_of("conv", tmp_path, step=41), out)
    assert not out.exists()


@pytest.mark.slow
def test_scores_on_the_test_split_go_into_the_description(tmp_path):
    write_roads(tmp_path / "roads", {"test": 2})
    out = tmp_path / "model.onnx"
    artifact = export(checkpoint_of("conv", tmp_path), out, test_data=tmp_path / "roads")
    metrics = read(out).spec.metrics
    assert tuple(metrics) == METRIC_NAMES
    assert metrics == artifact.spec.metrics
    assert all(np.isfinite(value) and value >= 0 for value in metrics.values())
    assert verify(model_of("conv"), read(out), batch=1) < 1e-3  # still the same weights


def test_scoring_with_a_batch_of_several_images_is_refused(tmp_path):
    out = tmp_path / "model.onnx"
    with pytest.raises(ExportError, match="batch of 1, got 2"):
        export(checkpoint_of("conv", tmp_path), out, batch=2, test_data=tmp_path)
    assert not out.exists()


def test_what_is_no_checkpoint_is_refused(tmp_path, capsys):
    odd = tmp_path / "odd.safetensors"
    odd.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=r"odd\.safetensors"):
        export(odd, tmp_path / "model.onnx")
    assert main(["export", str(odd), "--out", str(tmp_path / "model.onnx")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "model.onnx").exists()
