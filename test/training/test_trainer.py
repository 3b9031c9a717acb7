# SPDX-License-Identifier: Apache-2.0
"""The training loop on a handful of tiny frames, and the file that configures it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from street_data import write_roads

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("timm", reason="needs timm: pip install '.[train]'")

from safetensors.torch import load_file  # noqa: E402

from depth_dpt_core.data.cityscapes import DataError  # noqa: E402
from depth_dpt_core.metrics import METRIC_NAMES  # noqa: E402
from depth_dpt_core.model.checkpoint import load_model  # noqa: E402
from depth_dpt_core.training import trainer  # noqa: E402
from depth_dpt_core.training.config import ConfigError, load_config  # noqa: E402
from depth_dpt_core.training.trainer import train  # noqa: E402
from depth_dpt_ros.cli import main  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
STILL = {"flip": 0.0, "zoom": [1.0, 1.0], "letterbox": 0.0, "brightness": 0.0, "hue": 0.0,
         "grey": 0.0, "blur": 0.0, "noise": 0.0}  # fmt: skip


@pytest.fixture(scope="module")
def roads(tmp_path_factory):
    root = tmp_path_factory.mktemp("roads")
    write_roads(root, {"train": 9, "val": 2})
    return root


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in another order differ in their last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_config(folder: Path, roads: Path, *, augmentation=None, name="tiny", **optimization):
    content = {
        "name": name,
        "data": {"root": str(roads), "canonical_focal_length": 75.0, "workers": 0},
        "model": {"encoder": "regnetx_002", "height": 64, "width": 128, "features": 16},
        "augmentation": augmentation or {},
        "optimization": {
            "steps": 4, "batch_size": 4, "encoder_lr": 1e-3, "decoder_lr": 1e-3, "warmup_steps": 2,
            "precision": "fp32", "eval_every": 100, "checkpoint_every": 2, "pretrained": False,
            **optimization,
        },
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def run(folder, roads, *, resume=False, **changes):
    return train(load_config(write_config(folder, roads, **changes)), resume=resume)


def log(folder):
    return [json.loads(row) for row in (folder / "runs/tiny/log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_fixed_batch_is_learnt(tmp_path, roads):
    same = {"augmentation": STILL, "batch_size": 9, "warmup_steps": 1}
    run(tmp_path / "one", roads, steps=1, **same)
    run(tmp_path / "many", roads, steps=25, **same)
    first, last = log(tmp_path / "one")[0], log(tmp_path / "many")[0]
    assert (first["step"], last["step"]) == (1, 25)
    assert last["silog"] < 0.6 * first["silog"]
    assert last["loss"] < 0.6 * first["loss"]


def test_a_run_leaves_its_weights_its_state_and_its_log(tmp_path, roads):
    weights = run(tmp_path, roads, steps=5, eval_every=2)
    folder = tmp_path / "runs" / "tiny"
    assert weights == folder / "model.safetensors"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "log.jsonl", "model.safetensors", "state.pt",
    ]  # fmt: skip
    model, config, step = load_model(weights)
    assert step == 5
    assert (model.config.encoder, config["name"]) == ("regnetx_002", "tiny")
    scores = {row["step"]: row["val"] for row in log(tmp_path) if "val" in row}
    assert list(scores) == [2, 4, 5]
    for row in scores.values():
        assert tuple(row) == METRIC_NAMES
        assert np.isfinite(list(row.values())).all()
    state = torch.load(folder / "state.pt", weights_only=True)  # nothing to unpickle
    assert state["step"] == 5
    average, moved = load_file(weights), state["model"]
    assert any(not torch.equal(average[name], moved[name]) for name in average)


def test_bf16_trains_too(tmp_path, roads):
    run(tmp_path, roads, steps=2, precision="bf16")
    assert np.isfinite(log(tmp_path)[0]["loss"])


def test_the_weights_depend_on_the_seed_and_on_nothing_else(tmp_path, roads):
    first, again, other = (
        load_file(run(tmp_path / name, roads, steps=3, seed=seed))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_very_weights_of_an_uninterrupted_one(tmp_path, roads):
    steps = {"steps": 15, "checkpoint_every": 2}  # 7 epochs of 2 batches
    killed = write_config(tmp_path / "killed", roads, **steps)
    command = [sys.executable, "-m", "depth_dpt_ros.cli", "train", "--config", str(killed)]
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    state = tmp_path / "killed/runs/tiny/state.pt"
    deadline = time.monotonic() + 90
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    assert b"depth-dpt:" not in process.communicate()[1]
    reached = torch.load(state, weights_only=True)["step"]
    assert 0 < reached < 15

    resumed = train(load_config(killed), resume=True)
    whole = run(tmp_path / "whole", roads, **steps)
    assert load_model(resumed)[2] == load_model(whole)[2] == 15
    ours, theirs = load_file(resumed), load_file(whole)
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


def test_a_finished_folder_is_not_started_over(tmp_path, roads):
    weights = run(tmp_path, roads)
    before = weights.read_bytes()
    with pytest.raises(ConfigError, match=r"tiny holds a run already.*--resume"):
        run(tmp_path, roads)
    assert weights.read_bytes() == before


def test_resuming_a_finished_run_changes_nothing(tmp_path, roads):
    before = run(tmp_path, roads).read_bytes()
    assert run(tmp_path, roads, resume=True).read_bytes() == before


@pytest.mark.parametrize(
    "change", [{"steps": 6}, {"seed": 1}, {"batch_size": 3}, {"augmentation": STILL}]
)
def test_a_run_is_not_resumed_with_another_configuration(tmp_path, roads, change):
    before = run(tmp_path, roads).read_bytes()
    with pytest.raises(ConfigError, match=r"state\.pt was begun with another configuration"):
        run(tmp_path, roads, resume=True, **change)
    assert (tmp_path / "runs/tiny/model.safetensors").read_bytes() == before


def test_a_run_may_be_resumed_after_its_folders_moved(tmp_path, roads):
    run(tmp_path / "here", roads)
    (tmp_path / "here").rename(tmp_path / "there")
    (tmp_path / "data").symlink_to(roads)
    assert run(tmp_path / "there", tmp_path / "data", resume=True).is_file()


class Trap:
    """Runs a command when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_state_file_is_never_unpickled(tmp_path, roads):
    state = tmp_path / "runs/tiny/state.pt"
    state.parent.mkdir(parents=True)
    torch.save({"config": Trap(tmp_path / "sprung")}, state)
    with pytest.raises(ConfigError, match=r"state\.pt: not the state of a run"):
        run(tmp_path, roads, resume=True)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"half a state", None])
