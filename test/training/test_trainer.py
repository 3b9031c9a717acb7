# SPDX-License-Identifier: Apache-2.0
"""Training runs on a handful of tiny frames: repeatable and resumable."""

from __future__ import annotations

import os
import signal
import time

import cv2
import numpy as np
import processed_data
import pytest
from street_data import write_roads

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("timm", reason="needs timm: pip install '.[train]'")
mlflow = pytest.importorskip("mlflow", reason="needs mlflow: pip install '.[train]'")

from safetensors.torch import load_file  # noqa: E402
from tiny_training import (  # noqa: E402
    STILL,
    different,
    history,
    run,
    start,
    state_of,
    wait_for_state,
    write_config,
)

from depth_dpt_core.config import ConfigError, load_config  # noqa: E402
from depth_dpt_core.data.cityscapes import DataError  # noqa: E402
from depth_dpt_core.metrics import METRIC_NAMES  # noqa: E402
from depth_dpt_core.model.checkpoint import load_model, read_record  # noqa: E402
from depth_dpt_core.training import trainer  # noqa: E402
from depth_dpt_core.training.run_state import read_state  # noqa: E402
from depth_dpt_core.training.trainer import train  # noqa: E402
from depth_dpt_core.training.validation import validate  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_fixed_frames_are_learnt(tmp_path, roads):
    options = {"epochs": 15, "batch_size": 9, "warmup_steps": 1, "patience": 100}
    run(tmp_path, roads, augmentation=STILL, optimization=options)
    for name in ("train_loss", "train_silog", "train_abs_rel"):
        values = history(tmp_path, name)
        assert len(values) == 15
        assert values[-1] < 0.75 * values[0]


@pytest.mark.slow
def test_a_finished_run_leaves_its_best_weights_and_their_record(tmp_path, roads):
    weights = run(tmp_path, roads)
    assert weights == tmp_path / "models/candidate.safetensors"
    model, record = load_model(weights)
    assert model.config.encoder == "regnetx_002"
    assert record.recipe == load_config(tmp_path / "params.yaml").recipe()
    assert tuple(record.validation) == METRIC_NAMES
    values = history(tmp_path, "val_abs_rel")
    assert len(values) == 3
    assert record.epoch == 1 + int(np.argmin(values))
    assert record.validation["abs_rel"] == pytest.approx(min(values))
    assert state_of(tmp_path) is None  # nothing to resume


@pytest.mark.slow
def test_a_training_goes_on_from_the_weights_of_another(tmp_path, roads):
    weights = run(tmp_path / "first", roads)
    gentle = {"epochs": 1, "encoder_lr": 0.0, "decoder_lr": 0.0, "warmup_steps": 0}
    options = {**gentle, "start_from": str(weights)}
    second = run(tmp_path / "second", roads, optimization=options)
    running = {name for name in load_file(weights) if "running_" in name or "tracked" in name}
    assert set(different(weights, second)) <= running  # nothing was learnt, nothing lost
    assert read_record(second).recipe["optimization"]["start_from"] != ""


