# SPDX-License-Identifier: Apache-2.0
"""A made scene in the format of TRI-ML/dgp."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

# camera looking along the vehicle's x axis: its z is x, its x is -y, its y is -z
FORWARD = {"qw": 0.5, "qx": -0.5, "qy": 0.5, "qz": -0.5}
UNTURNED = {"qw": 1.0, "qx": 0.0, "qy": 0.0, "qz": 0.0}


def write_scene(folder: Path, points: NDArray[np.float64]) -> None:
    """One sample of one camera, 1.2 m before and 0.9 m above the LiDAR."""
    for kind in ("calibration", "rgb/FRONT", "point_cloud/LIDAR"):
        (folder / kind).mkdir(parents=True)
    np.savez(folder / "point_cloud/LIDAR/1.npz", data=np.c_[points, np.ones(len(points))])
    assert cv2.imwrite(str(folder / "rgb/FRONT/2.jpg"), np.full((40, 60, 3), 90, np.uint8))
    origin = dict.fromkeys("xyz", 0.0)
    content = {
        "names": ["LIDAR", "FRONT"],
        "extrinsics": [
            {"rotation": UNTURNED, "translation": origin},
            {"rotation": FORWARD, "translation": {"x": 1.2, "y": 0.0, "z": 0.9}},
        ],
        "intrinsics": [
            {"fx": 0, "fy": 0, "cx": 0, "cy": 0},
            {"fx": 50, "fy": 50, "cx": 29.5, "cy": 19.5},
        ],
    }
    (folder / "calibration/k.json").write_text(json.dumps(content))

    def datum(key: str, name: str, kind: str, file: str) -> dict[str, object]:
        return {"key": key, "id": {"name": name}, "datum": {kind: {"filename": file}}}

    scene = {
        "samples": [{"calibration_key": "k", "datum_keys": ["a", "b"]}],
        "data": [
            datum("a", "LIDAR", "point_cloud", "point_cloud/LIDAR/1.npz"),
            datum("b", "FRONT", "image", "rgb/FRONT/2.jpg"),
        ],
    }
    (folder / "scene_x.json").write_text(json.dumps(scene))
