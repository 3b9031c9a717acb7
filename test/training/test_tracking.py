# SPDX-License-Identifier: Apache-2.0
"""What a training run leaves in MLflow."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from street_data import write_roads

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("timm", reason="needs timm: pip install '.[train]'")
mlflow = pytest.importorskip("mlflow", reason="needs mlflow: pip install '.[train]'")

from accelerate.state import AcceleratorState, GradientState  # noqa: E402

from depth_dpt_core.config import load_config  # noqa: E402
from depth_dpt_core.data.preprocessing import preprocess  # noqa: E402
from depth_dpt_core.data.processed import ProcessedDataset  # noqa: E402
from depth_dpt_core.metrics import METRIC_NAMES  # noqa: E402
from depth_dpt_core.model.checkpoint import load_model  # noqa: E402
from depth_dpt_core.training.optimizer import learning_rates  # noqa: E402
from depth_dpt_core.training.trainer import train  # noqa: E402

pytestmark = pytest.mark.slow  # they look at a run that has to be made first
REPOSITORY = Path(__file__).resolve().parents[2]
CONTENT = {
    "name": "tiny",
    "data": {"root": "raw", "processed": "processed"},
    "labels": {"canonical_focal_length": 75.0},
    "model": {"encoder": "regnetx_002", "height": 64, "width": 128, "features": 16},
    "optimization": {
        "epochs": 2, "batch_size": 4, "encoder_lr": 1e-3, "decoder_lr": 2e-3, "warmup_steps": 1,
        "precision": "fp32", "pretrained": False, "workers": 0,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The configuration of a finished run, its client and the run."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    folder = tmp_path_factory.mktemp("run")
    write_roads(folder / "raw", {"train": 8, "val": 3})
    path = folder / "params.yaml"
    path.write_text("# a comment that belongs to the record\n" + yaml.safe_dump(CONTENT))
    config = load_config(path)
    preprocess(config.data, workers=1)
    _, record = load_model(train(config))
    client = mlflow.MlflowClient(config.tracking.uri)
    return config, client, client.get_run(record.run_id)


def test_a_run_holds_parameters_code_and_data(trained, tmp_path):
    config, client, run = trained
    assert run.info.status == "FINISHED"
    assert run.data.params["optimization.decoder_lr"] == "0.002"
    assert run.data.params["model.encoder"] == "regnetx_002"
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True
    )
    if head.returncode == 0:
        assert run.data.tags["git_revision"].startswith(head.stdout.strip())
    fingerprint = ProcessedDataset.open(Path(config.data.processed)).fingerprint
    assert run.data.tags["data_fingerprint"] == fingerprint
    (data,) = run.inputs.dataset_inputs
    assert fingerprint.startswith(data.dataset.digest)
    copied = client.download_artifacts(run.info.run_id, "params.yaml", str(tmp_path))
    assert Path(copied).read_bytes() == Path(config.file).read_bytes()


def test_every_epoch_is_logged_with_losses_metrics_and_rates(trained):
    config, client, run = trained
    names = ["train_loss", "train_silog", "train_gradient", "train_relative", "train_far",
             "train_abs_rel", "lr_encoder", "lr_decoder", "images_per_s"]  # fmt: skip
    names += [f"val_{name}" for name in METRIC_NAMES]
    for name in names:
        history = client.get_metric_history(run.info.run_id, name)
        assert [row.step for row in history] == [1, 2], name
        assert all(np.isfinite(row.value) for row in history), name
    for name in ("lr_encoder", "lr_decoder"):  # those of each epoch's last step, of four in all
        logged = [row.value for row in client.get_metric_history(run.info.run_id, name)]
        used = [learning_rates(config.optimization, step, 4)[name] for step in (1, 3)]
        assert logged == pytest.approx(used)


def test_pictures_show_image_answer_and_truth(trained, tmp_path):
    _, client, run = trained
    pictures = [file.path for file in client.list_artifacts(run.info.run_id, "images")]
    pictures = [path for path in pictures if path.endswith(".png")]
    assert len(pictures) == 3 * 2  # frames, epochs
    path = client.download_artifacts(run.info.run_id, pictures[0], str(tmp_path))
    picture = cv2.imread(path)
    assert picture.shape == (64, 3 * 128, 3)
    assert len(np.unique(picture[:, 256:].reshape(-1, 3), axis=0)) > 5


def test_the_best_weights_are_a_registered_model_that_answers(trained):
    config, client, run = trained
    (version,) = client.search_model_versions("name='tiny'")
    assert version.run_id == run.info.run_id
    mlflow.set_tracking_uri(config.tracking.uri)
    loaded = mlflow.pyfunc.load_model(f"models:/tiny/{version.version}")
    schema = loaded.metadata.signature.inputs.to_dict()[0]
    assert schema["tensor-spec"] == {"dtype": "uint8", "shape": (-1, 64, 128, 3)}
    example = loaded.input_example
    assert example["image"].shape == (1, 64, 128, 3)
    answer = loaded.predict(example)["depth"]
    model, _ = load_model(config.candidate)
    with torch.no_grad():
        expected = model(torch.from_numpy(example["image"]).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(answer, expected.numpy(), rtol=1e-4)


def test_nothing_in_the_registered_model_is_a_pickle(trained, tmp_path):
    config, _, _ = trained
    mlflow.set_tracking_uri(config.tracking.uri)
    folder = Path(mlflow.artifacts.download_artifacts("models:/tiny/1", dst_path=str(tmp_path)))
    files = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert ".safetensors" in files
    assert not files & {".pkl", ".pth", ".pt", ".pickle"}
