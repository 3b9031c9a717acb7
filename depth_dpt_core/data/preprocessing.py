# SPDX-License-Identifier: Apache-2.0
"""Make the processed data set, which training works on, of a data set in Cityscapes layout.

The format is described in `processed`. A frame is whole when its camera file, written last, is
there; that file says what the frame was made from, so that a run makes only what is missing or
out of date. The record of the data set is removed before anything changes and written last.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from depth_dpt_core.config import DataConfig
from depth_dpt_core.data.cityscapes import (
    DataError,
    Listing,
    Sample,
    StereoRig,
    Unusable,
    list_split,
)
from depth_dpt_core.data.frame_files import FrameRecord, Job, make_frame, read_record
from depth_dpt_core.data.processed import RECORD_FILE, VERSION, ProcessedSample
from depth_dpt_core.data.workers import worker_processes
from depth_dpt_core.files import sha256_of, write_atomically

SPLITS = ("train", "val", "test")

_LOCK_FILE = ".preprocess.lock"
_FOLDERS = ("image", "depth", "camera")
_FRAMES_PER_TASK = 4  # of a worker process
_WARNINGS_SHOWN = 10


@dataclass(frozen=True)
class PreprocessReport:
    """What a run of `preprocess` found and did."""

    out: Path
    frames: dict[str, int]  # of each split
    made: int
    kept: int
    removed: int  # frames that are no longer in the source
    unusable: list[Unusable]
    unused: list[str]  # other splits of the source

    def summary(self) -> str:
        """Several lines to print, with the first of what was unusable."""
        counts = ", ".join(f"{number} {split}" for split, number in self.frames.items())
        lines = [f"{self.out}: {counts} frames", f"{self.made} made, {self.kept} kept"]
        lines[-1] += f", {self.removed} removed, {len(self.unusable)} unusable"
        lines += [f"warning: split {name} is not used" for name in self.unused]
        lines += [f"warning: {it.name}: {it.reason}" for it in self.unusable[:_WARNINGS_SHOWN]]
        if len(self.unusable) > _WARNINGS_SHOWN:
            more = len(self.unusable) - _WARNINGS_SHOWN
            lines.append(f"and {more} more, see {self.out / RECORD_FILE}")
        return "\n".join(lines)


def preprocess(config: DataConfig, *, workers: int) -> PreprocessReport:
    """Bring the folder `config.processed` up to date with the data set `config.root`.

    Frames that cannot be used are left out, and listed in the record and the report.

    Args:
        config: where the data is, and the settings.
        workers: processes to use; 1 does all work in this one.

    Raises:
        DataError: there are no images, a split has no usable frame, the output folder cannot be
            written to, or it holds something else.
        RuntimeError: another process is at work in the output folder.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    root, out = Path(config.root), Path(config.processed)
    listing = _list_all(root, StereoRig(config.baseline, config.focal_length))
    with _sole_user(out):
        return _update(out, config, listing, workers)


def _list_all(root: Path, rig: StereoRig) -> Listing:
    samples: list[Sample] = []
    unusable: list[Unusable] = []
    absent: list[DataError] = []
    for split in SPLITS:
        try:
            listing = list_split(root, split, rig)
        except DataError as error:
            absent.append(error)
            continue
        samples += listing.samples
        unusable += listing.unusable
    if len(absent) == len(SPLITS):
        raise absent[0]
    _require_frames([sample.name for sample in samples], unusable)
    return Listing(samples, unusable)


def _other_splits(root: Path) -> list[str]:
    """Splits beside those that are used: `train_extra` of Cityscapes, or a misspelt one."""
    folders = [*root.glob("leftImg8bit/*/"), *root.glob("depth_X/*/")]
    return sorted({folder.name for folder in folders if folder.is_dir()} - {*SPLITS})


def _require_frames(names: Iterable[str], unusable: list[Unusable]) -> None:
    """Refuse a split of which nothing is left."""
    usable = {name.partition("/")[0] for name in names}
    for frame in unusable:
        split = frame.name.partition("/")[0]
        if split not in usable:
            raise DataError(f"split {split} has no usable frame; {frame.name}: {frame.reason}")


