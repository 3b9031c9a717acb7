# SPDX-License-Identifier: Apache-2.0
"""Take one thing away at a time, train, and write the ablation table of RESULTS.md.

Usage: python ablation.py [--dgp SCENE ...]. The rows are those of ablation/rows.yaml. Interrupted,
it goes on where it stopped; what each run prints goes to ablation/runs/ROW/log.txt.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path
from typing import Any

import yaml
from results import DATA, OUT, View, frames_of, note_look, real_views, score
from results_page import Row
from runs import HERE, depth_dpt, one_per_core, train_and_score

from depth_dpt_core.evaluation.checkpoint import estimator_of
from depth_dpt_core.files import sha256_of, write_atomically

SCENES = 200
SEED = 2  # unless a row has its own; streets of their own, for the test split is of seed 1
FOLDER = HERE / "ablation"
ALL = "everything"


def main() -> None:
    """Render and train what is missing, score all, and write the table's numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dgp", type=Path, nargs="*", default=[], metavar="SCENE")
    scenes = parser.parse_args().dgp
    rows = yaml.safe_load((FOLDER / "rows.yaml").read_text())
    for name, ranges in rows["generator"].items():
        render(name, ranges)
    jobs: list[tuple[str, str, dict[str, Any]]] = []
    jobs += [(name, name, {}) for name in rows["generator"]]
    jobs += [(name, ALL, changes) for name, changes in rows["recipe"].items()]
    real = [view for views in real_views(scenes).values() for view in views]
    table: dict[str, dict[str, Row]] = {}
    for (name, _, _), folder in zip(jobs, one_per_core(train, jobs), strict=True):
        table[name] = judge(name, folder, real)
    write_atomically(OUT / "ablation.json", (json.dumps(table, indent=1) + "\n").encode())
    print("now `make results` puts the table into RESULTS.md")


def place(name: str) -> str:
    """A row's name as a folder."""
    return re.sub(r"\W+", "_", name)


def render(name: str, ranges: dict[str, Any]) -> None:
    """Render the streets of a row, and preprocess them."""
    seed = ranges.pop("seed", SEED)
    data = HERE / "data" / f"ablation_{place(name)}"
    data.parent.mkdir(exist_ok=True)
    file = data.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(ranges))
    depth_dpt("synth", "--out", data, "--seed", seed, "--scenes", SCENES, "--width", 256,
              "--ranges", file, "--workers", len(os.sched_getaffinity(0)))  # fmt: skip
    config = FOLDER / "runs" / f"{place(name)}_data.yaml"
    config.parent.mkdir(exist_ok=True)
    config.write_text(yaml.safe_dump(settings(name, {})))
    depth_dpt("preprocess", "--config", config)


def settings(data: str, changes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The common settings with some changed, on the streets of a row."""
    config: dict[str, Any] = yaml.safe_load((FOLDER / "params.yaml").read_text())
    for section, values in changes.items():
        config.setdefault(section, {}).update(values)
    root = HERE / "data" / f"ablation_{place(data)}"
    config["data"].update(root=str(root), processed=f"{root}_256")
    return config


def train(job: tuple[str, str, dict[str, Any]]) -> Path:
    """Train one row; returns its folder."""
    name, data, changes = job
    folder = FOLDER / "runs" / place(name)
    train_and_score(folder, settings(data, changes))
    return folder


def judge(name: str, folder: Path, real: list[View]) -> dict[str, Row]:
    """Scores of a row's network on the unchanged test split, and on real frames if there are."""
    weights = folder / "models" / "candidate.safetensors"
    estimator = estimator_of(weights)
    predictors = {"model": lambda view: estimator(view.image, view.intrinsics)}
    scores = {"synthetic": score(predictors, frames_of(DATA, "test"), name)["model"]}
    if real:
        scores["real"] = score(predictors, real, f"{name}, real")["model"]
        note_look(f"ablation: {name}", sha256_of(weights)[:16], scores["real"])
    return scores


if __name__ == "__main__":
    main()
