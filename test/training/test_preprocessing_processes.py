# SPDX-License-Identifier: Apache-2.0
"""Preprocessing that is killed, interrupted, or started twice; real processes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from street_data import write_roads

pytest.importorskip("kornia_rs")
pytest.importorskip("filelock")

from processed_data import run, times, tree, write_config


def start(tmp_path):
    return subprocess.Popen(
        [
            sys.executable, "-m", "depth_dpt_ros.cli", "preprocess",
            "--config", str(write_config(tmp_path, width=300)), "--workers", "2",
        ],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A source of many frames, and what an undisturbed run makes of it."""
    root = tmp_path_factory.mktemp("many")
    write_roads(root / "in", {"train": 116, "val": 4}, width=1400, height=700)
    run(root / "in", root / "whole", width=300)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("frames", [0, 1, 20])
def test_a_killed_run_is_finished_by_the_next(many, tmp_path, frames):
    (tmp_path / "in").symlink_to(many / "in")
    out = tmp_path / "out"
    process = start(tmp_path)
    until = time.monotonic() + 60
    while (
        len(list(out.glob("camera/*/*/[!.]*"))) < frames or not (out / ".preprocess.lock").exists()
    ):
        assert time.monotonic() < until
        assert process.poll() is None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    until = time.monotonic() + 20
    while any(is_running(child) for child in children):  # else they would go on writing
        assert time.monotonic() < until
    process.communicate()
    assert not (out / "dataset.json").exists()
    before = times(out)
    whole = {path for path in before if path.startswith("camera") and "/." not in path}
    report = run(many / "in", out, width=300)
    assert (report.kept, report.made) == (len(whole), 120 - len(whole))
    assert report.kept >= frames
    assert tree(out) == tree(many / "whole")
    after = times(out)
    assert all(after[path] == before[path] for path in whole)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_an_interrupt_ends_it_quietly_and_the_next_run_goes_on(many, tmp_path):
    (tmp_path / "in").symlink_to(many / "in")
    for _ in range(5):  # the work is short: the signal may come when it is done
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        process = start(tmp_path)
        while not list((tmp_path / "out").glob("camera/*/*/[!.]*")):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        if process.returncode != 0:
            break
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert run(many / "in", tmp_path / "out", width=300).kept >= 5
    assert tree(tmp_path / "out") == tree(many / "whole")


@pytest.mark.slow
def test_two_runs_at_once_do_not_harm_each_other(many, tmp_path):
    (tmp_path / "in").symlink_to(many / "in")
    processes = [start(tmp_path), start(tmp_path)]
    errors = [process.communicate(timeout=100)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert 0 in codes
    for code, error in zip(codes, errors, strict=True):
        # both succeed where one happens to start after the other's end
        assert code == 0 or "another process" in error
    assert tree(tmp_path / "out") == tree(many / "whole")
