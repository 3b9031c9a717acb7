# SPDX-License-Identifier: Apache-2.0
"""A network that answers at once, to measure what is around it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from depth_dpt_core.artifact import METADATA_KEY, ModelSpec

SPEC = ModelSpec(width=512, height=256, canonical_focal_length=500.0)
METRES_PER_LEVEL = 0.4  # 200 and more of 255 grey levels are beyond the range of 80 m


def write_null_model(path: Path) -> None:
    """Write an artifact of the contract whose depth is METRES_PER_LEVEL times the red channel."""
    sides = [SPEC.height, SPEC.width]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["pixels", "red"], ["level"], axis=3),
        helper.make_node("Mul", ["level", "gain"], ["metres"]),
        helper.make_node("Unsqueeze", ["metres", "channel"], ["depth"]),
    ]
    constants = {
        "red": np.array(0, np.int64),
        "gain": np.array(METRES_PER_LEVEL, np.float32),
        "channel": np.array([1], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "null",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, *sides, 3])],
        [helper.make_tensor_value_info("depth", TensorProto.FLOAT, [1, 1, *sides])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: SPEC.to_json()})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
