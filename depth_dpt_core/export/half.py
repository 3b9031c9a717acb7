# SPDX-License-Identifier: Apache-2.0
"""From an fp32 artifact to one that computes in fp16, but for what needs more.

TensorRT takes precision from the file alone, so the choice is made here, once, and tested without
a GPU. Done here in one pass, for the converters at hand (onnxconverter-common, and the one in
`onnxruntime.transformers`) round to fp16 between the nodes of an island that is to stay fp32.
"""

from __future__ import annotations

from itertools import chain

import numpy as np
import onnx
import onnxruntime
from onnx import NodeProto, TensorProto, helper, numpy_helper

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_core.engines.tensorrt.check import check_frames, network_input

# Layer normalisation sums squares, and softmax exponentials: in fp16 the first overflows and the
# second loses the small ones. Attention around an fp32 softmax is also not given to TensorRT's
# fused kernels, which have answered wrongly (NVIDIA/TensorRT issue 4837).
_SENSITIVE = frozenset({"LayerNormalization", "Softmax"})


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model in fp16 with islands of fp32; input and output keep their types.

    Islands are the pixels up to the first convolution; softmax and layer normalisation; and the
    last convolution with what follows, where fp16 would round the logarithm of depth, and so depth
    itself, to steps of 0.4 % at 80 m.
    """
    half = onnx.ModelProto()
    half.CopyFrom(model)
    graph = half.graph
    islands = _islands(list(graph.node))
    weights = {tensor.name: tensor for tensor in graph.initializer}
    floats = _tensors(model, TensorProto.FLOAT)
    nodes: list[NodeProto] = []
    have: dict[str, int] = {}  # float tensors so far, and their type
    used: dict[str, TensorProto] = {}
    for index, node in enumerate(graph.node):
        wanted = TensorProto.FLOAT if index in islands else TensorProto.FLOAT16
        for position, name in enumerate(node.input):
            if name in weights:
                tensor = weights[name]
                if name in floats and wanted == TensorProto.FLOAT16:
                    tensor = _rounded(tensor)
                used[tensor.name] = tensor
                node.input[position] = tensor.name
            elif name in floats and have[name] != wanted:
                cast = f"{name}/fp{16 if wanted == TensorProto.FLOAT16 else 32}"
                if cast not in have:
                    nodes.append(helper.make_node("Cast", [name], [cast], cast, to=wanted))
                    have[cast] = wanted
                node.input[position] = cast
        nodes.append(node)
        have |= {name: wanted for name in node.output if name in floats}
    for part, content in ((graph.node, nodes), (graph.initializer, used.values())):
        del part[:]
        part.extend(content)
    del graph.value_info[:]
    onnx.checker.check_model(half, full_check=True)
    return half


def _islands(nodes: list[NodeProto]) -> set[int]:
    """Places of the nodes that stay fp32."""
    convolutions = [i for i, node in enumerate(nodes) if node.op_type == "Conv"]
    sensitive = (i for i, node in enumerate(nodes) if node.op_type in _SENSITIVE)
    return {*range(convolutions[0]), *sensitive, *range(convolutions[-1], len(nodes))}


def _tensors(model: onnx.ModelProto, kind: int) -> set[str]:
    """Names of all tensors of a type, weights included."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = chain(graph.input, graph.value_info, graph.output)
    typed = chain(
        ((value.name, value.type.tensor_type.elem_type) for value in values),
        ((tensor.name, tensor.data_type) for tensor in graph.initializer),
    )
    return {name for name, found in typed if found == kind}


def _rounded(tensor: TensorProto) -> TensorProto:
    """A weight in fp16 under a name of its own."""
    with np.errstate(over="ignore"):  # what becomes infinite is refused by its answers
        values = numpy_helper.to_array(tensor).astype(np.float16)
    return numpy_helper.from_array(values, f"{tensor.name}/fp16")


def largest_activation(
    model: onnx.ModelProto, half: onnx.ModelProto, spec: ModelSpec
) -> tuple[str, float]:
    """What fp16 must hold: of the tensors that are fp16 in `half`, the one largest in `model`.

    Returns:
        Its name, and its largest magnitude on the frames of the proof.
    """
    rounded = _tensors(half, TensorProto.FLOAT16)
    names = [name for node in model.graph.node for name in node.output if name in rounded]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    graph = watched.graph
    for name in names:
        graph.node.append(helper.make_node("Abs", [name], [f"{name}/abs"]))
        largest = helper.make_node("ReduceMax", [f"{name}/abs"], [f"{name}/max"], keepdims=0)
        graph.node.append(largest)
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(f"{name}/max", TensorProto.FLOAT, []) for name in names
    )
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    rows = [
        session.run(None, {spec.input.name: network_input(spec, frame.image)})
        for frame in check_frames()
    ]
    magnitudes = np.max(np.array(rows, np.float64), axis=0)
    worst = int(np.argmax(magnitudes))
    return names[worst], float(magnitudes[worst])
