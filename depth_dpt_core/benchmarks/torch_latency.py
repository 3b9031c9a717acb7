# SPDX-License-Identifier: Apache-2.0
"""PyTorch as a back end to measure, never to drive by."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_dpt_core.engines import StageTimes
from depth_dpt_core.model.dpt import DPT

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# torch has no types for their constructors
_Event: Any = torch.cuda.Event
_Stream: Any = torch.cuda.Stream
_WARM_UP = 3  # runs before a CUDA graph is captured; libraries choose their kernels in them


class TorchLatencyEngine:
    """An `Engine` for one image: weights in one precision, and a CUDA graph where there is a GPU.

    Attributes:
        times: where the last inference spent its time on the GPU; None on the CPU.
    """

    times: StageTimes | None
    batch = 1
    concurrent = False

    def __init__(self, model: DPT, *, precision: str, device: str) -> None:
        """Copy the network to a device (torch's name of it)."""
        self.times = None
        self._device = torch.device(device)
        self._run = _network(model, PRECISIONS[precision], self._device)
        on_gpu = self._device.type == "cuda"
        where = torch.cuda.get_device_name(self._device) if on_gpu else "CPU"
        graph = ", CUDA graph" if on_gpu else ""
        self.name = f"torch {torch.__version__} ({precision}, {where}{graph})"
        if on_gpu:
            self._capture((1, model.config.height, model.config.width, 3))

    @torch.inference_mode()
    def infer(self, tensor: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one image uint8 [1,H,W,3]; see `Engine.infer`."""
        if self._device.type != "cuda":
            answer: NDArray[np.float32] = self._run(torch.from_numpy(tensor)).numpy()
            return answer
        self._host_in.copy_(torch.from_numpy(tensor))
        marks: list[Any] = [_Event(enable_timing=True) for _ in range(4)]
        marks[0].record()
        self._image.copy_(self._host_in, non_blocking=True)
        marks[1].record()
        self._graph.replay()
        marks[2].record()
        self._host_out.copy_(self._depth, non_blocking=True)
        marks[3].record()
        marks[3].synchronize()
        self.times = StageTimes(*(a.elapsed_time(b) for a, b in itertools.pairwise(marks)))
        depth: NDArray[np.float32] = self._host_out.numpy().copy()
        return depth

    @torch.inference_mode()
    def _capture(self, shape: tuple[int, ...]) -> None:
        self._image = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        stream: Any = _Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self._run(self._image)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._depth = self._run(self._image)
        self._host_in = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self._host_out = torch.empty(self._depth.shape, dtype=torch.float32, pin_memory=True)


def _network(model: DPT, dtype: torch.dtype, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The network as a function of the image; its last layer stays fp32, as when exported."""
    network = copy.deepcopy(model).eval().to(device, dtype)
    network.head.out.float()

    def run(image: Tensor) -> Tensor:
        depth: Tensor = network(image.to(dtype).permute(0, 3, 1, 2) / 255)
        return depth

    return run
