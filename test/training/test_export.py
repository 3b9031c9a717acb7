# SPDX-License-Identifier: Apache-2.0
"""The exported artifact: one file that answers like the model, or none at all."""

from __future__ import annotations

import json
import subprocess
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("timm", reason="needs timm: pip install '.[train]'")
onnx = pytest.importorskip("onnx", reason="needs onnx: pip install '.[train]'")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install '.[train]'")

import onnxruntime  # noqa: E402
from tiny_models import REPOSITORY, process_environment, python  # noqa: E402

from depth_dpt_core.artifact import read  # noqa: E402
from depth_dpt_core.config import DataConfig, DPTConfig, LabelConfig, TrainingConfig  # noqa: E402
from depth_dpt_core.export import onnx as export_module  # noqa: E402
from depth_dpt_core.export.onnx import ExportError, export, verify  # noqa: E402
from depth_dpt_core.frames import street_frames  # noqa: E402
from depth_dpt_core.model.checkpoint import (  # noqa: E402
    CheckpointError,
    TrainingRecord,
    save_model,
)
from depth_dpt_core.model.dpt import DPT  # noqa: E402
from depth_dpt_ros.cli import main  # noqa: E402

MODELS = {
    "conv": DPTConfig("regnetx_002", 64, 128, 16),
    "vit": DPTConfig("vit_tiny_patch16_224", 64, 96, 16),
    "relu": DPTConfig("regnetx_002", 64, 96, 16, output="relu"),
}
LABELS = {
    "conv": LabelConfig(canonical_focal_length=75.0, min_depth=0.5),
    "vit": LabelConfig(canonical_focal_length=75.0, min_depth=0.5),
    "relu": LabelConfig(canonical_focal_length=None, min_depth=0.5, aspect="stretch"),
}
BATCH = {"conv": 2, "vit": 1, "relu": 1}
TEST_METRICS = {"abs_rel": 0.125, "delta_1": 0.75}


def model_of(kind, seed=0) -> DPT:
    torch.manual_seed(seed)
    model = DPT(MODELS[kind])
    with torch.no_grad():
        for name, buffer in model.named_buffers():  # as after training: nothing is 0 or 1
            if name.endswith("running_mean"):
                buffer.normal_(std=0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
        if kind == "relu":  # 0 in one half of a frame, metres in the other
            model.eval().head.out.weight *= 100
            model.head.out.bias.fill_(1000)
            model.head.out.bias -= model(pixels_of(street_frames()[0][None, :64, :96])).median()
    return model.eval()


def pixels_of(images):
    return torch.tensor(images.transpose(0, 3, 1, 2) / 255.0, dtype=torch.float32)


def checkpoint_of(kind, path):
    data = DataConfig(description="flat roads", max_depth=90.0)
    config = TrainingConfig(name="tiny", data=data, model=MODELS[kind], labels=LABELS[kind])
    record = TrainingRecord(
        "tiny", config.recipe(), 3, {"abs_rel": 0.1}, "f00d", "abc123", test=TEST_METRICS
    )
    save_model(path, model_of(kind), record)
    return path


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """All kinds exported: one through the command line, the others through the library."""
    folder = tmp_path_factory.mktemp("export")
    weights = {kind: checkpoint_of(kind, folder / f"{kind}.safetensors") for kind in MODELS}
    paths = {kind: folder / kind / "model.onnx" for kind in MODELS}
    arguments = ["export", "--checkpoint", str(weights["conv"]), "--out", str(paths["conv"])]
    assert main([*arguments, "--batch", "2"]) == 0
    for kind in ("vit", "relu"):
        export(weights[kind], paths[kind])
    return paths


@pytest.fixture(scope="module", params=MODELS)
def kind(request):
    return request.param


@pytest.mark.slow
def test_one_file_holds_everything(artifacts, kind):
    path = artifacts[kind]
    assert {item.name for item in path.parent.iterdir()} <= {"model.onnx", ".model.onnx.lock"}
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
    config, labels = MODELS[kind], LABELS[kind]
    expected = {
        "schema_version": 1, "width": config.width, "height": config.height,
        "aspect": "stretch" if kind == "relu" else "pad", "encoder": config.encoder,
        "canonical_focal_length": labels.canonical_focal_length, "min_depth": 0.5,
        "max_depth": 90.0, "training_run": "tiny, epoch 3, run f00d", "precision": "fp32",
        "dataset": "flat roads", "source_revision": "abc123", "metrics": TEST_METRICS,
    }  # fmt: skip
    assert expected.items() <= about.items()
    assert about["input"]["dtype"] == "uint8"
    assert read(artifacts[kind]).spec.width == config.width


@pytest.mark.slow
def test_nothing_is_told_of_the_machine_that_exported(artifacts, kind):
    content = artifacts[kind].read_bytes()
    assert str(REPOSITORY).encode() not in content
    assert b".py" not in content


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
            expected = model_of(kind)(pixels_of(images)).numpy()
        assert expected.std() > 0
        np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-3)


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
        slightly.head.out.bias += 0.002  # of exp 0.2 %, of ReLU 2 mm where 0.5 m counts least
    expected = 0.004 if kind == "relu" else 0.002
    assert verify(slightly, artifact, batch=BATCH[kind]) == pytest.approx(expected, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), 1000.0])  # exp overflows
