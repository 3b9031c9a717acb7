# SPDX-License-Identifier: Apache-2.0
"""Ending in good order when told to."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread


@contextmanager
def interruption() -> Iterator[Event]:
    """An event that SIGINT and SIGTERM set, so that work can end where it is safe.

    A second signal raises KeyboardInterrupt at once.
    """
    event = Event()
    if current_thread() is not main_thread():
        yield event  # only the main thread may have handlers
        return

    def handle(*_: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_interrupts(worker: int) -> None:  # noqa: ARG001
    """Leave Ctrl-C to the main process, which needs its loading workers to the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
