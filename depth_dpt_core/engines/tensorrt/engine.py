# SPDX-License-Identifier: Apache-2.0
"""TensorRT as an `Engine`. Importing this needs TensorRT and pycuda."""

from __future__ import annotations

import numpy as np
import tensorrt as trt
from numpy.typing import NDArray

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_core.engines import StageTimes
from depth_dpt_core.engines.tensorrt.cuda import GpuIdentity
from depth_dpt_core.engines.tensorrt.gpu_thread import GpuThread, Workplace
from depth_dpt_core.engines.tensorrt.loaded import LoadedEngine


class TensorRtEngine:
    """An `Engine` on a GPU thread of its own, so any one thread may call it.

    Attributes:
        gpu: the device.
        name: runtime, precision of the model and device.
        batch: how many images the plan is made for.
        times: where the last inference spent its time; None before the first.
    """

    gpu: GpuIdentity
    name: str
    batch: int
    concurrent = False
    times: StageTimes | None

    def __init__(self, thread: GpuThread, plan: bytes, spec: ModelSpec) -> None:
        """Load a plan that this program wrote; `LoadedEngine` says what it raises."""
        self._thread = thread
        self.times = None

        def load(place: Workplace) -> tuple[GpuIdentity, int]:
            place.unload()
            place.engine = LoadedEngine(plan, spec, place.gpu)
            return place.gpu.identity, place.engine.batch

        self.gpu, self.batch = thread.call(load)
        self.name = f"tensorrt {trt.__version__} ({spec.precision}, {self.gpu.name})"

    def infer(self, tensor: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one batch; see `Engine.infer` and `LoadedEngine.infer`."""

        def run(place: Workplace) -> tuple[NDArray[np.float32], StageTimes]:
            assert place.engine is not None, "used after close"
            return place.engine.infer(tensor), place.engine.times

        answer, self.times = self._thread.call(run)
        return answer

    def close(self) -> None:
        """Free the engine and give the GPU back."""
        self._thread.close()
