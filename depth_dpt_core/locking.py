# SPDX-License-Identifier: Apache-2.0
"""One process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from depth_dpt_core.files import remove_abandoned


class BusyError(RuntimeError):
    """Another process is at work on a file or folder; names it."""


@contextmanager
def only_one_at(path: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold a file or folder against other programs, waiting so many seconds for them to end.

    What killed programs left half-written of it is removed.

    Raises:
        BusyError: another process still holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name.lstrip('.')}.lock"), timeout=wait)
    try:
        lock.acquire()
    except Timeout as error:
        raise BusyError(f"{path}: another process is at work there") from error
    try:
        remove_abandoned(path)
        yield
    finally:
        lock.release()
