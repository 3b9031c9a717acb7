# SPDX-License-Identifier: Apache-2.0
"""The training configuration: one YAML file, checked when read."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
import re
import sys
import types
import typing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

Metric = Literal["abs_rel", "sq_rel", "rmse", "rmse_log", "delta_1", "delta_2", "delta_3"]
Output = Literal["exp", "relu"]
Protocol = Literal["metric", "manydepth", "reference"]

_SQLITE = "sqlite:///"
_LARGE = sys.float_info.max
_NOT_IN_FILE = {"in_file": False}


class ConfigError(ValueError):
    """The configuration file is wrong; names the file, the key and what would be right."""


@dataclass(frozen=True)
class DataConfig:
    """Where the data is, how it is preprocessed, and what its labels mean."""

    root: str = (
        "data/cityscapes"  # as downloaded; relative to the configuration file, as all paths
    )
    processed: str = "data/processed"
    description: str = "Cityscapes"  # for the model's record
    width: int = 1024  # pixels; wider images are brought to this, keeping their aspect
    max_depth: float = 80.0  # m; labels beyond are masked
    baseline: float = 0.209313  # m; of the older layout depth_X, depth_y, which has no cameras
    focal_length: float = 2262.52  # pixels; likewise

    def __post_init__(self) -> None:
        _check_positive(self, "width", "max_depth", "baseline", "focal_length")

    def settings(self) -> dict[str, float]:
        """What decides the content of all processed frames."""
        return {"width": self.width, "max_depth": self.max_depth}


@dataclass(frozen=True)
class DPTConfig:
    """What a DPT is built from."""

    encoder: str = "vit_base_patch16_224"  # any timm vision transformer or convolutional network
    height: int = 256  # pixels
    width: int = 512
    features: int = 256  # channels of the decoder
    output: Output = "exp"  # relu: the original head, in metres

    def __post_init__(self) -> None:
        _check_positive(self, "height", "width", "features")
        if self.output not in typing.get_args(Output):
            raise ConfigError(f"output must be one of exp, relu, got {self.output!r}")


@dataclass(frozen=True)
class LabelConfig:
    """How images and labels reach the network."""

    canonical_focal_length: float | None = 565.63  # pixels at network width; None: labels as are
    min_depth: float = 0.5  # m, at the canonical focal length, as is data.max_depth here
    aspect: Literal["pad", "stretch"] = "pad"

    def __post_init__(self) -> None:
        _check_positive(self, "min_depth")
        if self.canonical_focal_length is not None:
            _check_positive(self, "canonical_focal_length")


@dataclass(frozen=True)
class AugmentationConfig:
    """Ranges of the random changes made to training frames."""

    flip: float = 0.5  # probability
    zoom: tuple[float, float] = (1.0, 1.7)  # crop factor
    letterbox: float = 0.3  # probability of a part with another aspect ratio
    aspect: tuple[float, float] = (1.3, 2.8)
    brightness: float = 0.35  # factor 1 +- this
    contrast: float = 0.35
    saturation: float = 0.35
    hue: float = 0.05  # of the colour circle, +- this
    grey: float = 0.05  # probability
    blur: float = 0.15  # probability of a slight blur
    jpeg: float = 0.2  # probability of compression
    jpeg_quality: tuple[int, int] = (40, 95)
    noise: float = 0.02  # largest standard deviation, of full scale

    def __post_init__(self) -> None:
        for name in ("flip", "letterbox", "grey", "blur", "jpeg", "noise"):
            _check_within(self, name, 0, 1)
        for name in ("brightness", "contrast", "saturation"):
            _check_within(self, name, 0, _LARGE)
        _check_within(self, "hue", 0, 0.5)
        ends = (("zoom", 1, _LARGE), ("aspect", 0.1, _LARGE), ("jpeg_quality", 1, 100))
        for name, least, most in ends:
            low, high = getattr(self, name)
            if not least <= low <= high <= most:
                raise ConfigError(
                    f"{name} must be two rising values from {least}, got {[low, high]}"
                )


@dataclass(frozen=True)
class LossConfig:
    """What is minimised; `reference` is the original recipe's loss, in metres."""

    form: Literal["log", "reference"] = "log"
    gradient_weight: float = 0.5
    relative_weight: float = 0.15
    far_weight: float = 0.1

    def __post_init__(self) -> None:
        for name in ("gradient_weight", "relative_weight", "far_weight"):
            _check_within(self, name, 0, _LARGE)


