# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt bench node`: that it measures what it says, between real processes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy: source ROS 2, or pip install '.[ros]'")
pytest.importorskip("onnx", reason="needs onnx: pip install '.[train]'")

import onnx

from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.frames import street_frames
from depth_dpt_ros.benchmarks import node as node_bench
from depth_dpt_ros.benchmarks.node import Overhead, Result, Sustained
from depth_dpt_ros.benchmarks.node_measures import Cost, measure_in_turns
from depth_dpt_ros.benchmarks.node_rig import Subject, in_fresh_process
from depth_dpt_ros.benchmarks.null_model import write_null_model
from depth_dpt_ros.cli import main


def test_the_null_model_is_an_artifact_that_sees_a_road_under_the_sky(tmp_path: Path) -> None:
    write_null_model(tmp_path / "null.onnx")
    graph = onnx.load(tmp_path / "null.onnx").graph
    assert [node.op_type for node in graph.node if "image" in node.input] == ["Cast"]
    estimator = DepthEstimator.load(str(tmp_path / "null.onnx"))
    depth = estimator(np.zeros((1024, 2048, 3), np.uint8), None)
    street = street_frames()[0].repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(estimator(street, None), depth)
    assert 0.3 < np.isnan(depth).mean() < 0.5
    # a camera 1.5 m above a flat road: depth is f h / (row - horizon), at four times the size
    rows = np.arange(600, 1020)
    np.testing.assert_allclose(depth[rows, 7], 2000 * 1.5 / (rows + 0.5 - 400), rtol=2e-3)


def test_ratios_are_of_the_same_round() -> None:
    floor = [Cost(1.0, 10.0), Cost(2.0, 20.0), Cost(4.0, 40.0)]
    node = [Cost(1.5, 20.0), Cost(4.0, 20.0), Cost(4.0, 60.0)]
    assert node_bench._ratios(node, floor) == (1.5, 1.5)


def test_the_table_says_what_was_lost() -> None:
    overhead = Overhead("depth", [Cost(5.0, 9.0)], [Cost(7.0, 11.0)], 1.4, 1.22, 1.5)
    result = Result("x", 2, 0.5, [overhead], [Sustained("depth", 30.0, 1800, 1782)], [])
    assert "18 of 1800 lost, 1.00%; at most 1% is wanted" in result.table()
    assert "1.40     1.5" in result.table()


def test_a_process_that_ends_is_told_with_what_it_said(domain: int, tmp_path: Path) -> None:
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    gone = Subject("gone", "depth_dpt_ros.no_such_module", color=False)
    with pytest.raises(RuntimeError, match=r"gone ended; it said:(.|\n)*no_such_module"):
        in_fresh_process(environment, measure_in_turns, tmp_path, [gone], 1)


@pytest.mark.slow
def test_the_whole_bench_between_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"ROUNDS": 1, "SETTING_ROUNDS": 1, "SECONDS": 2.0, "RATE": 5.0}.items():
        monkeypatch.setattr(node_bench, name, value)
    out = tmp_path / "out.json"
    before = dict(os.environ)
    assert main(["bench", "node", "--json", str(out)]) == 0
    assert dict(os.environ) == before
    result = json.loads(out.read_bytes())
    plain, color = result["overhead"]
    assert (plain["outputs"], color["outputs"]) == ("depth", "depth and colour")
    for it in (plain, color):
        # the node does all that the floor does, and more
        assert 1 < it["cpu_ratio"] < 10
        assert len(it["floor"]) == len(it["node"]) == 1
        assert it["node"][0]["cpu"] > 2  # ms: 15 MB are copied several times
        assert it["node"][0]["cpu"] / it["floor"][0]["cpu"] == pytest.approx(it["cpu_ratio"])
    assert color["node"][0]["cpu"] > plain["node"][0]["cpu"]
    for it in result["sustained"]:
        assert it["sent"] == 10
        assert 0 < it["answered"] <= 10
    without = {it["setting"]: it["cpu_ratio"] for it in result["without"]}
    # what ends glibc's own adapting, without the other half, has every buffer fetched anew
    assert without["MALLOC_MMAP_THRESHOLD_"] > 1.2
    assert "floor" in capfd.readouterr().out
