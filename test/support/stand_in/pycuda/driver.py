# SPDX-License-Identifier: Apache-2.0
"""pycuda.driver in host memory, as strict about threads and contexts as the real one.

What the real one would crash or leak on is noted in `violations`. The file STAND_IN_LOG gets a
line for each thing freed and each violation, with the thread's name.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np


class Error(Exception): ...


class MemoryError(Error): ...  # noqa: A001


class LogicError(Error): ...


fail = {}  # name of a call: what it raises, every time
calls = []  # names of all calls
violations = []
memory = {}  # address: bytes as numpy array
identity = {"name": "Stand-in GPU", "compute_capability": (8, 7), "driver": 12060}
_local = threading.local()
_addresses = iter(range(0x1000, 1 << 40, 0x1000))


def reset():
    """As after a reboot."""
    for record in (fail, calls, violations, memory):
        record.clear()
    identity.update(name="Stand-in GPU", compute_capability=(8, 7), driver=12060)


class _Stack(list):
    def __del__(self):
        if self:
            _violation("a thread ended with its context pushed: the real one aborts")


def _call(name):
    calls.append(name)
    if name in fail:
        raise fail[name]
    if name != "init" and not getattr(_local, "stack", None):
        raise LogicError(f"{name} failed: invalid device context - no currently active context")


def _freed(what):
    calls.append(f"free {what}")
    _write(f"free {what}")
    if not getattr(_local, "stack", None):
        _violation(f"{what} freed without an active context: the real one leaks it")


def _violation(text):
    violations.append(text)
    _write(f"violation: {text}")


def _write(text):
    if log := os.environ.get("STAND_IN_LOG"):
        with Path(log).open("a") as file:
            file.write(f"{threading.current_thread().name}: {text}\n")


class Context:
    def push(self):
        if not hasattr(_local, "stack"):
            _local.stack = _Stack()
        _local.stack.append(self)

    @staticmethod
    def pop():
        _call("pop")
        _write("pop")
        _local.stack.pop()


class Device:
    def __init__(self, ordinal):
        assert ordinal == 0

    @staticmethod
    def count():
        return 0 if fail.get("count") else 1

    def name(self):
        return identity["name"]

    def compute_capability(self):
        return identity["compute_capability"]

    def retain_primary_context(self):
        return Context()


class Stream:
    def __init__(self, flags=0):
        _call("Stream")
        assert flags == 1, "must not wait for the default stream"
        self.handle = 4711

    def __del__(self):
        if hasattr(self, "handle"):  # was made
            _freed("stream")


class Event:
    def __init__(self, flags=0):
        _call("Event")
        self.recorded = False

    def record(self, stream=None):
        _call("record")
        assert stream is not None
        self.recorded = True
        return self

    def synchronize(self):
        _call("synchronize")
        return self

    def time_till(self, other):
        assert self.recorded
        assert other.recorded
        return 0.25


class event_flags:
    BLOCKING_SYNC = 1


class DeviceAllocation:
    def __init__(self, size):
        self._address = next(_addresses)
        memory[self._address] = np.full(size, 0xA5, np.uint8)

    def __int__(self):
        return self._address

    def __del__(self):
        memory.pop(self._address, None)
        _freed("buffer")


def init(flags=0):
    _call("init")


def get_version():
    return (12, 6, 0)


def get_driver_version():
    return identity["driver"]


def mem_alloc(size):
    _call("mem_alloc")
    return DeviceAllocation(size)


def pagelocked_empty(shape, dtype):
    _call("pagelocked_empty")
    return np.empty(shape, dtype)


def memcpy_htod_async(dest, src, stream):
    _call("memcpy_htod_async")
    assert stream.handle == 4711
    memory[int(dest)][:] = np.ascontiguousarray(src).view(np.uint8).reshape(-1)


def memcpy_dtoh_async(dest, src, stream):
    _call("memcpy_dtoh_async")
    assert stream.handle == 4711
    dest[...] = memory[int(src)].view(dest.dtype).reshape(dest.shape)
