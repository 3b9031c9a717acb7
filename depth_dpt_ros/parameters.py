# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: one table, from which they are declared, checked and documented.

`python -m depth_dpt_ros.parameter_docs` writes what follows from it: config/depth.yaml and the
table in README.md.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from depth_dpt_core.colorize import COLOR_MAPS
from depth_dpt_core.engines.choice import Runtime

Value = bool | int | float | str | list[str]
Applies = Literal["live", "inactive", "start"]
APPLIES: dict[Applies, str] = {
    "live": "at any time",
    "inactive": "only while not active",
    "start": "at start only",
}
_CAMERA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z][A-Za-z0-9_]*)*")
_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
UNSCALED = 1.0  # depth_scale of who has not measured one


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter; its type is that of `default`.

    `applies` says when it can be set: at any time, which counts from the next image on ("live"),
    while the node is not active ("inactive"), or never ("start": read-only).
    """

    name: str
    default: Value
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    applies: Applies = "live"

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows and rclpy enforces."""
        unit = f" [{self.unit}]" if self.unit else ""
        descriptor = ParameterDescriptor(
            description=f"{self.description}{unit}; can be set {APPLIES[self.applies]}",
            additional_constraints=f"one of {', '.join(self.choices)}" if self.choices else "",
            read_only=self.applies == "start",
            # so that `max_depth:=50` is taken too; `refusal` keeps everything else out
            dynamic_typing=isinstance(self.default, float),
        )
        if self.low is not None and self.high is not None:
            if isinstance(self.default, float):
                limits = FloatingPointRange(from_value=self.low, to_value=self.high)
                descriptor.floating_point_range = [limits]
            else:
                bounds = IntegerRange(from_value=int(self.low), to_value=int(self.high))
                descriptor.integer_range = [bounds]
        return descriptor

    def refusal(self, value: Any) -> str:
        """Why a value cannot be taken, in one sentence; empty if it can."""
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if kind is not list and type(value) is not kind:
            return f"{self.name} is {value!r}, must be {_TYPE_NAMES[kind]}"
        if self.choices and value not in self.choices:
            return f"{self.name} is {value!r}, must be one of {', '.join(self.choices)}"
        if self.low is not None and self.high is not None and not self.low <= value <= self.high:
            unit = f" {self.unit}" if self.unit else ""
            return f"{self.name} is {value:g}, must be from {self.low:g} to {self.high:g}{unit}"
        return _names_refusal(value) if kind is list else ""


PARAMETERS = (
    ParameterSpec("model", "builtin", "builtin, an ONNX file, or hf://owner/repo/file@revision",
                  applies="inactive"),
    ParameterSpec("runtime", "auto", "what runs the network", choices=get_args(Runtime),
                  applies="inactive"),
    ParameterSpec("exit_on_gpu_fault", False, "end when the GPU is lost while running, to be "
                  "started anew, instead of going on on the CPU"),
    ParameterSpec("num_threads", 0, "CPU threads of one inference, 0 takes all cores",
                  low=0, high=256, applies="inactive"),
    ParameterSpec("autostart", True, "configure and activate without being asked",
                  applies="start"),
    ParameterSpec("cameras", [""], "names of cameras that share the engine: NAME/image, "
                  "NAME/camera_info and NAME/depth/...; one empty name is one camera without "
                  "a prefix", applies="inactive"),
    ParameterSpec("image_transport", "raw", "subscribe to image, or to image/compressed",
                  choices=("raw", "compressed"), applies="inactive"),
    ParameterSpec("rectify", False, "take images as raw and rectify them by their CameraInfo "
                  "(plumb_bob, rational_polynomial, equidistant)"),
    ParameterSpec("output_size", "input", "publish at the image's size, or at the network's "
                  "(padding cut)", choices=("input", "network")),
    ParameterSpec("depth_encoding", "32FC1", "metres as float, or millimetres as integers, "
                  "which end at 65.535 m", choices=("32FC1", "16UC1")),
    ParameterSpec("max_depth", 80.0, "farther than this is published as unknown", "m",
                  0.1, 1000.0),
    ParameterSpec("edge_threshold", 0.0, "depth at jumps is unknown: the share by which the "
                  "farther neighbour lies beyond the nearer, such as 0.1; 0 keeps all", "",
                  0.0, 10.0),
    ParameterSpec("valid_left", 0.0, "depth left of this is unknown", "share of the width",
                  0.0, 1.0),
    ParameterSpec("valid_top", 0.0, "depth above this is unknown", "share of the height",
                  0.0, 1.0),
    ParameterSpec("valid_right", 1.0, "depth right of this is unknown", "share of the width",
                  0.0, 1.0),
    ParameterSpec("valid_bottom", 1.0, "depth below this is unknown, such as that of the own "
                  "bonnet", "share of the height", 0.0, 1.0),
    ParameterSpec("depth_scale", UNSCALED, "factor on all depth, as measured against truth; a "
                  "relative model gives metres only where this is not 1", "",
                  0.01, 100.0),
    ParameterSpec("focal_length", 0.0, "used when no CameraInfo comes, 0 for the training camera",
                  "pixels", 0.0, 100000.0),
    ParameterSpec("camera_info_timeout", 2.0, "how long the first images wait for a CameraInfo",
                  "s", 0.0, 60.0),
    ParameterSpec("max_rate", 0.0, "most frames of each camera answered per second, 0 for no "
                  "limit", "Hz", 0.0, 1000.0),
    ParameterSpec("color_map", "turbo", "colours of depth/color/image", choices=COLOR_MAPS),
    ParameterSpec("color_min_depth", 1.0, "depth at the near end of the colours", "m",
                  0.01, 1000.0),
    ParameterSpec("color_max_depth", 80.0, "depth at the far end of the colours", "m",
                  0.01, 1000.0),
    ParameterSpec("color_jpeg_quality", 95, "of depth/color/image/compressed", low=1, high=100),
    ParameterSpec("points_organised", True, "depth/points keeps rows and columns, unknown points "
                  "NaN; else it has the known ones only"),
    ParameterSpec("points_color", True, "points have the colour of the image"),
    ParameterSpec("points_stride", 1, "points of every n-th row and column of the depth",
                  low=1, high=64),
    ParameterSpec("points_min_depth", 0.0, "nearer points are left out", "m", 0.0, 1000.0),
    ParameterSpec("points_max_depth", 1000.0, "farther points are left out", "m", 0.0, 1000.0),
)  # fmt: skip
_BY_NAME = {spec.name: spec for spec in PARAMETERS}
# (smaller, larger)
_ORDERED = (
    ("color_min_depth", "color_max_depth"),
    ("points_min_depth", "points_max_depth"),
    ("valid_left", "valid_right"),
    ("valid_top", "valid_bottom"),
)


