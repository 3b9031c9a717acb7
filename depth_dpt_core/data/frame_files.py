# SPDX-License-Identifier: Apache-2.0
"""Make the files of one processed frame."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.data.cityscapes import (
    LABEL_SKY,
    DataError,
    Sample,
    StereoFrame,
    Unusable,
    decode_disparity,
    is_masked,
    read_stereo,
)
from depth_dpt_core.data.processed import (
    CODE_SKY,
    ProcessedFrame,
    ProcessedSample,
    encode_depth,
)

_JPEG = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)
# without a level OpenCV takes the fastest and one filter, which also halves the time to read
_PNG = (cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT)


T = TypeVar("T", np.uint8, np.uint16)


@dataclass(frozen=True)
class Job:
    """A frame to make; `made_from` identifies settings and sources."""

    sample: Sample
    made_from: str


@dataclass(frozen=True)
class FrameRecord:
    """The camera file of a frame: intrinsics in pixels, and what its files hold."""

    fx: float
    fy: float
    cx: float
    cy: float
    image_bytes: int
    image_sha256: str
    depth_bytes: int
    depth_sha256: str
    made_from: str


def read_record(frame: ProcessedSample) -> FrameRecord | None:
    """What the camera file says; None unless image and depth are there in full."""
    try:
        record = FrameRecord(**json.loads(frame.camera.read_bytes()))
        sizes = (frame.image.stat().st_size, frame.depth.stat().st_size)
    except (OSError, ValueError, TypeError):
        return None
    return record if sizes == (record.image_bytes, record.depth_bytes) else None


def make_frame(out: Path, width: int, max_depth: float, job: Job) -> FrameRecord | Unusable:
    """Write the files of one frame, or remove them if it turns out unusable."""
    files = ProcessedSample.at(out, job.sample.name)
    files.camera.unlink(missing_ok=True)  # from here on the frame is not whole
    try:
        stereo = read_stereo(job.sample)
    except DataError as error:
        files.image.unlink(missing_ok=True)
        files.depth.unlink(missing_ok=True)
        return Unusable(job.sample.name, str(error))
    frame = shrink(stereo, width, max_depth)
    jpeg = cv2.imencode(".jpg", cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), _JPEG)[1].tobytes()
    png = cv2.imencode(".png", frame.code, _PNG)[1].tobytes()
    record = FrameRecord(
        **asdict(frame.intrinsics),
        image_bytes=len(jpeg),
        image_sha256=hashlib.sha256(jpeg).hexdigest(),
        depth_bytes=len(png),
        depth_sha256=hashlib.sha256(png).hexdigest(),
        made_from=job.made_from,
    )
    _write(files.image, jpeg)
    _write(files.depth, png)
    _write(files.camera, json.dumps(asdict(record), indent=1).encode())
    return record


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all if the process dies.

    It does not wait for the disk, which can take as long as the work. Should power fail, file
    systems leave a file too short: reading it is an error, and `read_record` has it made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(content)
    temporary.replace(path)


def shrink(frame: StereoFrame, width: int, max_depth: float) -> ProcessedFrame:
    """Bring a frame to at most `width` pixels wide, keeping its aspect, and encode its depth."""
    tall, wide = frame.disparity.shape
    size = (min(width, wide), max(1, round(tall * min(1, width / wide))))
    # disparity rather than depth: fewer pixels to convert
    disparity = _resized(frame.disparity, size, cv2.INTER_NEAREST_EXACT)
    code = _depth_codes(frame.baseline * frame.intrinsics.fx, max_depth).take(disparity)
    if frame.labels is not None:
        labels = _resized(frame.labels, size, cv2.INTER_NEAREST_EXACT)
        code[is_masked(labels)] = 0
        code[labels == LABEL_SKY] = CODE_SKY  # stereo finds something there too
    image = _resized(frame.image, size, cv2.INTER_AREA)
    return ProcessedFrame(image, code, frame.intrinsics.scaled(size[0] / wide, size[1] / tall))


def _resized(array: NDArray[T], size: tuple[int, int], interpolation: int) -> NDArray[T]:
    return np.asarray(cv2.resize(array, size, interpolation=interpolation), array.dtype)


@functools.lru_cache(maxsize=8)
def _depth_codes(baseline_focal: float, max_depth: float) -> NDArray[np.uint16]:
    """The depth code of every disparity code; `baseline_focal` in metres times pixels."""
    return encode_depth(
        decode_disparity(np.arange(65536, dtype=np.uint16), baseline_focal), max_depth
    )