def test_verification_refuses_a_model_without_finite_answers(artifacts, value):
    broken = model_of("conv")
    with torch.no_grad():
        broken.head.out.bias.fill_(value)
    assert verify(broken, read(artifacts["conv"]), batch=2) == float("inf")


@pytest.mark.slow
def test_answers_of_exactly_zero_are_compared(artifacts):
    with torch.no_grad():
        depth = model_of("relu")(pixels_of(street_frames()[0][None, :64, :96]))
    assert 0.3 < float((depth == 0).float().mean()) < 0.7
    dead = model_of("relu")
    with torch.no_grad():
        dead.head.out.bias.fill_(-1e6)  # 0 everywhere
    assert verify(dead, read(artifacts["relu"]), batch=1) > 1


@pytest.mark.slow
def test_a_file_that_differs_from_its_model_is_not_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "MAX_RELATIVE_ERROR", -1.0)
    out = tmp_path / "out" / "model.onnx"
    with pytest.raises(ExportError, match=r"model\.onnx: differs from the model by"):
        export(checkpoint_of("conv", tmp_path / "conv.safetensors"), out)
    assert [item.name for item in out.parent.iterdir()] == [f".{out.name}.lock"]


@pytest.mark.slow
def test_a_kill_leaves_the_old_file_and_the_next_export_is_as_any_other(artifacts, tmp_path):
    checkpoint = checkpoint_of("vit", tmp_path / "vit.safetensors")
    out = tmp_path / "out" / "model.onnx"
    out.parent.mkdir()
    out.write_bytes(b"old")
    command = python("-m", "depth_dpt_ros.cli", "export", "--checkpoint", checkpoint, "--out", out)
    process = subprocess.Popen(command, env=process_environment(), cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in out.parent.glob(".*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert out.read_bytes() == b"old"

    done = subprocess.run(command, env=process_environment(), cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert out.read_bytes() == artifacts["vit"].read_bytes()  # of another process


def one_line(capsys) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.slow
def test_the_pipeline_exports_the_champion(tmp_path, capsys):
    (tmp_path / "params.yaml").write_text("export: {file: out/car.onnx, batch: 3}\n")
    command = ["export", "--config", str(tmp_path / "params.yaml")]
    assert main(command) == 1
    assert "champion.safetensors: no champion yet, run depth-dpt promote" in one_line(capsys)
    checkpoint_of("conv", tmp_path / "models" / "candidate.safetensors")
    assert main(command) == 1
    assert not (tmp_path / "out").exists()

    checkpoint_of("conv", tmp_path / "models" / "champion.safetensors")
    assert main(command) == 0
    model = onnx.load(tmp_path / "out" / "car.onnx")
    assert shape_of(model.graph.input[0]) == [3, 64, 128, 3]


def test_what_is_no_checkpoint_is_refused(tmp_path, capsys):
    odd = tmp_path / "odd.safetensors"
    odd.write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=r"odd\.safetensors"):
        export(odd, tmp_path / "model.onnx")
    command = ["export", "--checkpoint", str(odd), "--out", str(tmp_path / "model.onnx")]
    assert main(command) == 1
    assert "odd.safetensors" in one_line(capsys)
    assert not (tmp_path / "model.onnx").exists()


def test_arguments_that_do_not_go_together_are_refused(tmp_path, capsys):
    checkpoint = ["--checkpoint", str(checkpoint_of("conv", tmp_path / "conv.safetensors"))]
    out = ["--out", str(tmp_path / "model.onnx")]
    for arguments, reason in (
        (checkpoint, "--checkpoint needs --out"),
        (out, "go with --checkpoint"),
        (["--batch", "2"], "go with --checkpoint"),
        ([*checkpoint, *out, "--batch", "0"], "at least 1 image, got 0"),
    ):
        assert main(["export", *arguments]) == 1
        assert reason in one_line(capsys)
    with pytest.raises(SystemExit):
        main(["export", *checkpoint, *out, "--config", str(tmp_path / "params.yaml")])
    assert not (tmp_path / "model.onnx").exists()
