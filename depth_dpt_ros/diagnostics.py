# SPDX-License-Identifier: Apache-2.0
"""What the node says of itself on /diagnostics."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from depth_dpt_ros.engine_loader import EngineLoader

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
_WINDOW = 100  # latencies remembered
_RECENT = 10.0  # s for which a refused image makes the status a warning


@dataclass
class NodeHealth:
    """Counters and findings; written by the callbacks and the worker, read once a second."""

    engine: EngineLoader | None = None  # while a model is configured
    received: int = 0
    answered: int = 0
    unheard: int = 0  # not worked on, since nobody subscribed
    refused: Counter[str] = field(default_factory=Counter)
    last_refusal: str = ""
    last_refusal_time: float = float("-inf")  # monotonic, s
    failure: str = ""  # why the node cannot work
    camera_warning: str = ""  # why depth may be out of scale
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _lock: Lock = field(default_factory=Lock)

    def count_received(self) -> None:
        """An image has come."""
        with self._lock:
            self.received += 1

    def count_answered(self, seconds: float) -> None:
        """A frame was published, this long after its image was received."""
        with self._lock:
            self.answered += 1
            self._latencies.append(seconds)

    def count_refused(self, cause: str, reason: str) -> None:
        """An image could not be used."""
        with self._lock:
            self.refused[cause] += 1
            self.last_refusal = reason
            self.last_refusal_time = time.monotonic()

    def status(self, name: str, hardware_id: str, state: str, replaced: int) -> DiagnosticStatus:
        """Sum up as a diagnostic status, the worst finding in its message."""
        with self._lock:
            level, message = OK, state
            engine_level, engine_message, engine_values = _about_engine(self.engine)
            if engine_level == WARN:
                level, message = engine_level, engine_message
            if time.monotonic() - self.last_refusal_time < _RECENT:
                level, message = WARN, f"images refused, the last: {self.last_refusal}"
            if self.camera_warning:
                level, message = WARN, self.camera_warning
            if engine_level == ERROR:
                level, message = engine_level, engine_message
            if self.failure:
                level, message = ERROR, self.failure
            values: dict[str, Any] = {
                "state": state,
                **engine_values,
                "images received": self.received,
                "images answered": self.answered,
                "images replaced by newer ones": replaced,
                "images not worked on (no subscriber)": self.unheard,
                "images refused": sum(self.refused.values()),
                **{f"refused, {cause}": count for cause, count in self.refused.items()},
            }
            if self._latencies:
                p50, p95 = np.percentile(np.array(self._latencies) * 1e3, [50, 95])
                values |= {"latency p50 (ms)": f"{p50:.1f}", "latency p95 (ms)": f"{p95:.1f}"}
        return DiagnosticStatus(
            level=level,
            name=name,
            message=message,
            hardware_id=hardware_id,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )


def _about_engine(engine: EngineLoader | None) -> tuple[bytes, str, dict[str, str]]:
    """Level, message and values: what runs the model, and why nothing faster does."""
    values = {"model": "", "runtime": "", "precision": ""}
    if engine is None:
        return OK, "", values
    values["model"] = str(engine.artifact.path)
    state = engine.state
    if state is None:
        if engine.failure:
            return ERROR, engine.failure, values
        return WARN, f"nothing is published until the engine is ready: {engine.progress}", values
    values |= {"model": str(state.model), "runtime": state.name, "precision": state.precision}
    if state.check is not None:
        values["engine check"] = state.check.verdict
    values |= {f"not used ({i})": reason for i, reason in enumerate(state.reasons, 1)}
    if state.gpu_fault:
        return ERROR, f"{state.name} stands in for the GPU: {state.gpu_fault}", values
    if state.fell_back:
        return WARN, f"{state.name} stands in for TensorRT: {state.reasons[-1]}", values
    return OK, "", values


def as_array(status: DiagnosticStatus, stamp: Any) -> DiagnosticArray:
    """Wrap a status for publishing."""
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array
