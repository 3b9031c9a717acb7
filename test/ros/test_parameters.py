# SPDX-License-Identifier: Apache-2.0
"""The table of parameters: what it lets in, and what is written from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from depth_dpt_ros import parameter_docs, parameters
from depth_dpt_ros.parameters import PARAMETERS, NodeParameters

ROOT = Path(__file__).parents[2]
Declared = Callable[..., Node]


@pytest.fixture
def declared(domain: int) -> Iterator[Declared]:
    """Makes a node with the parameters, as started with overrides from the command line."""
    context = Context()
    rclpy.init(context=context, domain_id=domain)

    def make(*overrides: str, active: bool = False, file: Path | None = None) -> Node:
        arguments = [part for override in overrides for part in ("-p", override)]
        arguments += ["--params-file", str(file)] if file else []
        node = Node("table", context=context, cli_args=["--ros-args", *arguments])
        parameters.declare(node, lambda: active)
        return node

    yield make
    rclpy.shutdown(context=context)


def set_one(node: Node, name: str, value: object) -> str:
    """Set a parameter; why it was refused, empty if it was not."""
    (result,) = node.set_parameters([Parameter(name, value=value)])
    return result.reason if not result.successful else ""


def test_what_is_written_of_the_table_is_of_today() -> None:
    told = "run: python -m depth_dpt_ros.parameter_docs"
    assert (ROOT / "config/depth.yaml").read_text(encoding="utf-8") == parameter_docs.config(), (
        told
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert parameter_docs.with_table(readme) == readme, told
    assert parameter_docs.table() in readme


def test_the_table_and_the_values_have_the_same_names() -> None:
    assert [spec.name for spec in PARAMETERS] == [field.name for field in fields(NodeParameters)]


def test_the_parameter_file_gives_the_defaults(declared: Declared) -> None:
    values = parameters.read(declared(file=ROOT / "config/depth.yaml"))
    assert values == parameters.read(declared())
    assert values.max_depth == 80.0


def test_a_whole_number_is_a_number(declared: Declared) -> None:
    node = declared("max_depth:=50")
    assert parameters.read(node).max_depth == 50.0
    assert set_one(node, "max_depth", 40) == ""
    max_depth = parameters.read(node).max_depth
    assert (type(max_depth), max_depth) == (float, 40.0)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("max_depth", 5000, "max_depth is 5000, must be from 0.1 to 1000 m"),
        ("max_depth", 5000.0, "max_depth"),
        ("max_depth", float("nan"), "max_depth"),
        ("max_depth", "far", "max_depth is 'far', must be a number"),
        ("max_depth", True, "max_depth is True, must be a number"),
        ("max_depth", None, "max_depth is None, must be a number"),  # to delete it
        ("points_stride", 0, "points_stride"),
        ("points_stride", 2.5, "Wrong parameter type"),
        ("color_map", "rainbow", "color_map is 'rainbow', must be one of turbo, inferno, magma"),
        ("color_min_depth", 80.0, "color_min_depth (80) must be less than color_max_depth (80)"),
        ("valid_top", 1.0, "valid_top (1) must be less than valid_bottom (1)"),
        ("cameras", ["front", ""], "cameras holds '', must be names of letters"),
        ("cameras", ["front", "front"], "cameras holds 'front' twice"),
        ("autostart", False, "read-only"),
        ("maxdepth", 50.0, "undeclared"),
    ],
)
def test_refused_with_a_reason_and_left_as_it_was(
    declared: Declared, name: str, value: object, reason: str
) -> None:
    node = declared()
    before = parameters.read(node)
    try:
        told = set_one(node, name, value)
    except rclpy.exceptions.ParameterNotDeclaredException as error:  # a service says it in words
        told = str(error)
    assert reason in told
    assert parameters.read(node) == before


def test_what_belongs_together_can_be_set_together(declared: Declared) -> None:
    node = declared()
    both = [Parameter("color_min_depth", value=90.0), Parameter("color_max_depth", value=120.0)]
    assert node.set_parameters_atomically(both).successful
    assert parameters.read(node).color_min_depth == 90.0


def test_while_active_only_live_ones_can_be_set(declared: Declared) -> None:
    node = declared(active=True)
    refused = set_one(node, "model", "other.onnx")
    assert refused == "model can be set only while the node is not active: deactivate it first"
    assert set_one(node, "model", "builtin") == ""  # no change
    assert set_one(node, "max_depth", 50.0) == ""
    assert set_one(declared(), "model", "other.onnx") == ""


@pytest.mark.parametrize("given", ["cameras:=[]", "cameras:=['']"])
def test_no_names_are_one_camera_without_a_name(declared: Declared, given: str) -> None:
    assert parameters.read(declared(given)).cameras == [""]


def test_names_of_cameras(declared: Declared) -> None:
    node = declared("cameras:=[front, rear/left, cam_2]")
    assert parameters.read(node).cameras == ["front", "rear/left", "cam_2"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("max_dept:=50.0", "there is no parameter 'max_dept': do you mean 'max_depth'?"),
        ("exposure:=1", "there is no parameter 'exposure'\n"),
    ],
)
def test_a_name_that_is_none_is_told(
    declared: Declared, capfd: pytest.CaptureFixture[str], override: str, words: str
) -> None:
    declared(override, "use_sim_time:=true", "qos_overrides./depth/image.publisher.depth:=2")
    told = capfd.readouterr().err
    assert words in told
    assert told.count("there is no parameter") == 1


def test_remembered_values_are_those_of_now(declared: Declared) -> None:
    node = declared()
    remembered = parameters.RememberedParameters(node)
    for name, value in (("max_depth", 30.0), ("output_size", "network"), ("max_depth", 31.0)):
        assert remembered() is remembered()
        (result,) = node.set_parameters([Parameter(name, value=value)])
        assert result.successful
        assert getattr(remembered(), name) == value
        assert remembered() == parameters.read(node)
    (result,) = node.set_parameters([Parameter("max_depth", value=-1.0)])
    assert not result.successful
    assert remembered().max_depth == 31.0
