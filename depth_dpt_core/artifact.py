# SPDX-License-Identifier: Apache-2.0
"""What an exported model says about itself, and finding one.

A model of this project is one ONNX file with its description inside, as JSON under the metadata
key `depth_dpt`. A third party's ONNX runs with a description beside it: `model.onnx` and
`model.yaml`, with the same fields.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import MISSING, asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import onnxruntime
import yaml
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from depth_dpt_core.ready_descriptions import ready_descriptions

SCHEMA_VERSION = 1
METADATA_KEY = "depth_dpt"
BUILTIN = "builtin"

Aspect = Literal["pad", "stretch"]
Layout = Literal["NHWC", "NCHW"]
DType = Literal["uint8", "float32"]
Quantity = Literal["depth", "inverse_depth"]

# what ONNX Runtime raises on a file that it cannot run
LOAD_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidProtobuf,
    ort_errors.InvalidGraph,
    ort_errors.InvalidArgument,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


class ArtifactError(ValueError):
    """A model cannot be found or used; names it and what would be right."""


class NoMetresError(ArtifactError):
    """A relative model was asked for metres."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"{model}: answers relative depth, no metres; measure the scale and shift of its "
            "output, put them into its description, and take `relative` out"
        )


@dataclass(frozen=True)
class InputSpec:
    """How pixels reach the network: (pixel / 255 - mean) / std where it is float32.

    `mean` and `std` are in the order of `color`. An empty `name` in a description beside a model
    is the only input that the file has, whatever the exporter called it; likewise of `OutputSpec`.
    """

    name: str = "image"
    layout: Layout = "NHWC"
    dtype: DType = "uint8"
    color: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class OutputSpec:
    """What the network answers: scale * output + shift is `quantity` in metres (or 1/metres).

    Unless it is `relative`: then the unit is unknown, and may be another in every image. Such an
    answer only orders pixels by distance; see `DepthEstimator.nearness` and `with_scale`.
    """

    name: str = "depth"
    quantity: Quantity = "depth"
    scale: float = 1.0
    shift: float = 0.0
    relative: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to run a model and to know where it comes from.

    `width` and `height` are the network's input size in pixels. `canonical_focal_length` (and
    `canonical_focal_length_y`, where pixels are not square after stretching) is in pixels at that
    size; None means that the answer does not depend on the focal length. `min_depth` and
    `max_depth`, in metres (in the answer's own unit where that is relative), hold at the canonical
    focal length and scale with it.
    """

    width: int
    height: int
    canonical_focal_length: float | None = None
    canonical_focal_length_y: float | None = None
    aspect: Aspect = "pad"
    min_depth: float = 0.1
    max_depth: float = 80.0
    precision: Literal["fp32", "fp16"] = "fp32"
    sibling: str | None = None  # file name of the same model in the other precision
    encoder: str = ""
    dataset: str = ""
    training_run: str = ""
    source_revision: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    input: InputSpec = field(default_factory=InputSpec)
    output: OutputSpec = field(default_factory=OutputSpec)
    schema_version: int = SCHEMA_VERSION

    @property
    def canonical_fy(self) -> float | None:
        """Vertical canonical focal length, pixels."""
        return self.canonical_focal_length_y or self.canonical_focal_length

    def to_json(self) -> str:
        """The description as stored in the file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_dict(cls, content: Any, source: str) -> ModelSpec:
        """Check and take over a description read from `source`.

        Raises:
            ArtifactError: unknown or missing fields, impossible values, a newer schema.
        """
        if not isinstance(content, dict):
            raise ArtifactError(f"{source}: the model description must be a mapping")
        if content.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
            raise ArtifactError(
                f"{source}: description of schema {content['schema_version']!r}; "
                f"this version reads schema {SCHEMA_VERSION}"
            )
        values = dict(content)
        values["input"] = _part(InputSpec, values.get("input", {}), f"{source}: input")
        values["output"] = _part(OutputSpec, values.get("output", {}), f"{source}: output")
        spec: ModelSpec = _part(cls, values, source)
        spec._check(source)
        return spec

    def _check(self, source: str) -> None:
        choices = {
            "aspect": (self.aspect, get_args(Aspect)),
            "input layout": (self.input.layout, get_args(Layout)),
            "input dtype": (self.input.dtype, get_args(DType)),
            "input color": (self.input.color, ("RGB", "BGR")),
            "output quantity": (self.output.quantity, get_args(Quantity)),
            "output relative": (self.output.relative, (False, True)),
            "precision": (self.precision, ("fp32", "fp16")),
        }
        for name, (value, allowed) in choices.items():
            if value not in allowed:
                raise ArtifactError(f"{source}: {name} is {value!r}, must be one of {allowed}")
        for name in ("width", "height"):
            side = getattr(self, name)
            if not (_are_numbers(side) and isinstance(side, int) and side > 0):
                raise ArtifactError(f"{source}: {name} is {side!r}, must be a positive integer")
        for name in ("canonical_focal_length", "canonical_focal_length_y"):
            number = getattr(self, name)
            if number is not None and not (_are_numbers(number) and number > 0):
                raise ArtifactError(f"{source}: {name} is {number!r}, must be a positive number")
        if self.canonical_focal_length is None and self.canonical_focal_length_y is not None:
            raise ArtifactError(
                f"{source}: canonical_focal_length_y needs canonical_focal_length beside it"
            )
        low, high = self.min_depth, self.max_depth
        if not (_are_numbers(low, high) and 0 <= low < high):
            raise ArtifactError(
                f"{source}: needs 0 <= min_depth < max_depth in metres, got {low!r} and {high!r}"
            )
        for name, values in {"mean": self.input.mean, "std": self.input.std}.items():
            if not (isinstance(values, tuple) and len(values) == 3 and _are_numbers(*values)):
                raise ArtifactError(f"{source}: {name} is {values!r}, must be three numbers")
        if 0 in self.input.std:
            raise ArtifactError(f"{source}: std is {self.input.std!r}, none of them may be 0")
        if not (isinstance(self.metrics, dict) and _are_numbers(*self.metrics.values())):
            raise ArtifactError(
                f"{source}: metrics is {self.metrics!r}, must be names and numbers"
            )
        for kind, tensor in {"input": self.input.name, "output": self.output.name}.items():
            if not isinstance(tensor, str):
                raise ArtifactError(f"{source}: {kind} name is {tensor!r}, must be text: quote it")
        scale, shift = self.output.scale, self.output.shift
        if not (_are_numbers(scale, shift) and scale != 0):
            raise ArtifactError(
                f"{source}: output scale {scale!r} and shift {shift!r} must be numbers, "
                "scale not 0"
            )


def _are_numbers(*values: Any) -> bool:
    return all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)
        for v in values
    )


