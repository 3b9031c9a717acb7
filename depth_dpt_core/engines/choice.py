# SPDX-License-Identifier: Apache-2.0
"""Which runtime runs a model, and why not a better one."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.artifact import Artifact, ArtifactError, ModelSpec, read
from depth_dpt_core.engines import Engine, Progress, StageTimes
from depth_dpt_core.engines.faults import GpuFault, remember_fault, remembered_fault
from depth_dpt_core.engines.onnxruntime import OnnxRuntimeEngine

if TYPE_CHECKING:
    from depth_dpt_core.engines.tensorrt.check import CheckReport

_log = logging.getLogger(__name__)

Runtime = Literal["auto", "tensorrt", "onnxruntime"]


class NoRuntimeError(RuntimeError):
    """The runtime that was asked for does not run the model; has every reason."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class RuntimeState:
    """What runs a model now, for the log, `/diagnostics` and JSON.

    Attributes:
        name: of the engine.
        model: the file that it runs, which may be the asked model's sibling.
        precision: of that file.
        check: how a TensorRT engine was proven.
        reasons: why what would be faster does not run, one sentence each.
        gpu_fault: what happened to the GPU; empty while it is well.
        fell_back: whether TensorRT is installed, wanted, and does not run the model.
    """

    name: str
    model: Path
    precision: str
    check: CheckReport | None = None
    reasons: tuple[str, ...] = ()
    gpu_fault: str = ""
    fell_back: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "runtime": self.name,
            "model": str(self.model),
            "precision": self.precision,
            "check": self.check and self.check.to_dict(),
            "reasons": list(self.reasons),
            "gpu_fault": self.gpu_fault,
            "fell_back": self.fell_back,
        }