@contextmanager
def _sole_user(out: Path) -> Iterator[None]:
    """Make the folder and keep other processes out of it."""
    lock = FileLock(out / _LOCK_FILE, timeout=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        ours = (out / _LOCK_FILE).exists() or (out / RECORD_FILE).exists()
        if not ours and any(not path.name.startswith(".") for path in out.iterdir()):
            raise DataError(f"{out} holds other files: choose an empty folder as data.processed")
        lock.acquire()
    except Timeout as error:
        raise RuntimeError(f"{out}: another process is at work there") from error
    except OSError as error:
        raise DataError(f"{out} cannot be written to ({error.strerror})") from error
    try:
        yield
    finally:
        lock.release()


def _update(out: Path, config: DataConfig, listing: Listing, workers: int) -> PreprocessReport:
    jobs, records = _plan(out, config, listing.samples)
    kept = len(records)
    stale = _stale_files(out, listing.samples)
    if jobs or stale:
        (out / RECORD_FILE).unlink(missing_ok=True)
    _remove(out, stale)
    unusable = list(listing.unusable)
    for job, result in zip(jobs, _make_all(out, config, jobs, workers), strict=True):
        if isinstance(result, Unusable):
            unusable.append(result)
        else:
            records[job.sample.name] = result
    unusable.sort(key=lambda it: it.name)
    _require_frames(records, unusable)
    frames = {
        split: sorted(name for name in records if name.startswith(f"{split}/")) for split in SPLITS
    }
    counts = {split: len(names) for split, names in frames.items()}
    content = {
        "version": VERSION,
        "settings": config.settings(),
        "counts": {**counts, "unusable": len(unusable)},
        "fingerprint": _fingerprint(records),
        "frames": frames,
        "unusable": [asdict(it) for it in unusable],
    }
    _write_if_changed(out / RECORD_FILE, json.dumps(content, indent=1).encode())
    removed = sum(path.suffix == ".json" and not path.name.startswith(".") for path in stale)
    unused = _other_splits(Path(config.root))
    return PreprocessReport(out, counts, len(records) - kept, kept, removed, unusable, unused)


def _plan(
    out: Path, config: DataConfig, samples: list[Sample]
) -> tuple[list[Job], dict[str, FrameRecord]]:
    """The frames to make, and the records by name of those that are as they should be."""
    jobs: list[Job] = []
    records: dict[str, FrameRecord] = {}
    for sample in samples:
        made_from = _identity(sample, config)
        record = read_record(ProcessedSample.at(out, sample.name))
        if record is not None and record.made_from == made_from:
            records[sample.name] = record
        else:
            jobs.append(Job(sample, made_from))
    return jobs, records


def _identity(sample: Sample, config: DataConfig) -> str:
    """Digest of all that a processed frame depends on; size and time stand for a file."""
    files: list[list[Any]] = []
    for path in sample.files:
        # a dangling link is left to whoever reads it
        status = path.stat() if path.exists() else None
        files.append([path.name, status and status.st_size, status and status.st_mtime_ns])
    rig = asdict(sample.camera) if isinstance(sample.camera, StereoRig) else None
    content = [_code_digest(), config.width, config.max_depth, rig, files]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@functools.cache
def _code_digest() -> str:
    """Digest of the code that decides what a frame's files hold."""
    names = ("cityscapes.py", "frame_files.py", "processed.py")
    return "".join(sha256_of(Path(__file__).with_name(name)) for name in names)


def _stale_files(out: Path, samples: list[Sample]) -> list[Path]:
    """Files of frames that are no longer listed, and what killed runs left half-written."""
    frames = [ProcessedSample.at(out, sample.name) for sample in samples]
    wanted = {path for frame in frames for path in (frame.image, frame.depth, frame.camera)}
    found = [
        Path(folder, name)
        for kind in _FOLDERS
        for folder, _, names in os.walk(out / kind)
        for name in names
    ]
    half_written = out.glob(f".{Path(RECORD_FILE).stem}.*")
    return [path for path in found if path not in wanted] + list(half_written)


def _remove(out: Path, files: list[Path]) -> None:
    for path in files:
        path.unlink()
    if files:
        for kind in _FOLDERS:
            for folder, _, _ in os.walk(out / kind, topdown=False):
                if not any(Path(folder).iterdir()):
                    Path(folder).rmdir()


def _fingerprint(records: dict[str, FrameRecord]) -> str:
    """Digest of names and contents: the same files, the same digest."""
    digest = hashlib.sha256()
    for name, it in sorted(records.items()):
        content = [name, it.image_sha256, it.depth_sha256, it.fx, it.fy, it.cx, it.cy]
        digest.update(json.dumps(content).encode())
    return digest.hexdigest()


def _write_if_changed(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        write_atomically(path, content)


def _make_all(
    out: Path, config: DataConfig, jobs: list[Job], workers: int
) -> list[FrameRecord | Unusable]:
    make = functools.partial(make_frame, out, config.width, config.max_depth)
    progress = functools.partial(tqdm, total=len(jobs), unit="frame", disable=not jobs)
    workers = min(workers, math.ceil(len(jobs) / _FRAMES_PER_TASK))
    if workers <= 1:
        return list(progress(map(make, jobs)))
    # processes, since decoding PNG holds the lock of the interpreter
    with worker_processes(workers) as pool:
        return list(progress(pool.map(make, jobs, chunksize=_FRAMES_PER_TASK)))
