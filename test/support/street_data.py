# SPDX-License-Identifier: Apache-2.0
"""Hand-made frames in the layout of Cityscapes, encoded here independently of the library."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rig:
    """Focal length in pixels and stereo baseline in metres."""

    fx: float = 200.0
    baseline: float = 0.22


def encode(depth: NDArray[np.float64], rig: Rig) -> NDArray[np.uint16]:
    """Disparity code round(256 b f / Z) + 1; 0 where depth is not finite."""
    known = np.isfinite(depth)
    code = np.rint(256 * rig.baseline * rig.fx / np.where(known, depth, 1.0)) + 1
    return np.where(known, code, 0).astype(np.uint16)


def write_frame(
    root: Path,
    name: str,
    image: NDArray[np.uint8],
    disparity: NDArray[np.uint16],
    *,
    split: str = "train",
    rig: Rig = Rig(),
    labels: NDArray[np.uint8] | None = None,
) -> None:
    """Write one frame `CITY_...` with its disparity, camera and, where given, label file."""
    city = name.partition("_")[0]
    pictures = {
        ("leftImg8bit", "leftImg8bit"): image[..., ::-1],
        ("disparity", "disparity"): disparity,
    }
    if labels is not None:
        pictures["gtFine", "gtFine_labelIds"] = labels
    for (kind, ending), picture in pictures.items():
        path = root / kind / split / city / f"{name}_{ending}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), picture)
    height, width = disparity.shape
    camera = {
        "extrinsic": {"baseline": rig.baseline},
        "intrinsic": {"fx": rig.fx, "fy": rig.fx, "u0": width / 2, "v0": height / 2},
    }
    path = root / "camera" / split / city / f"{name}_camera.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(camera))


def write_roads(root: Path, counts: dict[str, int], *, width: int = 128, height: int = 64) -> None:
    """Frames of a flat road under a sky, with one coloured block each; camera 1.5 m high."""
    rng = np.random.default_rng(3)
    rig = Rig(fx=0.6 * width)
    for split, count in counts.items():
        for index in range(count):
            rows = np.arange(height, dtype=np.float64)[:, None] - height * rng.uniform(0.4, 0.55)
            road = np.where(rows > 0.5, 1.5 * rig.fx / np.maximum(rows, 0.5), np.nan)
            depth = np.broadcast_to(road, (height, width)).copy()
            image = np.where(rows[..., None] > 0.5, [90, 90, 95], [150, 180, 230])
            image = np.broadcast_to(image, (height, width, 3)).astype(np.float64)
            left, distance = int(rng.integers(0, width - 40)), rng.uniform(5, 25)
            foot = int(np.argmin(np.abs(np.nan_to_num(road[:, 0], nan=1e9) - distance)))
            block = (slice(foot // 2, foot), slice(left, left + 40))
            depth[block], image[block] = distance, rng.uniform(20, 230, 3)
            image = image + rng.normal(0, 4, image.shape)
            labels = np.where(np.isnan(depth), 23, 7).astype(np.uint8)
            write_frame(
                root,
                f"road_{index:06d}_000019",
                np.clip(image, 0, 255).astype(np.uint8),
                encode(depth, rig),
                split=split,
                rig=rig,
                labels=labels,
            )
