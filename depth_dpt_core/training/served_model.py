# SPDX-License-Identifier: Apache-2.0
"""The model as MLflow loads it: this file as its code, a checkpoint as its only artifact."""

from __future__ import annotations

from pathlib import Path

import mlflow
import torch
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from depth_dpt_core.model.checkpoint import load_model
from depth_dpt_core.model.deployed import Deployed


class ServedModel(PythonModel):
    """Images `image` [N,H,W,3] uint8 RGB at network size to `depth` [N,1,H,W] in metres."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights."""
        model, _ = load_model(Path(context.artifacts["checkpoint"]))
        self._network = Deployed(model).eval()

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ARG002
        """Depth at the canonical focal length; untyped, for MLflow reads meaning into types."""
        with torch.no_grad():
            return {"depth": self._network(torch.from_numpy(model_input["image"])).numpy()}


mlflow.models.set_model(ServedModel())
