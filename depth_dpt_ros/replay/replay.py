# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt replay`: the running node on a bag, scored as `bag-eval` scores the model."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from depth_dpt_core.artifact import resolve
from depth_dpt_core.evaluation.image_score import ImageScorer
from depth_dpt_core.interruption import interruption
from depth_dpt_ros.replay import report
from depth_dpt_ros.replay.bag import Bag, BagError, base_topic
from depth_dpt_ros.replay.bag_eval import fresh_results, ranges_to, write_report
from depth_dpt_ros.replay.evaluate import BagResult, Evaluation, Settings
from depth_dpt_ros.replay.feeds import Player, Route
from depth_dpt_ros.replay.live_answers import LiveAnswers, RecordedPredictor, live_figures
from depth_dpt_ros.replay.node_process import kept_apart, running_node
from depth_dpt_ros.replay.player import Playback, play
from depth_dpt_ros.replay.summary import Summary
from depth_dpt_ros.replay.topics import Choice, choose

_NODE_LOG = "depth_node.log"
_FARTHEST = 1000.0  # m, the end of the node's parameter: what is far counts, as it does offline


def replay(
    path: Path,
    model: str,
    settings: Settings,
    out: Path,
    json_file: Path | None,
    *,
    runtime: str,
    player: Player,
    rate: float,
    attach: bool,
) -> None:
    """Play a bag to the node, then score what it published; leave the report in `out`.

    Scoring waits until the bag has been played, so that it takes nothing from the node. After
    Ctrl-C, what was played is scored.

    Args:
        path: the bag.
        model: as for `artifact.resolve`.
        settings: how to score.
        out: folder for the results; replaced once the new ones are whole.
        json_file: also write the figures to this file.
        runtime: of the node.
        player: who plays.
        rate: how many times the recorded speed.
        attach: the node of `node_settings` runs already, in this ROS domain.

    Raises:
        ArtifactError: the model cannot be used.
        BagError: the bag cannot be evaluated as asked; the report, if any, says why.
        BusyError: another process writes to `out`.
        KeyboardInterrupt: after the report of an interrupted run.
        RuntimeError: the node did not start or ended early.
    """
    resolve(model)  # before anything is started
    settings = replace(settings, ranges=ranges_to(settings.max_depth, settings.ranges))
    overall = Summary(ImageScorer(max_depth=settings.max_depth, ranges=settings.ranges))
    with Bag(path) as bag, fresh_results(out) as results:
        choice = choose(bag, settings.topics)
        folder = results / _name(path)
        folder.mkdir()
        with _first_signal() as interrupted:
            playback = (
                play(bag, choice.camera, route(choice), folder / "depth",
                     player=player, rate=rate, interrupted=interrupted)
                if attach
                else _play_to_own_node(bag, choice, model, runtime, settings, folder, player,
                                       rate, interrupted)
            )  # fmt: skip
        with interruption() as stop:
            result = _score(bag, choice, settings, folder, playback, overall, stop)
            figures = result.figures
            content = {"model": model, "bags": [figures], "all": _overall(overall, settings)}
            write_report(results, content, [result], overall, json_file)
    print(report.text(figures))
    print(f"wrote {out}/: report.html, and frames.csv and the bag depth")
    if figures["ended"] == "interrupted":
        raise KeyboardInterrupt
    if figures["problem"]:
        raise BagError(figures["problem"])


def route(choice: Choice) -> Route:
    """Where a camera is played: on its own topics, as far as the node can subscribe to them."""
    camera = choice.camera
    image = base_topic(camera.image_topic)
    info = camera.camera_info_topic or f"{image.rpartition('/')[0]}/camera_info"
    return Route(image, info, camera.compressed)


def node_settings(
    choice: Choice, model: str, runtime: str, focal_length: float | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Parameters and remappings with which the node answers as `bag-eval` does.

    Truth in images is compared at their resolution, points at the network's; and so it is
    published.
    """
    camera = choice.camera
    images_of_truth = choice.truth is not None and choice.truth.kind != "points"
    parameters: dict[str, Any] = {
        "model": model,
        "runtime": runtime,
        "image_transport": "compressed" if camera.compressed else "raw",
        "output_size": "input" if images_of_truth else "network",
        "max_depth": _FARTHEST,
        "focal_length": float(focal_length or 0.0),
        "use_sim_time": True,
    }
    if camera.camera_info_topic is None:
        parameters["camera_info_timeout"] = 0.0  # none will come
    topics = route(choice)
    return parameters, {"image": topics.image, "camera_info": topics.camera_info}


def _play_to_own_node(
    bag: Bag,
    choice: Choice,
    model: str,
    runtime: str,
    settings: Settings,
    folder: Path,
    player: Player,
    rate: float,
    interrupted: Event,
) -> Playback:
    parameters, remappings = node_settings(choice, model, runtime, settings.focal_length)
    log = folder / _NODE_LOG
    with kept_apart(), running_node(parameters, remappings, log) as node:
        try:
            return play(
                bag, choice.camera, route(choice), folder / "depth", player=player, rate=rate,
                alive=lambda: node.poll() is None, interrupted=interrupted,
            )  # fmt: skip
        except RuntimeError as error:
            raise RuntimeError(f"{error}; it said:\n{log.read_text()}") from error


def _score(
    bag: Bag,
    choice: Choice,
    settings: Settings,
    folder: Path,
    playback: Playback,
    overall: Summary,
    stop: Event,
) -> BagResult:
    evaluation = Evaluation(bag, choice, RecordedPredictor(), settings, overall)
    with Bag(folder / "depth") as recorded:
        answers = LiveAnswers(recorded, playback)
        result = evaluation.run(
            folder / "frames.csv", stop, also=answers.join, cut_short=playback.interrupted
        )
    live = live_figures(playback, result.figures["images"]["dropped"])
    return replace(result, figures={**result.figures, "live": live})


def _overall(overall: Summary, settings: Settings) -> dict[str, Any]:
    return {"bag": "all bags", **overall.to_dict(), "max_depth": settings.max_depth}


def _name(path: Path) -> str:
    whole = path.resolve()
    return whole.stem if path.is_file() else whole.name


@contextmanager
def _first_signal() -> Iterator[Event]:
    """An event that SIGINT and SIGTERM set; launch and a terminal may send more than one."""
    event = Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: event.set()) for number in numbers}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
