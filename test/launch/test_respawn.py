# SPDX-License-Identifier: Apache-2.0
"""A crashed process comes back under launch, each time later; one that ended well does not."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

pytest.importorskip("launch_ros", reason="needs launch_ros, which comes with ROS 2")

from launch import LaunchDescription, LaunchService
from launch.actions import (
    EmitEvent,
    ExecuteProcess,
    GroupAction,
    SetEnvironmentVariable,
    TimerAction,
)
from launch.events import Shutdown

from depth_dpt_ros import respawn
from depth_dpt_ros.respawn import Respawn


def run(tmp_path: Path, statuses: list[int], *others: object) -> list[float]:
    """Run a process that ends with one status after the other; when it was started, seconds."""
    log = tmp_path / "starts"
    wanted = " ".join(map(str, statuses))
    script = (
        f'date +"%s.%N $COLOUR" >> {log}; set -- {wanted}; '
        f'shift $(($(wc -l < {log}) - 1)); exit "$1"'
    )
    process = ExecuteProcess(cmd=["sh", "-c", script], name="crasher")
    group = GroupAction(
        [SetEnvironmentVariable("COLOUR", "red"), *Respawn(final=(0, 2)).watched(process)]
    )
    service = LaunchService(noninteractive=True)
    service.include_launch_description(LaunchDescription([group, *others]))
    assert service.run() == 0
    lines = log.read_text().splitlines()
    assert [line.split()[1:] for line in lines] == [["red"]] * len(lines)  # the group's, still
    return [float(line.split()[0]) for line in lines]


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(respawn, "FIRST_DELAY", 0.2)
    monkeypatch.setattr(respawn, "LONGEST_DELAY", 0.8)


def gaps(starts: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(starts)]


@pytest.mark.parametrize("final", [0, 2])
def test_waits_grow_and_a_final_status_ends_them(tmp_path: Path, final: int) -> None:
    first, second, third, fourth = gaps(run(tmp_path, [1, 70, 3, 1, final]))
    assert first > 0.2
    assert second > 0.4
    assert third > 0.8
    assert fourth > 0.8
    assert first < third  # on a machine however slow


def test_after_a_healthy_while_the_wait_is_short_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(respawn, "HEALTHY", 0.0)
    monkeypatch.setattr(respawn, "LONGEST_DELAY", 600.0)
    # doubled each time, seven waits would take 25 s
    assert sum(gaps(run(tmp_path, [1] * 7 + [0]))) < 15


def test_a_launch_that_ends_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(respawn, "FIRST_DELAY", 300.0)
    end = TimerAction(period=1.0, actions=[EmitEvent(event=Shutdown())])
    began = time.monotonic()
    assert len(run(tmp_path, [1, 1], end)) == 1
    assert time.monotonic() - began < 60
