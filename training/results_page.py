# SPDX-License-Identifier: Apache-2.0
"""RESULTS.md: tables and text around what results.py and ablation.py measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

COLUMNS = ("abs_rel", "rmse", "delta_1", "scale", "scaled abs_rel")

Row = dict[str, float]


def document(report: dict[str, Any], out: Path) -> str:
    """The page, from the numbers measured now and those in the folder `out`."""
    model = report["model"]
    looks = out / "looks.json"
    return PAGE.format(
        file=model["file"], digest=model["sha256"], training=model["training"],
        data=model["data"], revision=model["revision"] or "unknown",
        synthetic=table({"": report["synthetic"]}),
        streets=report["focal"]["1.0"]["model"]["images"], focal=focal_table(report["focal"]),
        real=real_section(report),
        ablation=ablation_table(out),
        looks=looks_table(json.loads(looks.read_text()) if looks.exists() else []),
    )  # fmt: skip


def table(groups: dict[str, dict[str, Row]]) -> str:
    """One row for each group and predictor."""
    lines = [f"| images | of | | {' | '.join(COLUMNS)} |", "|---|---|---|" + "---|" * len(COLUMNS)]
    for group, rows in groups.items():
        for name, row in rows.items():
            cells = " | ".join(f"{row[column]:.3f}" for column in COLUMNS)
            lines.append(f"| {row['images']} | {group} | {name} | {cells} |")
    return "\n".join(lines) + "\n"


def real_section(report: dict[str, Any]) -> str:
    """The table of real frames, and how rough they are beside the synthetic ones."""
    real = report.get("real")
    if not real:
        return "Not measured.\n"
    here, there = (rows["model"]["slope"] for rows in (real["all"], report["synthetic"]))
    return table(real) + (
        "\nThe power spectrum of these pictures goes with frequency to the power of "
        f"{here:.2f}, that of the synthetic test split {there:.2f} (means over the images).\n"
    )


def focal_table(groups: dict[str, dict[str, Row]]) -> str:
    """Scale and error of the model at each focal length."""
    lines = [
        "| focal length / canonical | scale | abs_rel | scaled abs_rel |",
        "|---|---|---|---|",
    ]
    for factor, rows in groups.items():
        row = rows["model"]
        cells = " | ".join(f"{row[name]:.3f}" for name in ("scale", "abs_rel", "scaled abs_rel"))
        lines.append(f"| {factor} | {cells} |")
    return "\n".join(lines) + "\n"


def ablation_table(out: Path) -> str:
    """What ablation.py found, if it was run."""
    path = out / "ablation.json"
    if not path.exists():
        return "Not measured.\n"
    columns = ("abs_rel", "delta_1", "scale", "scaled abs_rel")
    lines = [
        f"| | {' | '.join(f'synthetic {name}' for name in columns)} | real abs_rel | real scale |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for name, row in json.loads(path.read_text()).items():
        cells = [f"{row['synthetic'][column]:.3f}" for column in columns]
        real = row.get("real")
        cells += [f"{real[it]:.3f}" if real else "-" for it in ("abs_rel", "scale")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def looks_table(looks: list[dict[str, Any]]) -> str:
    """Every look at real frames, oldest first."""
    if not looks:
        return "None.\n"
    heads = list(looks[0])
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    lines += [f"| {' | '.join(str(look[head]) for head in heads)} |" for look in looks]
    return "\n".join(lines) + "\n"


PAGE = """# What the built-in model is worth

Made by `make results`, which renders the streets of the focal lengths, and scores
`{file}` (sha256 {digest}; {training}; trained on {data}; revision {revision}).
Depth counts below 80 m; means over images; `scale` is the median of prediction / truth, `scaled
abs_rel` what remains when each image is divided by its own. The constant per row is fitted on the
training split (rows relative to the image's height). Flat ground is an empty level road under the
camera, from its height, pitch and roll.

## Synthetic test split

{synthetic}
![best](results/best.png)
![middle](results/middle.png)
![bad](results/bad.png)
![worst](results/worst.png)

*The best frame, the middle one, one of the worst tenth and the very worst: image, answer, truth.*

## Focal length

{streets} streets of a seed of their own, seen with five focal lengths from (nearly always) the
same places:

{focal}
## Real frames

Against LiDAR, without any scaling; no real image was trained on. The scene is that of
`tests/data/dgp/test_scene` of TRI-ML/dgp: three samples of three cameras, all of one moment, too
few to choose anything by.

{real}
## What each part is worth

One thing taken away or changed at a time (`make ablation`; [`rows.yaml`](ablation/rows.yaml)
says what): 200 streets each, the same network at 192x96, 6,500 image presentations, one seed.
Differences like those of `another seed` (rows of the recipe) and `other streets` (rows of the
generator) mean nothing: so short a training shows only what matters most. All are scored on the
test split of the unchanged streets.

{ablation}
## Looks

Every look at the real frames so far:

{looks}"""
