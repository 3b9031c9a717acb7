# SPDX-License-Identifier: Apache-2.0
"""Reading the Cityscapes layout: images, disparity, camera and label files.

leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png      RGB
disparity/SPLIT/CITY/NAME_disparity.png          uint16
camera/SPLIT/CITY/NAME_camera.json
gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png       optional

or the older layout depth_X/SPLIT/CITY/NAME_*.png and depth_y/SPLIT/CITY/NAME_*.png, where camera
files are optional too.

Encoding after mcordts/cityscapesScripts: p = 0 is invalid, else disparity d = (p - 1) / 256 pixels
and depth = baseline * fx / d; p = 1 would be infinitely far and counts as invalid too.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics, Mounting

LABEL_EGO_VEHICLE = 1
LABEL_RECTIFICATION_BORDER = 2
LABEL_SKY = 23


class DataError(ValueError):
    """A data set or a file of it cannot be used; names it and what would be right."""


@dataclass(frozen=True)
class StereoRig:
    """Baseline in metres and focal length in pixels, of data without camera files."""

    baseline: float
    focal_length: float


@dataclass(frozen=True)
class Sample:
    """The files of one frame; `name` is SPLIT/CITY/NAME, `labels` None where gtFine is absent."""

    name: str
    image: Path
    disparity: Path
    camera: Path | StereoRig
    labels: Path | None

    @property
    def files(self) -> list[Path]:
        """All files that the frame is made of."""
        parts = (self.image, self.disparity, self.camera, self.labels)
        return [part for part in parts if isinstance(part, Path)]


@dataclass(frozen=True)
class Unusable:
    """A frame that cannot be used, by its name SPLIT/CITY/NAME, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What a split holds, in the order of names: whole frames, and those that lack a file."""

    samples: list[Sample]
    unusable: list[Unusable]


@dataclass(frozen=True)
class StereoFrame:
    """One frame as stored.

    `image` [H,W,3] RGB uint8; `disparity` [H,W] uint16, encoded; `labels` [H,W] uint8 where there;
    `baseline` in metres.
    """

    image: NDArray[np.uint8]
    disparity: NDArray[np.uint16]
    labels: NDArray[np.uint8] | None
    intrinsics: Intrinsics
    baseline: float


@dataclass(frozen=True)
class CityscapesFrame:
    """One decoded frame.

    `image` [H,W,3] RGB uint8; `depth` [H,W] float32 metres, NaN where unknown; `sky` [H,W] bool.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    sky: NDArray[np.bool_]
    intrinsics: Intrinsics


def list_split(root: Path, split: str, rig: StereoRig | None = None) -> Listing:
    """List a split's frames; `rig` stands in where the older layout has no camera folder.

    Raises:
        DataError: the split holds nothing at all.
    """
    older = (root / "depth_X").is_dir() and not (root / "leftImg8bit").is_dir()
    if older:
        folders = (root / "depth_X" / split, root / "depth_y" / split)
        alike = {path.name for path in folders[0].glob("*/*.png")} & {
            path.name for path in folders[1].glob("*/*.png")
        }
        images, disparities = (_by_name(folder, "*.png", ending=not alike) for folder in folders)
    else:
        folders = (root / "leftImg8bit" / split, root / "disparity" / split)
        images = _by_name(folders[0], "*_leftImg8bit.png")
        disparities = _by_name(folders[1], "*_disparity.png")
    if not images and not disparities:
        raise DataError(
            f"{root}: no images at leftImg8bit/{split}/CITY/*_leftImg8bit.png "
            f"or depth_X/{split}/CITY/*.png"
        )
    if not older or (root / "camera").is_dir():
        rig = None
    listing = Listing([], [])
    for name in sorted(images.keys() | disparities.keys()):
        camera = rig or root / "camera" / split / f"{name}_camera.json"
        labels = root / "gtFine" / split / f"{name}_gtFine_labelIds.png"
        try:
            image = _only(images.get(name, []), folders[0])
            disparity = _only(disparities.get(name, []), folders[1])
            if isinstance(camera, Path) and not camera.is_file():
                raise DataError(f"{camera} is missing")
        except DataError as error:
            listing.unusable.append(Unusable(f"{split}/{name}", str(error)))
            continue
        sample = Sample(
            f"{split}/{name}", image, disparity, camera, labels if labels.is_file() else None
        )
        listing.samples.append(sample)
    return listing


