# SPDX-License-Identifier: Apache-2.0
"""How a camera and its depth are doing: counts, rates, times, and what is wrong."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from itertools import pairwise
from statistics import median
from threading import Lock
from typing import Any

import numpy as np

from depth_dpt_ros.diagnostics import ERROR, WARN, Report

_PERCENTS = (50, 95, 99)
_WINDOW = 300  # frames that times are told of
_ARRIVALS = 1000  # remembered; more than _RATE_SECONDS of any camera
_RATE_SECONDS = 5.0
_RECENT = 10.0  # s for which a refused image makes the status a warning
# A driver loses a few images when the machine is busy, and recovers; ten in a row it does not.
_SILENT_PERIODS = 10
_SILENT_LEAST = 0.5  # s; a pause of one second's tenths is not worth a warning at any rate
_SILENT_ERROR = 5  # times as long
_UNKNOWN_PERIOD = 1.0  # s, while only one image has come
# s; outside of it an image's stamp and our clock are not of one time base: a bag that is played
# without --clock, a camera that counts from its start
_AGES = (-1.0, 3600.0)


class CameraHealth:
    """Written by the callbacks and the worker, read once a second."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._active_since: float | None = None  # monotonic s
        self._arrivals: deque[float] = deque(maxlen=_ARRIVALS)
        self._answers: deque[float] = deque(maxlen=_ARRIVALS)
        self._counts = dict.fromkeys(("received", "answered", "replaced", "unheard"), 0)
        self._refused: Counter[str] = Counter()
        self._last_refusal = ("", float("-inf"))  # why, monotonic s
        self._times: dict[str, deque[float]] = {}  # s
        self._ages: deque[float] = deque(maxlen=_WINDOW)  # s
        self._warning = ""

    def activate(self) -> None:
        """Images are expected from now on."""
        with self._lock:
            self._arrivals.clear()
            self._answers.clear()
            self._warning = ""
            self._active_since = time.monotonic()

    def deactivate(self) -> None:
        """Images are not expected any more."""
        with self._lock:
            self._active_since = None

    def count_received(self, *, replacing: bool) -> None:
        """An image has come, maybe in place of one that was not begun."""
        with self._lock:
            self._counts["received"] += 1
            self._counts["replaced"] += replacing
            self._arrivals.append(time.monotonic())

    def count_unheard(self) -> None:
        """An image was not worked on, since nobody subscribes."""
        with self._lock:
            self._counts["unheard"] += 1

    def count_refused(self, cause: str, reason: str) -> None:
        """An image could not be used."""
        with self._lock:
            self._refused[cause] += 1
            self._last_refusal = (reason, time.monotonic())

    def count_answered(self, times: Mapping[str, float], age: float) -> None:
        """A frame was published, `age` seconds after its stamp; `times` by stage, seconds."""
        with self._lock:
            self._counts["answered"] += 1
            self._answers.append(time.monotonic())
            for stage, seconds in times.items():
                self._times.setdefault(stage, deque(maxlen=_WINDOW)).append(seconds)
            self._ages.append(age)

    def set_camera(self, warning: str) -> bool:
        """Tell what is wrong with the calibration, if anything; whether that is news."""
        with self._lock:
            news = warning not in ("", self._warning)
            self._warning = warning
            return news

    @property
    def silent(self) -> bool:
        """Whether no image has come since it was activated."""
        with self._lock:
            return not self._arrivals

    def report(self) -> Report:
        """Sum up."""
        with self._lock:
            now = time.monotonic()
            report = Report()
            reason, when = self._last_refusal
            if self._active_since is not None:
                report.add(*self._silence(now))
                if now - when < _RECENT:
                    report.add(WARN, f"images refused, the last: {reason}")
                report.add(WARN, self._warning)
            report.values = self._values(now)
            return report

    def _silence(self, now: float) -> tuple[bytes, str]:
        """Level and text where a camera that was heard is not any more."""
        if not self._arrivals:
            return WARN, ""
        recent = list(self._arrivals)[-31:]
        gaps = [after - before for before, after in pairwise(recent)]
        period = median(gaps) if gaps else _UNKNOWN_PERIOD
        silent, limit = now - recent[-1], max(_SILENT_PERIODS * period, _SILENT_LEAST)
        if silent < limit:
            return WARN, ""
        level = WARN if silent < _SILENT_ERROR * limit else ERROR
        return level, f"no image for {silent:.1f} s, before that one every {period:.3f} s"

    def _values(self, now: float) -> dict[str, Any]:
        values: dict[str, Any] = {
            "images received": self._counts["received"],
            "images answered": self._counts["answered"],
            "images replaced by newer ones": self._counts["replaced"],
            "images not worked on (no subscriber)": self._counts["unheard"],
            "images refused": sum(self._refused.values()),
            **{f"refused, {cause}": count for cause, count in self._refused.items()},
            "input rate (Hz)": f"{self._rate(self._arrivals, now):.1f}",
            "output rate (Hz)": f"{self._rate(self._answers, now):.1f}",
        }
        for stage, seconds in self._times.items():
            values |= _percentiles(stage, seconds)
        if self._ages and not _AGES[0] < self._ages[-1] < _AGES[1]:
            return values | {"age": f"unknown, stamps of another clock ({self._ages[-1]:.0f} s)"}
        return values | _percentiles("age", [a for a in self._ages if _AGES[0] < a < _AGES[1]])

    def _rate(self, times: Iterable[float], now: float) -> float:
        if self._active_since is None:
            return 0.0
        seconds = min(_RATE_SECONDS, max(now - self._active_since, 1.0))
        return sum(now - at < seconds for at in times) / seconds


def _percentiles(name: str, seconds: Iterable[float]) -> dict[str, str]:
    found = np.fromiter(seconds, float) * 1e3
    if not found.size:
        return {}
    values = np.percentile(found, _PERCENTS)
    return {f"{name} p{p} (ms)": f"{v:.1f}" for p, v in zip(_PERCENTS, values, strict=True)}
