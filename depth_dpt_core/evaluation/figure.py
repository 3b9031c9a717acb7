# SPDX-License-Identifier: Apache-2.0
"""Error against distance, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from depth_dpt_core.evaluation.totals import ProtocolScore, RangeScore
from depth_dpt_core.files import replacing

_LARGEST_ERROR = 1.0  # drawn; a few pixels right before the camera would hide all others
_TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)  # m


def draw_error_by_distance(scores: Mapping[str, ProtocolScore], title: str, path: Path) -> None:
    """Write a PNG: abs_rel and bias in narrow ranges of the truth, share of pixels beneath.

    Args:
        scores: what to draw, by the name in the legend.
        title: above the picture; the protocols' notes are added.
        path: the file.
    """
    figure = Figure(figsize=(8, 7), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # draws without a display
    error, bias, share = figure.subplots(
        3, sharex=True, gridspec_kw={"height_ratios": (3, 2, 1.2)}
    )
    for name, score in scores.items():
        _draw(score.curve, name, error, bias, share)
    notes = {score.protocol.note for score in scores.values()} - {""}
    figure.suptitle(" - ".join([title, *sorted(notes)]))
    error.set_ylabel("abs_rel")
    error.set_ylim(0, min(error.get_ylim()[1], _LARGEST_ERROR))
    error.legend()
    bias.set_ylabel("relative bias")
    end = min(max(map(abs, bias.get_ylim())), _LARGEST_ERROR)
    bias.set_ylim(-end, end)
    bias.axhline(0, color="black", linewidth=0.8)
    share.set_ylabel("pixels")
    share.yaxis.set_major_formatter(PercentFormatter(1))
    share.set_xlabel("true distance [m]")
    share.set_xscale("log")
    share.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    share.set_xticks([], minor=True)
    parts = [part for score in scores.values() for part in score.curve]
    parts = [part for part in parts if part.pixels] or parts
    share.set_xlim(min(part.low for part in parts), max(part.high for part in parts))
    for axes in (error, bias, share):
        axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw(curve: tuple[RangeScore, ...], name: str, error: Axes, bias: Axes, share: Axes) -> None:
    middle = [np.sqrt(part.low * part.high) for part in curve]
    pixels = np.array([part.pixels for part in curve])
    abs_rel = [np.nan if part.metrics is None else part.metrics.abs_rel for part in curve]
    (line,) = error.plot(middle, abs_rel, marker=".", label=name)
    color = line.get_color()
    biases = [np.nan if part.bias is None else part.bias for part in curve]
    bias.plot(middle, biases, marker=".", color=color)
    edges = [part.low for part in curve] + [curve[-1].high]
    share.stairs(pixels / max(pixels.sum(), 1), edges, color=color)
