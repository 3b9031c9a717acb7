# SPDX-License-Identifier: Apache-2.0
"""What one run of an ONNX graph costs, counted from its shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto, helper

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Cost:
    """Of one run.

    Attributes:
        flops: of convolutions and matrix products, a multiplication and an addition each; all else
            is left out, being little.
        weight_bytes: read at least once.
        tensor_bytes: of all intermediate tensors, each written once; fused kernels write less.
    """

    flops: int
    weight_bytes: int
    tensor_bytes: int


def count(path: Path) -> Cost:
    """Count a model file of fixed shapes."""
    model = onnx.load(path)
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    shapes: Shapes = {
        value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
        for value in values
    }
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    sizes = {value.name: _item_size(value.type.tensor_type.elem_type) for value in values}
    return Cost(
        flops=sum(_flops(node, shapes) for node in graph.node),
        weight_bytes=sum(_bytes_of(tensor) for tensor in graph.initializer),
        tensor_bytes=sum(
            math.prod(shapes[name]) * sizes[name] for node in graph.node for name in node.output
        ),
    )


def _flops(node: NodeProto, shapes: Shapes) -> int:
    if node.op_type not in ("Conv", "MatMul"):
        return 0
    # an answer of a convolution sums over the weight's other axes, of a product over the last
    first, second = (shapes[name] for name in node.input[:2])
    summed = math.prod(second[1:]) if node.op_type == "Conv" else first[-1]
    return 2 * math.prod(shapes[node.output[0]]) * summed


def _bytes_of(tensor: TensorProto) -> int:
    total: int = math.prod(tensor.dims) * _item_size(tensor.data_type)
    return total


def _item_size(kind: int) -> int:
    size: int = helper.tensor_dtype_to_np_dtype(kind).itemsize
    return size
