# SPDX-License-Identifier: Apache-2.0
"""Scores as text, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from depth_dpt_core.evaluation.score import SplitScore
from depth_dpt_core.evaluation.totals import ProtocolScore, RangeScore

_RANGE_COLUMNS = ("abs_rel", "rmse", "delta_1")


def table(result: SplitScore) -> str:
    """Every protocol's metrics, the same by distance, and how much truth they rest on."""
    return "\n".join(
        line
        for name, score in result.scores.items()
        for line in _lines(result, score, result.baseline.get(name))
    )


def to_json(content: dict[str, Any]) -> bytes:
    """A file's content; the same scores give the same bytes."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _lines(
    result: SplitScore, score: ProtocolScore, baseline: ProtocolScore | None
) -> Iterator[str]:
    protocol = score.protocol
    yield f"{result.split}, {protocol.label}: {protocol.summary}"
    yield f"{'':12}{'model':>10}" + (f"{'per row':>10}" if baseline else "")
    for name, value in score.metrics.to_dict().items():
        guess = f"{baseline.metrics.to_dict()[name]:10.4f}" if baseline else ""
        yield f"{name:12}{value:10.4f}{guess}"
    guess = f"{baseline.bias:+10.4f}" if baseline else ""
    yield f"{'bias':12}{score.bias:+10.4f}{guess}"
    heads = "".join(f"{name:>10}" for name in (*_RANGE_COLUMNS, "bias", "images"))
    yield f"{'by distance':12}{heads}{'pixels':>14}"
    yield from map(_range_line, score.by_range)
    yield (
        f"{score.images} images, {score.images_without_truth} without truth, "
        f"{len(result.unusable)} unusable; {score.missing_share:.2%} of the truth unanswered "
        "(scored as the largest depth)"
    )


def _range_line(part: RangeScore) -> str:
    values = [f"{'-':>10}"] * (len(_RANGE_COLUMNS) + 1)
    if part.metrics is not None and part.bias is not None:
        values = [f"{part.metrics.to_dict()[name]:10.4f}" for name in _RANGE_COLUMNS]
        values.append(f"{part.bias:+10.4f}")
    return f"{part.name + ' m':12}{''.join(values)}{part.images:10}{part.pixels:14}"
