# SPDX-License-Identifier: Apache-2.0
"""An engine of a model: from the cache or built, and in any case proven before anybody uses it.

Importing this needs TensorRT and pycuda.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import platform
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import onnxruntime
import tensorrt as trt
from numpy.typing import NDArray

from depth_dpt_core.artifact import Artifact
from depth_dpt_core.engines import Engine, Progress
from depth_dpt_core.engines.onnxruntime import OnnxRuntimeEngine
from depth_dpt_core.engines.tensorrt.build import BuildSettings, build, check_version
from depth_dpt_core.engines.tensorrt.cache import CacheKey, EngineCache
from depth_dpt_core.engines.tensorrt.check import (
    REPEATS,
    CheckReport,
    Frame,
    check,
    check_frames,
    reference_answers,
)
from depth_dpt_core.engines.tensorrt.cuda import GpuIdentity
from depth_dpt_core.engines.tensorrt.engine import TensorRtEngine
from depth_dpt_core.engines.tensorrt.errors import BuildCancelledError, EngineError
from depth_dpt_core.engines.tensorrt.gpu_thread import GpuThread
from depth_dpt_core.files import sha256_of

_log = logging.getLogger(__name__)

_LOG_EVERY = 5.0  # s between lines about a long build


def provide(
    artifact: Artifact,
    reference: Artifact,
    *,
    cache: EngineCache,
    progress: Progress,
    rebuild: bool = False,
) -> tuple[TensorRtEngine, CheckReport]:
    """Give a proven engine.

    Args:
        artifact: the model to run.
        reference: what its answers are compared with, on ONNX Runtime on the CPU; the same
            model in fp32.
        cache: where engines are kept.
        progress: called while building and proving; stops them when it answers False.
        rebuild: build even if there is an engine, or one was refused before.

    Raises:
        ArtifactError: ONNX Runtime cannot run the reference.
        BuildCancelledError: `progress` said so.
        EngineError: there is no usable engine, or it does not answer like the reference.
        GpuFault: the GPU failed.
    """
    check_version()
    thread = GpuThread()
    work = _Provider(thread, artifact, cache, progress)
    try:
        return work.provide(reference, rebuild=rebuild)
    except BaseException:
        work.stop.set()  # an interrupted caller must not wait for the whole build
        thread.close()
        raise


class _Provider:
    def __init__(
        self,
        thread: GpuThread,
        artifact: Artifact,
        cache: EngineCache,
        progress: Progress,
    ) -> None:
        self.stop = threading.Event()
        self._thread = thread
        self._artifact = artifact
        self._cache = cache
        self._progress = progress
        self._settings = BuildSettings()
        self._logged = time.monotonic()
        gpu = thread.call(lambda place: place.gpu.identity)
        self._machine = machine_fields(gpu)
        self._key = engine_key(artifact, self._machine, self._settings)

    def provide(self, reference: Artifact, *, rebuild: bool) -> tuple[TensorRtEngine, CheckReport]:
        self._go_on("looking for an engine", 0.0)
        with self._cache.only_one(self._key, lambda: not self._go_on("waiting", 0.0)):
            if rebuild:
                self._cache.forgive(self._key)
            elif (verdict := self._cache.refusal(self._key)) is not None:
                raise EngineError(f"not built again after an earlier engine was {verdict}")
            engine = None if rebuild else self._cached()
            if engine is None:
                engine = self._built()
            report = self._prove(engine, reference)
            if not report.passed:
                aside = self._cache.refuse(self._key, report.to_dict())
                raise EngineError(f"{report.verdict} (kept aside as {aside})")
            self._cache.note_check(self._key, report.verdict)
            _log.info("%s", report.verdict)
            return engine, report

    def _cached(self) -> TensorRtEngine | None:
        plan = self._cache.read(self._key)
        if plan is None:
            return None
        try:
            return TensorRtEngine(self._thread, plan, self._artifact.spec)
        except EngineError as error:
            _log.warning("%s: %s; built again", self._cache.path(self._key), error)
            return None

    def _built(self) -> TensorRtEngine:
        timing_key = CacheKey("timing", "tactics", self._machine)
        timings = self._cache.read(timing_key) or b""
        path = self._artifact.path
        _log.info("building a TensorRT engine of %s, which takes minutes", path)

        def progress(_phase: str, share: float) -> bool:
            return self._go_on("building the engine", share)

        built = self._thread.call(lambda _: build(path, self._settings, timings, progress))
        self._cache.write(self._key, built.plan)
        if built.timing_cache:
            self._cache.write(timing_key, built.timing_cache)
        return TensorRtEngine(self._thread, built.plan, self._artifact.spec)

    def _prove(self, engine: TensorRtEngine, reference: Artifact) -> CheckReport:
        frames = check_frames()
        expected = self._expected(reference, frames)
        name = f"onnxruntime {onnxruntime.__version__} (CPU, {reference.spec.precision})"
        watched = _Watched(engine, self._proving(_inferences(frames, engine) * REPEATS))
        return check(watched, self._artifact.spec, frames, expected, reference=name)

    def _expected(self, reference: Artifact, frames: Sequence[Frame]) -> NDArray[np.float32]:
        """The reference's answers [F,H,W], kept: on a small CPU they take longer than the rest."""
        spec = reference.spec
        key = CacheKey(
            "reference",
            reference.path.stem,
            {
                "onnx_sha256": model_digest(reference),
                "spec": spec.to_json(),
                "frames": hashlib.sha256(b"".join(f.image.tobytes() for f in frames)).hexdigest(),
                "onnxruntime": onnxruntime.__version__,
                "machine": platform.machine(),
            },
        )
        shape = (len(frames), spec.height, spec.width)
        content = self._cache.read(key)
        if content is not None:
            return np.frombuffer(content, np.float32).reshape(shape)
        engine = OnnxRuntimeEngine(reference, cpu_only=True)
        watched = _Watched(engine, self._proving(_inferences(frames, engine)))
        answers = reference_answers(watched, spec, frames)
        self._cache.write(key, answers.tobytes())
        return answers

    def _proving(self, steps: int) -> Callable[[], None]:
        """What to call before each of the steps."""
        numbers = itertools.count()

        def step() -> None:
            if not self._go_on("proving the engine", next(numbers) / steps):
                path = self._artifact.path
                raise BuildCancelledError(f"proving the engine of {path} was cancelled")

        return step

    def _go_on(self, phase: str, share: float) -> bool:
        now = time.monotonic()
        if now > self._logged + _LOG_EVERY:
            self._logged = now
            _log.info("%s: %s, %.0f %%", self._artifact.path.name, phase, 100 * share)
        return not self.stop.is_set() and self._progress(phase, share)


