# SPDX-License-Identifier: Apache-2.0
"""Write the artifact: one verified ONNX file, with preprocessing and description inside."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch

from depth_dpt_core.artifact import METADATA_KEY, Artifact, ModelSpec
from depth_dpt_core.engines.onnxruntime import OnnxRuntimeEngine
from depth_dpt_core.engines.tensorrt.check import check, check_frames, reference_answers
from depth_dpt_core.export.half import largest_activation, to_half
from depth_dpt_core.files import replacing
from depth_dpt_core.frames import street_frames
from depth_dpt_core.locking import only_one_at
from depth_dpt_core.model.checkpoint import load_model
from depth_dpt_core.model.deployed import Deployed
from depth_dpt_core.model.dpt import DPT
from depth_dpt_core.preprocess import Geometry

OPSET = 18
MAX_RELATIVE_ERROR = 1e-3
# A tenth of fp16's largest number, 65504: other pictures, and kernels that sum in another order,
# must not overflow either.
MAX_ACTIVATION = 6550.0


class ExportError(RuntimeError):
    """No file was made that answers like the model; says why."""


def export(
    checkpoint: Path, out: Path, *, batch: int = 1, precision: Literal["fp32", "fp16"] = "fp32"
) -> Artifact:
    """Export a checkpoint and verify it against torch on packaged street frames.

    With fp16, NAME.fp16.onnx is written beside the fp32 file NAME.onnx, and each names the other.

    The same checkpoint gives the same bytes, whenever and wherever it is exported with the same
    version of torch.

    Args:
        checkpoint: weights written by the trainer.
        out: the ONNX file; appears only if it is verified.
        batch: images per inference, fixed in the file.
        precision: the least there is to be.

    Raises:
        BusyError: another process writes this file.
        CheckpointError: the checkpoint cannot be used.
        ExportError: the answers differ by more than 1e-3, or in fp16 by more than an engine's may,
            and no file is left; or `batch` is not positive, or not 1 with fp16.
    """
    if batch < 1:
        raise ExportError(f"a batch has at least 1 image, got {batch}")
    if precision == "fp16" and batch > 1:
        raise ExportError(f"an fp16 file takes one image at a time, batch must be 1, got {batch}")
    model, record = load_model(checkpoint)
    beside = out.with_name(f"{out.stem}.fp16{out.suffix}")
    spec = replace(record.model_spec(), sibling=beside.name if precision == "fp16" else None)
    with only_one_at(out), replacing(out) as temporary:
        print(f"exporting {checkpoint}", flush=True)
        write_onnx(model, spec, temporary, batch=batch)
        print("comparing the file's answers with the model's", flush=True)
        error = verify(model, Artifact(temporary, spec), batch=batch)
        if not error <= MAX_RELATIVE_ERROR:
            raise ExportError(
                f"{out}: differs from the model by {error:.2g} at worst "
                f"(limit {MAX_RELATIVE_ERROR:g}); nothing was written"
            )
        if precision == "fp16":
            with replacing(beside) as temporary_half:
                print("rounding to fp16 and comparing again", flush=True)
                full = Artifact(temporary, spec)
                half = Artifact(temporary_half, replace(spec, precision="fp16", sibling=out.name))
                write_half(full, half)
                print(f"in fp16 {verify_half(full, half)}")
    return Artifact(out, spec)


def write_onnx(model: DPT, spec: ModelSpec, path: Path, *, batch: int) -> None:
    """Write the graph with its description in the metadata, weights inside."""
    model.encoder.freeze_image_size((spec.height, spec.width))
    example = torch.zeros((batch, spec.height, spec.width, 3), dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        torch.onnx.export(
            Deployed(model).eval(),
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


def write_half(full: Artifact, half: Artifact) -> None:
    """Write the fp16 file of an fp32 one, with its own description."""
    model = to_half(onnx.load(full.path))
    onnx.helper.set_model_props(model, {METADATA_KEY: half.spec.to_json()})
    onnx.save(model, half.path)


def verify_half(full: Artifact, half: Artifact) -> str:
    """Hold an fp16 file to what an engine is held to; returns the outcome in words.

    Raises:
        ExportError: it answers unlike the fp32 file, or its numbers come near to fp16's largest.
    """
    tensor, largest = largest_activation(onnx.load(full.path), onnx.load(half.path), full.spec)
    if not largest <= MAX_ACTIVATION:
        raise ExportError(
            f"{full.spec.sibling}: {tensor} comes to {largest:.3g} on the frames of the proof, "
            f"too close to what fp16 can hold (limit {MAX_ACTIVATION:g}); export fp32"
        )
    frames = check_frames()
    expected = reference_answers(OnnxRuntimeEngine(full, cpu_only=True), full.spec, frames)
    engine = OnnxRuntimeEngine(half, cpu_only=True)
    report = check(engine, half.spec, frames, expected, reference="the fp32 file")
    if not report.passed:
        raise ExportError(f"{full.spec.sibling}: {report.verdict}; export fp32")
    return f"{report.verdict}; largest activation {largest:.3g}"


def _describe(path: Path, spec: ModelSpec) -> None:
    model = onnx.load(path)
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("metadata_props")  # stack traces with this machine's paths
    onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def verify(model: DPT, artifact: Artifact, *, batch: int) -> float:
    """Largest difference between torch and ONNX Runtime on the packaged frames.

    Relative to the depth, and below `min_depth`, where answers are dropped as unknown, to
    `min_depth`: a ReLU answers exactly 0 there. Infinite where either side is not finite.
    """
    spec = artifact.spec
    engine = OnnxRuntimeEngine(artifact)
    deployed = Deployed(model)
    worst = 0.0
    for frame in street_frames():
        geometry = Geometry.fit(
            frame.shape[1::-1], (spec.width, spec.height), stretch=spec.aspect == "stretch"
        )
        tensor = np.repeat(geometry.to_network(frame)[None], batch, axis=0)
        with torch.no_grad():
            expected = deployed(torch.from_numpy(tensor)).numpy()
        answer = engine.infer(tensor)
        with np.errstate(invalid="ignore"):
            error = np.abs(answer - expected) / np.maximum(expected, spec.min_depth)
        if not np.isfinite(error).all():
            return float("inf")
        worst = max(worst, float(error.max()))
    return worst
