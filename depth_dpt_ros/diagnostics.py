# SPDX-License-Identifier: Apache-2.0
"""What the node says of itself on /diagnostics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from depth_dpt_ros.engine_loader import EngineLoader

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass
class Report:
    """What is wrong, with its level, and values for people and machines."""

    findings: list[tuple[bytes, str]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def add(self, level: bytes, text: str) -> None:
        """Note what is wrong, if the text says anything."""
        if text:
            self.findings.append((level, text))

    def joined(self, other: Report) -> Report:
        """Both in one."""
        return Report(self.findings + other.findings, self.values | other.values)

    def status(self, name: str, hardware_id: str, state: str) -> DiagnosticStatus:
        """As a message: the worst level, its findings first; `state` where all is well."""
        worst_first = sorted(self.findings, key=lambda finding: finding[0], reverse=True)
        values = {"state": state, **self.values}
        return DiagnosticStatus(
            level=worst_first[0][0] if worst_first else OK,
            name=name,
            message="; ".join(text for _, text in worst_first) or state,
            hardware_id=hardware_id,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )


def engine_report(engine: EngineLoader | None) -> Report:
    """What runs the model, and why nothing faster does."""
    report = Report(values={"model": "", "runtime": "", "precision": ""})
    if engine is None:
        return report
    report.values["model"] = engine.model
    state = engine.state
    if state is None:
        waiting = f"nothing is published until the engine is ready: {engine.progress}"
        report.add(*((ERROR, engine.failure) if engine.failure else (WARN, waiting)))
        return report
    report.values |= {
        "model": str(state.model),
        "runtime": state.name,
        "precision": state.precision,
        **({} if state.check is None else {"engine check": state.check.verdict}),
        **{f"not used ({i})": reason for i, reason in enumerate(state.reasons, 1)},
    }
    if state.gpu_fault:
        report.add(ERROR, f"{state.name} stands in for the GPU: {state.gpu_fault}")
    elif state.fell_back:
        report.add(WARN, f"{state.name} stands in for TensorRT: {state.reasons[-1]}")
    return report


def as_array(statuses: Iterable[DiagnosticStatus], stamp: Any) -> DiagnosticArray:
    """Wrap statuses for publishing."""
    array = DiagnosticArray(status=list(statuses))
    array.header.stamp = stamp
    return array
