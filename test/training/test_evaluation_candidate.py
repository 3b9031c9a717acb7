# SPDX-License-Identifier: Apache-2.0
"""Scoring checkpoints: the torch engine, and the evaluation that DVC and MLflow see."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from street_data import write_roads

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
for needed in ("timm", "kornia_rs", "matplotlib", "mlflow"):
    pytest.importorskip(needed, reason=f"needs {needed}: pip install '.[train]'")

from depth_dpt_core.camera import Intrinsics  # noqa: E402
from depth_dpt_core.config import DPTConfig, load_config  # noqa: E402
from depth_dpt_core.data.cityscapes import list_split  # noqa: E402
from depth_dpt_core.engines.torch import TorchEngine  # noqa: E402
from depth_dpt_core.evaluation.candidate import evaluate_candidate  # noqa: E402
from depth_dpt_core.evaluation.checkpoint import estimator_of  # noqa: E402
from depth_dpt_core.evaluation.score import score_split  # noqa: E402
from depth_dpt_core.metrics import METRIC_NAMES  # noqa: E402
from depth_dpt_core.model.checkpoint import TrainingRecord, save_model  # noqa: E402
from depth_dpt_core.model.dpt import DPT  # noqa: E402
from depth_dpt_ros.cli import main  # noqa: E402

MODEL = {"encoder": "regnetx_002", "height": 64, "width": 128, "features": 16}
RANGES = [0, 5, 15, 60]


def write_config(folder, root, **sections) -> Path:
    content = {
        "name": "tiny",
        "output": "weights",
        "data": {"root": str(root), "max_depth": 60.0, "description": "flat roads"},
        "labels": {"canonical_focal_length": 70.0},
        "model": MODEL,
        "evaluation": {"protocols": ["metric", "manydepth", "reference"], "ranges": RANGES},
        "tracking": {"uri": f"sqlite:///{folder}/runs.db"},
        **sections,
    }
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def write_candidate(config_file, *, run_id="") -> Path:
    config = load_config(config_file)
    torch.manual_seed(0)
    record = TrainingRecord("tiny", config.recipe(), epoch=3, validation={}, run_id=run_id)
    save_model(config.candidate, DPT(config.model), record)
    return config.candidate


@pytest.fixture(scope="module")
def roads(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "roads"
    write_roads(root, {"val": 3, "test": 2}, width=256, height=128)
    return root


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory, roads):
    """Folder of a configuration whose candidate was evaluated by the command."""
    folder = tmp_path_factory.mktemp("run")
    config = write_config(folder, roads)
    write_candidate(config)
    assert main(["evaluate", "--config", str(config), "--json", str(folder / "copy.json")]) == 0
    return folder


def test_engine_answers_like_the_network():
    torch.manual_seed(1)
    model = DPT(DPTConfig(**MODEL)).eval()
    engine = TorchEngine(model, device="cpu")
    assert engine.name == "torch (CPU)"
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 128, 3)).astype(np.uint8)
    with torch.no_grad():
        expected = model(torch.from_numpy(images.transpose(0, 3, 1, 2) / np.float32(255)))
    answer = engine.infer(images)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected.numpy(), rtol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_engine_takes_the_gpu():
    torch.manual_seed(1)
    images = np.random.default_rng(1).integers(0, 256, (1, 64, 128, 3)).astype(np.uint8)
    model = DPT(DPTConfig(**MODEL))
    expected = TorchEngine(model, device="cpu").infer(images)
    engine = TorchEngine(model)
    assert engine.name == "torch (CUDA)"
    np.testing.assert_allclose(engine.infer(images), expected, rtol=1e-2)


def test_estimator_of_a_checkpoint_knows_its_camera_and_range(tmp_path, roads):
    estimator = estimator_of(write_candidate(write_config(tmp_path, roads)), device="cpu")
    spec = estimator.spec
    assert (spec.width, spec.height, spec.canonical_focal_length) == (128, 64, 70.0)
    assert (spec.min_depth, spec.max_depth) == (0.5, 60.0)
    image = np.full((64, 128, 3), 90, np.uint8)
    canonical = estimator(image, Intrinsics.centered(70.0, 128, 64))
    twice = estimator(image, Intrinsics.centered(140.0, 128, 64))
    assert np.isfinite(canonical).all()
    np.testing.assert_allclose(twice, 2 * canonical, rtol=1e-6)


def test_metrics_file_holds_both_splits_under_every_protocol(evaluated, roads):
    content = json.loads((evaluated / "metrics.json").read_text())
    assert content == json.loads((evaluated / "copy.json").read_text())
    candidate = evaluated / "weights/candidate.safetensors"
    digest = hashlib.sha256(candidate.read_bytes()).hexdigest()
    assert content["model"] == {"name": "tiny", "run_id": "", "sha256": digest}
    names = {
        "metric": "",
        "manydepth": "_manydepth",
        "reference": "_reference_for_comparison_only",
    }
    estimator = estimator_of(candidate)
    for split, images in (("val", 3), ("test", 2)):
        for protocol, ending in names.items():
            group = split + ending
            alone = score_split(estimator, roads, split, [protocol], max_depth=60, ranges=RANGES)
            score = alone.scores[protocol]
            metrics = {**score.metrics.to_dict(), "bias": score.bias}
            assert content[group] == pytest.approx(metrics, rel=1e-12)
            assert list(content[group])[:7] == list(METRIC_NAMES)
            assert list(content["by_range"][group]) == ["0-5", "5-15", "15-60"]
            near = content["by_range"][group]["5-15"]
            assert near["abs_rel"] == pytest.approx(score.by_range[1].metrics.abs_rel)
            assert content["counts"][group]["images"] == images
        assert content["counts"][split]["unusable"] == 0
        assert content["unusable"][split] == []


def test_the_same_candidate_gives_the_same_file(evaluated):
    before = (evaluated / "metrics.json").read_bytes()
    (evaluated / "metrics.json").unlink()
    assert main(["evaluate", "--config", str(evaluated / "params.yaml")]) == 0
    assert (evaluated / "metrics.json").read_bytes() == before


def test_a_picture_of_error_by_distance_is_beside_it(evaluated):
    picture = cv2.imread(str(evaluated / "error_by_distance.png"))
    assert min(picture.shape[:2]) > 600
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_command_scores_a_checkpoint_on_any_data(evaluated, roads, capsys):
    candidate = evaluated / "weights/candidate.safetensors"
    assert main(["evaluate", "--data", str(roads), "--model", str(candidate)]) == 0
    out = capsys.readouterr().out
    assert "test, metric" in out
    assert "2 images, 0 without truth, 0 unusable" in out


def test_broken_frames_are_counted_and_named(tmp_path, capsys):
    root = tmp_path / "roads"
    write_roads(root, {"val": 1, "test": 2})
    broken = list_split(root, "test").samples[1]
    broken.disparity.write_bytes(broken.disparity.read_bytes()[:100])
    config = write_config(tmp_path, root)
    write_candidate(config)
    assert main(["evaluate", "--config", str(config)]) == 0
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["counts"]["test"]["images"] == 1
    assert content["counts"]["test"]["unusable"] == 1
    assert content["counts"]["val"]["unusable"] == 0
    (named,) = content["unusable"]["test"]
    assert named["name"] == broken.name
    assert broken.disparity.name in named["reason"]
    said = capsys.readouterr()
    assert f"left out {broken.name}" in said.err
    assert "nothing was logged" in said.err


@pytest.mark.parametrize("missing", ["val", "test"])
def test_a_missing_split_is_named_before_any_work(tmp_path, missing, capsys):
    write_roads(tmp_path / "roads", {"val": 1, "test": 1})
    (tmp_path / "roads/leftImg8bit" / missing).rename(tmp_path / "away")
    (tmp_path / "roads/disparity" / missing).rename(tmp_path / "away2")
    config = write_config(tmp_path, tmp_path / "roads")
    write_candidate(config)
    assert main(["evaluate", "--config", str(config)]) == 1
    assert f"leftImg8bit/{missing}" in capsys.readouterr().err
    assert not (tmp_path / "metrics.json").exists()


def test_without_a_candidate_one_line_says_so(tmp_path, roads, capsys):
    assert main(["evaluate", "--config", str(write_config(tmp_path, roads))]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "candidate.safetensors" in line


def test_results_that_cannot_be_written_are_known_before_the_work(tmp_path, roads, capsys):
    config = write_config(tmp_path, roads)
    write_candidate(config)
    frozen = tmp_path / "gone"
    tmp_path.joinpath("params.yaml").rename(tmp_path / "kept.yaml")
    frozen.symlink_to("/proc/self/fdinfo")  # where nobody can make files
    loaded = load_config(tmp_path / "kept.yaml")
    with pytest.raises(OSError, match=str(frozen)):
        evaluate_candidate(replace(loaded, file=str(frozen / "params.yaml")))
    assert "image/s" not in capsys.readouterr().err  # nothing was scored


@pytest.mark.slow
def test_the_run_that_made_the_candidate_gets_the_metrics(tmp_path, roads, capsys):
    import mlflow

    config = write_config(tmp_path, roads, evaluation={"protocols": ["metric"]})
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/runs.db")
    experiment = client.create_experiment("x", artifact_location=(tmp_path / "art").as_uri())
    runs = [client.create_run(experiment).info.run_id for _ in range(2)]
    write_candidate(config, run_id=runs[0])  # not the newest one
    assert main(["evaluate", "--config", str(config)]) == 0
    assert runs[0] in capsys.readouterr().out
    content = json.loads((tmp_path / "metrics.json").read_text())
    logged = client.get_run(runs[0]).data.metrics
    for name in METRIC_NAMES:
        assert logged[f"test_{name}"] == pytest.approx(content["test"][name])
    assert client.get_run(runs[1]).data.metrics == {}
