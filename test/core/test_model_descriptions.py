# SPDX-License-Identifier: Apache-2.0
"""Each description of config/models on a small network with the real one's inputs and outputs.

What the real networks want and mean is written out here once more, from their own sources.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_models import REPOSITORY, bilinear

from depth_dpt_core.artifact import ArtifactError, read
from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.engines.onnxruntime import OnnxRuntimeEngine
from depth_dpt_core.estimator import DepthEstimator

FOLDER = REPOSITORY / "config" / "models"
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))  # in grey levels, as mean and std
HALF = ((127.5,) * 3, (127.5,) * 3)
UNIT = ((0.0,) * 3, (255.0,) * 3)
PIXELS = ((0.0,) * 3, (1.0,) * 3)
SIZE = 640, 360  # of the image
FX, FY = 500.0, 510.0


@dataclasses.dataclass(frozen=True)
class Network:
    """What its sources say of a network."""

    width: int
    height: int
    grey_levels: tuple  # mean and std
    input: str
    outputs: tuple[str, ...]
    depth: str
    batch_open: bool = False
    size_open: bool = False
    channel_axis: bool = False  # depth [N,1,H,W] instead of [N,H,W]
    stretch: bool = False
    # metres of the answer at this camera; None: relative
    factor: Callable[[float, float], float] | None = lambda fx, fy: 1.0
    farther: bool = True  # whether a larger answer is farther


def _da2(name: str, output: str, **more: object) -> Network:
    return Network(518, 518, IMAGENET, name, (output,), output, **more)


def _by(canonical: float, width: int, height: int) -> Callable[[float, float], float]:
    r = min(width / SIZE[0], height / SIZE[1])
    return lambda fx, fy: fx * r / canonical


RELATIVE = {"factor": None, "farther": False}
# description, and the networks that it is for: fabio-sim's exporter and Hugging Face's name alike
CASES = [
    ("reference_cityscapes", Network(
        224, 224, IMAGENET, "image", ("depth",), "depth", batch_open=True, channel_axis=True,
        stretch=True, factor=lambda fx, fy: math.sqrt(
            (fx * 224 / SIZE[0]) / (2262.52 * 224 / 2048) * (fy * 224 / SIZE[1])
            / (2262.52 * 224 / 1024)))),
    *((f"depth_anything_v2_{kind}", network)
      for kind, extra in (("metric_outdoor", {}), ("metric_indoor", {}), ("relative", RELATIVE))
      for network in (_da2("image", "depth", **extra),
                      _da2("image", "depth", size_open=True, batch_open=True, **extra),
                      _da2("pixel_values", "predicted_depth", size_open=True, batch_open=True,
                           **extra))),
    ("depth_anything_v3_metric", Network(
        504, 280, IMAGENET, "image", ("depth", "sky"), "depth", channel_axis=True,
        factor=_by(300.0, 504, 280))),
    ("metric3d_v2", Network(
        1064, 616, PIXELS, "image", ("pred_depth",), "pred_depth", channel_axis=True,
        factor=_by(1000.0, 1064, 616))),
    ("metric3d_v2_onnx_community", Network(
        1064, 616, IMAGENET, "pixel_values",
        ("predicted_depth", "predicted_normal", "normal_confidence"), "predicted_depth",
        size_open=True, batch_open=True, factor=_by(1000.0, 1064, 616))),
    ("midas_v21_small", Network(256, 256, UNIT, "0", ("797",), "797", stretch=True, **RELATIVE)),
    ("midas_v21", Network(384, 384, UNIT, "0", ("1797",), "1797", stretch=True, **RELATIVE)),
    *((name, Network(
        384, 384, HALF, "pixel_values", ("predicted_depth",), "predicted_depth", stretch=True,
        size_open=True, batch_open=True, **RELATIVE))
      for name in ("dpt_large", "dpt_hybrid_midas")),
]  # fmt: skip
METRIC = [case for case in CASES if case[1].factor is not None]
RELATIVES = [case for case in CASES if case[1].factor is None]
WEIGHTS, BIAS = np.array([0.01, 0.02, 0.03]), 3.0  # of grey levels: what every network answers


def ids(cases: list) -> list[str]:
    return [f"{name}-{network.input}-{network.size_open}" for name, network in cases]


def write(path: Path, network: Network) -> Path:
    """A network that undoes its own normalisation and answers WEIGHTS . (r, g, b) + BIAS."""
    mean, std = (np.array(values) for values in network.grey_levels)
    weights = (WEIGHTS * std).reshape(1, 3, 1, 1).astype(np.float32)
    bias = np.array([WEIGHTS @ mean + BIAS], np.float32)
    batch = "batch" if network.batch_open else 1
    sides = ["height", "width"] if network.size_open else [network.height, network.width]
    shape = [batch, 1, *sides] if network.channel_axis else [batch, *sides]
    nodes = [helper.make_node("Conv", ["pixels", "weights", "bias"], ["dense"])]
    for name in network.outputs:
        if name != network.depth:  # something else entirely
            nodes.append(helper.make_node("Neg", ["dense"], [name]))
        elif network.channel_axis:
            nodes.append(helper.make_node("Identity", ["dense"], [name]))
        else:
            nodes.append(helper.make_node("Squeeze", ["dense", "axis"], [name]))
    others = [batch, 1, *sides]
    graph = helper.make_graph(
        [helper.make_node("Identity", [network.input], ["pixels"]), *nodes],
        "stand_in",
        [helper.make_tensor_value_info(network.input, TensorProto.FLOAT, [batch, 3, *sides])],
        [
            helper.make_tensor_value_info(
                name, TensorProto.FLOAT, shape if name == network.depth else others
            )
            for name in network.outputs
        ],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(bias, "bias"),
            onnx.numpy_helper.from_array(np.array([1]), "axis"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def load(folder: Path, name: str, network: Network) -> DepthEstimator:
    path = write(folder / "theirs.onnx", network)
    shutil.copy(FOLDER / f"{name}.yaml", folder / "theirs.yaml")
    artifact = read(path)
    estimator = DepthEstimator(artifact.spec, OnnxRuntimeEngine(artifact, num_threads=1))
    estimator.warm_up()
    return estimator


def picture() -> np.ndarray:
    """Smooth, and unlike in each colour: what resizing does to it is known."""
    v, u = np.mgrid[: SIZE[1], : SIZE[0]]
    return np.stack([40 + u / 8, 60 + v / 4, 200 - u / 10 - v / 10], -1).astype(np.uint8)


def answered(image: np.ndarray, network: Network) -> np.ndarray:
    """What the network says of the image, at the image's size."""
    return image.astype(float) @ WEIGHTS + BIAS


