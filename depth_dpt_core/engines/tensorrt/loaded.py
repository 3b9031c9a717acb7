# SPDX-License-Identifier: Apache-2.0
"""An engine on the GPU with its buffers; everything happens on the thread that holds the GPU.

Importing this needs TensorRT.
"""

from __future__ import annotations

import math

import numpy as np
import tensorrt as trt
from numpy.typing import NDArray

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_core.engines import StageTimes
from depth_dpt_core.engines.faults import GpuFault
from depth_dpt_core.engines.tensorrt.cuda import Gpu
from depth_dpt_core.engines.tensorrt.errors import EngineError
from depth_dpt_core.engines.tensorrt.logger import process_logger


class LoadedEngine:
    """Ready to run: memory is taken and bound once, a frame only copies and launches.

    Attributes:
        batch: how many images the plan is made for.
        times: of the last inference.
    """

    batch: int
    times: StageTimes

    def __init__(self, plan: bytes, spec: ModelSpec, gpu: Gpu) -> None:
        """Deserialise a plan that this program wrote.

        Raises:
            EngineError: TensorRT refuses it, or it is not the network that `spec` describes.
        """
        logger = process_logger()
        logger.take_errors()
        self._gpu = gpu
        try:
            self._runtime = trt.Runtime(logger)
        except TypeError as error:  # the binding's way to say that there is none
            raise EngineError(f"TensorRT does not start: {logger.take_errors()}") from error
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(f"TensorRT cannot load the engine: {logger.take_errors()}")
        self._engine = engine
        self._check_interface(spec)
        context = engine.create_execution_context()
        if context is None:
            raise EngineError(f"TensorRT has no room to run: {logger.take_errors()}")
        self._context = context
        shape_in = tuple(engine.get_tensor_shape(spec.input.name))
        shape_out = tuple(engine.get_tensor_shape(spec.output.name))
        self.batch = shape_in[0]
        self._host_in = gpu.pinned(shape_in, np.dtype(spec.input.dtype))
        self._host_out: NDArray[np.float32] = gpu.pinned(shape_out, np.dtype(np.float32))
        self._device_in = gpu.allocate(self._host_in.nbytes)
        self._device_out = gpu.allocate(self._host_out.nbytes)
        for name, buffer in (
            (spec.input.name, self._device_in),
            (spec.output.name, self._device_out),
        ):
            if not context.set_tensor_address(name, int(buffer)):
                raise EngineError(f"TensorRT refuses memory of {name!r}: {logger.take_errors()}")

    def infer(self, tensor: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one batch; see `Engine.infer`.

        Raises:
            ValueError: the tensor's shape or type is not the network's, or it has too many images.
            GpuFault: the GPU failed; nothing on it can be used again.
        """
        count = len(tensor)
        fits = tensor.shape[1:] == self._host_in.shape[1:] and 0 < count <= self.batch
        if not fits or tensor.dtype != self._host_in.dtype:
            raise ValueError(
                f"the network takes {self._host_in.dtype} {self._host_in.shape}, "
                f"got {tensor.dtype} {tensor.shape}"
            )
        gpu = self._gpu
        self._host_in[:count] = tensor
        self._host_in[count:] = 0
        gpu.mark(0)
        gpu.upload(self._device_in, self._host_in)
        gpu.mark(1)
        if not self._context.execute_async_v3(gpu.stream):
            raise GpuFault(f"TensorRT could not run: {process_logger().take_errors()}")
        gpu.mark(2)
        gpu.download(self._host_out, self._device_out)
        gpu.mark(3)
        self.times = StageTimes(*gpu.wait())
        answer: NDArray[np.float32] = self._host_out[:count].copy()
        return answer

    def close(self) -> None:
        """Free everything, users before what they use."""
        del self._context, self._engine, self._runtime
        del self._device_in, self._device_out, self._host_in, self._host_out

    def _check_interface(self, spec: ModelSpec) -> None:
        types = {"uint8": trt.DataType.UINT8, "float32": trt.DataType.FLOAT}
        sides = [spec.height, spec.width]
        image = [*sides, 3] if spec.input.layout == "NHWC" else [3, *sides]
        engine = self._engine
        images, *_ = engine.get_tensor_shape(spec.input.name)
        batch = max(1, images)
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        modes = {
            spec.input.name: trt.TensorIOMode.INPUT,
            spec.output.name: trt.TensorIOMode.OUTPUT,
        }
        if {name: engine.get_tensor_mode(name) for name in names} != modes:
            raise EngineError(
                f"the engine's tensors are {', '.join(names)}, must be {spec.input.name} in "
                f"and {spec.output.name} out"
            )
        for name, dtype, wanted in (
            (spec.input.name, types[spec.input.dtype], [batch, *image]),
            (spec.output.name, types["float32"], [batch, *sides]),
        ):
            shape = list(engine.get_tensor_shape(name))
            found = engine.get_tensor_dtype(name)
            fits = shape == wanted or (len(shape) == 4 and shape == [batch, 1, *sides])
            if found != dtype or not fits or math.prod(shape) != math.prod(wanted):
                raise EngineError(
                    f"the engine's {name!r} is {found.name} {shape}, must be {dtype.name} {wanted}"
                )