@pytest.mark.slow
def test_the_weights_depend_on_the_seed_and_on_nothing_else(tmp_path, roads):
    first, again, other = (
        run(tmp_path / name, roads, optimization={"epochs": 1, "seed": seed, "workers": workers})
        for name, seed, workers in (("a", 0, 0), ("b", 0, 2), ("c", 1, 0))
    )
    assert different(first, again) == []
    assert different(first, other) != []


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_very_weights_of_an_uninterrupted_one(tmp_path, roads):
    options = {"epochs": 10, "accumulate": 2, "batch_size": 2}  # 4 batches, 2 steps each
    path = write_config(tmp_path / "killed", roads, optimization=options)
    process = start(path)
    state = wait_for_state(tmp_path / "killed", process)
    while read_state(state)[0].step < 3:
        assert process.poll() is None
    process.kill()
    process.communicate()
    progress, _ = read_state(state)
    assert 0 < progress.step < 20
    with pytest.raises(ConfigError, match="go on with --resume"):
        train(load_config(path))

    resumed = train(load_config(path), resume=True)
    whole = run(tmp_path / "whole", roads, optimization=options)
    assert different(resumed, whole) == []
    for name in ("val_abs_rel", "train_loss"):
        assert history(tmp_path / "killed", name) == history(tmp_path / "whole", name)


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_run_killed_between_training_and_validation_resumes(tmp_path, roads, monkeypatch, epoch):
    """The state then stands at the very end of an epoch."""
    calls = iter(range(1, 9))

    def die(*arguments):
        if next(calls) == epoch:
            raise KeyboardInterrupt
        return validate(*arguments)

    monkeypatch.setattr(trainer, "validate", die)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", roads)
    monkeypatch.undo()
    resumed = run(tmp_path / "killed", roads, resume=True)
    assert different(resumed, run(tmp_path / "whole", roads)) == []
    for name in ("train_loss", "lr_decoder"):
        assert history(tmp_path / "killed", name) == history(tmp_path / "whole", name)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_saves_first_and_resumes(tmp_path, roads, number):
    options = {"epochs": 300, "patience": 300, "checkpoint_every": 100000, "workers": 1}
    path = write_config(tmp_path, roads, optimization=options)
    process = start(path)
    state = wait_for_state(tmp_path, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    reached, _ = read_state(state)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert client.get_run(reached.run_id).info.status == "KILLED"
    going_on = start(path, "--resume")
    time.sleep(1)
    while (step := read_state(state)[0].step) <= reached.step:
        assert going_on.poll() is None, going_on.communicate()
        time.sleep(0.1)
    going_on.kill()
    output, _ = going_on.communicate()
    assert f"going on after step {reached.step}" in output
    assert step > reached.step


@pytest.mark.slow
def test_training_stops_early_without_improvement(tmp_path, roads):
    still = {"epochs": 50, "patience": 2, "encoder_lr": 0.0, "decoder_lr": 0.0}
    best = read_record(run(tmp_path, roads, optimization=still)).epoch
    assert len(history(tmp_path, "val_abs_rel")) == best + 2 < 50


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
@pytest.mark.parametrize("form", ["log", "reference"])
def test_every_form_and_precision_trains(tmp_path, roads, precision, form):
    options = {"epochs": 1, "precision": precision}
    run(tmp_path, roads, loss={"form": form}, optimization=options)
    assert np.isfinite(history(tmp_path, "train_loss")).all()


@pytest.mark.slow
def test_frames_without_any_valid_depth_do_no_harm(tmp_path):
    write_roads(tmp_path / "raw", {"train": 8, "val": 2})
    for path in sorted((tmp_path / "raw/disparity/train").rglob("*.png"))[:6]:
        cv2.imwrite(str(path), np.zeros((64, 128), np.uint16))
    for path in (tmp_path / "raw/gtFine/train").rglob("*.png"):
        cv2.imwrite(str(path), np.full((64, 128), 7, np.uint8))
    processed_data.run(tmp_path / "raw", tmp_path / "processed")
    weights = run(tmp_path, tmp_path / "processed", optimization={"batch_size": 2, "epochs": 2})
    for name, value in load_file(weights).items():
        assert torch.isfinite(value).all(), name


@pytest.mark.slow
def test_a_finished_run_is_resumed_to_itself_and_begun_anew_without_resume(tmp_path, roads):
    weights = run(tmp_path, roads)
    before = weights.read_bytes()
    run_id = read_record(weights).run_id
    assert run(tmp_path, roads, resume=True).read_bytes() == before
    run(tmp_path, roads)
    assert read_record(weights).run_id != run_id


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"epochs": 4}, {"seed": 1}, {"batch_size": 3}])
def test_another_recipe_is_another_run(tmp_path, roads, change, capsys):
    first = read_record(run(tmp_path, roads)).run_id
    second = read_record(run(tmp_path, roads, resume=True, optimization=change)).run_id
    assert first != second
    assert "nothing to resume: a new run begins" in capsys.readouterr().out


class Trap:
    """Runs a command when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_state_file_is_never_unpickled(tmp_path):
    torch.save({"progress": Trap(tmp_path / "sprung")}, tmp_path / "state.pt")
    with pytest.raises(ConfigError, match=r"state\.pt: not the state of a run"):
        read_state(tmp_path / "state.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"half a state"])
def test_a_broken_state_file_is_an_error_that_names_it(tmp_path, content):
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(ConfigError, match=r"state\.pt: not the state of a run"):
        read_state(tmp_path / "state.pt")


def test_fewer_frames_than_a_batch_are_refused(tmp_path, roads):
    with pytest.raises(ConfigError, match="9 training frames are fewer than a batch of 10"):
        run(tmp_path, roads, optimization={"batch_size": 10})


def test_missing_data_is_refused(tmp_path):
    with pytest.raises(DataError, match="depth-dpt preprocess"):
        run(tmp_path, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "made_with", "value"),
    [("max_depth", 80.0, 50.0), ("width", 1024.0, 512)],
)
def test_data_made_with_other_settings_is_refused(tmp_path, roads, name, made_with, value):
    path = write_config(tmp_path, roads)
    path.write_text(path.read_text().replace("data:", f"data:\n  {name}: {value}"))
    said = rf"data\.{name} {made_with}, the configuration says {value}: run depth-dpt preprocess"
    with pytest.raises(ConfigError, match=said):
        train(load_config(path))


def test_validation_frames_without_depth_in_range_are_refused_before_the_training(tmp_path, roads):
    with pytest.raises(ConfigError, match="no image of split val has depth between"):
        run(tmp_path, roads, labels={"canonical_focal_length": 75.0, "min_depth": 79.0})


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_frame_is_one_line_whichever_process_finds_it(tmp_path, workers):
    write_roads(tmp_path / "raw", {"train": 4, "val": 1})
    processed_data.run(tmp_path / "raw", tmp_path / "processed")
    for path in (tmp_path / "processed/image/train").rglob("*.jpg"):
        path.write_bytes(b"broken")
    with pytest.raises(DataError) as error:
        run(tmp_path, tmp_path / "processed", optimization={"workers": workers})
    assert "not a whole JPEG file" in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(tmp_path))


def test_a_diverging_run_says_so(tmp_path, roads):
    with pytest.raises(RuntimeError, match="training has diverged"):
        run(tmp_path, roads, optimization={"decoder_lr": 1e30, "warmup_steps": 0})
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("depth_dpt").experiment_id
    assert [run.info.status for run in client.search_runs([experiment])] == ["FAILED"]
