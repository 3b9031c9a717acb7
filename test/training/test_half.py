# SPDX-License-Identifier: Apache-2.0
"""The fp16 file: right, small, fp32 where it must be; and graphs that TensorRT 10.3 can parse."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("timm", reason="needs timm: pip install '.[train]'")
onnx = pytest.importorskip("onnx", reason="needs onnx: pip install '.[train]'")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install '.[train]'")

import onnxruntime  # noqa: E402

from depth_dpt_core.artifact import read, resolve  # noqa: E402
from depth_dpt_core.config import DataConfig, DPTConfig, LabelConfig, TrainingConfig  # noqa: E402
from depth_dpt_core.engines.tensorrt.check import network_input  # noqa: E402
from depth_dpt_core.export.half import largest_activation, to_half  # noqa: E402
from depth_dpt_core.export.onnx import ExportError, export  # noqa: E402
from depth_dpt_core.frames import street_frames  # noqa: E402
from depth_dpt_core.model.checkpoint import TrainingRecord, load_model, save_model  # noqa: E402
from depth_dpt_core.model.dpt import DPT  # noqa: E402
from depth_dpt_ros.cli import main  # noqa: E402

pytestmark = pytest.mark.slow

MODELS = {
    "conv": DPTConfig("resnet10t", 64, 96, 16),
    "vit": DPTConfig("vit_tiny_patch16_224", 64, 96, 16),
}
FLOAT, HALF, UINT8, INT64 = 1, 10, 2, 7  # of TensorProto.DataType


def checkpoint_of(kind, path, change=lambda model: None):
    """An untrained network whose depths differ as a trained one's do."""
    torch.manual_seed(0)
    model = DPT(MODELS[kind]).eval()
    frame = network_input(model_spec(kind), street_frames()[0])
    with torch.no_grad():
        model.head.out.weight *= 0.5 / model(pixels_of(frame)).log().std()
        model.head.out.bias += np.log(10) - model(pixels_of(frame)).log().median()
    change(model)
    config = TrainingConfig(
        data=DataConfig(description="flat roads", max_depth=90.0),
        model=MODELS[kind],
        labels=LabelConfig(canonical_focal_length=75.0, min_depth=0.5),
    )
    record = TrainingRecord("tiny", config.recipe(), 3, {"abs_rel": 0.1}, "f00d", "abc123")
    save_model(path, model, record)
    return path


def model_spec(kind):
    record = TrainingRecord("", TrainingConfig(model=MODELS[kind]).recipe(), 0, {}, "", "")
    return record.model_spec()


def pixels_of(tensor):
    return torch.tensor(tensor.transpose(0, 3, 1, 2) / 255.0, dtype=torch.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("half")
    paths = {}
    for kind in MODELS:
        weights = checkpoint_of(kind, folder / f"{kind}.safetensors")
        paths[kind] = folder / kind / "city.onnx"
        arguments = ["--checkpoint", str(weights), "--out", str(paths[kind])]
        assert main(["export", *arguments, "--precision", "fp16"]) == 0
    return paths


@pytest.fixture(params=MODELS)
def kind(request):
    return request.param


@pytest.fixture
def full(exported, kind):
    return exported[kind]


@pytest.fixture
def half(full):
    return full.with_name("city.fp16.onnx")


def answer(path, image):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["depth"], {"image": image})[0]


def test_both_files_say_so_and_name_each_other(full, half):
    one, other = read(full).spec, read(half).spec
    assert (one.precision, one.sibling) == ("fp32", "city.fp16.onnx")
    assert (other.precision, other.sibling) == ("fp16", "city.onnx")
    assert one.training_run == other.training_run != ""
    assert half.stat().st_size < 0.55 * full.stat().st_size
    assert not any(tensor.external_data for tensor in onnx.load(half).graph.initializer)


def test_answers_are_those_of_the_network_in_torch(full, half, kind):
    model, _ = load_model(full.parents[1] / f"{kind}.safetensors")
    for frame in street_frames():
        image = network_input(read(half).spec, frame)
        with torch.no_grad():
            expected = model.eval()(pixels_of(image)).numpy()
        assert np.log(expected).std() > 0.1
        error = np.abs(answer(half, image) / expected - 1)
        assert 1e-6 < error.mean() < 5e-3  # a stretched last layer stretches rounding, too
        assert error.max() < 5e-2


def types_of(model):
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def test_fp16_is_everywhere_but_in_the_islands(half, kind):
    model = onnx.load(half)
    nodes, types = list(model.graph.node), types_of(model)
    found = {}
    for node in nodes:
        found.setdefault(node.op_type, []).append(types[node.output[0]])
    assert found["Conv"] == [HALF] * (len(found["Conv"]) - 1) + [FLOAT]  # the last: log depth
    assert set(found["Exp"]) == {FLOAT}
    assert types["depth"] == FLOAT
    assert types["image"] == UINT8
    if kind == "vit":
        assert set(found["LayerNormalization"]) == set(found["Softmax"]) == {FLOAT}
        assert set(found["MatMul"]) == set(found["Erf"]) == {HALF}
    first = next(node for node in nodes if node.op_type == "Conv")
    before = nodes[: nodes.index(first)]
    assert {types[node.output[0]] for node in before[:-1]} == {FLOAT}  # then a Cast


def test_nothing_is_rounded_within_an_island(half):
    nodes = onnx.load(half).graph.node
    casts = {node.output[0]: node for node in nodes if node.op_type == "Cast"}
    assert not any(node.input[0] in casts for node in casts.values())
    made_of = [(node.input[0], node.attribute[0].i) for node in casts.values()]
    assert len(set(made_of)) == len(made_of)


