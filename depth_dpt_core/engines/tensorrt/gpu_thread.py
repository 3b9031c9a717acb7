# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the GPU.

CUDA contexts belong to threads: pycuda refuses memory and streams on any other, and ends the
process when a thread ends without giving its context back.
"""

from __future__ import annotations

import queue
import threading
import traceback
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from depth_dpt_core.engines.faults import (
    GpuFault,
    check_no_fault,
    remember_fault,
    remembered_fault,
)
from depth_dpt_core.engines.tensorrt.cuda import Gpu
from depth_dpt_core.engines.tensorrt.errors import EngineError
from depth_dpt_core.engines.tensorrt.loaded import LoadedEngine

T = TypeVar("T")


@dataclass
class Workplace:
    """What tasks on the GPU's thread have in their hands, and nobody else."""

    gpu: Gpu
    engine: LoadedEngine | None = None

    def unload(self) -> None:
        """Free the engine that is loaded, if any."""
        if self.engine is not None:
            self.engine.close()
            self.engine = None


_Queue = queue.SimpleQueue[tuple[Callable[[Workplace], Any], "Future[Any]"] | None]


class GpuThread:
    """Runs what it is given, in order, on a thread that holds the GPU; any thread may ask.

    Closed with its last reference and at the end of the process. After a fault it is left as it
    stands, with everything on the GPU: freeing on a lost device can end the process.
    """

    def __init__(self) -> None:
        """Start the thread and open the device.

        Raises:
            EngineError: there is no usable device.
            GpuFault: the GPU has failed in this process before.
        """
        check_no_fault()
        self._tasks: _Queue = queue.SimpleQueue()
        opened: Future[None] = Future()
        failed = threading.Event()
        thread = threading.Thread(
            target=_serve, args=(self._tasks, opened, failed), name="gpu", daemon=True
        )
        thread.start()
        opened.result()
        self._close = weakref.finalize(self, _stop, self._tasks, thread, failed)

    def call(self, task: Callable[[Workplace], T]) -> T:
        """Run `task` there and wait for what it returns or raises.

        Raises:
            EngineError: the thread is closed.
            GpuFault: the GPU failed, now or before.
        """
        check_no_fault()
        if not self._close.alive:
            raise EngineError("the engine is closed")
        answer: Future[T] = Future()
        self._tasks.put((task, answer))
        return answer.result()

    def close(self) -> None:
        """Free the engine, give the device back and end the thread."""
        self._close()


def _stop(tasks: _Queue, thread: threading.Thread, failed: threading.Event) -> None:
    tasks.put(None)
    # the last reference can go anywhere, even there
    while thread is not threading.current_thread() and thread.is_alive() and not failed.is_set():
        thread.join(0.1)


def _serve(tasks: _Queue, opened: Future[None], failed: threading.Event) -> None:
    try:
        place = Workplace(Gpu())
    except Exception as error:  # noqa: BLE001 - whoever asked must hear of it
        _let_go(error)
        opened.set_exception(error)
        return
    opened.set_result(None)
    while not failed.is_set() and (item := tasks.get()) is not None:
        _work(place, failed, *item)
        item = None  # it may hold a large plan
    if not failed.is_set():
        _work(place, failed, _give_back, Future())
    while failed.is_set():  # for ever: see GpuThread
        if (late := tasks.get()) is not None:
            late[1].set_exception(GpuFault(remembered_fault()))


def _give_back(place: Workplace) -> None:
    place.unload()
    place.gpu.close()


def _work(
    place: Workplace,
    failed: threading.Event,
    task: Callable[[Workplace], Any],
    answer: Future[Any],
) -> None:
    try:
        result = task(place)
    except GpuFault as fault:
        remember_fault(fault)
        failed.set()
        answer.set_exception(fault)
    except Exception as error:  # noqa: BLE001 - whoever asked must hear of it
        _let_go(error)
        answer.set_exception(error)
    else:
        answer.set_result(result)


def _let_go(error: BaseException | None) -> None:
    """Free what an error's frames hold here, not on the thread that will forget the error."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
