# SPDX-License-Identifier: Apache-2.0
"""Small trainings side by side, for the tables of compare.py and ablation.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

import yaml
from tqdm import tqdm

from depth_dpt_core.data.processed import ProcessedDataset
from depth_dpt_core.revision import training_code

HERE = Path(__file__).resolve().parent
Job = TypeVar("Job")
Result = TypeVar("Result")


def depth_dpt(*arguments: object, log: IO[str] | None = None) -> None:
    """Run a command of depth-dpt here, its output going to `log` if there is one."""
    command = [sys.executable, "-m", "depth_dpt_ros.cli", *map(str, arguments)]
    subprocess.run(command, cwd=HERE, check=True, stdout=log, stderr=log)


def one_per_core(run: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterable[Result]:
    """Results in order: such small networks train faster side by side than with many threads."""
    cores = len(os.sched_getaffinity(0))
    workers = max(1, min(cores, len(jobs)))
    os.environ["OMP_NUM_THREADS"] = str(cores // workers)
    with ThreadPoolExecutor(workers) as pool:
        yield from tqdm(pool.map(run, jobs), total=len(jobs), unit="run")


def train_and_score(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Content of metrics.json of a training with its files in `folder`, unless that is done.

    Paths of data in `config` are absolute. What the run prints goes to `log.txt`.
    """
    data = ProcessedDataset.open(Path(config["data"]["processed"])).fingerprint
    text = f"# code {training_code()}\n# data {data}\n" + yaml.safe_dump(config)
    path, metrics = folder / "params.yaml", folder / "metrics.json"
    if not (metrics.exists() and path.read_text() == text):
        folder.mkdir(parents=True, exist_ok=True)
        metrics.unlink(missing_ok=True)
        path.write_text(text)
        with (folder / "log.txt").open("a") as log:
            for command in (("train", "--resume"), ("evaluate",)):
                depth_dpt(*command, "--config", path, log=log)
    result: dict[str, Any] = json.loads(metrics.read_text())
    return result


def replace_between(path: Path, marks: tuple[str, str], text: str) -> None:
    """Write `text` between two marks of a file."""
    before, _, rest = path.read_text().partition(marks[0])
    path.write_text(before + marks[0] + text + marks[1] + rest.partition(marks[1])[2])
