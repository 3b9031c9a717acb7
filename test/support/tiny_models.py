# SPDX-License-Identifier: Apache-2.0
"""Tiny ONNX networks whose answer is a known function of their input.

Each answers, for every pixel, weights . (r, g, b) + bias, so that a mistake in size, layout,
colour order, normalisation or scale shows in the numbers.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from depth_dpt_core.artifact import METADATA_KEY, ModelSpec

onnx = pytest.importorskip("onnx")
helper, Proto = onnx.helper, onnx.TensorProto

REPOSITORY = Path(__file__).resolve().parents[2]
WEIGHTS = (0.01, 0.05, 0.1)  # metres per grey level of r, g, b
BIAS = 0.5  # m


def write_own(
    path: Path,
    spec: ModelSpec,
    *,
    metadata: str | None = None,
    described: bool = True,
    batch: int | str = 1,
) -> Path:
    """An artifact as this project exports it: `image` uint8 NHWC, first a Cast, then `depth`.

    The metadata is the description of `spec`, unless another text is given or `described` is off.
    A batch that is a name is left open.
    """
    sides = [spec.height, spec.width]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=Proto.FLOAT),
        helper.make_node("MatMul", ["pixels", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("Transpose", ["sum"], ["depth"], perm=[0, 3, 1, 2]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", Proto.UINT8, [batch, *sides, 3])],
        [helper.make_tensor_value_info("depth", Proto.FLOAT, [batch, 1, *sides])],
        [_constant("weights", np.reshape(WEIGHTS, (3, 1))), _constant("bias", np.array([BIAS]))],
    )
    text = spec.to_json() if metadata is None else metadata
    return _save(graph, path, {METADATA_KEY: text} if described else {})


def write_third_party(
    path: Path, *, size: tuple[int, int], weights: tuple[float, float, float], bias: float
) -> Path:
    """Somebody else's network: `pixels` float32 NCHW of (width, height), answer `out`."""
    width, height = size
    graph = helper.make_graph(
        [helper.make_node("Conv", ["pixels", "weights", "bias"], ["out"])],
        "third",
        [helper.make_tensor_value_info("pixels", Proto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info("out", Proto.FLOAT, [1, 1, height, width])],
        [
            _constant("weights", np.reshape(weights, (1, 3, 1, 1))),
            _constant("bias", np.array([bias])),
        ],
    )
    return _save(graph, path, {})


def describe(path: Path, **description: object) -> Path:
    """Write the YAML beside a third party's model."""
    beside = path.with_suffix(".yaml")
    beside.write_text(yaml.safe_dump(description))
    return beside


def metres(image: np.ndarray) -> np.ndarray:
    """What a network by `write_own` answers to an RGB image of its own size [H,W,3]."""
    return image.astype(np.float64) @ np.array(WEIGHTS) + BIAS


def bilinear(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Independent reference: bilinear resampling [H,W], half-pixel centres, edges repeated."""
    for axis, size in ((0, height), (1, width)):
        there = values.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * there / size - 0.5, 0, there - 1)
        low = np.minimum(at.astype(int), max(there - 2, 0))
        share = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        high = np.minimum(low + 1, there - 1)
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def process_environment(**changes: str) -> dict[str, str]:
    """Environment for a Python process that imports this checkout."""
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **changes}


def python(*arguments: str | Path) -> list[str]:
    """Command line of this interpreter."""
    return [sys.executable, *map(str, arguments)]


def _constant(name: str, values: np.ndarray) -> object:
    return onnx.numpy_helper.from_array(np.asarray(values, np.float32), name)


def _save(graph: object, path: Path, metadata: dict[str, str]) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
