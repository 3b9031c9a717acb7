# SPDX-License-Identifier: Apache-2.0
"""TensorRT and CUDA stand-ins for machines that have neither."""

from __future__ import annotations

import dataclasses
import gc
import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from depth_dpt_core.artifact import ModelSpec, read

SPEC = ModelSpec(width=24, height=12, max_depth=100.0)
STAND_IN = Path(__file__).parents[1] / "support" / "stand_in"
_NAMES = ("pycuda", "pycuda.driver", "tensorrt")
_kept = {}  # the core's modules hold on to the first ones


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """Stand-ins installed as `trt` and `cuda`, with an engine cache of the test's own.

    Whatever happened, the test must leave nothing on the GPU that the real pycuda minds.
    """
    pytest.importorskip("filelock")
    for name in _NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(STAND_IN)
    for name in _NAMES:
        if name in _kept:
            monkeypatch.setitem(sys.modules, name, _kept[name])
        else:
            _kept[name] = importlib.import_module(name)
    trt, cuda = _kept["tensorrt"], _kept["pycuda.driver"]
    trt.reset()
    cuda.reset()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    faults = importlib.import_module("depth_dpt_core.engines.faults")._faults
    faults.clear()
    yield SimpleNamespace(trt=trt, cuda=cuda, folder=tmp_path / "cache/depth_dpt_ros/engines")
    gc.collect()
    assert cuda.violations == []
    faults.clear()
    for name in _NAMES:
        sys.modules.pop(name)  # what was there before comes back with monkeypatch


@pytest.fixture
def model(tmp_path):
    """A tiny artifact of this project."""
    from tiny_models import write_own  # skips the test, not the folder, where onnx is missing

    return read(write_own(tmp_path / "city.onnx", SPEC))


@pytest.fixture
def pair(tmp_path):
    """The same network in both precisions, each naming the other; returns the fp32 file."""
    from tiny_models import write_own

    for precision, sibling in (("fp16", "city.onnx"), ("fp32", "city.fp16.onnx")):
        name = "city.onnx" if precision == "fp32" else "city.fp16.onnx"
        described = dataclasses.replace(SPEC, precision=precision, sibling=sibling)
        write_own(tmp_path / name, described)
    return read(tmp_path / "city.onnx")