def _by_name(folder: Path, pattern: str, *, ending: bool = True) -> dict[str, list[Path]]:
    """The files CITY/`pattern` by CITY/NAME; NAME is without the `ending` _SOMETHING."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"*/{pattern}")):
        if not path.name.startswith("."):  # half-written, or another system's notes
            name = (ending and path.stem.rpartition("_")[0]) or path.stem
            files.setdefault(f"{path.parent.name}/{name}", []).append(path)
    return files


def _only(paths: list[Path], folder: Path) -> Path:
    if not paths:
        raise DataError(f"it has no file in {folder}")
    if len(paths) > 1:
        raise DataError(
            f"{paths[0]} and {paths[1].name} share their name up to the last underscore"
        )
    return paths[0]


def read_frame(sample: Sample) -> CityscapesFrame:
    """Read and decode one frame.

    Depth is NaN on the ego vehicle and the rectification border where labels are there.

    Raises:
        DataError: a file is broken or its size differs from the image's.
    """
    frame = read_stereo(sample)
    depth = decode_disparity(frame.disparity, frame.baseline * frame.intrinsics.fx)
    sky = np.zeros(depth.shape, np.bool_)
    if frame.labels is not None:
        depth[is_masked(frame.labels)] = np.nan
        sky = frame.labels == LABEL_SKY
    return CityscapesFrame(frame.image, depth, sky, frame.intrinsics)


def read_stereo(sample: Sample) -> StereoFrame:
    """Read one frame as stored.

    Raises:
        DataError: a file is broken or its size differs from the image's.
    """
    image = read_png(sample.image, np.uint8, channels=3)
    height, width = image.shape[:2]
    disparity = read_png(sample.disparity, np.uint16)
    labels = None if sample.labels is None else read_png(sample.labels, np.uint8)
    for path, array in ((sample.disparity, disparity), (sample.labels, labels)):
        if array is not None and array.shape != (height, width):
            raise DataError(
                f"{path}: {array.shape[1]}x{array.shape[0]} pixels, the image has {width}x{height}"
            )
    if isinstance(sample.camera, StereoRig):
        intrinsics = Intrinsics.centered(sample.camera.focal_length, width, height)
        baseline = sample.camera.baseline
    else:
        intrinsics, baseline = read_camera(sample.camera)
    return StereoFrame(image, disparity, labels, intrinsics, baseline)


def is_masked(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where stereo has nothing to say: ego vehicle and rectification border."""
    masked: NDArray[np.bool_] = (labels == LABEL_EGO_VEHICLE) | (
        labels == LABEL_RECTIFICATION_BORDER
    )
    return masked


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
        if not 0 < baseline < math.inf:
            raise ValueError(f"baseline must be positive, got {baseline}")
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path}: not a Cityscapes camera file ({error})") from error
    return intrinsics, baseline


def read_mounting(path: Path) -> Mounting:
    """Read from a camera file how the camera looks at the ground; its pitch looks down.

    Raises:
        DataError: the file is not such JSON or does not say so.
    """
    try:
        pose = json.loads(path.read_text())["extrinsic"]
        return Mounting(float(pose["z"]), -float(pose["pitch"]), float(pose["roll"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path}: no height, pitch and roll of the camera ({error})") from error


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


def read_png(path: Path, dtype: type[np.unsignedinteger], channels: int = 1) -> NDArray[Any]:
    """Read a PNG file of exactly this kind.

    Args:
        path: the file.
        dtype: uint8, or uint16 where it has one channel.
        channels: 1 gives [H,W], 3 gives RGB [H,W,3].

    Raises:
        DataError: the file is missing, broken or of another kind.
    """
    # here, since making data sets and encoding disparity do without it
    from kornia_rs import io

    read = io.read_image_png_u8 if dtype is np.uint8 else io.read_image_png_u16
    try:
        image: NDArray[Any] = read(str(path), "rgb" if channels == 3 else "mono")
    except Exception as error:  # kornia_rs raises nothing narrower
        kind = f"{8 * np.dtype(dtype).itemsize}-bit {'RGB' if channels == 3 else 'grey'}"
        raise DataError(f"{path}: not a whole {kind} PNG file ({error})") from error
    return image if channels == 3 else image[..., 0]