@dataclass(frozen=True)
class OptimizationConfig:
    """How the weights are found."""

    epochs: int = 50
    batch_size: int = 8  # of one process
    accumulate: int = 1  # batches per step
    encoder_lr: float = 1e-5
    decoder_lr: float = 1e-4
    weight_decay: float = 0.01
    warmup_steps: int = 1000
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"
    seed: int = 0
    pretrained: bool = True
    start_from: str = ""  # weights of an earlier training to go on from, also of another size
    metric: Metric = "abs_rel"  # of the validation split; chooses the best epoch
    patience: int = 10  # epochs without improvement before stopping
    checkpoint_every: int = 250  # steps
    workers: int = 4  # processes that load data

    def __post_init__(self) -> None:
        _check_positive(
            self, "epochs", "batch_size", "accumulate", "clip_norm", "patience", "checkpoint_every"
        )
        rates = ("encoder_lr", "decoder_lr", "weight_decay")
        for name in (*rates, "warmup_steps", "seed", "workers"):
            _check_within(self, name, 0, _LARGE)
        _check_within(self, "ema_decay", 0, 1)


@dataclass(frozen=True)
class TrackingConfig:
    """Where MLflow keeps runs and models."""

    uri: str = "sqlite:///mlflow.db"
    experiment: str = "depth_dpt"

    def __post_init__(self) -> None:
        if not self.uri.partition("://")[2].strip("/"):
            raise ConfigError(f"uri must be sqlite:///FILE or http://HOST:PORT, got {self.uri!r}")


@dataclass(frozen=True)
class EvaluationConfig:
    """How models are scored, at the truth's own resolution."""

    protocols: tuple[Protocol, ...] = ("metric", "manydepth")  # the first one decides
    ranges: tuple[float, ...] = (0.0, 10.0, 20.0, 30.0, 50.0, 80.0)  # m; edges

    def __post_init__(self) -> None:
        if not self.protocols or len(set(self.protocols)) < len(self.protocols):
            raise ConfigError("protocols must name at least one, each once")
        if self.protocols[0] != "metric":  # scaled figures must never pass for metres
            raise ConfigError(f"protocols must begin with metric, got {self.protocols[0]}")
        if len(self.ranges) < 2 or not all(a < b for a, b in itertools.pairwise(self.ranges)):
            raise ConfigError(f"ranges must be rising edges, got {list(self.ranges)}")


@dataclass(frozen=True)
class PromotionConfig:
    """When a candidate takes the champion's place."""

    metric: Metric = "abs_rel"  # of the validation split
    min_improvement: float = 0.0

    def __post_init__(self) -> None:
        _check_within(self, "min_improvement", 0, _LARGE)


@dataclass(frozen=True)
class ExportConfig:
    """What is written for the vehicle, and where it is published."""

    file: str = "models/depth_dpt.onnx"
    batch: int = 1  # images per inference, fixed
    precision: Literal["fp32", "fp16"] = "fp32"  # fp16: another file in it beside, for TensorRT
    repository: str = ""  # OWNER/NAME on the Hugging Face Hub
    private: bool = True

    def __post_init__(self) -> None:
        _check_positive(self, "batch")


