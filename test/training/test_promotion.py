# SPDX-License-Identifier: Apache-2.0
"""The champion: better models take its place, worse ones never, whatever is killed or lost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import processed_data
import pytest
import yaml
from street_data import write_roads

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("timm", reason="needs timm: pip install '.[train]'")
mlflow = pytest.importorskip("mlflow", reason="needs mlflow: pip install '.[train]'")

from registry import place_registry  # noqa: E402

from depth_dpt_core.config import TrainingConfig, load_config  # noqa: E402
from depth_dpt_core.evaluation.candidate import evaluate_candidate  # noqa: E402
from depth_dpt_core.model.checkpoint import (  # noqa: E402
    CheckpointError,
    TrainingRecord,
    load_model,
    read_record,
    save_model,
)
from depth_dpt_core.model.dpt import DPT  # noqa: E402
from depth_dpt_core.training import promotion  # noqa: E402
from depth_dpt_core.training.promotion import PromotionError, promote  # noqa: E402
from depth_dpt_core.training.tracking import TrackedRun  # noqa: E402
from depth_dpt_core.training.trainer import train  # noqa: E402
from depth_dpt_ros.cli import main  # noqa: E402

pytestmark = pytest.mark.slow  # each weighs real models in a real registry
MODEL = {"encoder": "regnetx_002", "height": 64, "width": 128, "features": 16}


@pytest.fixture(scope="module")
def roads(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("roads")
    write_roads(root, {"val": 3, "test": 2})
    return root


@pytest.fixture
def config(tmp_path, roads) -> TrainingConfig:
    return load_config(write_config(tmp_path, roads))


def write_config(folder: Path, roads: Path, **sections) -> Path:
    content = {
        "name": "tiny",
        "data": {"root": str(roads)},
        "labels": {"canonical_focal_length": 75.0},
        "model": MODEL,
        "evaluation": {"protocols": ["metric"]},
        **sections,
    }
    path = folder / "params.yaml"
    place_registry(folder)
    path.write_text(yaml.safe_dump(content))
    return path


def train_to(config: TrainingConfig, metres: float, *, register: bool = True) -> str:
    """A finished run whose model says about `metres` everywhere; returns its id."""
    torch.manual_seed(0)
    model = DPT(config.model).eval()
    with torch.no_grad():
        model.head.out.weight.zero_()
        model.head.out.bias.fill_(torch.log(torch.tensor(metres / 12.0)).item())
    run = TrackedRun.begin(config, fingerprint="f" * 64, revision="r")
    record = TrainingRecord("tiny", config.recipe(), 1, {"abs_rel": 0.5}, run.run_id)
    save_model(config.candidate, model, record)
    if register:
        run.register(config.candidate)
    run.end("FINISHED")
    return run.run_id


def offer(config: TrainingConfig, metres: float) -> str:
    run_id = train_to(config, metres)
    assert main(["evaluate", "--config", config.file]) == 0
    return run_id


def champion_in_registry(config: TrainingConfig) -> str:
    client = mlflow.MlflowClient(config.tracking.uri)
    return client.get_model_version_by_alias("tiny", "champion").run_id


# the road of these frames is some 3 to 30 m away: 6 m everywhere is better than 60 m
GOOD, BETTER, BAD = 9.0, 6.0, 60.0


def test_only_a_better_model_takes_the_champions_place(config):
    first = offer(config, GOOD)
    decision = promote(config)
    assert decision.promoted
    assert decision.champion is None
    assert champion_in_registry(config) == read_record(config.champion).run_id == first
    before = config.champion.read_bytes()

    worse = offer(config, BAD)
    decision = promote(config)
    assert not decision.promoted
    assert decision.candidate > decision.champion
    assert champion_in_registry(config) == first
    assert config.champion.read_bytes() == before
    client = mlflow.MlflowClient(config.tracking.uri)
    assert "no improvement" in client.get_run(worse).data.tags["promotion"]

    better = offer(config, BETTER)
    decision = promote(config)
    assert decision.promoted
    assert decision.candidate < decision.champion
    assert champion_in_registry(config) == read_record(config.champion).run_id == better
    written = json.loads((Path(config.file).parent / "promotion.json").read_text())
    assert written["promoted"] is True
    assert written["candidate"] == decision.candidate

    assert not promote(config).promoted  # the same once more
    assert champion_in_registry(config) == better


def test_the_champion_carries_its_test_metrics(config):
    offer(config, GOOD)
    promote(config)
    test = json.loads((Path(config.file).parent / "metrics.json").read_text())["test"]
    test.pop("bias")
    assert read_record(config.champion).test == test


def test_promotion_is_decided_by_validation_not_by_test(tmp_path):
    # far on val, near on test: 60 m wins there and loses here
    write_roads(tmp_path / "data", {"val": 2, "test": 2})
    for path in (tmp_path / "data/camera/val").rglob("*.json"):
        camera = json.loads(path.read_text())
        camera["extrinsic"]["baseline"] *= 10
        path.write_text(json.dumps(camera))
    config = load_config(write_config(tmp_path, tmp_path / "data"))
    offer(config, BETTER)
    promote(config)
    far = offer(config, BAD)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["test"]["abs_rel"] > 1
    assert promote(config).promoted
    assert champion_in_registry(config) == far


def test_an_improvement_below_the_wanted_one_does_not_count(config):
    offer(config, GOOD)
    promote(config)
    offer(config, BETTER)
    strict = replace(config, promotion=replace(config.promotion, min_improvement=10.0))
    decision = promote(strict)
    assert not decision.promoted
    assert "less than 10 better" in decision.reason


def test_a_higher_delta_is_better(config):
    by_delta = replace(config, promotion=replace(config.promotion, metric="delta_1"))
    offer(config, BAD)
    promote(by_delta)
    offer(config, BETTER)
    decision = promote(by_delta)
    assert decision.promoted
    assert decision.candidate > decision.champion


@pytest.mark.parametrize("loss", ["deleted", "old"])
def test_a_champion_file_that_is_not_the_registrys_is_brought_back(config, loss, tmp_path):
    old = offer(config, BAD)
    promote(config)
    shutil.copy(config.champion, tmp_path / "old.safetensors")
    best = offer(config, BETTER)
    promote(config)
    whole = config.champion.read_bytes()
    config.champion.unlink()
    if loss == "old":  # as when a promotion was killed before its last step
        shutil.copy(tmp_path / "old.safetensors", config.champion)
        assert read_record(config.champion).run_id == old
    offer(config, GOOD)
    assert not promote(config).promoted
    assert read_record(config.champion).run_id == best
    assert config.champion.read_bytes() == whole


def test_a_champion_whose_registry_is_lost_still_counts(config, tmp_path, roads):
    offer(config, BETTER)
    promote(config)
    before = config.champion.read_bytes()
    write_config(tmp_path, roads, tracking={"uri": "sqlite:///another.db"})
    config = load_config(Path(config.file))
    offer(config, GOOD)
    assert not promote(config).promoted
    assert config.champion.read_bytes() == before


def test_promotion_killed_before_the_registry_is_told_changes_nothing(config, monkeypatch):
    first = offer(config, GOOD)
    promote(config)
    offer(config, BETTER)

    def die(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(mlflow.MlflowClient, "set_registered_model_alias", die)
    with pytest.raises(KeyboardInterrupt):
        promote(config)
    monkeypatch.undo()
    assert champion_in_registry(config) == read_record(config.champion).run_id == first
    assert sorted(path.name for path in config.champion.parent.glob(".champion.*")) == [
        ".champion.safetensors.lock"
    ]
    assert promote(config).promoted


def test_weights_that_were_never_scored_do_not_become_champion(config, monkeypatch):
    """A training run may end while the champion is being scored."""
    first = offer(config, GOOD)
    promote(config)
    before = config.champion.read_bytes()
    offer(config, BETTER)
    score = promotion._score_champion

    def score_while_training_ends(config):
        train_to(config, BAD)
        return score(config)

    monkeypatch.setattr(promotion, "_score_champion", score_while_training_ends)
    with pytest.raises(PromotionError, match="replaced meanwhile"):
        promote(config)
    assert config.champion.read_bytes() == before
    assert champion_in_registry(config) == first


def test_a_champion_offered_again_stays_and_takes_its_new_test_metrics(config, roads, tmp_path):
    run_id = offer(config, GOOD)
    promote(config)
    client = mlflow.MlflowClient(config.tracking.uri)
    reason = client.get_run(run_id).data.tags["promotion"]
    before = config.champion.read_bytes()
    assert not promote(config).promoted
    assert config.champion.read_bytes() == before
    assert client.get_run(run_id).data.tags["promotion"] == reason

    fewer = shutil.copytree(roads, tmp_path / "fewer")
    min((fewer / "leftImg8bit/test").rglob("*.png")).unlink()
    min((fewer / "disparity/test").rglob("*.png")).unlink()
    config = replace(config, data=replace(config.data, root=str(fewer)))
    evaluate_candidate(config)
    assert not promote(config).promoted
    test = json.loads((tmp_path / "metrics.json").read_text())["test"]
    assert read_record(config.champion).test["abs_rel"] == test["abs_rel"]


def test_other_validation_frames_ask_for_another_evaluation(config, roads, tmp_path):
    offer(config, GOOD)
    fewer = shutil.copytree(roads, tmp_path / "fewer")
    min((fewer / "disparity/val").rglob("*.png")).unlink()
    config = replace(config, data=replace(config.data, root=str(fewer)))
    with pytest.raises(PromotionError, match="scored with other settings"):
        promote(config)


def test_two_promotions_at_once_leave_one_champion_everywhere(config):
    offer(config, GOOD)
    promote(config)
    best = offer(config, BETTER)
    command = [sys.executable, "-m", "depth_dpt_ros.cli", "promote", "--config", config.file]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate(timeout=120)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert "the candidate is the champion already" in said[0]
    assert said[1].startswith("promoted: better")
    assert champion_in_registry(config) == read_record(config.champion).run_id == best


def test_a_candidate_must_be_there_and_evaluated(config):
    with pytest.raises(CheckpointError, match=r"candidate\.safetensors"):
        promote(config)
    train_to(config, GOOD)
    with pytest.raises(PromotionError, match=r"metrics\.json.*depth-dpt evaluate"):
        promote(config)
    assert main(["evaluate", "--config", config.file]) == 0
    train_to(config, BAD)
    with pytest.raises(PromotionError, match="scores another model"):
        promote(config)
    assert not config.champion.exists()


def test_a_candidate_that_is_in_no_registry_is_refused(config):
    train_to(config, GOOD, register=False)
    assert main(["evaluate", "--config", config.file]) == 0
    with pytest.raises(PromotionError, match="has no registered model"):
        promote(config)
    assert not config.champion.exists()


def test_an_unreachable_server_is_one_line(tmp_path, roads, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    config = load_config(write_config(tmp_path, roads))
    offer(config, GOOD)
    write_config(tmp_path, roads, tracking={"uri": "http://127.0.0.1:9"})
    capsys.readouterr()
    assert main(["promote", "--config", config.file]) == 1
    error = capsys.readouterr().err
    assert error.startswith("depth-dpt: MLflow at http://127.0.0.1:9: ")
    assert error.count("\n") == 1


@pytest.fixture
def server(tmp_path):
    """Address of an MLflow server of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--port", uri.rpartition(":")[2],
         "--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path}/server.db",
         "--artifacts-destination", str(tmp_path / "artifacts")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    try:
        while True:
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=1).read()
                break
            except OSError:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.2)
        yield uri
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def test_a_real_server_holds_the_run_and_its_model_and_the_champion(tmp_path, server, one_thread):
    data = {"root": str(tmp_path / "data"), "processed": str(tmp_path / "processed")}
    write_roads(tmp_path / "data", {"train": 4, "val": 2, "test": 2})
    processed_data.run(Path(data["root"]), Path(data["processed"]))
    quick = {"epochs": 2, "batch_size": 4, "warmup_steps": 1, "pretrained": False, "workers": 0}
    config = load_config(
        write_config(
            tmp_path, tmp_path, data=data, optimization=quick, tracking={"uri": f"{server}/"}
        )
    )
    model, record = load_model(train(config))
    client = mlflow.MlflowClient(server)
    assert len(client.get_metric_history(record.run_id, "val_abs_rel")) == 2
    assert client.list_artifacts(record.run_id, "images")
    assert main(["evaluate", "--config", config.file]) == 0
    assert client.get_run(record.run_id).data.metrics["test_abs_rel"] > 0
    assert promote(config).promoted

    config.champion.unlink()
    offer(config, 1e4)
    assert not promote(config).promoted  # the champion came back from the server
    assert champion_in_registry(config) == read_record(config.champion).run_id == record.run_id
    served = mlflow.pyfunc.load_model("models:/tiny@champion")
    image = torch.full((1, 64, 128, 3), 128, dtype=torch.uint8)
    with torch.no_grad():
        depth = model(image.permute(0, 3, 1, 2).float() / 255)
    answer = served.predict({"image": image.numpy()})["depth"]
    torch.testing.assert_close(torch.from_numpy(answer), depth, rtol=1e-4, atol=1e-4)
