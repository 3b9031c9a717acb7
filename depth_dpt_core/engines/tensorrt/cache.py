# SPDX-License-Identifier: Apache-2.0
"""Files that were made on this machine for this machine: engines, and what helps to make them.

Loading an engine file is running whatever code it holds
(docs.nvidia.com/deeplearning/tensorrt/11.4.0/reference/security.html), so only files are read
that this user wrote, in a folder that nobody else can enter, and whose size and SHA-256 are those
written down beside them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from depth_dpt_core.engines.tensorrt.errors import BuildCancelledError, EngineError
from depth_dpt_core.files import cache_folder, remove_abandoned, write_atomically
from depth_dpt_core.locking import BusyError, only_one_at

_log = logging.getLogger(__name__)

SCHEMA_VERSION = 1  # goes up when engines are built, judged or stored in another way
_POLL = 0.5  # s between looks at a lock that another process holds

Kind = Literal["engine", "timing", "reference"]


def default_folder() -> Path:
    """Where engines are kept unless another folder is named."""
    return cache_folder() / "engines"


@dataclass(frozen=True)
class CacheKey:
    """Everything that a file depends on; a change in any of it is another file.

    `label` is for people, such as the model's name.
    """

    kind: Kind
    label: str
    fields: dict[str, Any]

    @property
    def file_name(self) -> str:
        """For instance `city.fp16-3f2a9c0d11e8b7a6.engine`."""
        content = json.dumps({"schema": SCHEMA_VERSION, **self.fields}, sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        return f"{re.sub(r'[^A-Za-z0-9._-]', '_', self.label)}-{digest}.{self.kind}"


@dataclass(frozen=True)
class Entry:
    """A file of the cache as `depth-dpt engine list` shows it.

    Attributes:
        refused: why it is aside; empty for a usable one.
        checked: how and when a usable one was last proven; empty if it never was.
    """

    path: Path
    size: int
    fields: dict[str, Any]
    refused: str = ""
    checked: str = ""


class EngineCache:
    """A private folder of sealed files: each has a JSON beside it with its size and SHA-256."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, or check that it is this user's alone.

        Raises:
            EngineError: others own it or can enter it, or it cannot be made.
        """
        self.folder = folder
        self._aside = folder / "refused"
        for each in (folder, self._aside):
            try:
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
                status = each.lstat()
            except OSError as error:
                raise EngineError(f"{each}: the engine cache cannot be made ({error})") from error
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                raise EngineError(f"{each}: the engine cache must be a folder of your own")
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise EngineError(f"{each}: others can enter the engine cache; chmod 700 it")

    def path(self, key: CacheKey) -> Path:
        """Where the file of this key is, or would be."""
        return self.folder / key.file_name

    @contextmanager
    def only_one(self, key: CacheKey, cancelled: Callable[[], bool]) -> Iterator[None]:
        """Hold a key against other processes, waiting for them until cancelled.

        Raises:
            BuildCancelledError: it was cancelled before the others ended.
            EngineError: the folder is read-only.
        """
        path = self.path(key)
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(only_one_at(path, wait=_POLL))
                    break
                except BusyError as error:
                    if cancelled():
                        raise BuildCancelledError(str(error)) from error
                except OSError as error:
                    raise EngineError(f"{path}: cannot be locked ({error})") from error
            for about in (_sidecar(path), _checked(path)):
                remove_abandoned(about)
            yield

    def read(self, key: CacheKey) -> bytes | None:
        """The file's content; None where there is none, or where it cannot be trusted."""
        path = self.path(key)
        try:
            seal = json.loads(_read_own(_sidecar(path)))
            content = _read_own(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _log.warning("not used: %s", error)
            return None
        expected = _seal(key, content)
        if seal != expected:
            _log.warning("not used: %s is not what was written there; it is made again", path)
            return None
        return content

    def write(self, key: CacheKey, content: bytes) -> None:
        """Store a file and then its seal; killed between the two, the file does not count.

        Raises:
            EngineError: the disk is full or read-only.
        """
        path = self.path(key)
        try:
            write_atomically(path, content, private=True)
            seal = json.dumps(_seal(key, content), indent=1).encode()
            write_atomically(_sidecar(path), seal, private=True)
        except OSError as error:
            raise EngineError(f"{path}: cannot be written ({error})") from error

    def note_check(self, key: CacheKey, verdict: str) -> None:
        """Write down that a file was proven now, for people; an unwritable disk is no matter."""
        text = f"{verdict} ({datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC)"
        with contextlib.suppress(OSError):
            write_atomically(_checked(self.path(key)), text.encode(), private=True)

    def refuse(self, key: CacheKey, report: dict[str, Any]) -> Path:
        """Move a file out of use, with the report that says why; returns where it is then."""
        path, aside = self.path(key), self._aside / key.file_name
        content = json.dumps({"fields": key.fields, "report": report}, indent=1)
        try:
            for about in (_sidecar(path), _checked(path)):
                about.unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                path.replace(aside)
            write_atomically(_sidecar(aside), content.encode(), private=True)
        except OSError as error:
            raise EngineError(f"{aside}: cannot be written ({error})") from error
        return aside

    def refusal(self, key: CacheKey) -> str | None:
        """Why an engine of this very key was refused before; None if it was not."""
        aside = _sidecar(self._aside / key.file_name)
        try:
            return f"{json.loads(_read_own(aside))['report']['verdict']} (report in {aside})"
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError) as error:
            _log.warning("%s: not a report (%s)", aside, error)
            return None

    def forgive(self, key: CacheKey) -> None:
        """Forget a refusal, so that the engine is built and judged again."""
        aside = self._aside / key.file_name
        for path in (aside, _sidecar(aside)):
            path.unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """The engines here, usable ones first."""
        found = []
        for path in sorted(self.folder.glob("*.engine")):
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
                fields = json.loads(_read_own(_sidecar(path)))["fields"]
                found.append(Entry(path, path.stat().st_size, fields, checked=_verdict(path)))
        for path in sorted(self._aside.glob("*.engine")):
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
                content = json.loads(_read_own(_sidecar(path)))
                verdict = content["report"]["verdict"]
                found.append(Entry(path, path.stat().st_size, content["fields"], verdict))
        return found


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _checked(path: Path) -> Path:
    return path.with_name(f"{path.name}.checked")


def _verdict(path: Path) -> str:
    about = _checked(path)
    if not about.exists() or about.stat().st_mtime < path.stat().st_mtime:
        return ""  # of an engine that was there before
    return _read_own(about).decode(errors="replace")


def _seal(key: CacheKey, content: bytes) -> dict[str, Any]:
    return {
        "schema": SCHEMA_VERSION,
        "fields": key.fields,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _read_own(path: Path) -> bytes:
    """Read a file that this user alone can have written; PermissionError otherwise."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        # asked of the open file: its name could mean another one by now
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError(f"{path}: not a file of your own")
        if stat.S_IMODE(status.st_mode) & 0o022:
            raise PermissionError(f"{path}: others can write to it")
        return file.read()