@dataclass(frozen=True)
class TrainingConfig:
    """Everything a training run depends on."""

    name: str = "depth_dpt"  # of the run and of the registered model: letters, digits, . _ -
    output: str = "models"  # folder of candidate and champion
    data: DataConfig = field(default_factory=DataConfig)
    labels: LabelConfig = field(default_factory=LabelConfig)
    model: DPTConfig = field(default_factory=DPTConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimization: OptimizationConfig = field(default_factory=OptimizationConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    promotion: PromotionConfig = field(default_factory=PromotionConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    file: str = field(default="", metadata=_NOT_IN_FILE)  # where this was read from

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+", self.name, re.ASCII):  # what MLflow and file names allow
            raise ConfigError(f"name may hold letters, digits, . _ and -, got {self.name!r}")
        if self.labels.min_depth >= self.data.max_depth:
            raise ConfigError(
                f"labels.min_depth {self.labels.min_depth:g} must be less than data.max_depth "
                f"{self.data.max_depth:g}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the file."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        del content["file"]
        return content

    def recipe(self) -> dict[str, Any]:
        """The part that decides the weights, wherever and with however many workers it runs."""
        content = self.to_dict()
        if self.optimization.start_from:  # what the weights are, not where
            content["optimization"]["start_from"] = _digest(Path(self.optimization.start_from))
        for section, names in {
            "data": ("root", "processed"),
            "optimization": ("checkpoint_every", "workers"),
        }.items():
            for name in names:
                del content[section][name]
        sections = ("data", "labels", "model", "augmentation", "loss", "optimization")
        return {name: content[name] for name in sections}

    @property
    def candidate(self) -> Path:
        """Weights of the newest finished run."""
        return Path(self.output) / "candidate.safetensors"

    @property
    def champion(self) -> Path:
        """Weights of the best model so far."""
        return Path(self.output) / "champion.safetensors"


T = TypeVar("T")


def load_config(path: Path) -> TrainingConfig:
    """Read a configuration file; relative paths in it count from its folder.

    Raises:
        ConfigError: missing file, unknown key, or a value of the wrong type.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({error})") from error
    config = _build(TrainingConfig, {} if content is None else content, str(path))
    base = path.resolve().parent
    uri = config.tracking.uri
    if uri.startswith(_SQLITE):
        uri = _SQLITE + str(base / uri.removeprefix(_SQLITE))
    data, export, options = config.data, config.export, config.optimization
    if options.start_from:
        options = replace(options, start_from=str(base / options.start_from))
    return replace(
        config,
        file=str(path),
        output=str(base / config.output),
        data=replace(data, root=str(base / data.root), processed=str(base / data.processed)),
        tracking=replace(config.tracking, uri=uri),
        export=replace(export, file=str(base / export.file)),
        optimization=options,
    )


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise ConfigError(f"optimization.start_from: {path} cannot be read") from error


def _check_positive(section: Any, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if not (value > 0 and math.isfinite(value)):
            raise ConfigError(f"{name} must be positive, got {value}")


def _check_within(section: Any, name: str, least: float, most: float) -> None:
    value = getattr(section, name)
    if not least <= value <= most:
        raise ConfigError(f"{name} must be from {least} to {most:g}, got {value}")


def _build(kind: type[T], content: Any, where: str) -> T:
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: expected a mapping, got {content!r}")
    hints = typing.get_type_hints(kind)
    for item in dataclasses.fields(typing.cast("type[Any]", kind)):
        if not item.metadata.get("in_file", True):
            del hints[item.name]
    unknown = sorted(map(str, set(content) - set(hints)))
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(hints)}")
    values = {key: _value(hints[key], value, f"{where}: {key}") for key, value in content.items()}
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value, where)
    if origin in (typing.Union, types.UnionType):  # T | None
        return None if value is None else _value(parts[0], value, where)
    if origin is tuple:
        return _tuple(parts, value, where)
    if origin is Literal:
        if value not in parts:
            raise ConfigError(f"{where}: expected one of {', '.join(parts)}, got {value!r}")
        return value
    if hint is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        # YAML 1.1 reads 1e-5, without a dot, as text
        with contextlib.suppress(ValueError, OverflowError):
            return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value


def _tuple(parts: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{where}: expected a list, got {value!r}")
    if parts[-1] is Ellipsis:
        parts = parts[:1] * len(value)
    if len(value) != len(parts):
        raise ConfigError(f"{where}: expected {len(parts)} values, got {value!r}")
    return tuple(_value(part, item, where) for part, item in zip(parts, value, strict=True))
