# SPDX-License-Identifier: Apache-2.0
"""How long a camera image takes to become depth, stage by stage, on each runtime that is here.

The baseline is ONNX Runtime on the CPU with the fp32 file: what every machine has, and what the
others' answers are compared with.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from depth_dpt_core.artifact import Artifact, ModelSpec, resolve
from depth_dpt_core.engines import Engine
from depth_dpt_core.engines.choice import NoRuntimeError, Runtime, choose_engine
from depth_dpt_core.engines.onnxruntime import OnnxRuntimeEngine
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.frames import street_frames

if TYPE_CHECKING:
    from depth_dpt_core.benchmarks.onnx_cost import Cost
    from depth_dpt_core.model.dpt import DPT

IMAGE = (1920, 1080)  # pixels; of the camera
ROUNDS = 5  # all ways in turns
FRAMES = 40  # of a way in a round, or as many as take
SECONDS = 3.0
LEAST_FRAMES = 4
STAGES = ("prepare", "network", "finish", "total")


@dataclass(frozen=True)
class Stage:
    """Milliseconds of one stage, over all frames."""

    name: str
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class Speed:
    """One way of doing it.

    Attributes:
        way: runtime, precision and device.
        frames: measured.
        stages: to the network's size, through the network with all copies, and back; `total`; and
            where the runtime tells them, the parts of `network` on the GPU.
        frames_per_second: one after another, from the median.
        ratio: of frames/s to the baseline's.
        tflops: 10^12 counted operations/s while in the network, from the median; None where
            nothing was counted.
        abs_rel: mean relative difference of its depth from the baseline's.
    """

    way: str
    frames: int
    stages: list[Stage]
    frames_per_second: float
    ratio: float
    tflops: float | None
    abs_rel: float


@dataclass(frozen=True)
class Result:
    """What was measured, on what, and what was not and why."""

    machine: str
    cores: int
    model: str
    network_size: tuple[int, int]
    cost: Cost | None
    speeds: list[Speed]
    not_measured: list[str]

    def table(self) -> str:
        """The numbers to print."""
        width, height = self.network_size
        lines = [f"{self.model} at {width} x {height}; {self.cores} cores, {self.machine}"]
        if self.cost is not None:
            cost = self.cost
            lines.append(
                f"{cost.flops / 1e9:.2f} GFLOP, {cost.weight_bytes / 1e6:.1f} MB of weights, "
                f"{cost.tensor_bytes / 1e6:.1f} MB of tensors in fp32"
            )
        for speed in self.speeds:
            rate = "" if speed.tflops is None else f", {speed.tflops:.3f} TFLOP/s in the network"
            speeds = f"{speed.frames_per_second:.2f} frames/s, {speed.ratio:.2f} of the baseline's"
            lines += [
                f"\n{speed.way}: {speeds}{rate}",
                f"abs_rel to the baseline {speed.abs_rel:.2g}, {speed.frames} frames",
                f"  {'ms':10}{'p50':>9}{'p95':>9}{'p99':>9}",
            ]
            lines += [
                f"  {it.name:10}{it.p50:9.2f}{it.p95:9.2f}{it.p99:9.2f}" for it in speed.stages
            ]
        lines += [f"\nnot measured: {reason}" for reason in self.not_measured]
        return "\n".join(lines)


def benchmark(model: str = "builtin", encoder: str | None = None) -> Result:
    """Measure all runtimes that are here, in turns.

    Args:
        model: `builtin`, an ONNX file or `hf://`; or a safetensors checkpoint, which torch runs
            too.
        encoder: instead, any of timm's, in a network of the default size with random weights.

    Raises:
        ArtifactError, CheckpointError, ValueError: the model or the encoder cannot be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        name = f"{encoder}, random weights" if encoder else model
        artifact, network = _open(model, encoder, Path(folder))
        reasons: list[str] = []
        cost = _count(artifact.path, reasons)
        ways = list(_ways(artifact, network, reasons))
        estimators = [_Timed(artifact.spec, engine) for engine in ways]
        for _ in tqdm(range(ROUNDS), unit="round"):
            for estimator in estimators:
                estimator.measure()
    speeds = [it.speed(estimators[0], cost) for it in estimators]
    return Result(
        platform.processor() or platform.machine(),
        len(os.sched_getaffinity(0)),
        name,
        (artifact.spec.width, artifact.spec.height),
        cost,
        speeds,
        reasons,
    )