def test_the_built_in_model_in_fp16(tmp_path):
    model = onnx.load(resolve("builtin").path)
    rounded = to_half(model)
    onnx.save(rounded, tmp_path / "half.onnx")
    spec = resolve("builtin").spec
    assert largest_activation(model, rounded, spec)[1] < 65504 / 10  # of what fp16 holds
    for frame in street_frames():
        image = network_input(spec, frame)
        expected = answer(resolve("builtin").path, image)
        error = np.abs(answer(tmp_path / "half.onnx", image) / expected - 1)
        assert 1e-6 < error.mean() < 1e-3
        assert error.max() < 1e-2


def test_what_fp16_cannot_hold_is_refused(tmp_path):
    def huge(model):
        model.head.reduce.weight.data *= 1e6
        model.head.reduce.bias.data *= 1e6
        model.head.refine.weight.data /= 1e6

    weights = checkpoint_of("conv", tmp_path / "huge.safetensors", huge)
    out = tmp_path / "out" / "city.onnx"
    with pytest.raises(ExportError, match=r"city\.fp16\.onnx: \S+ comes to \S+e\+0\d on the"):
        export(weights, out, precision="fp16")
    assert [item.name for item in out.parent.iterdir()] == [".city.onnx.lock"]
    assert read(export(weights, out).path).spec.sibling is None


def test_what_fp16_answers_wrongly_is_refused(tmp_path):
    def vanishing(model):
        model.head.refine.weight.data *= 1e-9  # 0 in fp16
        model.head.refine.bias.data *= 1e-9
        model.head.out.weight.data *= 1e9

    weights = checkpoint_of("conv", tmp_path / "small.safetensors", vanishing)
    out = tmp_path / "out" / "city.onnx"
    with pytest.raises(ExportError, match=r"city\.fp16\.onnx: refused, .* abs_rel"):
        export(weights, out, precision="fp16")
    assert [item.name for item in out.parent.iterdir()] == [".city.onnx.lock"]


def test_one_image_at_a_time(tmp_path, capsys):
    weights = checkpoint_of("conv", tmp_path / "conv.safetensors")
    arguments = ["--checkpoint", str(weights), "--out", str(tmp_path / "city.onnx")]
    assert main(["export", *arguments, "--precision", "fp16", "--batch", "2"]) == 1
    assert "batch must be 1, got 2" in capsys.readouterr().err
    (tmp_path / "params.yaml").write_text("export: {precision: int8}\n")
    assert main(["export", "--config", str(tmp_path / "params.yaml")]) == 1
    assert "expected one of fp32, fp16, got 'int8'" in capsys.readouterr().err


# onnx/onnx-tensorrt, docs/operators.md at 10.1-GA, the last published before TensorRT 10.3
FLOATS = {FLOAT, HALF}
OPERATORS = {
    "Add": FLOATS, "AveragePool": FLOATS, "Cast": FLOATS | {UINT8}, "Concat": FLOATS,
    "Conv": FLOATS, "Div": FLOATS, "Erf": FLOATS, "Exp": FLOATS, "LayerNormalization": FLOATS,
    "MatMul": FLOATS, "MaxPool": FLOATS, "Mul": FLOATS, "Relu": FLOATS,
    "Reshape": FLOATS | {INT64}, "Resize": FLOATS, "Slice": FLOATS | {INT64},
    "Softmax": FLOATS, "Squeeze": FLOATS | {INT64}, "Sub": FLOATS, "Transpose": FLOATS,
}  # fmt: skip
RESIZE = {
    "mode": {b"linear", b"nearest"},
    "coordinate_transformation_mode": {
        b"half_pixel", b"pytorch_half_pixel", b"tf_half_pixel_for_nn", b"asymmetric",
        b"align_corners",
    },
    "nearest_mode": {b"floor", b"ceil", b"round_prefer_floor", b"round_prefer_ceil"},
    "keep_aspect_ratio_policy": {b"stretch"},
    "antialias": {0},
}  # fmt: skip


@pytest.mark.parametrize("name", ["city.onnx", "city.fp16.onnx"])
def test_tensorrt_knows_every_operator_and_attribute(full, name):
    model = onnx.load(full.with_name(name))
    assert [entry.domain for entry in model.opset_import] == [""]
    assert 9 <= model.opset_import[0].version <= 20
    types = types_of(model)
    weights = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        assert node.op_type in OPERATORS, node.op_type
        assert {types[name] for name in node.input[:1]} <= OPERATORS[node.op_type], node.name
        facts = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "Resize":
            for name, allowed in RESIZE.items():
                assert facts[name] in allowed, (name, facts[name])
        if node.op_type in ("AveragePool", "MaxPool"):
            assert len(node.output) == 1
            assert len(facts["kernel_shape"]) == 2
            assert set(facts.get("dilations", [1])) == {1}
        if node.op_type in ("Slice", "Squeeze", "Reshape", "Resize"):  # no shapes from data
            assert set(filter(None, node.input[1:])) <= weights, node.name
        if node.op_type == "LayerNormalization":
            assert len(node.output) == 1
            assert facts["stash_type"] == FLOAT  # the precision that it computes in
        if node.op_type == "Cast":
            assert facts["to"] in FLOATS
    # strongly typed: what meets in one operator is of one type
    for node in model.graph.node:
        if node.op_type in ("Add", "Sub", "Mul", "Div", "MatMul", "Conv", "Concat"):
            assert len({types[name] for name in node.input}) == 1, node.name
    used = [node for node in model.graph.node if "image" in node.input]
    assert [node.op_type for node in used] == ["Cast"]  # UINT8 is for input and output only
