# SPDX-License-Identifier: Apache-2.0
"""Writing files such that a reader never sees half of one."""

from __future__ import annotations

import glob
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_RANDOM = 8  # characters that tempfile puts into a name


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/depth_dpt_ros, or below ~/.cache where that is not set."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # the XDG specification has relative paths ignored
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "depth_dpt_ros"


@contextmanager
def replacing(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place when the block ends well.

    Folders are made as needed; on an error the temporary file is removed and `path` is as before.
    A private file is its owner's alone, whatever the umask.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if not private:  # as mkstemp makes them
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path, private=private) as temporary:
        temporary.write_bytes(content)


def check_writable(folder: Path) -> None:
    """Raise OSError unless files can be made in `folder`."""
    with tempfile.TemporaryFile(dir=folder):
        pass


def remove_abandoned(path: Path) -> None:
    """Remove what killed processes left half-written of `path`; only while nobody writes it."""
    for left in path.parent.glob(f".{glob.escape(path.stem)}.{'?' * _RANDOM}{path.suffix}"):
        left.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
