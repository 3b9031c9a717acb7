# SPDX-License-Identifier: Apache-2.0
"""A network that answers at once, to measure what is around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from depth_dpt_core.artifact import METADATA_KEY, ModelSpec

SPEC = ModelSpec(width=512, height=256, canonical_focal_length=500.0)
_CAMERA_HEIGHT = 1.5  # m
_HORIZON = 100  # row; what is above is sky, half as far again as the range goes


def write_null_model(path: Path) -> None:
    """Write an artifact of the contract that sees a flat road under the sky in every image."""
    sides = [SPEC.height, SPEC.width]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Shape", ["pixels"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["batch"]),
        helper.make_node("Concat", ["batch", "sides"], ["answer_shape"], axis=0),
        helper.make_node("Expand", ["road", "answer_shape"], ["depth"]),
    ]
    constants: dict[str, NDArray[Any]] = {
        "first": np.array([0], np.int64),
        "sides": np.array([1, *sides], np.int64),
        "road": _road(),
    }
    graph = helper.make_graph(
        nodes,
        "null",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, *sides, 3])],
        [helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, 1, *sides])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: SPEC.to_json()})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _road() -> NDArray[np.float32]:
    """Depth [1,1,H,W] in metres."""
    assert SPEC.canonical_focal_length is not None
    below = np.maximum(np.arange(SPEC.height) + 0.5 - _HORIZON, 1e-3)
    metres = np.minimum(SPEC.canonical_focal_length * _CAMERA_HEIGHT / below, 1.5 * SPEC.max_depth)
    rows = metres.astype(np.float32)[:, None]
    return np.ascontiguousarray(np.broadcast_to(rows, (1, 1, SPEC.height, SPEC.width)))