@dataclass(frozen=True)
class NodeParameters:
    """The values at one moment; fields are the names of the table."""

    model: str
    runtime: Any
    exit_on_gpu_fault: bool
    num_threads: int
    autostart: bool
    cameras: list[str]
    image_transport: str
    rectify: bool
    output_size: str
    depth_encoding: Any
    max_depth: float
    edge_threshold: float
    valid_left: float
    valid_top: float
    valid_right: float
    valid_bottom: float
    depth_scale: float
    focal_length: float
    camera_info_timeout: float
    max_rate: float
    color_map: Any
    color_min_depth: float
    color_max_depth: float
    color_jpeg_quality: int
    points_organised: bool
    points_color: bool
    points_stride: int
    points_min_depth: float
    points_max_depth: float


def declare(node: Node, is_active: Callable[[], bool]) -> None:
    """Declare all parameters, warn of overrides that are none, and refuse wrong values from then.

    Args:
        node: gets the parameters.
        is_active: whether the node is in a state in which only live parameters can be set.

    Raises:
        ParameterException: an override is out of range or of another type.
        ValueError: an override cannot be taken for another reason.
    """
    overrides: Mapping[str, Parameter[Any]] = node._parameter_overrides
    for spec in PARAMETERS:
        # an empty list in a file has no type, and rclpy takes it for a value that is missing
        empty = spec.name in overrides and overrides[spec.name].value is None
        node.declare_parameter(spec.name, spec.default, spec.descriptor(), ignore_override=empty)
    started = {name: node.get_parameter(name).value for name in _BY_NAME}
    if reason := _refusal(started, {}):
        raise ValueError(reason)
    for name in overrides:
        if not (node.has_parameter(name) or name.startswith("qos_overrides.")):
            near = difflib.get_close_matches(name, _BY_NAME, n=1)
            hint = f": do you mean {near[0]!r}?" if near else ""
            node.get_logger().warning(f"there is no parameter {name!r}{hint}")

    def on_set(changes: Iterable[Parameter[Any]]) -> SetParametersResult:
        before = {name: node.get_parameter(name).value for name in _BY_NAME}
        changed = {change.name: change.value for change in changes if change.name in _BY_NAME}
        reason = _refusal(changed, before)
        if not reason and is_active():
            reason = _refusal_while_active(changed, before)
        return SetParametersResult(successful=not reason, reason=reason)

    node.add_on_set_parameters_callback(on_set)


def read(node: Node) -> NodeParameters:
    """The values now."""
    values = {name: node.get_parameter(name).value for name in _BY_NAME}
    floats = {s.name: float(values[s.name]) for s in PARAMETERS if isinstance(s.default, float)}
    return NodeParameters(**(values | floats))


class RememberedParameters:
    """The values now, read anew only after somebody has set some: reading takes a while.

    Called on the thread that sets them, the executor's.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._values: NodeParameters | None = None
        node.add_on_set_parameters_callback(self._forget)

    def __call__(self) -> NodeParameters:
        """What `read` answers."""
        if self._values is None:
            self._values = read(self._node)
        return self._values

    def _forget(self, _: Iterable[Parameter[Any]]) -> SetParametersResult:
        self._values = None
        return SetParametersResult(successful=True)


def _refusal(changed: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    for name, value in changed.items():
        if reason := _BY_NAME[name].refusal(value):
            return reason
    after = {**before, **changed}
    for low, high in _ORDERED:
        if not after[low] < after[high]:
            return f"{low} ({after[low]:g}) must be less than {high} ({after[high]:g})"
    return ""


def _names_refusal(names: Any) -> str:
    """Why `cameras` cannot be that."""
    if names == [""]:
        return ""
    if not (isinstance(names, list) and names):
        return f"cameras is {names!r}, must be a list of names, or of one empty name"
    for name in names:
        if not (isinstance(name, str) and _CAMERA_NAME.fullmatch(name)):
            return f"cameras holds {name!r}, must be names of letters, digits and _, as topics are"
        if names.count(name) > 1:
            return f"cameras holds {name!r} twice"
    return ""


def _refusal_while_active(changed: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    for name, value in changed.items():
        if _BY_NAME[name].applies == "inactive" and value != before[name]:
            return f"{name} can be set only while the node is not active: deactivate it first"
    return ""
