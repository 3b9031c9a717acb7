# SPDX-License-Identifier: Apache-2.0
"""Runs and models in MLflow."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from numpy.typing import NDArray
from sqlalchemy.exc import SQLAlchemyError

from depth_dpt_core.config import TrainingConfig
from depth_dpt_core.frames import street_frames
from depth_dpt_core.model.checkpoint import TrainingRecord
from depth_dpt_core.preprocess import Geometry

CHAMPION = "champion"
_SQLITE = "sqlite:///"
_SERVED_MODEL = Path(__file__).with_name("served_model.py")
_REQUIREMENTS = ["depth_dpt_ros", "torch", "torchvision", "timm", "safetensors", "mlflow"]


class TrackingError(RuntimeError):
    """MLflow cannot be reached or lacks what is asked for; names its address."""


@contextmanager
def tracking(config: TrainingConfig) -> Iterator[mlflow.MlflowClient]:
    """A client of the configured server or file, with errors in one line."""
    uri = config.tracking.uri
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        if uri.startswith(_SQLITE):
            _check_writable(Path(uri.removeprefix(_SQLITE)))
        mlflow.set_tracking_uri(uri)
        yield mlflow.MlflowClient()
    except (MlflowException, SQLAlchemyError) as error:
        raise TrackingError(f"MLflow at {uri}: {str(error).splitlines()[0]}") from error


def _check_writable(database: Path) -> None:
    """Find out at once: MLflow would try again for minutes."""
    database.parent.mkdir(parents=True, exist_ok=True)
    for path in (database.parent, database):
        if path.exists() and not os.access(path, os.W_OK):
            raise TrackingError(f"{path} cannot be written to; tracking.uri keeps MLflow there")


class TrackedRun:
    """One training run in MLflow."""

    def __init__(self, config: TrainingConfig, run_id: str) -> None:
        self._config = config
        self.run_id = run_id

    @classmethod
    def begin(cls, config: TrainingConfig, *, fingerprint: str, revision: str) -> TrackedRun:
        """Open a run that holds the parameters, the configuration file, code and data.

        Raises:
            TrackingError: MLflow cannot be reached.
        """
        with tracking(config) as client:
            run_id = client.create_run(
                _experiment(client, config), run_name=config.name
            ).info.run_id
            tags = {"git_revision": revision, "data_fingerprint": fingerprint}
            data = Dataset(
                config.data.description, fingerprint[:32], "local", config.data.processed
            )
            try:
                client.log_batch(
                    run_id,
                    params=[Param(name, str(value)) for name, value in _flat(config.recipe())],
                    tags=[RunTag(name, value) for name, value in tags.items()],
                )
                client.log_artifact(run_id, config.file)
                client.log_inputs(run_id, [DatasetInput(data)])
            except Exception:
                client.set_terminated(run_id, "FAILED")
                raise
        return cls(config, run_id)

    @classmethod
    def go_on(cls, config: TrainingConfig, run_id: str) -> TrackedRun:
        """Open an interrupted run again.

        Raises:
            TrackingError: MLflow cannot be reached or has no such run.
        """
        with tracking(config) as client:
            client.update_run(run_id, status="RUNNING")
        return cls(config, run_id)

    def log(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Log metrics of an epoch, counted from one."""
        with tracking(self._config) as client:
            now = _now()
            rows = [Metric(name, value, now, epoch) for name, value in metrics.items()]
            client.log_batch(self.run_id, metrics=rows)

    def log_picture(self, name: str, picture: NDArray[np.uint8], epoch: int) -> None:
        """Log a picture [H,W,3] RGB of an epoch."""
        with tracking(self._config) as client:
            client.log_image(self.run_id, picture, key=name, step=epoch)

    def register(self, checkpoint: Path) -> str:
        """Log the best weights as a model and register it; returns its version.

        A run registers once: asked again, after an interruption, it answers what it has.
        """
        with tracking(self._config) as client:
            known = model_version_of_run(client, self._config.name, self.run_id)
            if known is not None:
                return known
            network = self._config.model
            size = (network.height, network.width)
            with mlflow.start_run(run_id=self.run_id), warnings.catch_warnings():
                # MLflow wants a signature from type hints, and has one
                warnings.filterwarnings("ignore", message=".*type hints")
                info = mlflow.pyfunc.log_model(
                    name="model",
                    python_model=str(_SERVED_MODEL),
                    artifacts={"checkpoint": str(checkpoint)},
                    signature=_signature(*size),
                    input_example=_example(*size),
                    pip_requirements=_REQUIREMENTS,
                    registered_model_name=self._config.name,
                )
            return str(info.registered_model_version)

    def end(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED."""
        with tracking(self._config) as client:
            client.set_terminated(self.run_id, status)


def log_evaluation(
    config: TrainingConfig, record: TrainingRecord, result: Mapping[str, Any], figure: Path
) -> None:
    """Write an evaluation into the run that made the weights: metrics named SPLIT_METRIC.

    Raises:
        TrackingError: MLflow cannot be reached or has no such run.
    """
    now = _now()
    rows = [
        Metric(f"final_{group}_{name}", value, now, record.epoch)
        if group.startswith("val")
        else Metric(f"{group}_{name}", value, now, record.epoch)
        for group, metrics in result.items()
        if group.split("_")[0] in ("val", "test")
        for name, value in metrics.items()
    ]
    with tracking(config) as client:
        client.log_batch(record.run_id, metrics=rows)
        client.log_dict(record.run_id, dict(result), "evaluation.json")
        client.log_artifact(record.run_id, str(figure))


def model_version_of_run(client: mlflow.MlflowClient, name: str, run_id: str) -> str | None:
    """Version under which a run's model is registered."""
    found = client.search_model_versions(f"name='{name}' and run_id='{run_id}'")
    return str(found[0].version) if found else None


def _experiment(client: mlflow.MlflowClient, config: TrainingConfig) -> str:
    name, uri = config.tracking.experiment, config.tracking.uri
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    location = None
    if uri.startswith(_SQLITE):  # else MLflow would take a folder under the working directory
        location = Path(uri.removeprefix(_SQLITE)).with_name("mlartifacts").as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:  # another run was faster
        known = client.get_experiment_by_name(name)
        if known is None:
            raise
        return str(known.experiment_id)


def _now() -> int:
    return time.time_ns() // 1_000_000  # ms


def _signature(height: int, width: int) -> ModelSignature:
    image = TensorSpec(np.dtype(np.uint8), (-1, height, width, 3), "image")
    depth = TensorSpec(np.dtype(np.float32), (-1, 1, height, width), "depth")
    return ModelSignature(Schema([image]), Schema([depth]))


def _example(height: int, width: int) -> dict[str, NDArray[np.uint8]]:
    frame = street_frames()[0]
    geometry = Geometry.fit(frame.shape[1::-1], (width, height))
    return {"image": geometry.to_network(frame)[None]}


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
