# SPDX-License-Identifier: Apache-2.0
"""The answer for people: a table on the terminal, and one HTML file that opens offline."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from depth_dpt_core.metrics import BIAS, METRIC_NAMES
from depth_dpt_ros.replay import plots
from depth_dpt_ros.replay.evaluate import BagResult
from depth_dpt_ros.replay.extremes import Picture
from depth_dpt_ros.replay.summary import Summary

_UNITS = {"sq_rel": "m", "rmse": "m"}
_COLUMNS = ("abs_rel", "rmse", "delta_1", BIAS)
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.6em 0 1.4em}td,th{padding:.15em .8em;text-align:right;
border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}
.problem{background:#fde8e8;border-left:5px solid #c00;padding:.6em 1em}
.note{color:#555}img,svg{max-width:100%;height:auto}figure{margin:0 0 1em}
"""


def number(value: Any) -> str:
    """A figure as text: six significant digits; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def text(figures: dict[str, Any]) -> str:
    """A bag's figures, or those of all bags, as a table for the terminal."""
    return "\n".join(_lines(figures))


def _lines(figures: dict[str, Any]) -> Iterator[str]:
    yield figures["bag"]
    if figures.get("image_topic"):
        truth = figures["truth_topic"]
        kind = f"{truth} ({figures['truth_kind']})" if truth else "none, so no metrics"
        yield f"  {'image':12}{figures['image_topic']}"
        yield f"  {'truth':12}{kind}"
    if "images" not in figures:
        yield f"  {'failed':12}{figures['problem']}"
        return
    images = figures["images"]
    yield (
        f"  {'images':12}{images['total']}: {images['scored']} scored, "
        f"{images['matched']} matched, {images['unmatched']} unmatched, "
        f"{images['invalid']} invalid"
    )
    if "live" in figures:
        for name, value in live_rows(figures["live"]):
            yield f"  {name:24}{number(value)}"
    if figures["metrics"] is not None:
        intervals = figures["interval_95"] or {}
        for name in (*METRIC_NAMES, BIAS):
            value = figures[BIAS] if name == BIAS else figures["metrics"][name]
            between = intervals.get(name)
            ends = f"  [{number(between[0])}, {number(between[1])}]" if between else ""
            yield f"  {name:12}{number(value)} {_UNITS.get(name, '')}{ends}"
        scale = figures["scale"]
        yield f"  {'scale':12}{number(scale['factor'])}, drift {_drift(scale)}"
        for part, values in figures["by_range"].items():
            if values["images"]:
                yield f"  {part + ' m':12}abs_rel {number(values['abs_rel'])}"
    stability = figures["stability"]
    if stability["flicker"] is not None:
        yield (
            f"  {'stability':12}flicker {number(stability['flicker'])}, scale jump "
            f"{number(stability['scale_jump'])} from image to image"
        )
    for note in figures.get("notes", ()):
        yield f"  {'note':12}{note}"
    if figures.get("problem"):
        yield f"  {'problem':12}{figures['problem']}"


