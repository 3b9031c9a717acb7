# SPDX-License-Identifier: Apache-2.0
"""From a model file to a serialised engine.

One strongly typed path for TensorRT 10.3 to 11: precision is what the file says, so the same file
gives the same arithmetic in every version. Importing this needs TensorRT.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import tensorrt as trt

from depth_dpt_core.engines import Progress
from depth_dpt_core.engines.tensorrt import MIN_VERSION
from depth_dpt_core.engines.tensorrt.errors import BuildCancelledError, EngineError
from depth_dpt_core.engines.tensorrt.logger import process_logger

_MIB = 1 << 20


@dataclass(frozen=True)
class BuildSettings:
    """What shapes an engine beside the model; part of its identity in the cache."""

    workspace_mib: int = 1024  # the most scratch memory of one layer; a Jetson shares it with all
    optimization_level: int = 3  # TensorRT's own default: more takes longer to build

    def to_dict(self) -> dict[str, int]:
        """For the cache's key."""
        return asdict(self)


@dataclass(frozen=True)
class Built:
    """A serialised engine, and the measured timings that make the next build shorter."""

    plan: bytes
    timing_cache: bytes


def check_version() -> None:
    """Raise EngineError unless the installed TensorRT is one that this module is written for."""
    numbers = [int(part) for part in trt.__version__.split(".")[:2]]
    if tuple(numbers) < MIN_VERSION:
        wanted = ".".join(map(str, MIN_VERSION))
        raise EngineError(f"TensorRT {trt.__version__} is too old, must be {wanted} or later")


def build(onnx: Path, settings: BuildSettings, timing_cache: bytes, progress: Progress) -> Built:
    """Build an engine on the thread that holds the GPU; takes minutes.

    Args:
        onnx: model file with static shapes.
        settings: see there.
        timing_cache: of an earlier build by the same TensorRT on the same GPU, or nothing.
        progress: called from TensorRT's threads.

    Raises:
        BuildCancelledError: `progress` said so.
        EngineError: TensorRT refuses; in its own words.
    """
    logger = process_logger()
    logger.take_errors()
    try:
        builder = trt.Builder(logger)
    except TypeError as error:  # the binding's way to say that there is none
        raise EngineError(f"TensorRT does not start: {logger.take_errors()}") from error
    # the enum's value differs between 10 and 11
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    config = builder.create_builder_config()
    if network is None or config is None:
        raise EngineError(f"TensorRT has no memory to build in: {logger.take_errors()}")
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(onnx)):
        raise EngineError(f"TensorRT does not understand {onnx.name}: {_parser_errors(parser)}")
    _check_static(network, onnx)
    monitor = _Monitor(progress)
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib * _MIB)
    config.builder_optimization_level = settings.optimization_level
    config.progress_monitor = monitor
    _use_timing_cache(config, timing_cache)
    plan = builder.build_serialized_network(network, config)
    if monitor.cancelled:
        raise BuildCancelledError(f"building an engine of {onnx.name} was cancelled")
    if plan is None:
        raise EngineError(f"TensorRT cannot build {onnx.name}: {logger.take_errors()}")
    return Built(bytes(plan), _timings(config))


def _parser_errors(parser: trt.OnnxParser) -> str:
    errors = [parser.get_error(i) for i in range(min(parser.num_errors, 3))]
    told = (f"{e.node_operator()} {e.node_name()}: {e.desc()}".strip(" :") for e in errors)
    return "; ".join(" ".join(text.split()) for text in told) or "TensorRT gives no reason"


def _check_static(network: trt.INetworkDefinition, onnx: Path) -> None:
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if tensor is not None and min(tensor.shape, default=0) < 1:
            raise EngineError(
                f"{onnx.name}: input {tensor.name!r} is {list(tensor.shape)}, must be of fixed "
                "size; export the model again with a fixed batch"
            )


def _use_timing_cache(config: trt.IBuilderConfig, content: bytes) -> None:
    """Start from earlier timings; from none where these are of another TensorRT or GPU."""
    for start in (content, b""):
        cache = config.create_timing_cache(start)
        if cache is not None and config.set_timing_cache(cache, False):
            return


def _timings(config: trt.IBuilderConfig) -> bytes:
    cache = config.get_timing_cache()
    content = None if cache is None else cache.serialize()
    return b"" if content is None else bytes(content)


class _Monitor(trt.IProgressMonitor):
    """Turns TensorRT's nested phases into one share; an exception here would cancel the build."""

    def __init__(self, progress: Progress) -> None:
        trt.IProgressMonitor.__init__(self)  # the binding refuses subclasses that leave this out
        self.cancelled = False
        self._progress = progress
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """A phase begins, inside of `parent_phase` if there is one."""
        with self._lock:
            self._phases[phase_name] = _Phase(parent_phase, max(num_steps, 1))

    def step_complete(self, phase_name: str, step: int) -> bool:
        """A step of a phase is done; the answer tells TensorRT whether to go on."""
        with self._lock:
            phase = self._phases.get(phase_name)
            if phase is not None:
                phase.done = min(step + 1, phase.steps)
            share = self._share()
        if self.cancelled:
            return False
        self.cancelled = True  # also when the next line raises
        self.cancelled = not self._progress(phase_name, share)
        return not self.cancelled

    def phase_finish(self, phase_name: str) -> None:
        """A phase ends, whether well or cancelled."""
        with self._lock:
            self._phases.pop(phase_name, None)

    def _share(self) -> float:
        """Of the outermost phase: its steps, and of its next step what the phases inside did."""
        share, width = 0.0, 1.0
        parent: str | None = None
        while inside := next(
            ((name, p) for name, p in self._phases.items() if (p.parent or None) == parent), None
        ):
            parent, phase = inside
            share += width * phase.done / phase.steps
            width /= phase.steps
        return min(share, 1.0)


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0