def _open(model: str, encoder: str | None, folder: Path) -> tuple[Artifact, DPT | None]:
    """The file to measure, and the network that it was made of if torch is to run it."""
    if encoder is None and not model.endswith(".safetensors"):
        return resolve(model), None
    import torch

    from depth_dpt_core.config import DPTConfig
    from depth_dpt_core.export.onnx import write_half, write_onnx
    from depth_dpt_core.model.checkpoint import load_model
    from depth_dpt_core.model.dpt import DPT

    if encoder is not None:
        torch.manual_seed(0)
        network = DPT(DPTConfig(encoder)).eval()
        spec = ModelSpec(network.config.width, network.config.height, encoder=encoder)
    else:
        network, record = load_model(Path(model).expanduser())
        spec = record.model_spec()
    full = Artifact(folder / "model.onnx", replace(spec, sibling="model.fp16.onnx"))
    half = replace(spec, precision="fp16", sibling="model.onnx")
    write_onnx(network, full.spec, full.path, batch=1)
    write_half(full, Artifact(folder / "model.fp16.onnx", half))
    return full, network


def _count(path: Path, reasons: list[str]) -> Cost | None:
    try:
        from depth_dpt_core.benchmarks.onnx_cost import count
    except ImportError as error:  # a vehicle has no need for it
        reasons.append(f"operations and bytes: {error}")
        return None
    return count(path)


def _ways(artifact: Artifact, network: DPT | None, reasons: list[str]) -> Iterator[Engine]:
    """The baseline, then whatever else is here."""
    baseline = OnnxRuntimeEngine(artifact, cpu_only=True)
    yield baseline
    runtimes: tuple[Runtime, ...] = ("tensorrt", "onnxruntime")
    for runtime in runtimes:
        try:
            engine = choose_engine(artifact, runtime)
        except NoRuntimeError as error:
            reasons.append(str(error))
            continue
        if engine.name != baseline.name:
            yield engine
    if network is None:
        reasons.append("torch: an ONNX file holds no network for it, give a checkpoint or encoder")
        return
    import torch

    from depth_dpt_core.benchmarks.torch_latency import PRECISIONS, TorchLatencyEngine

    yield TorchLatencyEngine(network, precision="fp32", device="cpu")
    if not torch.cuda.is_available():
        reasons.append("torch on a GPU: it finds none")
        return
    for precision in PRECISIONS:
        yield TorchLatencyEngine(network, precision=precision, device="cuda")


class _Timed:
    """An engine inside of the estimator, with a clock at both ends of its work."""

    def __init__(self, spec: ModelSpec, engine: Engine) -> None:
        self._engine = engine
        self.name, self.batch, self.concurrent = engine.name, engine.batch, False
        self._estimator = DepthEstimator(spec, self).with_scale(1.0)  # of a relative model too
        self._image: NDArray[np.uint8] = np.asarray(
            cv2.resize(street_frames()[0], IMAGE), np.uint8
        )
        self._rows: list[tuple[float, ...]] = []  # ms of each stage
        self._parts: list[tuple[float, float, float]] = []  # ms on the GPU
        self.depth = self._estimator(self._image, None)

    def infer(self, tensor: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        self._begun = time.perf_counter()
        answer = self._engine.infer(tensor)
        self._done = time.perf_counter()
        return answer

    def measure(self) -> None:
        """Answer the image again and again for one round."""
        end = time.perf_counter() + SECONDS
        for index in range(FRAMES):
            start = time.perf_counter()
            if index >= LEAST_FRAMES and start > end:
                break
            self._estimator(self._image, None)
            finish = time.perf_counter()
            marks = np.array([start, self._begun, self._done, finish])
            self._rows.append((*(1e3 * np.diff(marks)), 1e3 * (finish - start)))
            times = getattr(self._engine, "times", None)
            if times is not None:
                self._parts.append((times.upload, times.network, times.download))

    def speed(self, baseline: _Timed, cost: Cost | None) -> Speed:
        """Sum up."""
        stages = _stages(STAGES, self._rows)
        seconds = stages[1].p50 / 1e3
        parts = _stages(("  upload", "  compute", "  download"), self._parts)
        both = np.isfinite(self.depth) & np.isfinite(baseline.depth)
        return Speed(
            self.name,
            len(self._rows),
            [*stages, *parts],
            frames_per_second=1e3 / stages[-1].p50,
            ratio=_stages(STAGES, baseline._rows)[-1].p50 / stages[-1].p50,
            tflops=None if cost is None else cost.flops / seconds / 1e12,
            abs_rel=float(np.abs(self.depth[both] / baseline.depth[both] - 1).mean()),
        )


def _stages(names: tuple[str, ...], rows: Sequence[tuple[float, ...]]) -> list[Stage]:
    if not rows:
        return []
    percentiles = np.percentile(np.array(rows), [50, 95, 99], axis=0).T
    return [
        Stage(name.strip(), *map(float, row)) for name, row in zip(names, percentiles, strict=True)
    ]
