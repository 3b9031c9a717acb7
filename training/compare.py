# SPDX-License-Identifier: Apache-2.0
"""Train the presets in comparison/ with several seeds and write the table of README.md.

Usage: python compare.py [--seeds 3]. Interrupted, it goes on where it stopped. What each run
prints goes to comparison/runs/RUN/log.txt.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import mlflow
import yaml
from runs import HERE, depth_dpt, one_per_core, replace_between, train_and_score

PRESETS = ("reference", "ours_original_loss", "ours")
COLUMNS = ("abs_rel", "rmse", "delta_1")
MARKS = ("<!-- comparison -->\n", "<!-- end of comparison -->\n")


def main() -> None:
    """Run what is missing, one run per core, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    depth_dpt("synth", "--out", "data/synth", "--seed", 1, "--scenes", 2000)
    depth_dpt("preprocess", "--config", "comparison/ours.yaml")  # of all presets
    wanted = [(preset, seed) for preset in PRESETS for seed in seeds]
    runs: dict[str, list[dict[str, Any]]] = {preset: [] for preset in PRESETS}
    for (preset, _), result in zip(wanted, one_per_core(run, wanted), strict=True):
        runs[preset].append(result)
    table = table_of(runs)
    print(table)
    replace_between(HERE / "README.md", MARKS, table)


def run(wanted: tuple[str, int]) -> dict[str, Any]:
    """Train and score one preset with one seed, unless that is done."""
    preset, seed = wanted
    folder = HERE / "comparison" / "runs" / f"{preset}-{seed}"
    config = yaml.safe_load((HERE / "comparison" / f"{preset}.yaml").read_text())
    config["optimization"]["seed"] = seed
    for place in ("root", "processed"):
        config["data"][place] = str(HERE / "comparison" / config["data"][place])
    result = train_and_score(folder, config)
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    epochs = client.get_metric_history(result["model"]["run_id"], "images_per_s")
    speed = statistics.median(epoch.value for epoch in epochs)
    unanswered = result["counts"]["test"]["missing_share"]
    return {**result["test"], "dead": unanswered > 0.99, "images_per_s": speed}


def table_of(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Mean and range over the live runs of each preset."""
    lines = [
        f"| preset | {' | '.join(COLUMNS)} | dead runs | images/s |",
        "|---|" + "---|" * (len(COLUMNS) + 2),
    ]
    live_abs_rel = {}
    for preset, results in runs.items():
        live = [result for result in results if not result["dead"]]
        live_abs_rel[preset] = [result["abs_rel"] for result in live]
        cells = [spread([result[name] for result in live]) for name in COLUMNS]
        dead = f"{len(results) - len(live)} of {len(results)}"
        speed = statistics.median(result["images_per_s"] for result in results)
        lines.append(f"| {preset} | {' | '.join(cells)} | {dead} | {speed:.0f} |")
    if not all(live_abs_rel.values()):
        return "\n".join(lines) + "\n"
    ratio = statistics.mean(live_abs_rel["ours"]) / statistics.mean(live_abs_rel["reference"])
    worst = max(live_abs_rel["ours"]) / min(live_abs_rel["reference"])
    seeds = f"worst seed of ours over best of reference: {worst:.2f}"
    lines += ["", f"abs_rel of ours over that of reference: {ratio:.2f} ({seeds})."]
    return "\n".join(lines) + "\n"


def spread(values: list[float]) -> str:
    """Mean (lowest to highest)."""
    if not values:
        return "none alive"
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
