# SPDX-License-Identifier: Apache-2.0
"""What is measured of processes under test; each function runs in a process of its own."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from depth_dpt_ros.benchmarks.node_rig import Rig, Subject

FRAMES = 25  # of each subject in a round
_LAST_ANSWERS = 2.0  # s


@dataclass(frozen=True)
class Cost:
    """Milliseconds a frame: of CPU, the mean of a round; of latency, the median."""

    cpu: float
    latency: float


def measure_in_turns(folder: Path, subjects: list[Subject], rounds: int) -> dict[str, list[Cost]]:
    """Ask the subjects in turns for a frame at a time; the cost of each, round by round.

    An unanswered image counts with the time that was waited for it.
    """
    costs: dict[str, list[Cost]] = {it.name: [] for it in subjects}
    with Rig(subjects, folder) as rig:
        for name in costs:
            rig.wait_until_answering(name)
        _round(rig, list(costs))  # buffers come to be, caches fill
        for _ in tqdm(range(rounds), unit="round"):
            for name, cost in _round(rig, list(costs)).items():
                costs[name].append(cost)
    return costs


def _round(rig: Rig, names: list[str]) -> dict[str, Cost]:
    before = {name: rig.cpu_seconds(name) for name in names}
    latencies: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(FRAMES):
        for name in names:
            latencies[name].append(rig.ask(name))
    return {
        name: Cost(
            (rig.cpu_seconds(name) - before[name]) / FRAMES * 1e3,
            statistics.median(latencies[name]) * 1e3,
        )
        for name in names
    }


def measure_loss(folder: Path, subject: Subject, rate: float, seconds: float) -> tuple[int, int]:
    """Send images at a rate (Hz), all on two cores; how many there were, and those answered."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    with Rig([subject], folder) as rig:
        rig.wait_until_answering(subject.name)
        stamps = []
        due = time.monotonic()
        for _ in tqdm(range(round(rate * seconds)), unit="image"):
            stamps.append(rig.send(subject.name))
            due += 1 / rate
            rig.spin(due - time.monotonic())
        rig.spin(_LAST_ANSWERS)
        return len(stamps), sum(rig.is_answered(subject.name, stamp) for stamp in stamps)
