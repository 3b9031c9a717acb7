# SPDX-License-Identifier: Apache-2.0
"""Frames/s of `depth-dpt synth` on all cores, beside one process and ray casting alone."""

from __future__ import annotations

import contextlib
import io
import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from depth_dpt_core.data.synth.dataset import SynthSettings, generate
from depth_dpt_core.data.synth.frame import draw_view
from depth_dpt_core.data.synth.ranges import SynthRanges
from depth_dpt_core.data.synth.render import Renderer
from depth_dpt_core.data.synth.street.compose import build_street

ROUNDS = 3
SCENES = 24  # that starting the processes does not count
WANTED = 20_000  # frames
# 512 x 256, and as many views of a street as by default
SETTINGS = SynthSettings(
    scenes=SCENES, ranges=SynthRanges().changed({"camera": {"aspect": (2.0, 2.0)}})
)
BASELINE = "one process"


@dataclass(frozen=True)
class Speed:
    """One way of doing it; `ratio` is to the baseline."""

    way: str
    frames_per_second: float  # median of the rounds
    ratio: float


@dataclass(frozen=True)
class Result:
    """What was measured, and on what."""

    machine: str
    cores: int
    speeds: list[Speed]
    hours_for_20000: float

    def table(self) -> str:
        """The numbers to print."""
        of_each = f"{SETTINGS.views_per_scene} of each street"
        lines = [
            f"frames of 512 x 256, {of_each}; {self.cores} cores, {self.machine}",
            f"{'':42}{'frames/s':>9}{'ratio':>8}",
        ]
        lines += [f"{it.way:42}{it.frames_per_second:9.2f}{it.ratio:8.2f}" for it in self.speeds]
        lines.append(f"{WANTED} frames on all cores: {self.hours_for_20000:.2f} h")
        return "\n".join(lines)


def benchmark() -> Result:
    """Render the same streets with one process and with all cores, in turns."""
    cores = len(os.sched_getaffinity(0))
    ways = {BASELINE: 1, f"{cores} processes": cores}
    frames = SCENES * SETTINGS.views_per_scene
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in tqdm(range(ROUNDS), unit="round"):
        for way, workers in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                with contextlib.redirect_stderr(io.StringIO()):  # its progress
                    generate(Path(folder), SETTINGS, workers=workers)
                seconds[way].append(time.perf_counter() - start)
    rates = {way: frames / statistics.median(of) for way, of in seconds.items()}
    rates["exact depth alone, one process"] = _depth_rate()
    speeds = [Speed(way, rate, rate / rates[BASELINE]) for way, rate in rates.items()]
    machine = platform.processor() or platform.machine()
    return Result(machine, cores, speeds, WANTED / rates[f"{cores} processes"] / 3600)


def _depth_rate() -> float:
    """Depth maps/s of a street that stands: what the ray caster itself takes."""
    rng = np.random.default_rng(0)
    street = build_street(rng, SETTINGS.ranges)
    renderer = Renderer(street)
    view = draw_view(street, renderer, rng, SETTINGS.ranges.camera, SETTINGS.width)
    start, count = time.perf_counter(), 20
    for _ in range(count):
        renderer.depth(view)
    return count / (time.perf_counter() - start)