class _Watched:
    """An `Engine` that says so before each frame."""

    def __init__(self, engine: Engine, before: Callable[[], None]) -> None:
        self._engine = engine
        self.name, self.batch, self.concurrent = engine.name, engine.batch, False
        self._before = before

    def infer(self, tensor: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
        self._before()
        return self._engine.infer(tensor)


def _inferences(frames: Sequence[Frame], engine: Engine) -> int:
    """How many it takes to answer all frames."""
    return math.ceil(len(frames) / engine.batch)


def machine_fields(gpu: GpuIdentity) -> dict[str, Any]:
    """What binds an engine to this machine."""
    return {
        "tensorrt": trt.__version__,
        "gpu": asdict(gpu),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def engine_key(artifact: Artifact, machine: dict[str, Any], settings: BuildSettings) -> CacheKey:
    """What an engine is kept under."""
    spec = artifact.spec
    fields = {
        **machine,
        "model": artifact.path.name,
        "onnx_sha256": model_digest(artifact),
        # of a third party's model it is another file
        "description_sha256": hashlib.sha256(spec.to_json().encode()).hexdigest(),
        "input": f"{spec.input.dtype} {spec.input.layout} 1x{spec.height}x{spec.width}",
        "precision": spec.precision,
        "strongly_typed": True,
        **settings.to_dict(),
    }
    return CacheKey("engine", artifact.path.stem, fields)


def model_digest(artifact: Artifact) -> str:
    """SHA-256 over the model file, and over the weights that a third party may keep beside it."""
    path = artifact.path
    beside = (path.with_name(path.name + end) for end in (".data", "_data"))
    return "+".join(sha256_of(file) for file in (path, *beside) if file.is_file())
