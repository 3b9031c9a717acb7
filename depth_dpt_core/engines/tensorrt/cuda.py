# SPDX-License-Identifier: Apache-2.0
"""All that is asked of CUDA, in one place, on pycuda.

Another binding can become a second file with the same class.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pycuda.driver as cuda
from numpy.typing import DTypeLike, NDArray

from depth_dpt_core.engines.faults import GpuFault
from depth_dpt_core.engines.tensorrt.errors import EngineError

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream


@dataclass(frozen=True)
class GpuIdentity:
    """What an engine is bound to: it neither loads nor runs well on another GPU or driver."""

    name: str
    compute_capability: str
    driver: str  # highest CUDA version that the driver serves
    cuda: str  # CUDA version that pycuda was compiled for


@contextmanager
def _faults() -> Iterator[None]:
    """Turn errors of pycuda into ours."""
    try:
        yield
    except cuda.Error as error:
        raise GpuFault(f"the GPU failed ({error})") from error


@contextmanager
def _allocation() -> Iterator[None]:
    """As `_faults`, but that memory is short leaves the GPU well."""
    with _faults():
        try:
            yield
        except cuda.MemoryError as error:
            raise EngineError(f"not enough GPU memory ({error})") from error


class Gpu:
    """One device with one stream; every call comes from the thread that opened it.

    Calls raise `GpuFault` once the device has failed, and EngineError where memory runs out.
    """

    identity: GpuIdentity

    def __init__(self) -> None:
        """Take device 0 for the calling thread; CUDA_VISIBLE_DEVICES says which one that is.

        Raises:
            EngineError: there is no device, or no working driver.
        """
        try:
            cuda.init()
            if cuda.Device.count() == 0:
                raise EngineError(
                    "no CUDA device is visible; see nvidia-smi, CUDA_VISIBLE_DEVICES"
                )
            device = cuda.Device(0)
            self.identity = _identify(device)
            # the primary one, as TensorRT and ONNX Runtime use; retaining does not activate it
            self._context: cuda.Context | None = device.retain_primary_context()
            self._context.push()
        except cuda.Error as error:
            raise EngineError(f"CUDA does not start here ({error})") from error
        self._stream: cuda.Stream | None = None
        try:
            self._stream = cuda.Stream(_NON_BLOCKING)
            # waiting without spinning leaves the core to the camera driver
            blocking = cuda.event_flags.BLOCKING_SYNC
            self._events = [cuda.Event(blocking) for _ in range(4)]
        except cuda.Error as error:
            self._stream = None
            cuda.Context.pop()
            raise EngineError(f"CUDA does not start here ({error})") from error

    @property
    def stream(self) -> int:
        """Handle of the stream that all copies and marks go to."""
        return self._open_stream.handle

    @property
    def _open_stream(self) -> cuda.Stream:
        assert self._stream is not None, "used after close"
        return self._stream

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Page-locked host memory, which the GPU copies without a detour."""
        with _allocation():
            return cuda.pagelocked_empty(shape, dtype)

    def allocate(self, size: int) -> cuda.DeviceAllocation:
        """Device memory of `size` bytes, freed with its last reference."""
        with _allocation():
            return cuda.mem_alloc(size)

    def upload(self, buffer: cuda.DeviceAllocation, host: NDArray[Any]) -> None:
        """Begin to copy pinned memory to the GPU."""
        with _faults():
            cuda.memcpy_htod_async(buffer, host, self._open_stream)

    def download(self, host: NDArray[Any], buffer: cuda.DeviceAllocation) -> None:
        """Begin to copy from the GPU to pinned memory."""
        with _faults():
            cuda.memcpy_dtoh_async(host, buffer, self._open_stream)

    def mark(self, index: int) -> None:
        """Mark this point of the stream with event `index` (0 to 3)."""
        with _faults():
            self._events[index].record(self._open_stream)

    def wait(self) -> tuple[float, float, float]:
        """Wait for mark 3; milliseconds between the four marks."""
        first, second, third, last = self._events
        with _faults():
            last.synchronize()
            return first.time_till(second), second.time_till(third), third.time_till(last)

    def close(self) -> None:
        """Give the device back; buffers must be gone."""
        self._events.clear()
        self._stream = None
        with _faults():
            # pycuda ends the process when a thread ends with a context still pushed
            cuda.Context.pop()
        self._context = None


def _identify(device: cuda.Device) -> GpuIdentity:
    major, minor = device.compute_capability()
    driver = cuda.get_driver_version()
    return GpuIdentity(
        device.name(),
        f"{major}.{minor}",
        f"{driver // 1000}.{driver % 1000 // 10}",
        ".".join(map(str, cuda.get_version())),
    )