def _part(kind: type[Any], content: Any, where: str) -> Any:
    if not isinstance(content, dict):
        raise ArtifactError(f"{where}: must be a mapping")
    known = {item.name: item for item in dataclasses.fields(kind)}
    unknown = sorted(set(content) - set(known), key=str)
    if unknown:
        raise ArtifactError(f"{where}: unknown field {unknown[0]!r}; known: {', '.join(known)}")
    required = (
        name
        for name, item in known.items()
        if item.default is MISSING and item.default_factory is MISSING
    )
    missing = [name for name in required if name not in content]
    if missing:
        raise ArtifactError(f"{where}: field {missing[0]!r} is missing")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in content.items()})


@dataclass(frozen=True)
class Artifact:
    """A model file and its description."""

    path: Path
    spec: ModelSpec


def resolve(model: str) -> Artifact:
    """Find a model: `builtin`, a path, or `hf://owner/repo/file@revision`.

    Raises:
        ArtifactError: it cannot be found, is no ONNX file, or has no usable description.
    """
    if model == BUILTIN:
        return read(Path(str(resources.files("depth_dpt_core") / "models" / "builtin.onnx")))
    if model.startswith("hf://"):
        from depth_dpt_core.artifact_hub import from_hub  # which reads what it fetched

        return from_hub(model)
    return read(Path(model).expanduser())


def read(path: Path) -> Artifact:
    """Read the description of a model file; see `resolve` for errors."""
    if not path.is_file():
        raise ArtifactError(f"{path}: no such model file")
    beside = path.with_suffix(".yaml")
    session = _open(path)
    metadata = session.get_modelmeta().custom_metadata_map
    if METADATA_KEY in metadata:
        try:
            content = json.loads(metadata[METADATA_KEY])
        except json.JSONDecodeError as error:
            raise ArtifactError(f"{path}: metadata {METADATA_KEY!r} is not JSON") from error
        return Artifact(path, ModelSpec.from_dict(content, str(path)))
    if not beside.is_file():
        raise ArtifactError(
            f"{path}: holds no {METADATA_KEY!r} metadata and {beside.name} is not beside it; "
            f"copy one that fits from {ready_descriptions()}, or write one"
        )
    try:
        content = yaml.safe_load(beside.read_bytes())
    except yaml.YAMLError as error:
        raise ArtifactError(f"{beside}: not YAML ({' '.join(str(error).split())})") from error
    spec = ModelSpec.from_dict(content, str(beside))
    return Artifact(path, _with_names(spec, session, str(beside)))


def _with_names(spec: ModelSpec, session: onnxruntime.InferenceSession, source: str) -> ModelSpec:
    """Fill in names of input and output that the description leaves to the file."""
    for kind, there in (("input", session.get_inputs()), ("output", session.get_outputs())):
        part = getattr(spec, kind)
        if part.name:
            continue
        if len(there) != 1:
            names = ", ".join(item.name for item in there)
            raise ArtifactError(f"{source}: {kind} has no name, and the file has several: {names}")
        spec = dataclasses.replace(spec, **{kind: dataclasses.replace(part, name=there[0].name)})
    return spec


def _open(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except LOAD_ERRORS as error:
        said = " ".join(str(error).split())  # some versions spread it over lines
        raise ArtifactError(f"{path}: not a model that ONNX Runtime can load ({said})") from error


def describes_itself(path: Path) -> bool:
    """Whether a model file holds its description; see `resolve` for errors."""
    return METADATA_KEY in _open(path).get_modelmeta().custom_metadata_map
