# SPDX-License-Identifier: Apache-2.0
"""Processes that share out work on images."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import cv2


@contextmanager
def worker_processes(number: int) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each, which end with this one however it ends."""
    # spawned, since the threads of OpenCV and Embree do not survive a fork
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(number, mp_context=context, initializer=_start) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _start() -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends the work
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # one that outlived a killed run would write into the next run's files
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