def test_every_description_has_its_case_and_its_label() -> None:
    files = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    assert files == sorted({name for name, _ in CASES})
    documented = (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8")
    for name in files:
        text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
        assert "# Not yet met the real weights." in text
        assert f"`{name}.yaml`" in documented


@pytest.mark.parametrize(("name", "network"), METRIC, ids=ids(METRIC))
def test_metres(tmp_path: Path, name: str, network: Network) -> None:
    estimator = load(tmp_path, name, network)
    assert (estimator.spec.width, estimator.spec.height) == (network.width, network.height)
    image = picture()
    depth = estimator(image, Intrinsics(FX, FY, 320, 180))
    wanted = network.factor(FX, FY) * answered(image, network)
    inner = (slice(8, -8), slice(8, -8))  # where no edge is repeated or padded
    np.testing.assert_allclose(depth[inner], wanted[inner], rtol=0.01)
    assert np.isfinite(depth).all()
    without = estimator(image, None)
    np.testing.assert_allclose(without[inner], answered(image, network)[inner], rtol=0.01)


@pytest.mark.parametrize(("name", "network"), METRIC, ids=ids(METRIC))
def test_the_network_sees_the_picture_undistorted_or_stretched(
    tmp_path: Path, name: str, network: Network
) -> None:
    estimator = load(tmp_path, name, network)
    (seen,) = estimator.prepare(picture())
    assert seen.shape == (3, network.height, network.width)
    mean, std = (np.array(values)[:, None, None] for values in network.grey_levels)
    r = min(network.width / SIZE[0], network.height / SIZE[1])
    width, height = round(SIZE[0] * r), round(SIZE[1] * r)
    if network.stretch:
        width, height = network.width, network.height
    left, top = (network.width - width) // 2, (network.height - height) // 2
    content = (seen * std + mean)[:, top : top + height, left : left + width]
    wanted = [bilinear(picture()[..., c].astype(float), height, width) for c in range(3)]
    np.testing.assert_allclose(content[:, 4:-4, 4:-4], np.array(wanted)[:, 4:-4, 4:-4], atol=1.5)


@pytest.mark.parametrize(("name", "network"), RELATIVES, ids=ids(RELATIVES))
def test_relative_ones_answer_nearness_and_no_metres(
    tmp_path: Path, name: str, network: Network
) -> None:
    estimator = load(tmp_path, name, network)
    assert estimator.relative
    image = picture()
    with pytest.raises(ArtifactError, match="no metres"):
        estimator(image, None)
    near = estimator.nearness(
        estimator.engine.infer(estimator.prepare(image)), estimator.geometry(*SIZE)
    )
    answer = answered(image, network)
    low, high = np.percentile(answer, [2, 98])
    np.testing.assert_allclose(near, np.clip((answer - low) / (high - low), 0, 1), atol=0.03)
    # scale is that of the description: what `depth_scale` multiplies is 1 / (scale * answer)
    metres = estimator.with_scale(2.0)(image, None)[8:-8, 8:-8]
    unit = estimator.spec.output.scale
    np.testing.assert_allclose(metres, 2 / (unit * answer[8:-8, 8:-8]), rtol=0.02)


@pytest.mark.parametrize(
    ("name", "canonical", "height"),
    [
        # Virtual KITTI 2 and Hypersim, resized to a height of 518 for training
        ("depth_anything_v2_metric_outdoor", 725.0087, 375),
        ("depth_anything_v2_metric_indoor", 1024 / 2 / math.tan(math.radians(30)), 768),
    ],
)
def test_the_camera_offered_to_try(name: str, canonical: float, height: int) -> None:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("# canonical_focal_length")]
    assert float(line.split(":")[1]) == pytest.approx(canonical * 518 / height, abs=0.1)


