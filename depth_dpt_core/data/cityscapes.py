# SPDX-License-Identifier: Apache-2.0
"""Reading the Cityscapes layout: images, disparity, camera and label files.

Encoding after mcordts/cityscapesScripts: p = 0 is invalid, else disparity d = (p - 1) / 256 pixels
and depth = baseline * fx / d; p = 1 would be infinitely far and counts as invalid too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics

LABEL_EGO_VEHICLE = 1
LABEL_RECTIFICATION_BORDER = 2
LABEL_SKY = 23


class DataError(ValueError):
    """A data set or a file of it cannot be used; names it and what would be right."""


@dataclass(frozen=True)
class Sample:
    """The files of one frame; `labels` is None where gtFine is absent."""

    name: str
    image: Path
    disparity: Path
    camera: Path
    labels: Path | None


@dataclass(frozen=True)
class CityscapesFrame:
    """One decoded frame.

    `image` [H,W,3] RGB uint8; `depth` [H,W] float32 metres, NaN where unknown; `sky` [H,W] bool.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    sky: NDArray[np.bool_]
    intrinsics: Intrinsics


def find_samples(root: Path, split: str) -> list[Sample]:
    """List a split's frames in the order of their names.

    Raises:
        DataError: there are no images, or an image lacks its disparity or camera file.
    """
    images = sorted((root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
    if not images:
        raise DataError(f"{root}: no images at leftImg8bit/{split}/CITY/*_leftImg8bit.png")
    return [_sample(root, split, image) for image in images]


def _sample(root: Path, split: str, image: Path) -> Sample:
    name = image.name.removesuffix("_leftImg8bit.png")

    def sibling(kind: str, ending: str) -> Path:
        return root / kind / split / image.parent.name / f"{name}_{ending}"

    disparity, camera = sibling("disparity", "disparity.png"), sibling("camera", "camera.json")
    for path in (disparity, camera):
        if not path.is_file():
            raise DataError(f"{image}: its {path.relative_to(root)} is missing")
    labels = sibling("gtFine", "gtFine_labelIds.png")
    return Sample(name, image, disparity, camera, labels if labels.is_file() else None)


def read_frame(sample: Sample) -> CityscapesFrame:
    """Read and decode one frame.

    Depth is NaN on the ego vehicle and the rectification border where labels are there.

    Raises:
        DataError: a file is broken or its size differs from the image's.
    """
    image = _read_png(sample.image, np.uint8, 3)
    disparity = _read_png(sample.disparity, np.uint16, 1)
    labels = np.zeros(disparity.shape, np.uint8)
    if sample.labels is not None:
        labels = _read_png(sample.labels, np.uint8, 1)
    for path, array in ((sample.disparity, disparity), (sample.labels, labels)):
        if array.shape != image.shape[:2]:
            raise DataError(f"{path}: size {array.shape[::-1]} differs from the image's")
    intrinsics, baseline = read_camera(sample.camera)
    depth = decode_disparity(disparity, baseline * intrinsics.fx)
    depth[(labels == LABEL_EGO_VEHICLE) | (labels == LABEL_RECTIFICATION_BORDER)] = np.nan
    return CityscapesFrame(image[..., ::-1], depth, labels == LABEL_SKY, intrinsics)


def read_camera(path: Path) -> tuple[Intrinsics, float]:
    """Read a camera file: intrinsics in pixels, stereo baseline in metres.

    Raises:
        DataError: the file is not such JSON or a value is not positive.
    """
    try:
        content = json.loads(path.read_text())
        k = content["intrinsic"]
        intrinsics = Intrinsics(float(k["fx"]), float(k["fy"]), float(k["u0"]), float(k["v0"]))
        baseline = float(content["extrinsic"]["baseline"])
        if not baseline > 0:
            raise ValueError(f"baseline must be positive, got {baseline}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a Cityscapes camera file ({error})") from error
    return intrinsics, baseline


def decode_disparity(encoded: NDArray[np.uint16], baseline_focal: float) -> NDArray[np.float32]:
    """Depth in metres from encoded disparity; NaN where invalid.

    Args:
        encoded: [H,W] as stored.
        baseline_focal: baseline (m) times fx (pixels).
    """
    valid = encoded > 1
    disparity = np.where(valid, (encoded.astype(np.float64) - 1) / 256, np.nan)
    return np.asarray(baseline_focal / disparity, np.float32)


def encode_disparity(depth: NDArray[np.float32], baseline_focal: float) -> NDArray[np.uint16]:
    """Inverse of `decode_disparity`; what is NaN or out of the encoding's reach becomes 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        code = np.round(baseline_focal / depth.astype(np.float64) * 256 + 1)
    usable = np.isfinite(code) & (code > 1) & (code <= 65535)
    return np.where(usable, code, 0).astype(np.uint16)


def _read_png(path: Path, dtype: type[np.unsignedinteger], channels: int) -> NDArray[Any]:
    # unchanged keeps 16 bits; color images are 8-bit BGR
    flags = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_UNCHANGED
    image = cv2.imread(str(path), flags)
    if image is None:
        raise DataError(f"{path}: not a readable image")
    if image.dtype != dtype or (image.ndim == 3) != (channels == 3):
        raise DataError(f"{path}: holds {image.dtype} {image.shape}, expected {dtype.__name__}")
    return np.asarray(image)
