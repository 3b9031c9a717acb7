# SPDX-License-Identifier: Apache-2.0
"""Measure the built-in model on streets it has not seen, and write RESULTS.md.

Usage: python results.py [--model builtin] [--dgp SCENE ...]. SCENE is a folder in the format of
TRI-ML/dgp; without any, the figures of the same model on real frames stay as they were. Each look
at real frames is noted down in results/looks.json, for few frames are soon overfitted.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from results_page import COLUMNS, Row, document
from runs import depth_dpt
from tqdm import tqdm

from depth_dpt_core.artifact import ModelSpec, resolve
from depth_dpt_core.camera import Intrinsics, Mounting
from depth_dpt_core.data.cityscapes import list_split, read_frame, read_mounting
from depth_dpt_core.data.dgp import read_scene
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.evaluation.flat_ground import flat_ground_depth
from depth_dpt_core.evaluation.row_predictor import RowPredictor
from depth_dpt_core.evaluation.spectrum import spectral_slope
from depth_dpt_core.files import sha256_of, write_atomically
from depth_dpt_core.metrics import compute_metrics, resize_depth
from depth_dpt_ros.replay.picture import side_by_side, write_picture

HERE = Path(__file__).resolve().parent
DATA = HERE / "data" / "synth"
OUT = HERE / "results"
MAX_DEPTH = 80.0  # m
FACTORS = (0.5, 0.7, 1.0, 1.4, 2.0)  # of the canonical focal length
FITTED_FRAMES = 1000  # of the training split, for the constant per row
NAMES = ("model", "constant per row", "flat ground")


@dataclass(frozen=True)
class View:
    """One image with its truth."""

    name: str
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    intrinsics: Intrinsics
    mounting: Mounting


Predictor = Callable[[View], NDArray[np.float32]]


def main() -> None:
    """Measure everything and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--streets", type=int, default=60, help="of each focal length")
    parser.add_argument("--dgp", type=Path, nargs="*", default=[], metavar="SCENE")
    arguments = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    if not DATA.exists():  # as make builtin does
        depth_dpt("synth", "--out", DATA, "--seed", 1, "--scenes", 2000)
    estimator = DepthEstimator.load(arguments.model)
    predictors = make_predictors(estimator)
    report: dict[str, Any] = {
        "model": describe(arguments.model),
        "synthetic": score(
            predictors, frames_of(DATA, "test"), "synthetic test split", pictures=True
        ),
        "focal": {
            str(factor): score_focal(predictors, estimator.spec, factor, arguments.streets)
            for factor in FACTORS
        },
    }
    numbers = OUT / "results.json"
    if numbers.exists():
        before = json.loads(numbers.read_text())
        if before["model"]["sha256"] == report["model"]["sha256"]:
            report["real"] = before.get("real")
    if arguments.dgp:
        report["real"] = score_real(predictors, arguments.dgp)
        model = report["model"]
        note_look(model["file"], model["sha256"], report["real"]["all"]["model"])
    write_atomically(numbers, (json.dumps(report, indent=1) + "\n").encode())
    write_atomically(HERE / "RESULTS.md", document(report, OUT).encode())
    print(f"wrote {HERE / 'RESULTS.md'}")


def describe(model: str) -> dict[str, str]:
    """Name and digest of the file that is measured."""
    artifact = resolve(model)
    spec = artifact.spec
    return {
        "file": artifact.path.name,
        "sha256": sha256_of(artifact.path)[:16],
        "training": spec.training_run,
        "data": spec.dataset,
        "revision": spec.source_revision,
    }