def test_a_broken_state_file_is_an_error_that_names_it(tmp_path, roads, content):
    state = tmp_path / "runs/tiny/state.pt"
    run(tmp_path, roads, steps=2)
    state.write_bytes(state.read_bytes()[:-500] if content is None else content)
    with pytest.raises(ConfigError, match=r"state\.pt: not the state of a run"):
        run(tmp_path, roads, steps=2, resume=True)


def test_fewer_frames_than_a_batch_are_refused(tmp_path, roads):
    with pytest.raises(ConfigError, match="9 examples are fewer than a batch of 10"):
        run(tmp_path, roads, batch_size=10)


def test_missing_data_is_refused(tmp_path):
    with pytest.raises(DataError, match="leftImg8bit/train"):
        run(tmp_path, tmp_path / "nowhere")


def test_learning_rates_rise_linearly_then_fall_to_a_hundredth(roads, tmp_path):
    options = load_config(
        write_config(tmp_path, roads, steps=100, warmup_steps=10, decoder_lr=1e-2)
    ).optimization
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [weight], "base_lr": 2e-3}], lr=1.0)
    rates = [trainer._set_learning_rates(optimizer, options, step) for step in range(101)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) * 1e-3)
    cosine = 1e-2 * (0.01 + 0.99 * (1 + np.cos(np.pi * np.arange(91) / 90)) / 2)
    np.testing.assert_allclose(rates[10:], cosine)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(2e-5)  # each group its own


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nmae: x", "unknown key 'nmae'; known: name, output, data"),
        ("optimization: {stepz: 3}", "optimization: unknown key 'stepz'"),
        ("data: {root: d, 3: 4, x: 1}", "data: unknown key '3'"),
        ("model: {width: 12.5}", "model: width: expected int, got 12.5"),
        ("model: {width: true}", "model: width: expected int, got True"),
        ("model: regnet", "model: expected a mapping, got 'regnet'"),
        ("augmentation: {zoom: [1]}", "augmentation: zoom: expected 2 values"),
        ("augmentation: {zoom: [1, b]}", "augmentation: zoom: expected float, got 'b'"),
        ("optimization: {encoder_lr: fast}", "encoder_lr: expected float, got 'fast'"),
        ("optimization: {pretrained: 1}", "pretrained: expected bool, got 1"),
        ("optimization: {precision: fp16}", "precision: expected one of ('bf16', 'fp32')"),
        ("optimization: {steps: 0}", "optimization: steps must be at least 1, got 0"),
        ("optimization: {eval_every: 0}", "optimization: eval_every must be at least 1"),
        ("[1, 2]", "expected a mapping"),
        ("a: b: c", "cannot be read as YAML"),
    ],
)
def test_a_wrong_configuration_is_an_error_that_names_file_and_key(
    tmp_path, capsys, text, message
):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert main(["train", "--config", str(path)]) == 1
    assert message in capsys.readouterr().err


def test_a_missing_configuration_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_config(tmp_path / "absent.yaml")


def test_paths_count_from_the_configuration_file(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("output: ../out\ndata: {root: d, canonical_focal_length: 300}")
    config = load_config(path)
    assert Path(config.output).resolve() == tmp_path.parent / "out"
    assert Path(config.data.root) == tmp_path / "d"
    assert isinstance(config.data.canonical_focal_length, float)
    path.write_text("data: {root: /elsewhere}")
    assert load_config(path).data.root == "/elsewhere"


@pytest.mark.parametrize("path", sorted((REPOSITORY / "training").glob("*.yaml")), ids=str)
def test_the_recipes_of_the_repository_are_read(path):
    if "optimization" not in (yaml.safe_load(path.read_text()) or {}):
        pytest.skip("no training configuration")
    assert load_config(path).optimization.steps > 0
