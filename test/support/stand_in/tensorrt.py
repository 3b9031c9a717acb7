# SPDX-License-Identifier: Apache-2.0
"""TensorRT as its bindings behave, with ONNX Runtime on the CPU for the arithmetic.

A plan is a JSON line and the model file. `faults` says what goes wrong; the variable
STAND_IN_FAULTS, JSON, does so for processes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from enum import IntEnum
from pathlib import Path

import numpy as np
import onnxruntime
from pycuda import driver

__version__ = "10.3.0"

faults = json.loads(os.environ.get("STAND_IN_FAULTS", "{}"))
counts = {"build": 0, "deserialize": 0, "execute": 0}
said_by = {}
_TYPES = {"tensor(uint8)": "UINT8", "tensor(float)": "FLOAT"}


def reset():
    """As when freshly imported."""
    faults.clear()
    said_by.clear()
    counts.update(dict.fromkeys(counts, 0))
    globals()["__version__"] = "10.3.0"


def __getattr__(name):
    if name == "NetworkDefinitionCreationFlag":  # its value moved between 10 and 11
        values = {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}
        if int(__version__.split(".")[0]) > 10:
            values = {"STRONGLY_TYPED": 0}
        return IntEnum(name, values)
    raise AttributeError(f"module 'tensorrt' has no attribute {name!r}")


class MemoryPoolType(IntEnum):
    WORKSPACE = 0


class TensorIOMode(IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class DataType(IntEnum):
    FLOAT = 0
    HALF = 1
    UINT8 = 5


class ILogger:
    class Severity(IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self):
        self.initialised = True


class IProgressMonitor:
    def __init__(self):
        self.initialised = True


class ParserError:
    def desc(self):
        return "no importer for this\noperator"

    def node_name(self):
        return "/blocks.0/odd"

    def node_operator(self):
        return "Odd"


class _Tensor:
    def __init__(self, name, shape):
        self.name, self.shape = name, shape


class _Network:
    num_inputs = 0

    def get_input(self, index):
        return self.inputs[index]


class OnnxParser:
    def __init__(self, network, logger):
        assert logger.initialised
        self.network, self.num_errors = network, 0

    def parse_from_file(self, model):
        assert isinstance(model, str)
        if faults.get("parse"):
            self.num_errors = 1
            return False
        self.network.model = Path(model).read_bytes()
        inputs = _session(self.network.model).get_inputs()
        self.network.inputs = [
            _Tensor(i.name, [s if isinstance(s, int) else -1 for s in i.shape]) for i in inputs
        ]
        self.network.num_inputs = len(inputs)
        return True

    def get_error(self, index):
        assert index < self.num_errors
        return ParserError()


class _TimingCache:
    def __init__(self, content):
        self.content = content

    def serialize(self):
        return faults.get("timing", self.content + f"timed by {__version__};".encode())


class _Config:
    builder_optimization_level = 3
    progress_monitor = None

    def __init__(self):
        self.limits, self.cache = {}, None

    def set_memory_pool_limit(self, pool, pool_size):
        self.limits[pool] = pool_size

    def create_timing_cache(self, serialized_timing_cache):
        if serialized_timing_cache and not serialized_timing_cache.startswith(b"timed by"):
            return None
        return _TimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache, ignore_mismatch):
        assert not ignore_mismatch
        if cache.content and f"by {__version__};".encode() not in cache.content:
            return False
        self.cache = cache
        said_by["timing cache"] = cache.content
        return True

    def get_timing_cache(self):
        return self.cache


class Builder:
    def __init__(self, logger):
        assert logger.initialised
        self.logger = logger
        if faults.get("builder"):
            _say(logger, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")

    def create_network(self, flags):
        strongly_typed = __getattr__("NetworkDefinitionCreationFlag").STRONGLY_TYPED
        assert flags == 1 << int(strongly_typed), "precision must come from the file"
        return None if faults.get("network") else _Network()

    def create_builder_config(self):
        return None if faults.get("config") else _Config()

    def build_serialized_network(self, network, config):
        counts["build"] += 1
        assert config.limits[MemoryPoolType.WORKSPACE] > 0
        if not _on_another_thread(lambda: _report_progress(config.progress_monitor)):
            return None
        time.sleep(faults.get("build_seconds", 0))
        if faults.get("build"):
            _say(self.logger, "Error Code 10: Could not find any implementation for node\n{Odd}.")
            return None
        head = {"version": __version__, "gpu": driver.identity["name"]}
        return memoryview(json.dumps(head).encode() + b"\n" + network.model)


def _report_progress(monitor):
    assert monitor.initialised
    monitor.phase_start("Building Engine", None, 2)
    for outer in range(2):
        monitor.phase_start(f"Part {outer}", "Building Engine", 4)
        for inner in range(4):
            if not _step(monitor, f"Part {outer}", inner):
                return False
        monitor.phase_finish(f"Part {outer}")
        if not _step(monitor, "Building Engine", outer):
            return False
    monitor.phase_finish("Building Engine")
    return True


def _step(monitor, phase, step):
    time.sleep(faults.get("step_seconds", 0))
    try:
        return monitor.step_complete(phase, step)
    except Exception as error:  # noqa: BLE001 - as the bindings do
        print(f"[ERROR] Exception caught in step_complete(): {error}", file=sys.stderr)
        return False


def _on_another_thread(task):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(task()))
    thread.start()
    thread.join()
    return answers[0]


class Runtime:
    def __init__(self, logger):
        if faults.get("runtime"):
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        counts["deserialize"] += 1
        assert isinstance(serialized_engine, bytes), "10.3 reads it without holding the GIL"
        head, model = serialized_engine.split(b"\n", 1)
        if faults.get("deserialize") or json.loads(head)["version"] != __version__:
            _say(self.logger, "Error Code 1: Version tag does not match")
            return None
        return _Engine(self.logger, model)


class _Engine:
    def __init__(self, logger, model):
        self.logger, self.session = logger, _session(model)
        self.tensors = {}
        for mode, items in ((1, self.session.get_inputs()), (2, self.session.get_outputs())):
            for item in items:
                dtype = DataType[faults.get("dtype", {}).get(item.name, _TYPES[item.type])]
                self.tensors[item.name] = (TensorIOMode(mode), item.shape, dtype)
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return self.tensors[name][0]

    def get_tensor_shape(self, name):
        return faults.get("shape", {}).get(name, self.tensors[name][1])

    def get_tensor_dtype(self, name):
        return self.tensors[name][2]

    def create_execution_context(self):
        if faults.get("context"):
            _say(self.logger, "Error Code 2: OutOfMemory")
            return None
        return _Context(self)

    def __del__(self):
        driver._freed("engine")


class _Context:
    def __init__(self, engine):
        self.engine, self.addresses = engine, {}

    def set_tensor_address(self, name, memory):
        if faults.get("address"):
            return False
        assert memory % 256 == 0
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle):
        counts["execute"] += 1
        time.sleep(faults.get("execute_seconds", 0))
        assert stream_handle == 4711
        if faults.get("execute") or counts["execute"] >= faults.get("execute_from", np.inf):
            _say(self.engine.logger, "Error Code 1: Cuda Runtime (an illegal memory access)")
            return False
        (name,) = (n for n, t in self.engine.tensors.items() if t[0] == TensorIOMode.INPUT)
        (out,) = (n for n, t in self.engine.tensors.items() if t[0] == TensorIOMode.OUTPUT)
        _, shape, dtype = self.engine.tensors[name]
        raw = driver.memory[self.addresses[name]]
        dtype = np.uint8 if dtype == DataType.UINT8 else np.float32
        (answer,) = self.engine.session.run([out], {name: raw.view(dtype).reshape(shape)})
        answer = np.float32(faults.get("scale", 1.0)) * answer
        if faults.get("second"):
            answer[1] *= 1.3
        if faults.get("nan"):
            answer.reshape(-1)[7] = np.nan
        if faults.get("unsteady"):
            answer = answer * np.float32(1 + 0.01 * (counts["execute"] % 2))
        driver.memory[self.addresses[out]][:] = answer.view(np.uint8).reshape(-1)
        return True

    def __del__(self):
        driver._freed("execution context")


def _session(model):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def _say(logger, text):
    logger.log(ILogger.Severity.ERROR, text)
