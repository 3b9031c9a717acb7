# SPDX-License-Identifier: Apache-2.0
"""Write the artifact: one verified ONNX file, with preprocessing and description inside."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from depth_dpt_core.artifact import METADATA_KEY, Artifact, ModelSpec
from depth_dpt_core.engines.onnxruntime import OnnxRuntimeEngine
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.evaluation import evaluate
from depth_dpt_core.files import replacing
from depth_dpt_core.frames import street_frames
from depth_dpt_core.model.checkpoint import load_model
from depth_dpt_core.model.dpt import DPT
from depth_dpt_core.preprocess import Geometry

OPSET = 18
MAX_RELATIVE_ERROR = 1e-3


class ExportError(RuntimeError):
    """The exported file does not answer like the model that it was made from."""


class _Deployed(nn.Module):
    """Preprocessing and network in one graph; the cast comes first, TensorRT wants it so."""

    def __init__(self, model: DPT) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.float().permute(0, 3, 1, 2) / 255
        depth: Tensor = self.model(pixels)
        return depth


def export(
    checkpoint: Path,
    out: Path,
    *,
    batch: int = 1,
    source_revision: str = "",
    dataset: str = "",
    test_data: Path | None = None,
) -> Artifact:
    """Export a checkpoint and verify it against torch on packaged street frames.

    Args:
        checkpoint: weights written by the trainer.
        out: the ONNX file; appears only if it is verified.
        batch: images per inference, fixed in the file.
        source_revision: revision of the code that trained the model.
        dataset: what the model was trained on, for the description.
        test_data: data set in the Cityscapes layout; the metrics on its test split go into the
            description.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        ExportError: the run is not finished; the answers differ by more than 1e-3, and no file is
            left; or `test_data` is given with a batch of several images.
    """
    if test_data is not None and batch != 1:
        raise ExportError(f"scoring on {test_data} takes a batch of 1, got {batch}")
    model, config, step = load_model(checkpoint)
    steps = config["optimization"]["steps"]
    if step != steps:
        raise ExportError(f"{checkpoint}: the run is at step {step} of {steps}, finish it")
    spec = ModelSpec(
        width=model.config.width,
        height=model.config.height,
        canonical_focal_length=config["data"]["canonical_focal_length"],
        min_depth=config["data"]["min_depth"],
        max_depth=config["data"]["max_depth"],
        encoder=model.config.encoder,
        dataset=dataset,
        training_run=f"{config['name']}, step {step}",
        source_revision=source_revision,
    )
    with replacing(out) as temporary:
        write_onnx(model, spec, temporary, batch=batch)
        error = verify(model, Artifact(temporary, spec), batch=batch)
        if not error <= MAX_RELATIVE_ERROR:
            raise ExportError(
                f"{out}: differs from the model by {error:.2g} at worst "
                f"(limit {MAX_RELATIVE_ERROR:g}); nothing was written"
            )
        if test_data is not None:
            estimator = DepthEstimator.load(Artifact(temporary, spec))
            scores = evaluate(estimator, test_data, "test").model
            spec = dataclasses.replace(spec, metrics=scores.to_dict())
            _describe(temporary, spec)
    return Artifact(out, spec)


def write_onnx(model: DPT, spec: ModelSpec, path: Path, *, batch: int) -> None:
    """Write the graph with its description in the metadata, weights inside."""
    model.encoder.freeze_image_size((spec.height, spec.width))
    example = torch.zeros((batch, spec.height, spec.width, 3), dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        torch.onnx.export(
            _Deployed(model).eval(),
            (example,),
            str(path),
            dynamo=True,
            opset_version=OPSET,
            input_names=[spec.input.name],
            output_names=[spec.output.name],
            external_data=False,
            verbose=False,
        )
    _describe(path, spec)


def _describe(path: Path, spec: ModelSpec) -> None:
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {METADATA_KEY: spec.to_json()})
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)


def verify(model: DPT, artifact: Artifact, *, batch: int) -> float:
    """Largest relative difference between torch and ONNX Runtime on the packaged frames."""
    spec = artifact.spec
    engine = OnnxRuntimeEngine(artifact)
    worst = 0.0
    for frame in street_frames():
        geometry = Geometry.fit(frame.shape[1::-1], (spec.width, spec.height))
        tensor = np.repeat(geometry.to_network(frame)[None], batch, axis=0)
        with torch.no_grad():
            expected = _Deployed(model)(torch.from_numpy(tensor)).numpy()
        answer = engine.infer(tensor)
        with np.errstate(invalid="ignore"):
            error = np.abs(answer - expected) / expected
        if not np.isfinite(error).all():  # either side overflowed
            return float("inf")
        worst = max(worst, float(error.max()))
    return worst
