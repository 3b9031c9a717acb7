# SPDX-License-Identifier: Apache-2.0
"""The report's plots, as SVG."""

from __future__ import annotations

import io

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from depth_dpt_core.evaluation.image_score import DENSITY_DECADES
from depth_dpt_core.metrics import BIAS, METRIC_NAMES

_TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)  # m
_POINTS = 2000  # of a time line; more do not show
_ABS_REL = 1 + METRIC_NAMES.index("abs_rel")


def error_by_distance(curve: list[dict[str, float]]) -> str:
    """abs_rel and bias in narrow ranges of the truth, and the share of pixels beneath."""
    edges = [(part["from_m"], part["to_m"]) for part in curve]
    middle = [float(np.sqrt(low * high)) for low, high in edges]
    pixels = np.array([part["pixels"] for part in curve])
    figure, (error, bias, share) = _figure(3, 6.5)
    error.plot(middle, [part.get("abs_rel", np.nan) for part in curve], marker=".")
    error.set_ylabel("abs_rel")
    error.set_ylim(bottom=0)
    bias.plot(middle, [part.get(BIAS, np.nan) for part in curve], marker=".")
    bias.axhline(0, color="black", linewidth=0.8)
    bias.set_ylabel("relative bias")
    widths = [high - low for low, high in edges]
    share.bar([low for low, _ in edges], pixels / pixels.sum(), widths, align="edge")
    share.set_ylabel("share of pixels")
    share.set_xscale("log")
    shown = [tick for tick in _TICKS if edges[0][0] <= tick <= edges[-1][1]]
    share.set_xticks(shown, [f"{tick:g}" for tick in shown])
    share.set_xticks([], minor=True)
    share.set_xlabel("true distance [m]")
    return _svg(figure)


def density(counts: NDArray[np.int64], max_depth: float) -> str:
    """Predicted against true depth."""
    figure, (axes,) = _figure(1, 5.5, width=6)
    edges = max_depth * 10 ** np.linspace(-DENSITY_DECADES, 0, len(counts) + 1)
    shown = np.ma.masked_equal(counts.T, 0)
    norm = LogNorm(1, max(int(counts.max()), 2))
    mesh = axes.pcolormesh(edges, edges, shown, norm=norm, rasterized=True)
    figure.colorbar(mesh, label="pixels, sampled")
    axes.plot(edges[[0, -1]], edges[[0, -1]], color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("true depth [m]")
    axes.set_ylabel("predicted depth [m]")
    axes.set_aspect("equal")
    return _svg(figure)


def time_line(rows: NDArray[np.float64]) -> str:
    """abs_rel and scale factor of the images over time; rows as of `Summary.rows`."""
    rows = rows[:: max(1, len(rows) // _POINTS)]
    figure, (error, scale) = _figure(2, 5)
    error.plot(rows[:, 0], rows[:, _ABS_REL], linewidth=1, marker=".", markersize=2)
    error.set_ylabel("abs_rel")
    error.set_ylim(bottom=0)
    scale.plot(rows[:, 0], rows[:, -1], linewidth=1, marker=".", markersize=2)
    scale.axhline(1, color="black", linewidth=0.8)
    scale.set_ylabel("scale, truth / prediction")
    scale.set_xlabel("time in the bag [s]")
    return _svg(figure)


def _figure(rows: int, height: float, *, width: float = 8) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)  # draws without a display
    axes = list(np.ravel(figure.subplots(rows, sharex=True)))
    for each in axes:
        each.grid(alpha=0.3)
    return figure, axes


def _svg(figure: Figure) -> str:
    """The picture as an element of HTML; the same figures give the same text."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "depth_dpt", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