def live_rows(live: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the running node did, a name and a figure a line."""
    yield "player", live["player"]
    for name, count in live["images"].items():
        yield f"images {name}", count
    for name, value in live["rate"].items():
        yield f"rate {name} [Hz]", value
    for name, value in live["latency_ms"].items():
        yield f"latency {name} [ms]", value


def _drift(scale: dict[str, Any]) -> str:
    if scale["drift"] is None:
        return "-"
    minute = scale["drift_per_minute"]
    each = "" if minute is None else f", {minute:+.2%} a minute"
    return f"{scale['drift']:+.2%} from first to last{each}"


def html(content: dict[str, Any], results: Sequence[BagResult | None], overall: Summary) -> str:
    """The report; `results` are those of the bags in `content`, None for one that failed."""
    body = [f"<h1>Depth of {escape(content['model'])}</h1>"]
    bags = content["bags"]
    body.append(_bags_table(bags, content["all"]))
    for figures, result in zip(bags, results, strict=True):
        body.append(f"<h2>{escape(figures['bag'])}</h2>")
        body += _section(figures, result.summary if result else None)
        if result:
            body += _pictures(result)
    if len(bags) > 1 and "metrics" in content["all"]:
        body.append("<h2>All bags</h2>")
        body += _section(content["all"], overall)
    data = json.dumps(content, allow_nan=False).replace("</", "<\\/")
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<title>bag-eval</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n<p class='note'>Every number of this report is in this file as JSON, in the element "
        "<code>#figures</code>.</p>"
        f"<script type='application/json' id='figures'>{data}</script></body></html>\n"
    )


def _bags_table(bags: list[dict[str, Any]], overall: dict[str, Any]) -> str:
    rows = []
    for figures in [*bags, overall] if len(bags) > 1 else bags:
        metrics = figures.get("metrics") or {}
        images = figures.get("images", {})
        cells = [escape(figures["bag"]), images.get("total"), images.get("scored")]
        rows.append([*cells, *(metrics.get(name) for name in METRIC_NAMES), figures.get(BIAS)])
    return _table(["bag", "images", "scored", *METRIC_NAMES, BIAS], rows)


def _section(figures: dict[str, Any], summary: Summary | None) -> Iterator[str]:
    if figures.get("problem"):
        yield f"<p class='problem'>{escape(figures['problem'])}</p>"
    if figures.get("ended") == "interrupted":
        yield "<p class='problem'>Interrupted: the figures are of the images up to then.</p>"
    if summary is None:
        return
    yield _facts(figures)
    for note in figures.get("notes", ()):
        yield f"<p class='note'>{escape(note)}</p>"
    if "live" in figures:
        yield "<h3>In real time</h3>"
        yield _table([], list(live_rows(figures["live"])))
    if figures["metrics"] is not None:
        yield from _metrics(figures, summary)
    stability = figures["stability"]
    yield "<h3>Stability from image to image</h3>"
    yield _table(list(stability), [list(stability.values())])


def _facts(figures: dict[str, Any]) -> str:
    names = (
        "image_topic", "camera_info_topic", "truth_topic", "truth_kind", "tolerance_s",
        "max_depth", "duration_s", "image_rate",
    )  # fmt: skip
    rows = [[name, escape(number(figures[name]))] for name in names if name in figures]
    images = ", ".join(f"{count} {name}" for name, count in figures["images"].items())
    pixels = ", ".join(f"{count} {name}" for name, count in figures["pixels"].items())
    return _table([], [*rows, ["images", images], ["pixels", pixels]])


def _metrics(figures: dict[str, Any], summary: Summary) -> Iterator[str]:
    intervals = figures["interval_95"] or {}
    values = {**figures["metrics"], BIAS: figures[BIAS]}
    rows = [
        [f"{name} {_UNITS.get(name, '')}", value, *intervals.get(name, (None, None))]
        for name, value in values.items()
    ]
    yield "<h3>Metrics, mean of images</h3>"
    yield _table(["", "mean", "95 % from", "to"], rows)
    hidden = figures.get("without_occlusion_filter")
    if hidden:
        yield "<h3>With points that nearer ones hide</h3>"
        others = {**hidden["metrics"], **{k: v for k, v in hidden.items() if k != "metrics"}}
        yield _table(list(others), [list(others.values())])
    yield "<h3>Scale: truth / prediction, median of images</h3>"
    scale = figures["scale"]
    ends = scale["interval_95"] or (None, None)
    rows = [[scale["factor"], *ends, scale["lowest"], scale["highest"], _drift(scale)]]
    heads = ["factor", "95 % from", "to", "lowest", "highest", "drift"]
    yield _table(heads, rows)
    for title, parts in (("distance [m]", "by_range"), ("region", "by_region")):
        yield f"<h3>By {title}</h3>"
        yield _parts(title, figures[parts])
    if "by_time" in figures:
        named = {f"{number(p['from_s'])} - {number(p['to_s'])}": p for p in figures["by_time"]}
        yield "<h3>By time [s]</h3>"
        yield _parts("time [s]", named, (*_COLUMNS, "scale"))
        yield plots.time_line(summary.rows())
    yield "<h3>Error against distance</h3>"
    yield plots.error_by_distance(figures["curve"])
    yield "<h3>Predicted against true depth</h3>"
    yield plots.density(summary.density, figures["max_depth"])


def _parts(title: str, parts: dict[str, dict[str, Any]], columns: Sequence[str] = _COLUMNS) -> str:
    names = [*columns, "images", "pixels"] if "scale" not in columns else [*columns, "images"]
    rows = [[name, *(part.get(column) for column in names)] for name, part in parts.items()]
    return _table([title, *names], rows)


def _pictures(result: BagResult) -> Iterator[str]:
    extremes = result.extremes
    groups = {"Worst images": extremes.worst, "Best images": extremes.best}
    groups["Images spread over the bag"] = extremes.spread
    for title, pictures in groups.items():
        if pictures:
            yield f"<h3>{title}</h3>"
            yield from map(_figure, pictures)


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.jpeg).decode()
    error = "" if picture.abs_rel is None else f", abs_rel {number(picture.abs_rel)}"
    caption = f"image {picture.index} at {number(picture.seconds)} s{error}"
    return (
        f"<figure><img alt='{caption}' src='data:image/jpeg;base64,{data}'>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    lines = ["".join(f"<td>{number(cell)}</td>" for cell in row) for row in rows]
    return (
        f"<table>{f'<tr>{head}</tr>' if heads else ''}"
        + "".join(f"<tr>{line}</tr>" for line in lines)
        + "</table>"
    )
