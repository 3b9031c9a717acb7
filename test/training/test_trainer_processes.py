# SPDX-License-Identifier: Apache-2.0
"""Several processes share a training run."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import numpy as np
import processed_data
import pytest
from street_data import write_roads

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("timm", reason="needs timm: pip install '.[train]'")
mlflow = pytest.importorskip("mlflow", reason="needs mlflow: pip install '.[train]'")

from safetensors.torch import load_file  # noqa: E402
from tiny_training import (  # noqa: E402
    REPOSITORY,
    STILL,
    different,
    history,
    run_in_two_processes,
    torchrun,
    wait_for_state,
    write_config,
)

from depth_dpt_core.config import ConfigError, DPTConfig, load_config  # noqa: E402
from depth_dpt_core.model.checkpoint import read_record  # noqa: E402
from depth_dpt_core.model.dpt import DPT  # noqa: E402
from depth_dpt_core.training.run_state import read_state  # noqa: E402
from depth_dpt_core.training.trainer import train  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
VIT = {"encoder": "vit_tiny_patch16_224", "height": 64, "width": 128, "features": 16}


def test_two_processes_share_a_run(tmp_path, roads):
    options = {"epochs": 2, "batch_size": 2}
    path = write_config(tmp_path, roads, model=VIT, optimization=options)
    assert run_in_two_processes(path).count("best: epoch") == 1  # one of them speaks
    record = read_record(tmp_path / "models/candidate.safetensors")
    assert len(history(tmp_path, "val_abs_rel")) == 2
    assert np.isfinite(list(record.validation.values())).all()
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "depth_dpt"]
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_frames_look_different_in_every_epoch_in_several_processes_too(tmp_path):
    """Without learning and with single images, only augmentation changes an image's loss."""
    write_roads(tmp_path / "raw", {"train": 2, "val": 1})
    processed_data.run(tmp_path / "raw", tmp_path / "processed")
    options = {"epochs": 5, "batch_size": 1, "encoder_lr": 0.0, "decoder_lr": 0.0}
    run_in_two_processes(write_config(tmp_path, tmp_path / "processed", optimization=options))
    assert len(set(history(tmp_path, "train_loss"))) == 5  # of two images


def test_two_processes_interrupted_resume_to_the_weights_of_an_uninterrupted_run(tmp_path, roads):
    options = {"epochs": 12, "patience": 12, "batch_size": 2, "checkpoint_every": 100000}
    path = write_config(tmp_path / "stopped", roads, optimization=options)
    process = subprocess.Popen(
        torchrun(path), cwd=REPOSITORY, env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    state = wait_for_state(tmp_path / "stopped", process)
    while read_state(state)[0].epoch == 0:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    progress, _ = read_state(state)
    assert 0 < progress.epoch < 12
    with pytest.raises(ConfigError, match="of a run of 2 processes, not 1"):
        train(load_config(path), resume=True)

    run_in_two_processes(path, "--resume")
    whole = write_config(tmp_path / "whole", roads, optimization=options)
    run_in_two_processes(whole)
    names = [tmp_path / name / "models/candidate.safetensors" for name in ("stopped", "whole")]
    assert different(*names) == []


def test_two_processes_step_as_one_with_their_batches_together(tmp_path, roads):
    """The same images in a step move the weights alike, where no batch statistics are involved."""
    options = {"epochs": 1, "ema_decay": 0.0, "warmup_steps": 0}
    weights = []
    for name, batch in (("two", 4), ("one", 8)):
        optimization = {**options, "batch_size": batch}
        path = write_config(
            tmp_path / name, roads, model=VIT, augmentation=STILL, optimization=optimization
        )
        if name == "two":
            run_in_two_processes(path)
        else:
            train(load_config(path))
        weights.append(load_file(tmp_path / name / "models/candidate.safetensors"))
    torch.manual_seed(0)
    begun = DPT(DPTConfig(**VIT)).state_dict()
    two, one = weights
    # AdamW's first step goes by the sign of each gradient: compare the signs
    name = "head.out.weight"
    agreeing = ((two[name] - begun[name]).sign() == (one[name] - begun[name]).sign()).float()
    assert agreeing.mean() > 0.9
    torch.testing.assert_close(two["head.out.bias"], one["head.out.bias"], atol=1e-4, rtol=0)
