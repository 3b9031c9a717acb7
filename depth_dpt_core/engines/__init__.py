# SPDX-License-Identifier: Apache-2.0
"""Runtimes for exported models: one protocol, one file each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# told what is being done and the share of it that is done (0 to 1); answers whether to go on
Progress = Callable[[str, float], bool]


@dataclass(frozen=True)
class StageTimes:
    """Where the time of one inference went on the GPU, milliseconds."""

    upload: float
    network: float
    download: float


class Engine(Protocol):
    """Runs a network; owned by one thread, unless it is `concurrent`."""

    @property
    def name(self) -> str:
        """Runtime and device, for people: for instance `onnxruntime (CPU)`."""

    @property
    def batch(self) -> int:
        """How many images one inference is made for."""

    @property
    def concurrent(self) -> bool:
        """Whether several threads may run it at a time, to each its own images."""

    def infer(self, tensor: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one batch.

        Args:
            tensor: the network's input for 1 to `batch` images, in the layout and type of its
                `InputSpec`; where the file has a fixed size, zeros fill up the rest.

        Returns:
            The network's answer [N,1,H,W] or [N,H,W] to these images, as it stands in its output.

        Raises:
            GpuFault: the GPU failed.
        """
