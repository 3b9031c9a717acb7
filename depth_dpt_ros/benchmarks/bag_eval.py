# SPDX-License-Identifier: Apache-2.0
"""How well `depth-dpt bag-eval` overlaps decoding, inference and scoring.

The wall time on the bundled drive is set against the larger of two bounds, measured in the same
round: the engine alone on all cores, and the CPU seconds of all stages divided by the cores.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from threading import Event

import numpy as np
from tqdm import tqdm

from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.evaluation.image_score import ImageScorer
from depth_dpt_ros.replay.evaluate import Settings, evaluate_bag
from depth_dpt_ros.replay.summary import Summary

ROUNDS = 5
WANTED = 1.15


@dataclass(frozen=True)
class Round:
    """Seconds of one round."""

    wall: float
    engine_alone: float
    cpu: float


@dataclass(frozen=True)
class Result:
    """What was measured, and on what; `ratio` is the median of the rounds."""

    machine: str
    cores: int
    images: int
    rounds: list[Round]
    ratio: float

    def table(self) -> str:
        """The numbers to print."""
        lines = [
            f"{self.images} images of the bundled drive; {self.cores} cores, {self.machine}",
            f"{'wall s':>10}{'engine s':>10}{'CPU s':>10}{'ratio':>8}",
        ]
        lines += [
            f"{it.wall:10.2f}{it.engine_alone:10.2f}{it.cpu:10.2f}{_ratio(it, self.cores):8.2f}"
            for it in self.rounds
        ]
        lines.append(f"median ratio {self.ratio:.2f}, at most {WANTED} is wanted")
        return "\n".join(lines)


def benchmark() -> Result:
    """Evaluate the bundled drive and run the engine alone, in turns."""
    cores = len(os.sched_getaffinity(0))
    drive = Path(str(resources.files("depth_dpt_ros") / "demo_drive"))
    alone = DepthEstimator.load("builtin")
    shared = DepthEstimator.load("builtin", num_threads=1)
    rounds, images = [], 0
    for _ in tqdm(range(ROUNDS), unit="round"):
        wall, cpu, images = _evaluate(drive, shared)
        rounds.append(Round(wall, _run_alone(alone, images), cpu))
    ratio = statistics.median(_ratio(it, cores) for it in rounds)
    return Result(platform.processor() or platform.machine(), cores, images, rounds, ratio)


def _evaluate(drive: Path, estimator: DepthEstimator) -> tuple[float, float, int]:
    settings = Settings()
    overall = Summary(ImageScorer(max_depth=settings.max_depth, ranges=settings.ranges))
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        with contextlib.redirect_stderr(io.StringIO()):  # its progress
            evaluate_bag(drive, estimator, settings, Path(folder) / "drive", overall, Event())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall, cpu, overall.scored


def _run_alone(estimator: DepthEstimator, images: int) -> float:
    blank = np.zeros((estimator.spec.height, estimator.spec.width, 3), np.uint8)
    tensor = estimator.prepare(blank)
    estimator.engine.infer(tensor)
    start = time.perf_counter()
    for _ in range(images):
        estimator.engine.infer(tensor)
    return time.perf_counter() - start


def _ratio(it: Round, cores: int) -> float:
    return it.wall / max(it.engine_alone, it.cpu / cores)
