# SPDX-License-Identifier: Apache-2.0
"""PyTorch: a model while it is still a checkpoint."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from depth_dpt_core.model.deployed import Deployed
from depth_dpt_core.model.dpt import DPT


class TorchEngine:
    """An `Engine` that takes uint8 [N,H,W,3] as exported artifacts do, any number of images."""

    batch = 1
    concurrent = False  # torch runs one image on all cores anyway

    def __init__(self, model: DPT, *, device: str | None = None) -> None:
        """Bring the model to the device and into eval mode.

        Args:
            model: the network; it is not copied.
            device: torch's name of the device; None takes CUDA where there is one.
        """
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.name = f"torch ({self._device.type.upper()})"
        self._network = Deployed(model).eval().to(self._device)

    @torch.inference_mode()
    def infer(self, tensor: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one batch; see `Engine.infer`."""
        depth = self._network(torch.from_numpy(tensor).to(self._device))
        answer: NDArray[np.float32] = depth.cpu().numpy()
        return answer
