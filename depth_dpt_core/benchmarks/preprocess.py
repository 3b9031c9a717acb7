# SPDX-License-Identifier: Apache-2.0
"""How fast `depth-dpt preprocess` is, in pairs of image and disparity per second.

The baseline is how github.com/aniketpoojari/Monocular-Depth-Estimation does it: one process, PIL,
images to 224 x 224 PNG (bicubic), disparity to depth in .npy files (nearest). PNG decoding alone,
on all cores, shows what is left to gain.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from depth_dpt_core.config import DataConfig
from depth_dpt_core.data.cityscapes import Sample, list_split, read_png
from depth_dpt_core.data.preprocessing import preprocess
from depth_dpt_core.data.synth.dataset import SynthSettings, generate
from depth_dpt_core.data.synth.ranges import SynthRanges
from depth_dpt_core.data.workers import worker_processes

PAIRS = 96
ROUNDS = 5
RENDERED = SynthSettings(
    scenes=4,
    views_per_scene=2,
    width=2048,
    ranges=SynthRanges().changed({"camera": {"aspect": (2.0, 2.0)}}),
)
BASELINE = "PIL, one process, 224 x 224"

_BASELINE_FOCAL = 0.209313 * 2262.52
_REFERENCE_SIZE = (224, 224)


@dataclass(frozen=True)
class Speed:
    """One way of doing it; `ratio` is to the baseline."""

    way: str
    seconds: list[float]  # of each round
    pairs_per_second: float  # median
    ratio: float


@dataclass(frozen=True)
class Result:
    """What was measured, and on what."""

    machine: str
    cores: int
    pairs: int
    image_megabytes: float  # mean of the PNG files
    disparity_megabytes: float
    speeds: list[Speed]

    def table(self) -> str:
        """The numbers to print."""
        files = f"PNG of {self.image_megabytes:.1f} and {self.disparity_megabytes:.1f} MB"
        lines = [
            f"{self.pairs} pairs of 2048 x 1024, {files}; {self.cores} cores, {self.machine}",
            f"{'':42}{'pairs/s':>9}{'ratio':>8}",
        ]
        lines += [f"{it.way:42}{it.pairs_per_second:9.1f}{it.ratio:8.2f}" for it in self.speeds]
        return "\n".join(lines)


def benchmark() -> Result:
    """Make pairs, and time each way of reading or preprocessing them, in turns."""
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        generate(root / "rendered", RENDERED, workers=cores)
        samples = _multiply(root / "rendered", root / "source")
        seconds = _time_ways(root, samples, cores)
        image, disparity = (
            statistics.mean(path.stat().st_size for path in paths) / 1e6
            for paths in ([it.image for it in samples], [it.disparity for it in samples])
        )
    medians = {way: statistics.median(of) for way, of in seconds.items()}
    speeds = [
        Speed(way, of, PAIRS / medians[way], medians[BASELINE] / medians[way])
        for way, of in seconds.items()
    ]
    return Result(
        platform.processor() or platform.machine(), cores, PAIRS, image, disparity, speeds
    )


def _multiply(rendered: Path, out: Path) -> list[Sample]:
    """Link the rendered pairs under enough names, some of them as val."""
    originals = list_split(rendered, "train").samples
    for index in range(PAIRS):
        split = "val" if index % 8 == 0 else "train"
        for path in originals[index % len(originals)].files:
            kind, ending = path.relative_to(rendered).parts[0], path.name.split("_", 3)[3]
            copy = out / kind / split / "city" / f"city_{index:06d}_000000_{ending}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.hardlink_to(path)
    return [sample for split in ("train", "val") for sample in list_split(out, split).samples]


def _time_ways(root: Path, samples: list[Sample], cores: int) -> dict[str, list[float]]:
    out = root / "processed"
    config = DataConfig(root=str(root / "source"), processed=str(out))
    with worker_processes(cores) as pool:

        def on_all_cores(decode: Callable[[Sample], None]) -> None:
            list(pool.map(decode, samples, chunksize=4))

        def ours() -> None:
            with contextlib.redirect_stderr(io.StringIO()):  # its progress
                preprocess(config, workers=cores)

        ways: dict[str, Callable[[], None]] = {
            BASELINE: lambda: _reference_way(samples, out),
            "only decoding, OpenCV, all cores": lambda: on_all_cores(_decode_opencv),
            "only decoding, kornia_rs, all cores": lambda: on_all_cores(_decode_kornia),
            "depth-dpt preprocess, 1024 x 512": ours,
        }
        on_all_cores(_decode_opencv)  # starts the processes
        on_all_cores(_decode_kornia)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in tqdm(range(ROUNDS), unit="round"):
            for way, run in ways.items():
                shutil.rmtree(out, ignore_errors=True)
                start = time.perf_counter()
                run()
                seconds[way].append(time.perf_counter() - start)
    return seconds


def _reference_way(samples: list[Sample], out: Path) -> None:
    from PIL import Image

    out.mkdir()
    for sample in samples:
        with Image.open(sample.image) as image:
            image.resize(_REFERENCE_SIZE, Image.Resampling.BICUBIC).save(out / sample.image.name)
        with Image.open(sample.disparity) as disparity:
            code = np.array(disparity.resize(_REFERENCE_SIZE, Image.Resampling.NEAREST))
        depth = np.zeros(code.shape, np.float32)
        depth[code > 0] = _BASELINE_FOCAL / (code[code > 0].astype(np.float32) / 256)
        np.save(out / f"{sample.disparity.stem}.npy", np.clip(depth, 0, 80))


def _decode_opencv(sample: Sample) -> None:
    cv2.imread(str(sample.image), cv2.IMREAD_COLOR)
    cv2.imread(str(sample.disparity), cv2.IMREAD_UNCHANGED)


def _decode_kornia(sample: Sample) -> None:
    read_png(sample.image, np.uint8, channels=3)
    read_png(sample.disparity, np.uint16)
