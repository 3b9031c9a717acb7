# SPDX-License-Identifier: Apache-2.0
"""Reading the processed data set, the files that training works on.

dataset.json                   settings, frames, what was unusable; there when all else is
image/SPLIT/CITY/NAME.jpg      RGB
depth/SPLIT/CITY/NAME.png      uint16 codes: 0 unknown, 65535 sky, 65534 farther than max_depth,
                               else metres = code * max_depth / 65533
camera/SPLIT/CITY/NAME.json    fx, fy, cx, cy in pixels, and what the frame was made from
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.data.cityscapes import DataError, read_png

VERSION = 1
RECORD_FILE = "dataset.json"
CODE_SKY = 65535
CODE_FAR = 65534
LARGEST_CODE = 65533  # stands for max_depth


@dataclass(frozen=True)
class ProcessedSample:
    """The files of one frame; `name` is SPLIT/CITY/NAME."""

    name: str
    image: Path
    depth: Path
    camera: Path

    @classmethod
    def at(cls, root: Path, name: str) -> ProcessedSample:
        """The frame `name` of the data set in folder `root`."""
        return cls(
            name,
            root / "image" / f"{name}.jpg",
            root / "depth" / f"{name}.png",
            root / "camera" / f"{name}.json",
        )


@dataclass(frozen=True)
class ProcessedFrame:
    """One decoded frame: `image` [H,W,3] RGB uint8, `code` [H,W] uint16 as in the files."""

    image: NDArray[np.uint8]
    code: NDArray[np.uint16]
    intrinsics: Intrinsics


@dataclass(frozen=True)
class ProcessedDataset:
    """A whole processed data set.

    `settings` are `DataConfig.settings()`; `fingerprint` is the same wherever names and contents
    are the same.
    """

    root: Path
    settings: dict[str, float]
    fingerprint: str
    names: dict[str, list[str]]  # of each split

    @classmethod
    def open(cls, root: Path) -> ProcessedDataset:
        """Read what the data set holds.

        Raises:
            DataError: `root` holds no whole data set of this version.
        """
        path = root / RECORD_FILE
        try:
            record = json.loads(path.read_text())
            version = record["version"]
            if version != VERSION:
                raise ValueError(f"version {version!r}, expected {VERSION}")
            settings = {str(name): float(v) for name, v in record["settings"].items()}
            names = {str(split): [*map(str, of)] for split, of in record["frames"].items()}
            return cls(root, settings, str(record["fingerprint"]), names)
        except FileNotFoundError as error:
            raise DataError(f"{path} is missing: run depth-dpt preprocess") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}: not a record of processed data ({error}): run depth-dpt preprocess"
            ) from error

    def frames(self, split: str) -> list[ProcessedSample]:
        """The frames of a split in the order of their names; none for an unknown split."""
        return [ProcessedSample.at(self.root, name) for name in sorted(self.names.get(split, []))]


def read_processed(sample: ProcessedSample) -> ProcessedFrame:
    """Read and decode one frame.

    Raises:
        DataError: a file is missing or broken.
    """
    # here, as in `read_png`
    from kornia_rs import io

    try:
        image: NDArray[np.uint8] = io.read_image_jpegturbo(str(sample.image))
    except Exception as error:  # kornia_rs raises nothing narrower
        raise DataError(f"{sample.image}: not a whole JPEG file ({error})") from error
    code = read_png(sample.depth, np.uint16)
    if code.shape != image.shape[:2]:
        raise DataError(f"{sample.depth}: size differs from the image's")
    try:
        camera: dict[str, Any] = json.loads(sample.camera.read_text())
        intrinsics = Intrinsics(*(float(camera[key]) for key in ("fx", "fy", "cx", "cy")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{sample.camera}: not the camera of a frame ({error})") from error
    return ProcessedFrame(image, code, intrinsics)


def encode_depth(depth: NDArray[np.floating[Any]], max_depth: float) -> NDArray[np.uint16]:
    """Codes of depth in metres; NaN becomes 0, what is beyond `max_depth` 65534."""
    far = depth > max_depth
    near = np.where(far | np.isnan(depth), 0.0, depth)
    return np.where(far, CODE_FAR, np.rint(near * (LARGEST_CODE / max_depth))).astype(np.uint16)


def decode_depth(
    code: NDArray[np.uint16], max_depth: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What is known of each pixel.

    Returns:
        depth [H,W] in metres, 0 where unknown; and the depth that a pixel is known to lie
        beyond, [H,W] in metres: infinite in the sky, `max_depth` at code 65534, else 0.
    """
    depth, farther_than = _tables(max_depth)
    return depth.take(code), farther_than.take(code)


@functools.cache
def _tables(max_depth: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    depth = (np.arange(65536) * (max_depth / LARGEST_CODE)).astype(np.float32)
    depth[CODE_FAR:] = 0
    farther_than = np.zeros(65536, np.float32)
    farther_than[[CODE_FAR, CODE_SKY]] = max_depth, np.inf
    return depth, farther_than