def test_without_a_description_the_folder_of_ready_ones_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "theirs.onnx", CASES[0][1])
    with pytest.raises(ArtifactError) as error:
        read(path)
    assert "theirs.yaml is not beside it" in str(error.value)
    assert f"copy one that fits from {FOLDER}, or write one" in str(error.value)


def test_an_unnamed_output_of_several_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as error:
        load(tmp_path, "depth_anything_v2_relative", dict(CASES)["depth_anything_v3_metric"])
    assert "theirs.yaml: output has no name, and the file has several: depth, sky" in str(
        error.value
    )


def test_another_size_is_refused_by_name(tmp_path: Path) -> None:
    small = dataclasses.replace(dict(CASES)["depth_anything_v3_metric"], width=518, height=518)
    with pytest.raises(ArtifactError) as error:
        load(tmp_path, "depth_anything_v3_metric", small)
    assert "[1, 3, 518, 518]" in str(error.value)
    assert "504x280" in str(error.value)


def test_an_answer_of_another_size_is_found_before_the_first_image(tmp_path: Path) -> None:
    """Some exports with open sizes have the size of their making burnt in."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Flatten", ["mean"], ["row"], axis=0),
        helper.make_node("Squeeze", ["row", "first"], ["flat"]),
        # 140 for any image, which nothing knows before it runs
        helper.make_node("Mul", ["flat", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "size"], ["sides"]),
        helper.make_node("Cast", ["sides"], ["shape"], to=TensorProto.INT64),
        helper.make_node("Expand", ["mean", "shape"], ["depth"]),
    ]
    graph = helper.make_graph(
        nodes,
        "burnt",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, 1, "h", "w"])],
        [
            onnx.numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
            onnx.numpy_helper.from_array(np.array([0]), "first"),
            onnx.numpy_helper.from_array(np.array([1, 1, 140, 140], np.float32), "size"),
        ],
    )
    path = tmp_path / "theirs.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        str(path),
    )
    shutil.copy(FOLDER / "depth_anything_v2_metric_outdoor.yaml", tmp_path / "theirs.yaml")
    estimator = DepthEstimator.load(str(path), num_threads=1)
    with pytest.raises(ArtifactError, match=r"answers \[1, 1, 140, 140\] to an image of 518x518"):
        estimator.warm_up()
