# SPDX-License-Identifier: Apache-2.0
"""Training runs of seconds, in this process and in others."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import torch
import yaml
from registry import place_registry
from safetensors.torch import load_file

from depth_dpt_core.config import load_config
from depth_dpt_core.model.checkpoint import read_record
from depth_dpt_core.training.trainer import train

REPOSITORY = Path(__file__).resolve().parents[2]
STILL = {"flip": 0.0, "zoom": [1.0, 1.0], "letterbox": 0.0, "brightness": 0.0, "contrast": 0.0,
         "saturation": 0.0, "hue": 0.0, "grey": 0.0, "blur": 0.0, "jpeg": 0.0,
         "noise": 0.0}  # fmt: skip


def write_config(folder: Path, roads: Path, *, model=None, **sections) -> Path:
    """Settings for the processed data set `roads`, in a file in `folder`."""
    optimization = {
        "epochs": 3, "batch_size": 4, "encoder_lr": 1e-3, "decoder_lr": 1e-3, "warmup_steps": 2,
        "precision": "fp32", "checkpoint_every": 1, "pretrained": False, "workers": 0,
        **sections.pop("optimization", {}),
    }  # fmt: skip
    content = {
        "name": "tiny",
        "data": {"processed": str(roads)},
        "labels": {"canonical_focal_length": 75.0},
        "model": model or {"encoder": "regnetx_002", "height": 64, "width": 128, "features": 16},
        "optimization": optimization,
        **sections,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "params.yaml"
    place_registry(folder)
    path.write_text(yaml.safe_dump(content))
    return path


def run(folder: Path, roads: Path, *, resume=False, **changes) -> Path:
    """Train in this process."""
    return train(load_config(write_config(folder, roads, **changes)), resume=resume)


def _command(path: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "depth_dpt_ros.cli", "train", "--config", str(path), *options]


def start(path: Path, *options: str) -> subprocess.Popen[str]:
    """Train in a process of its own."""
    return subprocess.Popen(
        _command(path, *options),
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def torchrun(path: Path, *options: str) -> list[str]:
    """The command that trains in two processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return [sys.executable, *launcher, *_command(path, *options)[1:]]


def run_in_two_processes(path: Path, *options: str) -> str:
    """Train in two processes; returns what was printed."""
    done = subprocess.run(
        torchrun(path, *options),
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def state_of(folder: Path) -> Path | None:
    """The state of the interrupted run, if there is one."""
    return next(iter((folder / "models/runs").glob("tiny-*/state.pt")), None)


def wait_for_state(folder: Path, process: subprocess.Popen[str]) -> Path:
    """The state, once the process has written it."""
    deadline = time.monotonic() + 90
    while (state := state_of(folder)) is None and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    assert state is not None, process.communicate()
    return state


def different(one: Path, other: Path) -> list[str]:
    """Names of the tensors that are not the same, bit for bit."""
    ours, theirs = load_file(one), load_file(other)
    assert set(ours) == set(theirs)
    return [name for name in theirs if not torch.equal(ours[name], theirs[name])]


def history(folder: Path, name: str) -> list[float]:
    """A metric of the finished run, epoch by epoch."""
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    run_id = read_record(folder / "models/candidate.safetensors").run_id
    # what was logged just before a kill is logged again, the same
    return list({row.step: row.value for row in client.get_metric_history(run_id, name)}.values())
