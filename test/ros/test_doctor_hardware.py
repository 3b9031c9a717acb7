# SPDX-License-Identifier: Apache-2.0
"""From facts about GPU, TensorRT, model and engines to findings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from doctor_findings import assert_only

from depth_dpt_core.artifact import ModelSpec, OutputSpec
from depth_dpt_core.engines.tensorrt.cache import Entry
from depth_dpt_ros.doctor import gpu, model
from depth_dpt_ros.doctor.gpu import Gpu
from depth_dpt_ros.doctor.model import Model, Speed
from depth_dpt_ros.doctor.software import Answer, Software

ABSENT = Answer(error="ModuleNotFoundError: No module named 'x'")
ORIN = "NVIDIA Jetson AGX Orin (R36 (release))"
GPU = Gpu(
    (), ORIN, Answer("10.12.0"), Answer("12.6.0"), Answer("3.12"),
    Answer(["1.20.0", ["CUDAExecutionProvider", "CPUExecutionProvider"]]), 8, 1.0, "schedutil",
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "text", "cure"),
    [
        ({}, None, ""),
        ({"jetson": "", "tensorrt": ABSENT}, "no NVIDIA GPU", ""),
        ({"tensorrt": ABSENT}, "TensorRT is not installed", "docs/tensorrt.md"),
        ({"tensorrt": Answer(error="ImportError: libnvinfer.so.10")}, "libnvinfer.so.10", ""),
        ({"tensorrt": Answer("8.6.1.6")}, "8.6.1.6 is too old", "10.3"),
        ({"tensorrt": Answer("10.4.0")}, "TensorRT 4742", "newest"),
        ({"tensorrt": Answer("10.7.0.post1")}, "TensorRT 4328", "newest"),
        (
            {"tensorrt": Answer("10.13.3.9"), "jetson": "NVIDIA Jetson AGX Thor"},
            "TensorRT-Edge-LLM 151", "",
        ),
        (
            {"tensorrt": Answer("10.16.1"), "jetson": "",
             "devices": ("NVIDIA GeForce RTX 5090, 580.65, 32607 MiB",)},
            "TensorRT 4837", "",
        ),
        ({"tensorrt": Answer("10.16.1"), "jetson": "", "devices": ("RTX 4090",)}, None, ""),
        ({"pycuda": ABSENT}, "pycuda is missing", "pip install pycuda"),
        (
            {"onnxruntime": Answer(["1.20.0", ["CPUExecutionProvider"]])},
            "no CUDA provider (CPU)", "onnxruntime-gpu",
        ),
        ({"load": 9.5}, "load 9.5", ""),
        ({"governor": "powersave"}, "powersave", "jetson_clocks"),
    ],
)  # fmt: skip
def test_hardware(change: dict[str, Any], text: str | None, cure: str) -> None:
    found = gpu.findings(dataclasses.replace(GPU, **change))
    assert_only(found, "ok" if text is None else "note", text or "", cure)


def test_tensorrt_10_3_on_orin_has_two_reports() -> None:
    found = gpu.findings(dataclasses.replace(GPU, tensorrt=Answer("10.3.0")))
    assert [f.text for f in found if f.level == "note" and "reported wrong" in f.text][1:]


PATH = Path("/models/city.onnx")
FIELDS = {
    "model": "city.onnx", "precision": "fp16", "input": "uint8 NHWC 1x256x512",
    "tensorrt": "10.12.0",
    "gpu": {"name": "Orin", "compute_capability": "8.7", "cuda": "12.6.0", "driver": "12.6"},
}  # fmt: skip
ENGINE = Entry(Path("/cache/city-1.engine"), 10**8, FIELDS, checked="passed (2026-01-01)")
MODEL = Model(
    "city.onnx", PATH, ModelSpec(512, 256), "", Speed("onnxruntime (CPU)", 50.0), (ENGINE,),
    tensorrt="10.12.0",
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "rates", "level", "text", "cure"),
    [
        ({}, [10.0], "ok", "", ""),
        ({}, [30.0], "note", "at most 20.0 Hz; the cameras give 30.0 Hz", "docs/tensorrt.md"),
        ({}, [15.0, 15.0], "note", "the cameras give 30.0 Hz", ""),
        (
            {"path": None, "spec": None, "speed": None, "error": "x: no such model file",
             "engines": ()},
            [], "problem", "city.onnx cannot be used: x: no such", "builtin",
        ),
        ({"engines": ()}, [], "note", "the first start builds one", "depth-dpt engine build"),
        ({"engines": (), "tensorrt": None}, [], "ok", "", ""),
        ({"cache_error": "others can enter"}, [], "note", "others can enter", "yours alone"),
    ],
)  # fmt: skip
def test_model(
    change: dict[str, Any], rates: list[float], level: str, text: str, cure: str
) -> None:
    assert_only(model.findings(dataclasses.replace(MODEL, **change), rates), level, text, cure)


def test_engines_are_told_with_their_last_check() -> None:
    (engine,) = [f for f in model.findings(MODEL, []) if "city-1.engine" in f.text]
    assert engine.text.endswith("passed (2026-01-01)")
    refused = dataclasses.replace(ENGINE, refused="refused, scale drift 0.3")
    others = {"fields": {**FIELDS, "tensorrt": "10.3.0"}}
    found = model.findings(
        dataclasses.replace(MODEL, engines=(refused, dataclasses.replace(ENGINE, **others))), []
    )
    notes = [f.text for f in found if f.level == "note"]
    assert [words in text for words, text in zip(
        ("scale drift 0.3", "another TensorRT than 10.12.0", "the first start builds"),
        notes, strict=True,
    )] == [True] * 3  # fmt: skip


def test_a_relative_model_is_tried_like_any_other(tmp_path: Path) -> None:
    from tiny_models import write_own

    spec = ModelSpec(64, 32, output=OutputSpec(relative=True))
    path = write_own(tmp_path / "relative.onnx", spec)
    packages = dict.fromkeys(("numpy", "cv2", "yaml", "onnxruntime"), Answer("1"))
    software = Software(
        "3.11.0", "python", {**packages, "filelock": ABSENT, "tensorrt": ABSENT}, {}
    )
    found = model.gather(str(path), software, (128, 64))
    assert found is not None
    assert [f.level for f in model.findings(found, [])] == ["ok", "ok"]
