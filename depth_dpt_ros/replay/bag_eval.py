# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt bag-eval`: one bag or many, one report."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from tqdm import tqdm

from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.evaluation.image_score import ImageScorer
from depth_dpt_core.evaluation.report import to_json
from depth_dpt_core.files import write_atomically
from depth_dpt_core.interruption import interruption
from depth_dpt_core.locking import only_one_at
from depth_dpt_ros.replay import report
from depth_dpt_ros.replay.bag import SUFFIXES, BagError
from depth_dpt_ros.replay.evaluate import BagResult, Settings, evaluate_bag
from depth_dpt_ros.replay.summary import Summary

_PARTIAL = ".partial"


def bag_eval(
    bags: Sequence[Path],
    model: str,
    settings: Settings,
    out: Path,
    json_file: Path | None,
) -> None:
    """Evaluate bags; leave report.html and a folder for each bag in `out`.

    A bag that cannot be evaluated is told, and does not stop the others. Ctrl-C ends with a
    report of what was done. Earlier results are replaced once the new ones are whole.

    Args:
        bags: bags, or folders of bags.
        model: as for `artifact.resolve`.
        settings: how to evaluate.
        out: folder for the results.
        json_file: also write the figures to this file.

    Raises:
        ArtifactError: the model cannot be used.
        BagError: no bag could be evaluated as asked, or some could not; the report says which.
        BusyError: another process writes to `out`.
        KeyboardInterrupt: after the report of an interrupted run.
    """
    paths = find_bags(bags)
    estimator = DepthEstimator.load(model, num_threads=1)
    if not estimator.engine.concurrent:
        estimator = DepthEstimator.load(model)
    settings = replace(settings, ranges=ranges_to(settings.max_depth, settings.ranges))
    with fresh_results(out) as folder, interruption() as interrupted:
        run = _Run(estimator, settings, folder, interrupted)
        for path in paths:
            if interrupted.is_set():
                break
            run.evaluate(path)
        content = run.content(model)
        write_report(folder, content, run.results, run.overall, json_file)
    print(f"wrote {out}/: report.html, and frames.csv and the bag depth of every bag")
    if interrupted.is_set():
        raise KeyboardInterrupt
    problems = [figures["problem"] for figures in run.figures if figures["problem"]]
    if problems:
        others = f"; and {len(problems) - 1} more bags, see the report" * (len(problems) > 1)
        raise BagError(problems[0] + others)


def write_report(
    folder: Path,
    content: dict[str, Any],
    results: Sequence[BagResult | None],
    overall: Summary,
    json_file: Path | None,
) -> None:
    """Write report.html, and the same figures to the JSON file, if any."""
    page = report.html(content, results, overall)
    write_atomically(folder / "report.html", page.encode())
    if json_file is not None:
        write_atomically(json_file, to_json(content))
        print(f"wrote {json_file}")


def find_bags(paths: Sequence[Path]) -> list[Path]:
    """Return bags, each once; a folder that is none gives the bags right inside it.

    Raises:
        BagError: a folder holds no bag.
    """
    found: dict[Path, None] = {}
    for path in paths:
        inside = [path] if not path.is_dir() or _is_bag(path) else _bags_in(path)
        if not inside:
            raise BagError(f"{path} is no bag and holds none: no metadata.yaml, .mcap, .db3, .bag")
        found |= dict.fromkeys(inside)
    return list(found)


def _is_bag(path: Path) -> bool:
    """Tell a rosbag2 folder; one without metadata.yaml holds parts of one recording."""
    if (path / "metadata.yaml").exists():
        return True
    parts = [file for file in path.iterdir() if file.suffix in SUFFIXES]
    stems = {file.stem.rpartition("_")[0] or file.stem for file in parts}
    return len(stems) == 1


def _bags_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix in SUFFIXES or (path.is_dir() and _is_bag(path))
    )


class _Run:
    def __init__(
        self, estimator: DepthEstimator, settings: Settings, folder: Path, interrupted: Event
    ) -> None:
        self._estimator, self._settings = estimator, settings
        self._folder, self._interrupted = folder, interrupted
        scorer = ImageScorer(max_depth=settings.max_depth, ranges=settings.ranges)
        self.overall = Summary(scorer)
        self.figures: list[dict[str, Any]] = []
        self.results: list[BagResult | None] = []

    def evaluate(self, path: Path) -> None:
        """Evaluate a bag and print its table; one that cannot be is told."""
        folder = self._own_folder(path)
        try:
            result = evaluate_bag(
                path, self._estimator, self._settings, folder, self.overall, self._interrupted
            )
        except BagError as error:
            self.figures.append({"bag": str(path), "ended": "failed", "problem": str(error)})
            self.results.append(None)
            tqdm.write(f"{path}: left out: {error}", file=sys.stderr)
            return
        self.figures.append(result.figures)
        self.results.append(result)
        print(report.text(result.figures))

    def content(self, model: str) -> dict[str, Any]:
        """All figures, as the JSON file holds them."""
        overall: dict[str, Any] = {"bag": "all bags", **self.overall.to_dict()}
        if len(self.figures) > 1 and overall["metrics"] is not None:
            # bags have no time in common
            del overall["by_time"]
            overall["scale"] |= {"drift": None, "drift_per_minute": None}
        overall["max_depth"] = self._settings.max_depth
        if len(self.figures) > 1 and overall["metrics"] is not None:
            print(report.text(overall))
        return {"model": model, "bags": self.figures, "all": overall}

    def _own_folder(self, path: Path) -> Path:
        whole = path.resolve()
        name, number = whole.stem if path.is_file() else whole.name, 1
        folder = self._folder / name
        while folder.exists():
            number += 1
            folder = self._folder / f"{name}-{number}"
        return folder


@contextmanager
def fresh_results(out: Path) -> Iterator[Path]:
    """A folder in `out` whose entries take the place of those beside it when all went well.

    What a killed run left in it is removed.
    """
    out.mkdir(parents=True, exist_ok=True)
    folder = out / _PARTIAL
    with only_one_at(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
            for entry in folder.iterdir():
                there = out / entry.name
                if there.is_dir():
                    shutil.rmtree(there)
                entry.replace(there)
        finally:
            shutil.rmtree(folder)


def ranges_to(max_depth: float, ranges: Sequence[float]) -> tuple[float, ...]:
    """Edges of distance ranges that end at max_depth."""
    return (*(edge for edge in ranges if edge < max_depth), max_depth)
