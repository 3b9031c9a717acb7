# SPDX-License-Identifier: Apache-2.0
"""The frames of a split, decoded ahead of their use."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from tqdm import tqdm

from depth_dpt_core.data.cityscapes import (
    CityscapesFrame,
    DataError,
    Sample,
    Unusable,
    read_frame,
)

READ_AHEAD = 4  # frames, some 16 MB each at 2048x1024


def read_ahead(
    samples: Iterable[Sample], *, ahead: int = READ_AHEAD
) -> Iterator[tuple[Sample, CityscapesFrame | DataError]]:
    """Read frames in order, in a thread that is at most `ahead` frames further.

    One thread is enough: the PNG decoder does not run beside other Python, but inference in the
    caller's thread leaves it that time. A broken frame comes as its error.
    """
    pool = ThreadPoolExecutor(1, "read_ahead")
    waiting: deque[tuple[Sample, Future[CityscapesFrame | DataError]]] = deque()
    try:
        for sample in samples:
            waiting.append((sample, pool.submit(_read, sample)))
            if len(waiting) > ahead:
                first, frame = waiting.popleft()
                yield first, frame.result()
        while waiting:
            first, frame = waiting.popleft()
            yield first, frame.result()
    finally:
        pool.shutdown(cancel_futures=True)


def usable_frames(
    samples: list[Sample], unusable: list[Unusable], title: str
) -> Iterator[tuple[Sample, CityscapesFrame]]:
    """The frames that can be read, under a progress bar; the others go to `unusable`, aloud."""
    for sample, frame in tqdm(read_ahead(samples), title, len(samples), unit="image"):
        if isinstance(frame, DataError):
            unusable.append(Unusable(sample.name, str(frame)))
            tell(unusable[-1])
        else:
            yield sample, frame


def tell(frame: Unusable) -> None:
    """Say that a frame is left out."""
    tqdm.write(f"left out {frame.name}: {frame.reason}", file=sys.stderr)


def _read(sample: Sample) -> CityscapesFrame | DataError:
    try:
        return read_frame(sample)
    except DataError as error:
        return error
