# SPDX-License-Identifier: Apache-2.0
"""A mailbox with one slot: the newest frame wins."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Received(Generic[T]):
    """A message and when it came, monotonic seconds."""

    message: T
    at: float = field(default_factory=time.monotonic)


class LatestFrame(Generic[T]):
    """Hands frames from a callback to a worker thread; an unstarted older one is replaced."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._frame: T | None = None
        self._open = False
        self._replaced = 0

    @property
    def replaced(self) -> int:
        """Frames that a newer one pushed out before they were taken."""
        with self._changed:
            return self._replaced

    def put(self, frame: T) -> None:
        """Leave the newest frame; never waits."""
        with self._changed:
            self._replaced += self._frame is not None
            self._frame = frame
            self._changed.notify_all()

    def take(self) -> T | None:
        """Wait for a frame and take it; None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or not self._open)
            frame, self._frame = self._frame, None
            return frame if self._open else None

    def give_back(self, frame: T) -> None:
        """Return a frame that cannot be worked on yet, unless a newer one has come."""
        with self._changed:
            if self._frame is None:
                self._frame = frame
            else:
                self._replaced += 1

    def open(self) -> None:
        """Let `take` wait for frames; a new mailbox is closed."""
        with self._changed:
            self._frame, self._open = None, True

    def close(self) -> None:
        """Wake and dismiss whoever waits."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
