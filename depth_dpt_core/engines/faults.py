# SPDX-License-Identifier: Apache-2.0
"""GPU faults, which are for ever.

After an illegal access or a lost device every later CUDA call of the process fails as well, on
any runtime, so the GPU is left alone until the process is started again.
"""

from __future__ import annotations


class GpuFault(RuntimeError):  # noqa: N818 - the field's own name for it
    """The GPU failed; nothing in this process can use it any more."""


# whole, with the frames in their tracebacks: freeing what is on a lost GPU can end the process
_faults: list[GpuFault] = []


def remember_fault(fault: GpuFault) -> None:
    """Keep this process away from the GPU from now on."""
    _faults.append(fault)


def remembered_fault() -> str:
    """The first fault of this process as a sentence; empty while the GPU is well."""
    return f"the GPU is not used again in this process: {_faults[0]}" if _faults else ""


def check_no_fault() -> None:
    """Raise GpuFault if the GPU has failed in this process before."""
    if _faults:
        raise GpuFault(remembered_fault())
