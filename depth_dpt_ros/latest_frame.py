# SPDX-License-Identifier: Apache-2.0
"""A mailbox with one slot for each camera: the newest frame wins."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from threading import Condition
from typing import Generic, TypeVar

Source = TypeVar("Source")
Frame = TypeVar("Frame")


class LatestFrames(Generic[Source, Frame]):
    """Hands frames from callbacks to a worker thread; an unstarted older one is replaced.

    The camera comes first whose last turn is longest ago: between a frame's coming and its turn
    every other camera has one turn at most, however fast it is.
    """

    def __init__(self, due: Callable[[Source, Frame], float]) -> None:
        """Make a closed mailbox.

        Args:
            due: when a frame may be worked on, monotonic seconds. Asked on the worker's thread,
                often; its answer counts until `wake`, or the next frame.
        """
        self._due = due
        self._changed = Condition()
        self._frames: dict[Source, Frame] = {}
        self._turns: dict[Source, int] = {}  # number of the last turn of each
        self._numbers = itertools.count(1)
        self._open = False

    def put(self, source: Source, frame: Frame) -> bool:
        """Leave a camera's newest frame; whether it replaced one that was not taken yet.

        Never waits. A closed mailbox drops what it gets.
        """
        with self._changed:
            if not self._open:
                return False
            replaces = source in self._frames
            self._frames[source] = frame
            self._changed.notify_all()
            return replaces

    def take(self, most: int) -> list[tuple[Source, Frame]] | None:
        """Wait until a frame is due and take up to `most`; None once the mailbox is closed."""
        with self._changed:
            while self._open:
                due = {source: self._due(source, frame) for source, frame in self._frames.items()}
                now = time.monotonic()
                ready = [source for source, when in due.items() if when <= now]
                if ready:
                    ready.sort(key=lambda source: self._turns.get(source, 0))
                    self._turns |= {source: next(self._numbers) for source in ready[:most]}
                    return [(source, self._frames.pop(source)) for source in ready[:most]]
                self._changed.wait(min(due.values()) - now if due else None)
            return None

    def wake(self) -> None:
        """Have waiting frames looked at again: something that `due` depends on has come."""
        with self._changed:
            if self._frames:
                self._changed.notify_all()

    def open(self) -> None:
        """Let `take` wait for frames."""
        with self._changed:
            self._open = True

    def close(self) -> None:
        """Dismiss whoever waits, and drop what nobody took."""
        with self._changed:
            self._frames.clear()
            self._turns.clear()
            self._open = False
            self._changed.notify_all()
