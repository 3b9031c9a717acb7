# SPDX-License-Identifier: Apache-2.0
"""The node's parameters: one table, from which they are declared, checked and documented."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

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

Value = bool | int | float | str
_APPLIES = {
    "live": "at the next frame",
    "activate": "when activated",
    "configure": "when configured",
    "start": "at start only",
}


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter.

    `applies` says when a change takes effect: at the next frame ("live"), the next transition
    to active or inactive ("activate", "configure"), or never ("start": read-only).
    """

    name: str
    default: Value
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    applies: str = "live"

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows and rclpy enforces."""
        unit = f" [{self.unit}]" if self.unit else ""
        descriptor = ParameterDescriptor(
            description=f"{self.description}{unit}; applies {_APPLIES[self.applies]}",
            additional_constraints=f"one of {', '.join(self.choices)}" if self.choices else "",
            read_only=self.applies == "start",
        )
        if self.low is not None and self.high is not None:
            if isinstance(self.default, float):
                limits = FloatingPointRange(from_value=self.low, to_value=self.high)
                descriptor.floating_point_range = [limits]
            else:
                bounds = IntegerRange(from_value=int(self.low), to_value=int(self.high))
                descriptor.integer_range = [bounds]
        return descriptor


PARAMETERS = (
    ParameterSpec("model", "builtin", "builtin, an ONNX file, or hf://owner/repo/file@revision",
                  applies="configure"),
    ParameterSpec("runtime", "auto", "what runs the network", choices=get_args(Runtime),
                  applies="configure"),
    ParameterSpec("exit_on_gpu_fault", False, "end when the GPU is lost while running, to be "
                  "started anew, instead of going on on the CPU"),
    ParameterSpec("num_threads", 0, "CPU threads of one inference, 0 takes all cores",
                  low=0, high=256, applies="configure"),
    ParameterSpec("autostart", True, "configure and activate without being asked",
                  applies="start"),
    ParameterSpec("image_transport", "raw", "subscribe to `image` or to `image/compressed`",
                  choices=("raw", "compressed"), applies="activate"),
    ParameterSpec("output_size", "input", "publish at the image's size, or at the network's "
                  "(padding cut)", choices=("input", "network")),
    ParameterSpec("depth_encoding", "32FC1", "metres as float, or millimetres as integers",
                  choices=("32FC1", "16UC1")),
    ParameterSpec("max_depth", 80.0, "farther than this is published as unknown", "m",
                  0.1, 1000.0),
    ParameterSpec("depth_scale", 1.0, "factor on all depth, as measured against truth", "",
                  0.01, 100.0),
    ParameterSpec("focal_length", 0.0, "used when no CameraInfo comes, 0 for the training camera",
                  "pixels", 0.0, 100000.0),
    ParameterSpec("camera_info_timeout", 2.0, "how long the first image waits for a CameraInfo",
                  "s", 0.0, 60.0),
    ParameterSpec("max_rate", 0.0, "most frames answered per second, 0 for no limit", "Hz",
                  0.0, 1000.0),
    ParameterSpec("color_map", "turbo", "colours of depth/color/image", choices=COLOR_MAPS),
    ParameterSpec("color_min_depth", 1.0, "depth at the near end of the colours", "m",
                  0.01, 1000.0),
    ParameterSpec("color_max_depth", 80.0, "depth at the far end of the colours", "m",
                  0.01, 1000.0),
)  # fmt: skip
_BY_NAME = {spec.name: spec for spec in PARAMETERS}


@dataclass(frozen=True)
class NodeParameters:
    """The values at one moment; fields are the names of the table."""

    model: str
    runtime: Any
    exit_on_gpu_fault: bool
    num_threads: int
    autostart: bool
    image_transport: str
    output_size: str
    depth_encoding: str
    max_depth: float
    depth_scale: float
    focal_length: float
    camera_info_timeout: float
    max_rate: float
    color_map: Any
    color_min_depth: float
    color_max_depth: float


def declare(node: Node) -> None:
    """Declare all parameters and refuse wrong values from then on.

    Raises:
        rclpy.exceptions.InvalidParameterValueException: an override is out of range.
        ValueError: an override is not among the choices.
    """
    for spec in PARAMETERS:
        node.declare_parameter(spec.name, spec.default, spec.descriptor())
    node.add_on_set_parameters_callback(lambda changes: _check(node, changes))
    started = [node.get_parameter(spec.name) for spec in PARAMETERS]
    result = _check(node, started)
    if not result.successful:
        raise ValueError(result.reason)


def read(node: Node) -> NodeParameters:
    """The values now."""
    return NodeParameters(**{name: node.get_parameter(name).value for name in _BY_NAME})


def _check(node: Node, changes: Iterable[Parameter[Any]]) -> SetParametersResult:
    changed = {change.name: change.value for change in changes}
    for name, value in changed.items():
        spec = _BY_NAME.get(name)
        if spec is not None and spec.choices and value not in spec.choices:
            reason = f"{name} is {value!r}, must be one of {', '.join(spec.choices)}"
            return SetParametersResult(successful=False, reason=reason)
    ends = [
        changed.get(name, node.get_parameter(name).value)
        for name in ("color_min_depth", "color_max_depth")
    ]
    if not ends[0] < ends[1]:
        reason = f"color_min_depth ({ends[0]} m) must be less than color_max_depth ({ends[1]} m)"
        return SetParametersResult(successful=False, reason=reason)
    return SetParametersResult(successful=True)