def make_predictors(estimator: DepthEstimator) -> dict[str, Predictor]:
    """The model, and what can be said without looking at the image."""
    rows = RowPredictor(MAX_DEPTH)
    samples = list_split(DATA, "train").samples
    step = max(1, len(samples) // FITTED_FRAMES)
    for sample in tqdm(samples[::step], "constant per row", unit="image"):
        rows.add(read_frame(sample).depth)

    def per_row(view: View) -> NDArray[np.float32]:
        height, width = view.depth.shape
        return np.broadcast_to(rows.best(height)[:, None], (height, width))

    def flat(view: View) -> NDArray[np.float32]:
        shape = view.depth.shape[0], view.depth.shape[1]
        return flat_ground_depth(view.intrinsics, shape, view.mounting, max_depth=MAX_DEPTH)

    answers = (lambda view: estimator(view.image, view.intrinsics), per_row, flat)
    return dict(zip(NAMES, answers, strict=True))


def frames_of(root: Path, *splits: str) -> Iterable[View]:
    """Synthetic frames, which know how their camera is mounted."""
    for split in splits:
        for sample in list_split(root, split).samples:
            frame = read_frame(sample)
            assert isinstance(sample.camera, Path)
            mounting = read_mounting(sample.camera)
            yield View(sample.name, frame.image, frame.depth, frame.intrinsics, mounting)


def score(
    predictors: dict[str, Predictor], views: Iterable[View], title: str, *, pictures: bool = False
) -> dict[str, Row]:
    """Means over the images; `scale` is the median of the images' median ratios."""
    rows: dict[str, list[Row]] = {name: [] for name in predictors}
    kept: list[tuple[float, View]] = []
    for view in tqdm(views, title, unit="image"):
        slope = spectral_slope(view.image)
        for name, predict in predictors.items():
            row = compare(predict(view), view.depth)
            if row is not None:
                rows[name].append({**row, "slope": slope})
                if name == "model" and pictures:
                    kept.append((row["abs_rel"], view))
    if pictures:
        draw(predictors["model"], sorted(kept, key=lambda item: item[0]))
    return {name: summary(of) for name, of in rows.items()}


def compare(prediction: NDArray[np.float32], truth: NDArray[np.float32]) -> Row | None:
    """One image's figures, in metres and once more scaled by the median ratio."""
    result = compute_metrics(prediction, truth, max_depth=MAX_DEPTH).metrics
    if result is None:
        return None
    answer = resize_depth(prediction, truth.shape)
    valid = (truth > 0) & (truth < MAX_DEPTH) & np.isfinite(answer)
    ratio = float(np.median(answer[valid] / truth[valid])) if valid.any() else 1.0
    scaled = compute_metrics(answer / ratio, truth, max_depth=MAX_DEPTH).metrics
    assert scaled is not None
    return {**result.to_dict(), "scale": ratio, "scaled abs_rel": scaled.abs_rel}


def summary(rows: list[Row]) -> Row:
    """Means over images, the median of the scale."""
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return {**means, "scale": float(np.median([row["scale"] for row in rows])),
            "images": len(rows)}  # fmt: skip


def draw(predict: Predictor, ranked: list[tuple[float, View]]) -> None:
    """Pictures of the best, the middle and the worst."""
    places = {"best": 0, "middle": len(ranked) // 2, "bad": len(ranked) * 9 // 10,
              "worst": len(ranked) - 1}  # fmt: skip
    for name, place in places.items():
        view = ranked[place][1]
        write_picture(OUT / f"{name}.png", side_by_side(view.image, predict(view), view.depth))


def score_focal(
    predictors: dict[str, Predictor], spec: ModelSpec, factor: float, streets: int
) -> dict[str, Row]:
    """Streets of a seed of their own, seen with one focal length."""
    assert spec.canonical_focal_length is not None
    over_width = factor * spec.canonical_focal_length / spec.width
    folder = HERE / "data" / f"focal_{factor:g}"
    ranges = folder.with_suffix(".yaml")
    camera = {"focal_over_width": [over_width] * 2, "aspect": [2.0, 2.0], "side_view_share": 0.0}
    ranges.write_text(yaml.safe_dump({"camera": camera}))
    depth_dpt("synth", "--out", folder, "--seed", 99, "--scenes", streets, "--views", 1,
              "--ranges", ranges)  # fmt: skip
    return score(
        predictors, frames_of(folder, *present_splits(folder)), f"focal length {factor:g}"
    )


def present_splits(root: Path) -> list[str]:
    """Splits that have frames: few streets fill only the first."""
    return sorted(folder.name for folder in (root / "camera").iterdir())


def real_views(scenes: list[Path]) -> dict[str, list[View]]:
    """Real images with LiDAR truth, by camera."""
    frames: dict[str, list[View]] = {}
    for scene in scenes:
        for frame in read_scene(scene):
            name = f"{scene.name} {frame.camera}"
            view = View(frame.name, frame.image, frame.depth, frame.intrinsics, frame.mounting)
            frames.setdefault(name, []).append(view)
    return frames


def score_real(predictors: dict[str, Predictor], scenes: list[Path]) -> dict[str, dict[str, Row]]:
    """Real images camera by camera and all together."""
    frames = real_views(scenes)
    frames["all"] = [view for views in frames.values() for view in views]
    return {name: score(predictors, views, name) for name, views in frames.items()}


def note_look(what: str, digest: str, row: Row) -> None:
    """Append what was seen of real frames to the list of all looks."""
    path = OUT / "looks.json"
    looks = json.loads(path.read_text()) if path.exists() else []
    figures = {name: round(row[name], 4) for name in COLUMNS}
    looks.append({"date": dt.date.today().isoformat(), "what": what, "sha256": digest,
                  "images": row["images"], **figures})  # fmt: skip
    write_atomically(path, (json.dumps(looks, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
