# SPDX-License-Identifier: Apache-2.0
"""The training configuration: one YAML file, checked when read."""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from depth_dpt_core.model.dpt import DPTConfig


class ConfigError(ValueError):
    """The configuration file is wrong; names the file, the key and what would be right."""


@dataclass(frozen=True)
class DataConfig:
    """Where the data is and what its labels mean."""

    root: str = "data"  # Cityscapes layout; relative to the configuration file
    canonical_focal_length: float = 300.0  # pixels at network width
    min_depth: float = 1.0  # m, at the canonical focal length
    max_depth: float = 100.0
    workers: int = 1


@dataclass(frozen=True)
class AugmentationConfig:
    """Ranges of the random changes made to training frames."""

    flip: float = 0.5  # probability
    zoom: tuple[float, float] = (1.0, 1.7)  # crop factor; labels follow the focal length
    letterbox: float = 0.3  # probability of another aspect ratio with padding
    aspect: tuple[float, float] = (1.3, 2.8)
    brightness: float = 0.35  # factor 1 +- this; likewise contrast and saturation
    hue: float = 0.05
    grey: float = 0.05  # probability
    blur: float = 0.15  # probability of a slight blur
    noise: float = 0.02  # largest standard deviation, of full scale


@dataclass(frozen=True)
class OptimizationConfig:
    """How the weights are found."""

    steps: int = 20000
    batch_size: int = 8
    encoder_lr: float = 1e-5
    decoder_lr: float = 1e-4
    weight_decay: float = 0.01
    warmup_steps: int = 500
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    gradient_weight: float = 0.5
    far_weight: float = 0.1
    precision: Literal["bf16", "fp32"] = "bf16"
    seed: int = 0
    eval_every: int = 2000  # steps
    checkpoint_every: int = 250  # steps
    pretrained: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "eval_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class TrainingConfig:
    """Everything a training run depends on."""

    name: str = "depth_dpt"
    output: str = "runs"
    data: DataConfig = field(default_factory=DataConfig)
    model: DPTConfig = field(default_factory=DPTConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    optimization: OptimizationConfig = field(default_factory=OptimizationConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the file."""
        return asdict(self)


T = TypeVar("T")


def load_config(path: Path) -> TrainingConfig:
    """Read a configuration file; relative paths in it count from its folder.

    Raises:
        ConfigError: missing file, unknown key, or a value of the wrong type.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({error})") from error
    config = _build(TrainingConfig, content or {}, str(path))
    base = path.resolve().parent
    return dataclasses.replace(
        config,
        output=str(base / config.output),
        data=dataclasses.replace(config.data, root=str(base / config.data.root)),
    )


def _build(kind: type[T], content: Any, where: str) -> T:
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: expected a mapping, got {content!r}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(map(str, set(content) - set(hints)))
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(hints)}")
    values = {key: _value(hints[key], value, f"{where}: {key}") for key, value in content.items()}
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast("type[Any]", hint), value, where)
    if typing.get_origin(hint) is tuple:
        parts = typing.get_args(hint)
        if not isinstance(value, list) or len(value) != len(parts):
            raise ConfigError(f"{where}: expected {len(parts)} values, got {value!r}")
        return tuple(_value(part, item, where) for part, item in zip(parts, value, strict=True))
    if typing.get_origin(hint) is Literal:
        if value not in typing.get_args(hint):
            raise ConfigError(f"{where}: expected one of {typing.get_args(hint)}, got {value!r}")
        return value
    if hint is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        # YAML 1.1 reads 1e-5, without a dot, as text
        with contextlib.suppress(ValueError):
            return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value
