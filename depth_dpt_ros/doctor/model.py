# SPDX-License-Identifier: Apache-2.0
"""The model asked for, how fast it runs here, and the engines built of it."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from depth_dpt_ros.doctor.finding import Finding, note, ok, problem
from depth_dpt_ros.doctor.software import Software

if TYPE_CHECKING:
    from depth_dpt_core.artifact import Artifact, ModelSpec
    from depth_dpt_core.engines.tensorrt.cache import Entry

_TRIAL = 1.5  # s of inference at most, after the first
_NEEDED = ("numpy", "cv2", "yaml", "onnxruntime")


@dataclass(frozen=True)
class Speed:
    """A frame on ONNX Runtime: which device, and the median time, milliseconds."""

    runtime: str
    milliseconds: float


@dataclass(frozen=True)
class Model:
    """What a node with this model would run.

    Attributes:
        path: the file; None where there is none.
        error: why it cannot be used.
        engines: in this user's cache, of any model.
        tensorrt: the installed version; None where there is none.
    """

    asked: str
    path: Path | None = None
    spec: ModelSpec | None = None
    error: str = ""
    speed: Speed | None = None
    engines: tuple[Entry, ...] = ()
    cache_error: str = ""
    tensorrt: str | None = None


def gather(asked: str, software: Software, image: tuple[int, int] | None) -> Model | None:
    """Find and try the model on an image (width, height); None where packages are missing."""
    if any(software.answers[name].error for name in _NEEDED):
        return None
    from depth_dpt_core.artifact import ArtifactError, resolve

    # without filelock none can have been built
    engines, cache_error = ((), "") if software.answers["filelock"].error else _engines()
    tensorrt = software.answers["tensorrt"].value
    try:
        artifact = resolve(asked)
        spec, path = artifact.spec, artifact.path
        speed = _try(artifact, image or (spec.width, spec.height))
    except ArtifactError as error:
        return Model(asked, error=str(error), engines=engines, cache_error=cache_error)
    return Model(asked, path, spec, "", speed, engines, cache_error, tensorrt)


def _try(artifact: Artifact, image: tuple[int, int]) -> Speed:
    import numpy as np

    from depth_dpt_core.engines.onnxruntime import OnnxRuntimeEngine
    from depth_dpt_core.estimator import DepthEstimator

    engine = OnnxRuntimeEngine(artifact)
    estimator = DepthEstimator(artifact.spec, engine).with_scale(1.0)  # of a relative model too
    frame = np.zeros((image[1], image[0], 3), np.uint8)
    estimator(frame, None)
    times, end = list[float](), time.perf_counter() + _TRIAL
    while not times or (len(times) < 20 and time.perf_counter() < end):
        begun = time.perf_counter()
        estimator(frame, None)
        times.append((time.perf_counter() - begun) * 1e3)
    return Speed(engine.name, statistics.median(times))


def _engines() -> tuple[tuple[Entry, ...], str]:
    from depth_dpt_core.engines.tensorrt.cache import EngineCache, default_folder
    from depth_dpt_core.engines.tensorrt.errors import EngineError

    folder = default_folder()
    if not folder.exists():
        return (), ""
    try:
        return tuple(EngineCache(folder).entries()), ""
    except EngineError as error:
        return (), str(error)


def findings(model: Model | None, rates: list[float]) -> list[Finding]:
    """Whether the model runs, and fast enough for cameras of these rates (Hz)."""
    if model is None:
        return [note("not looked at: packages that it needs are missing, see above")]
    found = []
    if model.error:
        found.append(
            problem(
                f"{model.asked} cannot be used: {model.error}",
                "name a file that depth-dpt export wrote, an ONNX file with its description "
                "beside it (README, Models), or builtin",
            )
        )
    if model.path is not None and model.spec is not None:
        found.append(ok(f"{model.path}: {_about(model.spec)}"))
    if model.speed is not None:
        found.append(_speed(model.speed, rates))
    if model.cache_error:
        found.append(
            note(f"engines are built at every start: {model.cache_error}",
                 "make that folder yours alone, or remove it")
        )  # fmt: skip
    return [*found, *_cached(model)]


def _about(spec: ModelSpec) -> str:
    focal = spec.canonical_focal_length
    camera = "depth independent of the focal length" if focal is None else f"focal {focal:g} px"
    origin = spec.encoder or spec.dataset or "of unknown origin"
    return (
        f"{spec.width}x{spec.height} ({spec.aspect}), {camera}, {spec.min_depth:g} to "
        f"{spec.max_depth:g} m, {spec.precision}, {origin}"
    )


def _speed(speed: Speed, rates: list[float]) -> Finding:
    text = f"a frame takes {speed.milliseconds:.0f} ms on {speed.runtime}"
    total = sum(rates)
    if speed.milliseconds * total > 1000:
        return note(
            f"{text}, at most {1000 / speed.milliseconds:.1f} Hz; the cameras give {total:.1f} "
            "Hz, so that some frames are replaced by newer ones",
            "use a GPU (docs/tensorrt.md) or a smaller model",
        )
    return ok(text)


def _cached(model: Model) -> list[Finding]:
    from depth_dpt_core.engine_cli import describe

    found = []
    usable = False
    for entry in model.engines:
        name = f"{entry.path.name}: {describe(entry.fields)}"
        if entry.refused:
            found.append(
                note(f"{name}: {entry.refused}", "depth-dpt engine build tries again; another "
                     "TensorRT may answer rightly")
            )  # fmt: skip
        elif model.tensorrt is not None and entry.fields["tensorrt"] != model.tensorrt:
            found.append(note(f"{name} is of another TensorRT than {model.tensorrt}: not used"))
        else:
            usable |= model.path is not None and entry.fields["model"] == model.path.name
            found.append(ok(f"{name}: {entry.checked or 'not proven yet'}"))
    if model.tensorrt is not None and model.path is not None and not usable:
        found.append(
            note(
                f"no engine of {model.path.name}: the first start builds one, which takes minutes",
                f"depth-dpt engine build --model {model.asked}",
            )
        )
    return found