class ChosenEngine:
    """An `Engine` that outlives the GPU: after a fault, ONNX Runtime goes on, on the CPU.

    Attributes:
        state: what runs now; another object after a fault.
        lost_gpu: whether there was such a fault.
    """

    state: RuntimeState
    lost_gpu: bool

    def __init__(
        self, engine: Engine, state: RuntimeState, fallback: Artifact, num_threads: int
    ) -> None:
        self._engine = engine
        self.state = state
        self.lost_gpu = False
        self._fallback = fallback
        self._num_threads = num_threads

    @property
    def name(self) -> str:
        """Runtime and device of what runs now."""
        return self._engine.name

    @property
    def batch(self) -> int:
        """As what runs now."""
        return self._engine.batch

    @property
    def concurrent(self) -> bool:
        """As what runs now."""
        return self._engine.concurrent

    @property
    def times(self) -> StageTimes | None:
        """Where the last inference spent its time on the GPU; None where it is not told."""
        times: StageTimes | None = getattr(self._engine, "times", None)
        return times

    def infer(self, tensor: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Run one batch; a frame that the GPU fails on is answered by the CPU."""
        try:
            return self._engine.infer(tensor)
        except GpuFault as fault:
            _log.error("%s; ONNX Runtime goes on, on the CPU", fault)
            remember_fault(fault)
            self._go_on_without_gpu(str(fault))
        return self._engine.infer(tensor)

    def _go_on_without_gpu(self, fault: str) -> None:
        engine = OnnxRuntimeEngine(self._fallback, num_threads=self._num_threads, cpu_only=True)
        self._engine = engine
        self.state = RuntimeState(
            engine.name,
            self._fallback.path,
            self._fallback.spec.precision,
            reasons=(*self.state.reasons, fault),
            gpu_fault=fault,
            fell_back=self.state.check is not None,
        )
        self.lost_gpu = True


def choose_engine(
    artifact: Artifact,
    runtime: Runtime = "auto",
    *,
    num_threads: int = 0,
    progress: Progress | None = None,
    rebuild: bool = False,
) -> ChosenEngine:
    """Take the fastest runtime that answers rightly here.

    `auto` tries TensorRT with the model's fp16 file and then its fp32 file, and takes ONNX
    Runtime where neither is proven. Building an engine takes minutes, once.

    Args:
        artifact: the model, in either precision.
        runtime: what may run it.
        num_threads: CPU threads of one inference on ONNX Runtime; 0 takes all cores.
        progress: called while an engine is built or proven; stops that when it answers False.
        rebuild: build engines again, even refused ones.

    Raises:
        ArtifactError: the model cannot be used.
        BuildCancelledError: `progress` said so.
        NoRuntimeError: TensorRT was asked for and is refused.
        ValueError: there is no such runtime.
    """
    if runtime not in get_args(Runtime):
        raise ValueError(f"runtime is {runtime!r}, must be one of {', '.join(get_args(Runtime))}")
    reference, reasons = artifact, list[str]()
    on_tensorrt = runtime != "onnxruntime" and _tensorrt_is_there(reasons)
    if on_tensorrt:
        candidates = _by_precision(artifact, reasons)
        reference = candidates[-1]
        try:
            for candidate in candidates:
                chosen = _on_tensorrt(candidate, reference, reasons, progress, rebuild)
                if chosen is not None:
                    return ChosenEngine(*chosen, reference, num_threads)
        except GpuFault as fault:
            _log.error("%s", fault)
            reasons.append(str(fault))
    if runtime == "tensorrt":
        raise NoRuntimeError(tuple(reasons))
    earlier = remembered_fault()
    engine = OnnxRuntimeEngine(reference, num_threads=num_threads, cpu_only=bool(earlier))
    state = RuntimeState(
        engine.name,
        reference.path,
        reference.spec.precision,
        reasons=tuple(reasons),
        gpu_fault=earlier,
        fell_back=on_tensorrt,
    )
    return ChosenEngine(engine, state, reference, num_threads)


def _tensorrt_is_there(reasons: list[str]) -> bool:
    try:
        import tensorrt  # noqa: F401, I001 - the first to be told of
        import filelock  # noqa: F401
        import pycuda.driver  # noqa: F401
    except ImportError as error:  # also where the bindings miss their libraries
        reasons.append(f"TensorRT cannot be used here: {error} (see docs/tensorrt.md)")
        return False
    return True


def _by_precision(artifact: Artifact, reasons: list[str]) -> list[Artifact]:
    """The model's files, fp16 before fp32."""
    found = [artifact]
    if artifact.spec.sibling is not None:
        try:
            sibling = read(artifact.path.with_name(artifact.spec.sibling))
            if _network(sibling.spec) != _network(artifact.spec):
                raise ArtifactError(f"{sibling.path}: not the same network as {artifact.path}")
            found.append(sibling)
        except ValueError as error:  # a name can be none of a file
            _log.warning("%s", error)
            reasons.append(str(error))
    return sorted(found, key=lambda a: a.spec.precision)


def _network(spec: ModelSpec) -> ModelSpec:
    """What two files of one model have in common beside their origin."""
    return replace(spec, precision="fp32", sibling=None, metrics={}, source_revision="")


def _on_tensorrt(
    artifact: Artifact,
    reference: Artifact,
    reasons: list[str],
    progress: Progress | None,
    rebuild: bool,
) -> tuple[Engine, RuntimeState] | None:
    from depth_dpt_core.engines.tensorrt.cache import EngineCache, default_folder
    from depth_dpt_core.engines.tensorrt.errors import EngineError
    from depth_dpt_core.engines.tensorrt.provide import provide

    try:
        engine, report = provide(
            artifact,
            reference,
            cache=EngineCache(default_folder()),
            progress=progress or (lambda _phase, _share: True),
            rebuild=rebuild,
        )
    except EngineError as error:
        reasons.append(f"{artifact.path.name} ({artifact.spec.precision}): {error}")
        _log.warning("%s", reasons[-1])
        return None
    state = RuntimeState(
        engine.name, artifact.path, artifact.spec.precision, report, tuple(reasons)
    )
    return engine, state
