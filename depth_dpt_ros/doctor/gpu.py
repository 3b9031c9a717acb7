# SPDX-License-Identifier: Apache-2.0
"""What could make it fast: GPU, TensorRT, ONNX Runtime's providers, and the CPU behind them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from depth_dpt_core.engines.tensorrt import MIN_VERSION
from depth_dpt_ros.doctor.finding import Finding, note, ok
from depth_dpt_ros.doctor.software import Answer, Software

_INSTALL = "docs/tensorrt.md says how to install TensorRT and pycuda"


@dataclass(frozen=True)
class Report:
    """Others' report of wrong answers of vision transformers: versions from and to, where."""

    first: tuple[int, ...]
    last: tuple[int, ...]
    where: str  # found in the name of GPU or board; empty: anywhere
    what: str


REPORTS = (
    Report((10, 3), (10, 3), "", "fp16 answers of ViT-B wrong (NVIDIA/TensorRT 4723)"),
    Report((10, 3), (10, 3), "Orin",
           "Depth Anything V2 wrong (spacewalk01/depth-anything-tensorrt 49)"),
    Report((10, 4), (10, 4), "", "ViT-B wrong even in fp32 (NVIDIA/TensorRT 4742)"),
    Report((10, 7), (10, 7), "", "fused attention wrong even in fp32 (NVIDIA/TensorRT 4328)"),
    Report((10, 13, 3), (10, 13, 3), "Thor",
           "fused attention miscompiled (NVIDIA/TensorRT-Edge-LLM 151)"),
    Report((10,), (10, 16, 1), "RTX 50",
           "fused attention wrong in fp16 and bf16 (NVIDIA/TensorRT 4837)"),
)  # fmt: skip


@dataclass(frozen=True)
class Gpu:
    """What drives neural networks here.

    Attributes:
        devices: GPUs as the driver names them, with driver version and memory.
        jetson: first line of /etc/nv_tegra_release, or the board's name; empty elsewhere.
        onnxruntime: its version and providers.
        cores: CPUs that this process may use.
        load: processes that wanted to run in the last minute.
        governor: of the CPU's clock; empty where it is not told.
    """

    devices: tuple[str, ...]
    jetson: str
    tensorrt: Answer
    pycuda: Answer
    filelock: Answer
    onnxruntime: Answer
    cores: int
    load: float
    governor: str


def gather(software: Software) -> Gpu:
    """Ask the driver and the kernel."""
    answers = software.answers
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return Gpu(
        _devices(),
        _jetson(),
        answers["tensorrt"],
        answers["pycuda.driver"],
        answers["filelock"],
        answers["onnxruntime"],
        len(os.sched_getaffinity(0)),
        os.getloadavg()[0],
        governor.read_text().strip() if governor.exists() else "",
    )


def _devices() -> tuple[str, ...]:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):  # the kernel's driver can be there without it
        cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        return tuple(
            line.partition(":")[2].strip()
            for card in cards
            for line in card.read_text().splitlines()
            if line.startswith("Model")
        )
    return tuple(done.stdout.strip().splitlines())


def _jetson() -> str:
    release, model = Path("/etc/nv_tegra_release"), Path("/proc/device-tree/model")
    if not release.exists():
        return ""
    board = model.read_text().rstrip("\0 \n") if model.exists() else "Jetson"
    return f"{board} ({release.read_text().splitlines()[0].lstrip('# ')})"


def findings(gpu: Gpu) -> list[Finding]:
    """Which runtime the node can use; none of it blocks, since the CPU always remains."""
    there = gpu.jetson or ", ".join(gpu.devices)
    found = []
    if there:
        found.append(ok(f"GPU: {there}"))
    else:
        found.append(note("no NVIDIA GPU: the model runs on the CPU"))
    found += _tensorrt(gpu, there)
    found += _onnxruntime(gpu, bool(there))
    load = f"{gpu.cores} CPU cores, load {gpu.load:.1f}"
    if gpu.load > gpu.cores:
        found.append(note(f"{load}: others want the cores too, which slows frames down"))
    else:
        found.append(ok(load))
    if gpu.governor == "powersave":
        found.append(
            note("the CPU's clock is held low (powersave)", "sudo cpupower frequency-set -g "
                 "performance; on a Jetson, sudo jetson_clocks")
        )  # fmt: skip
    return found


def _tensorrt(gpu: Gpu, there: str) -> list[Finding]:
    if gpu.tensorrt.missing:
        return [note("TensorRT is not installed; ONNX Runtime runs the model", _INSTALL)] * bool(
            there
        )
    if gpu.tensorrt.error:
        return [note(f"TensorRT cannot be used ({gpu.tensorrt.error})", _INSTALL)]
    version = tuple(int(part) for part in gpu.tensorrt.value.split(".") if part.isdecimal())
    name = f"TensorRT {gpu.tensorrt.value}"
    if version < MIN_VERSION:
        return [
            note(f"{name} is too old and is not used", "install TensorRT 10.3 or later, which "
                 "comes with JetPack 6")
        ]  # fmt: skip
    found = []
    for package, answer in (("pycuda", gpu.pycuda), ("filelock", gpu.filelock)):
        if answer.error:
            found.append(
                note(f"{name} is not used: {package} is missing or broken ({answer.error})",
                     f"pip install {package}; {_INSTALL}")
            )  # fmt: skip
    reports = [
        note(
            f"{name} has been reported wrong: {report.what}; an engine that is wrong here is "
            "found out and refused before it publishes",
            "take the newest TensorRT that your platform has",
        )
        for report in REPORTS
        if report.first <= version[: len(report.first)]
        and version[: len(report.last)] <= report.last
        and report.where in there
    ]
    return [*found, *reports] or [ok(f"{name}, pycuda for CUDA {gpu.pycuda.value}")]


def _onnxruntime(gpu: Gpu, has_gpu: bool) -> list[Finding]:
    if gpu.onnxruntime.error:
        return []  # told among the packages
    version, providers = gpu.onnxruntime.value
    names = ", ".join(name.removesuffix("ExecutionProvider") for name in providers)
    if has_gpu and "CUDAExecutionProvider" not in providers:
        return [
            note(
                f"ONNX Runtime {version} has no CUDA provider ({names}): without TensorRT the "
                "model runs on the CPU",
                "pip uninstall onnxruntime, then pip install onnxruntime-gpu",
            )
        ]
    return [ok(f"ONNX Runtime providers: {names}")]
