# SPDX-License-Identifier: Apache-2.0
import argparse
import json
import subprocess
import sys
import time

import pytest
from tiny_models import REPOSITORY, process_environment, python

from depth_dpt_core.cli import add_core_commands, run


def command(*words):
    """Run `depth-dpt engine ...` as the console script does."""
    parser = argparse.ArgumentParser()
    add_core_commands(parser.add_subparsers(required=True), {})
    return run(parser, ["engine", *map(str, words)])


def test_build_check_and_list_on_the_command_line(gpu, pair, capsys, tmp_path):
    assert command("list") == 0
    assert "no engines" in capsys.readouterr().out
    outcome = tmp_path / "outcome.json"
    assert command("build", "--model", pair.path, "--json", outcome) == 0
    assert "city.fp16.onnx: passed, tensorrt 10.3.0 (fp16" in capsys.readouterr().out
    assert json.loads(outcome.read_bytes())["check"]["passed"] is True
    assert command("check", "--model", pair.path) == 0
    assert gpu.trt.counts["build"] == 1
    assert command("build", "--model", pair.path) == 0
    assert gpu.trt.counts["build"] == 2
    capsys.readouterr()
    assert command("list") == 0
    assert "  passed, tensorrt 10.3.0 (fp16" in capsys.readouterr().out
    gpu.trt.faults["scale"] = 1.1
    capsys.readouterr()
    assert command("check", "--model", pair.path, "--json", outcome) == 1
    reasons = json.loads(outcome.read_bytes())["reasons"]
    assert [reason.split(":")[0] for reason in reasons] == [
        "city.fp16.onnx (fp16)",
        "city.onnx (fp32)",
    ]
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "city.onnx (fp32): refused" in error
    assert command("list") == 0
    listed = capsys.readouterr().out
    assert "city.onnx, fp32, uint8 NHWC 1x12x24, TensorRT 10.3.0, Stand-in GPU (sm 8.7)" in listed
    assert "  refused, tensorrt 10.3.0" in listed


@pytest.mark.parametrize("action", ["build", "check"])
def test_a_machine_without_tensorrt_is_told_in_one_line(monkeypatch, capsys, action):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert command(action) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("depth-dpt: TensorRT cannot be used here: ")
    assert said.err.count("\n") == 1


def processes(folder, model, count, faults=None):
    """Start `choose_engine` in processes of their own, with the stand-ins."""
    program = """
import sys, tensorrt
from depth_dpt_core.artifact import read
from depth_dpt_core.engines.choice import choose_engine
from pathlib import Path
print("begins", flush=True)
engine = choose_engine(read(Path(sys.argv[1])))
print(engine.name, tensorrt.counts["build"], flush=True)
"""
    environment = process_environment(
        XDG_CACHE_HOME=str(folder), STAND_IN_FAULTS=json.dumps(faults or {})
    )
    environment["PYTHONPATH"] = (
        f"{REPOSITORY / 'test/support/stand_in'}:{environment['PYTHONPATH']}"
    )
    return [
        subprocess.Popen(
            python("-c", program, model.path),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]


@pytest.mark.slow
def test_two_processes_build_one_engine(tmp_path, model):
    pytest.importorskip("filelock")
    both = processes(tmp_path / "cache", model, 2, {"build_seconds": 1.5})
    outcomes = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outcomes
    said = sorted(out.splitlines()[-1] for out, _ in outcomes)
    name = "tensorrt 10.3.0 (fp32, Stand-in GPU)"
    assert said == [f"{name} 0", f"{name} 1"]


@pytest.mark.slow
def test_a_builder_that_is_killed_is_followed_by_the_next(tmp_path, model):
    pytest.importorskip("filelock")
    (first,) = processes(tmp_path / "cache", model, 1, {"build_seconds": 30})
    assert first.stdout.readline() == "begins\n"
    time.sleep(1)
    first.kill()
    first.wait()
    (second,) = processes(tmp_path / "cache", model, 1)
    out, _ = second.communicate(timeout=60)
    assert out.splitlines()[-1] == "tensorrt 10.3.0 (fp32, Stand-in GPU) 1"
