# SPDX-License-Identifier: Apache-2.0
"""Scenes in the Dataset Governance Policy's format (TRI-ML/dgp): images with LiDAR truth.

scene_*.json               samples: which data belong together, and their calibration
calibration/KEY.json       parallel lists names, extrinsics (sensor in vehicle), intrinsics
rgb/CAMERA/STAMP.jpg       rectified images
point_cloud/LIDAR/STAMP.npz  `data` [N,4]: x, y, z, intensity in the LiDAR's frame, metres
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics, Mounting
from depth_dpt_core.data.cityscapes import DataError

_NEAR_GROUND = 12.0  # m around the vehicle, where the road is level
_LOWEST = 20  # percent of the points there that are certainly road


@dataclass(frozen=True)
class DgpFrame:
    """One image with its truth.

    `image` [H,W,3] RGB uint8; `depth` [H,W] float32 metres along z where a LiDAR point was seen,
    the nearest if several, else NaN; `mounting` from the ground that the LiDAR sees.
    """

    camera: str
    name: str
    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    intrinsics: Intrinsics
    mounting: Mounting


def read_scene(folder: Path) -> Iterator[DgpFrame]:
    """Read all images of a scene, sample by sample and camera by camera.

    Raises:
        DataError: not such a scene, or a file of it is missing or broken.
    """
    try:
        scene = json.loads(next(folder.glob("scene_*.json")).read_text())
        data = {item["key"]: item for item in scene["data"]}
        for sample in scene["samples"]:
            calibration = _calibration(folder, sample["calibration_key"])
            items = [data[key] for key in sample["datum_keys"]]
            clouds = [item for item in items if "point_cloud" in item["datum"]]
            if not clouds:
                raise ValueError("a sample has no point cloud")
            cloud = clouds[0]
            points = np.load(folder / cloud["datum"]["point_cloud"]["filename"])["data"][:, :3]
            points = _moved(points, calibration[cloud["id"]["name"]][0])
            for item in items:
                if "image" in item["datum"]:
                    yield _frame(folder, item, calibration[item["id"]["name"]], points)
    except StopIteration:
        raise DataError(f"{folder}: no scene_*.json in it") from None
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{folder}: not a DGP scene ({type(error).__name__}: {error})") from error


def _frame(
    folder: Path,
    item: dict[str, Any],
    calibration: tuple[NDArray[np.float64], dict[str, float]],
    points: NDArray[np.float64],
) -> DgpFrame:
    path = folder / item["datum"]["image"]["filename"]
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path} cannot be read")
    pose, intrinsics = calibration[0], Intrinsics(**calibration[1])
    near = points[np.hypot(points[:, 0], points[:, 1]) < _NEAR_GROUND]
    ground = float(np.median(near[near[:, 2] <= np.percentile(near[:, 2], _LOWEST), 2]))
    seen = _moved(points, np.asarray(np.linalg.inv(pose), np.float64))
    return DgpFrame(
        camera=item["id"]["name"],
        name=path.stem,
        image=np.ascontiguousarray(picture[..., ::-1], np.uint8),
        depth=_project(seen, intrinsics, picture.shape[:2]),
        intrinsics=intrinsics,
        mounting=Mounting.of(pose[2, 3] - ground, -pose[2, :3]),
    )


def _project(
    points: NDArray[np.float64], intrinsics: Intrinsics, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Depth of the nearest point in each pixel floor(u + 0.5), NaN where there is none."""
    ahead = points[points[:, 2] > 0]
    u = np.floor(ahead[:, 0] / ahead[:, 2] * intrinsics.fx + intrinsics.cx + 0.5)
    v = np.floor(ahead[:, 1] / ahead[:, 2] * intrinsics.fy + intrinsics.cy + 0.5)
    inside = (u >= 0) & (u < shape[1]) & (v >= 0) & (v < shape[0])
    depth = np.full(shape[:2], np.inf, np.float32)
    pixel = v[inside].astype(int), u[inside].astype(int)
    np.minimum.at(depth, pixel, ahead[inside, 2].astype(np.float32))
    return np.where(np.isinf(depth), np.float32(np.nan), depth)


def _calibration(
    folder: Path, key: str
) -> dict[str, tuple[NDArray[np.float64], dict[str, float]]]:
    """Pose in the vehicle [4,4] and intrinsics, zero for a LiDAR, of each sensor."""
    content = json.loads((folder / "calibration" / f"{key}.json").read_text())
    sensors = zip(content["names"], content["extrinsics"], content["intrinsics"], strict=True)
    return {
        name: (_pose(extrinsics), {axis: k[axis] for axis in ("fx", "fy", "cx", "cy")})
        for name, extrinsics, k in sensors
    }


def _pose(extrinsics: dict[str, dict[str, float]]) -> NDArray[np.float64]:
    """Matrix [4,4] of a unit quaternion and a translation."""
    w, x, y, z = (extrinsics["rotation"][f"q{axis}"] for axis in "wxyz")
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = [extrinsics["translation"][axis] for axis in "xyz"]
    return matrix


def _moved(points: NDArray[np.float64], pose: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(points @ pose[:3, :3].T + pose[:3, 3], np.float64)
