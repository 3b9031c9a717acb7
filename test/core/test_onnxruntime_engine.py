# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
from tiny_models import metres, write_own, write_third_party

from depth_dpt_core.artifact import Artifact, ArtifactError, InputSpec, ModelSpec, OutputSpec, read
from depth_dpt_core.engines.onnxruntime import OnnxRuntimeEngine
from depth_dpt_core.estimator import DepthEstimator

WIDTH, HEIGHT = 12, 6
SPEC = ModelSpec(width=WIDTH, height=HEIGHT, min_depth=0.0, max_depth=1000.0)
THIRD = dataclasses.replace(
    SPEC,
    input=InputSpec(name="pixels", layout="NCHW", dtype="float32"),
    output=OutputSpec(name="out"),
)


@pytest.fixture
def image():
    return np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


@pytest.mark.parametrize("num_threads", [0, 1, 2])
def test_answers_what_the_network_computes(tmp_path, image, num_threads):
    artifact = read(write_own(tmp_path / "own.onnx", SPEC))
    engine = OnnxRuntimeEngine(artifact, num_threads=num_threads)
    answer = engine.infer(image[None])
    assert answer.shape == (1, 1, HEIGHT, WIDTH)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer[0, 0], metres(image), rtol=1e-6)
    assert engine.name.startswith("onnxruntime (")


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(("batch", "made_for"), [(3, 3), ("n", 1)])
def test_up_to_a_batch_is_answered_image_by_image(tmp_path, batch, made_for, count):
    images = np.random.default_rng(8).integers(0, 256, (count, HEIGHT, WIDTH, 3)).astype(np.uint8)
    engine = OnnxRuntimeEngine(read(write_own(tmp_path / "own.onnx", SPEC, batch=batch)))
    assert engine.batch == made_for
    answer = engine.infer(images)
    assert answer.shape == (count, 1, HEIGHT, WIDTH)
    for one, image in zip(answer[:, 0], images, strict=True):
        np.testing.assert_allclose(one, metres(image), rtol=1e-6)


def mismatched(spec, **changes):
    part = {k: v for k, v in changes.items() if k in ("width", "height")}
    inner = {k: v for k, v in changes.items() if k in ("layout", "dtype", "name")}
    return dataclasses.replace(spec, **part, input=dataclasses.replace(spec.input, **inner))


@pytest.mark.parametrize(
    ("wrong", "in_the_file", "in_the_description"),
    [
        (mismatched(SPEC, width=16), "[1, 6, 12, 3]", "uint8 NHWC 16x6"),
        (mismatched(SPEC, height=8), "[1, 6, 12, 3]", "uint8 NHWC 12x8"),
        (mismatched(SPEC, dtype="float32"), "tensor(uint8)", "float32 NHWC"),
        (mismatched(SPEC, layout="NCHW"), "[1, 6, 12, 3]", "uint8 NCHW"),
        (mismatched(SPEC, name="picture"), "has image", "'picture'"),
        (dataclasses.replace(SPEC, output=OutputSpec(name="z")), "has depth", "'z'"),
    ],
)
def test_mismatch_names_both_sides(tmp_path, wrong, in_the_file, in_the_description):
    path = write_own(tmp_path / "own.onnx", SPEC)
    with pytest.raises(ArtifactError) as error:
        OnnxRuntimeEngine(Artifact(path, wrong))
    message = str(error.value)
    assert message.startswith(str(path))
    assert in_the_file in message.replace("file has", "has")
    assert in_the_description in message
    assert "\n" not in message


def test_an_answer_of_another_size_is_refused_at_once(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, proto = onnx.helper, onnx.TensorProto
    pooled = helper.make_node("MaxPool", ["pixels"], ["out"], kernel_shape=[2, 2], strides=[2, 2])
    graph = helper.make_graph(
        [pooled],
        "half",
        [helper.make_tensor_value_info("pixels", proto.FLOAT, [1, 3, HEIGHT, WIDTH])],
        [helper.make_tensor_value_info("out", proto.FLOAT, [1, 3, HEIGHT // 2, WIDTH // 2])],
    )
    path = tmp_path / "half.onnx"
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))
    with pytest.raises(ArtifactError, match=r"output 'out' is \[1, 3, 3, 6\].* 12x6"):
        OnnxRuntimeEngine(Artifact(path, THIRD))


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_a_file_that_went_bad_is_refused(tmp_path, content):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"bad\.onnx: ONNX Runtime refuses it"):
        OnnxRuntimeEngine(Artifact(path, SPEC))


WEIGHTS = (0.5, 2.0, 7.0)  # of the network's three channels, in its own order
BIAS = 60.0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("color", "mean", "std"),
    [
        ("RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        ("RGB", MEAN, STD),
        ("BGR", MEAN, STD),  # mean and std in the network's order
        ("BGR", (0.5, 0.5, 0.5), (0.5, 0.25, 0.125)),
    ],
)
@pytest.mark.parametrize(
    ("quantity", "scale", "shift"),
    [("depth", 1.0, 0.0), ("depth", 2.5, -3.0), ("inverse_depth", 0.002, 0.01)],
)
def test_third_partys_conventions(tmp_path, image, color, mean, std, quantity, scale, shift):
    path = write_third_party(
        tmp_path / "third.onnx", size=(WIDTH, HEIGHT), weights=WEIGHTS, bias=BIAS
    )
    spec = dataclasses.replace(
        THIRD,
        input=dataclasses.replace(THIRD.input, color=color, mean=mean, std=std),
        output=OutputSpec("out", quantity, scale, shift),
    )
    estimator = DepthEstimator.load(Artifact(path, spec))
    wanted = np.empty((HEIGHT, WIDTH))
    for row in range(HEIGHT):
        for column in range(WIDTH):
            channels = image[row, column].tolist()
            if color == "BGR":
                channels.reverse()
            answer = BIAS + sum(
                weight * (value / 255 - m) / s
                for weight, value, m, s in zip(WEIGHTS, channels, mean, std, strict=True)
            )
            value = scale * answer + shift
            wanted[row, column] = value if quantity == "depth" else 1 / value
    np.testing.assert_allclose(estimator(image, None), wanted, rtol=2e-5)


def test_an_inverse_depth_that_is_not_positive_is_unknown(tmp_path):
    path = write_third_party(
        tmp_path / "third.onnx", size=(WIDTH, HEIGHT), weights=(1, 0, 0), bias=-0.5
    )
    spec = dataclasses.replace(THIRD, output=OutputSpec("out", "inverse_depth"))
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, WIDTH // 2 :, 0] = 255
    depth = DepthEstimator.load(Artifact(path, spec))(image, None)
    assert np.isnan(depth[:, : WIDTH // 2]).all()
    np.testing.assert_allclose(depth[:, WIDTH // 2 :], 2.0, rtol=1e-6)
