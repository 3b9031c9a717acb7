# SPDX-License-Identifier: Apache-2.0
"""What Fast DDS keeps in /dev/shm, and whose it is.

A participant has a segment `fastdds_ID` with a lock file `fastdds_ID_el` beside it, which its
process keeps open and locked (flock) until it ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/dev/shm")  # noqa: S108 - where Fast DDS has it
_LOCK = re.compile(r"fastdds_[0-9a-f]{16}_el")
_PROCESS_ID = slice(4, 6)  # of an endpoint's identity; two low bytes, the lower one first
_HOST_ID = slice(2, 4)
_FAST_DDS = (0x01, 0x0F)  # vendor, the identity's beginning


@dataclass(frozen=True)
class SharedMemory:
    """The shared memory in bytes, and the segments of Fast DDS in it.

    Attributes:
        live: segments of running processes.
        stale: segments that ended processes left behind.
        stale_size: of these, bytes.
        others: users (numeric) other than this one with segments there.
    """

    total: int
    free: int
    live: int = 0
    stale: int = 0
    stale_size: int = 0
    others: tuple[int, ...] = ()


@dataclass(frozen=True)
class Process:
    """A process with Fast DDS: its command line and the size of its largest segment in bytes."""

    pid: int
    command: str
    segment: int


def gather(folder: Path = FOLDER) -> SharedMemory | None:
    """Look at the shared memory; None where the system has none."""
    if not folder.is_dir():
        return None
    usage = shutil.disk_usage(folder)
    live = stale = stale_size = 0
    others = set()
    for lock in folder.iterdir():
        if not _LOCK.fullmatch(lock.name):
            continue
        try:
            status = lock.stat()
            held = _is_held(lock)
            size = lock.with_name(lock.name[:-3]).stat().st_blocks * 512  # pages in use
        except OSError:  # gone meanwhile
            continue
        if status.st_uid != os.geteuid():
            others.add(status.st_uid)
        if held:
            live += 1
        else:
            stale += 1
            stale_size += size
    return SharedMemory(usage.total, usage.free, live, stale, stale_size, tuple(sorted(others)))


def _is_held(lock: Path) -> bool:
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given back on closing
        except BlockingIOError:
            return True
    return False


def same_host(identity: list[int], own: list[int]) -> bool | None:
    """Whether two endpoints are on one machine; None where the middleware does not say."""
    if tuple(identity[:2]) != _FAST_DDS or tuple(own[:2]) != _FAST_DDS:
        return None
    return identity[_HOST_ID] == own[_HOST_ID]


def process_of(identity: list[int], folder: Path = FOLDER) -> Process | None:
    """The process on this machine that has an endpoint, by the endpoint's identity.

    None where it cannot be seen: it is another user's, or in another container.
    """
    low = int.from_bytes(bytes(identity[_PROCESS_ID]), "little")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) & 0xFFFF != low:
            continue
        try:
            opened = [_target(link) for link in (entry / "fd").iterdir()]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:  # another user's, or gone
            continue
        names = [file.name for file in opened if file.parent == folder]
        segments = [folder / name[:-3] for name in names if _LOCK.fullmatch(name)]
        sizes = [segment.stat().st_size for segment in segments if segment.exists()]
        if sizes:
            return Process(int(entry.name), command, max(sizes))
    return None


def _target(link: Path) -> Path:
    try:
        return link.readlink()
    except OSError:  # closed meanwhile
        return Path()
