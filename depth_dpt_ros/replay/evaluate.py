# SPDX-License-Identifier: Apache-2.0
"""Evaluate one bag: every image once, in order, however fast the machine is."""

from __future__ import annotations

import csv
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from tqdm import tqdm

from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.evaluation.image_score import ImageScorer
from depth_dpt_core.evaluation.statistics import flicker
from depth_dpt_core.metrics import MAX_DEPTH
from depth_dpt_ros.replay.bag import Bag, BagError
from depth_dpt_ros.replay.extremes import Extremes
from depth_dpt_ros.replay.frame_work import Answer, FrameWork, Outcome
from depth_dpt_ros.replay.matching import TOLERANCE_NS, Frame, Reading, iter_frames
from depth_dpt_ros.replay.output_bag import OutputBag
from depth_dpt_ros.replay.summary import FrameRecord, Status, Summary, csv_header, csv_row
from depth_dpt_ros.replay.topics import Choice, Topics, choose
from depth_dpt_ros.stamps import stamp_ns

_GAP_NS = 1_000_000_000  # images farther apart than this do not tell how stable depth is

_REASONS = 5  # told apart in the report


@dataclass(frozen=True)
class Settings:
    """How bags are evaluated.

    Attributes:
        topics: what to evaluate.
        max_depth: metres; truth from here on does not count.
        ranges: rising edges of the distance ranges, metres.
        tolerance_ns: largest difference between the stamps of an image and its truth.
        focal_length: pixels, of images without CameraInfo; None takes the model's own camera.
        points: whether the output bag has point clouds.
    """

    topics: Topics = field(default_factory=Topics)
    max_depth: float = MAX_DEPTH
    ranges: Sequence[float] = (0.0, 10.0, 20.0, 30.0, 50.0, 80.0)
    tolerance_ns: int = TOLERANCE_NS
    focal_length: float | None = None
    points: bool = False


@dataclass(frozen=True)
class BagResult:
    """What is known of a bag: figures for machines, pictures for people.

    Attributes:
        figures: as in the JSON file.
        summary: what they come from.
        extremes: pictures of some frames.
    """

    figures: dict[str, Any]
    summary: Summary
    extremes: Extremes


def evaluate_bag(
    path: Path,
    estimator: DepthEstimator,
    settings: Settings,
    folder: Path,
    overall: Summary,
    interrupted: Event,
) -> BagResult:
    """Evaluate a bag; leave `frames.csv` and the bag `depth` in a new folder.

    Frames are worked on by as many threads as there are cores and taken in order, so that the
    figures do not depend on timing and memory does not grow with the bag.

    Args:
        path: the bag.
        estimator: the model.
        settings: how.
        folder: made here.
        overall: takes the frames of this bag too.
        interrupted: when set, ends the work with what was done.

    Raises:
        BagError: the bag cannot be opened, or it is not clear what to evaluate in it.
    """
    with Bag(path) as bag:
        choice = choose(bag, settings.topics)
        folder.mkdir(parents=True)
        evaluation = _Evaluation(bag, choice, estimator, settings, overall)
        with OutputBag(folder / "depth") as output, (folder / "frames.csv").open("w") as file:
            return evaluation.run(output, csv.writer(file), interrupted)


class _Evaluation:
    def __init__(
        self,
        bag: Bag,
        choice: Choice,
        estimator: DepthEstimator,
        settings: Settings,
        overall: Summary,
    ) -> None:
        self._bag, self._choice, self._settings = bag, choice, settings
        self._scorer = ImageScorer(max_depth=settings.max_depth, ranges=settings.ranges)
        self._work = FrameWork(
            estimator, self._scorer, choice.truth,
            focal_length=settings.focal_length, points=settings.points,
        )  # fmt: skip
        self._summary, self._overall = Summary(self._scorer), overall
        counts = {topic.name: topic.count for topic in bag.topics}
        self._expected = counts[choice.camera.image_topic]
        self._extremes = Extremes(self._expected)
        self._reading = Reading()
        self._before: tuple[int, Answer] | None = None
        self._reasons: dict[str, int] = {}
        self._index = 0

    def run(self, output: OutputBag, table: Any, interrupted: Event) -> BagResult:
        began, cpu = time.perf_counter(), time.process_time()
        table.writerow(csv_header())
        damage = ""
        bar = tqdm(total=self._expected, desc=self._bag.path.name, unit="image")
        with bar, self._work:
            outcomes = self._outcomes(interrupted)
            try:
                for outcome in outcomes:
                    record = self._record(outcome)
                    for message in outcome.messages:
                        output.write(message, outcome.frame.log_time)
                    table.writerow(csv_row(record))
                    bar.update()
            except BagError as error:
                damage = str(error)
        cut = interrupted.is_set() and self._index < self._expected
        timing = {
            "wall_s": time.perf_counter() - began,
            "cpu_s": time.process_time() - cpu,
            "images_per_s": self._index / max(time.perf_counter() - began, 1e-9),
        }
        return self._result(damage, timing, cut=cut)

    def _outcomes(self, interrupted: Event) -> Iterator[Outcome]:
        """Yield what becomes of the frames, in order; also of those before a damage."""
        workers = os.cpu_count() or 1
        waiting: deque[Future[Outcome]] = deque()
        damage: BagError | None = None
        with ThreadPoolExecutor(workers, "frames") as pool:
            frames = iter_frames(
                self._bag, self._choice.camera, self._choice.truth,
                tolerance_ns=self._settings.tolerance_ns, reading=self._reading,
            )  # fmt: skip
            try:
                for frame in frames:
                    if interrupted.is_set():
                        break
                    waiting.append(pool.submit(self._work, frame))
                    if len(waiting) > 2 * workers:
                        yield waiting.popleft().result()
            except BagError as error:
                damage = error
            while waiting:
                yield waiting.popleft().result()
        if damage is not None:
            raise damage

    def _record(self, outcome: Outcome) -> FrameRecord:
        frame, answer = outcome.frame, outcome.answer
        status, reason = _status(outcome, with_truth=self._choice.truth is not None)
        if reason:
            self._count(reason)
        change = self._change(frame, answer)
        record = FrameRecord(
            index=self._index,
            stamp=frame.stamp,
            log_time=frame.log_time,
            seconds=(frame.log_time - self._bag.start_ns) / 1e9,
            status=status,
            reason=reason,
            score=outcome.score,
            score_with_hidden=outcome.score_with_hidden,
            truth_offset=None
            if frame.truth is None
            else (stamp_ns(frame.truth) - frame.stamp) / 1e9,
            answered=None if answer is None else float(np.isfinite(answer.depth).mean()),
            flicker=None if change is None else change[0],
            jump=None if change is None else change[1],
        )
        self._index += 1
        self._summary.add(record)
        self._overall.add(record)
        self._extremes.add(record, outcome)
        return record

    def _count(self, reason: str) -> None:
        """Count why frames were not scored; frames.csv has all reasons."""
        if reason not in self._reasons and len(self._reasons) >= _REASONS:
            reason = "other reasons"
        self._reasons[reason] = self._reasons.get(reason, 0) + 1

    def _change(self, frame: Frame, answer: Answer | None) -> tuple[float, float] | None:
        before, self._before = self._before, None
        if answer is None:
            return None
        self._before = (frame.stamp, answer)
        if before is None or not 0 < frame.stamp - before[0] <= _GAP_NS:
            return None
        return flicker(before[1].depth, answer.depth)

    def _result(self, damage: str, timing: dict[str, float], *, cut: bool) -> BagResult:
        camera, truth, reading = self._choice.camera, self._choice.truth, self._reading
        summary = self._summary
        notes = [*self._choice.notes, *_notes(reading)]
        notes += [f"{count} images: {reason}" for reason, count in self._reasons.items()]
        ended = "damaged" if damage else "interrupted" if cut else "whole"
        read = summary.counts()["total"] + reading.damaged_images
        if ended == "whole" and read != self._expected:
            ended, damage = "damaged", (
                f"{self._bag.path} says that it holds {self._expected} images on "
                f"{camera.image_topic}, but {read} can be read"
            )  # fmt: skip
        content = summary.to_dict()
        content["images"]["total"] += reading.damaged_images
        content["images"]["invalid"] += reading.damaged_images
        problem = damage or self._problem(content, cut=cut)
        figures = {
            "bag": str(self._bag.path),
            "ended": ended,
            "problem": problem or None,
            "image_topic": camera.image_topic,
            "camera_info_topic": camera.camera_info_topic,
            "truth_topic": None if truth is None else truth.topic,
            "truth_kind": None if truth is None else truth.kind,
            "min_depth": MIN_DEPTH,
            "max_depth": self._settings.max_depth,
            "tolerance_s": self._settings.tolerance_ns / 1e9,
            "duration_s": self._bag.duration_ns / 1e9,
            "image_rate": _rate(reading, self._index),
            **content,
            "stamps": asdict(reading),
            "notes": notes,
            "timing": timing,
        }
        return BagResult(figures, summary, self._extremes, problem)

    def _problem(self, content: dict[str, Any], *, cut: bool) -> str:
        """Why a bag with truth that was read to its end has no metrics."""
        truth, images = self._choice.truth, content["images"]
        if truth is None or content["metrics"] is not None or (cut and not images["total"]):
            return ""
        path, reading = self._bag.path, self._reading
        if not images["evaluated"]:
            return f"{path}: none of the images can be used: {next(iter(self._reasons), '')}"
        if not images["matched"]:
            camera = self._choice.camera
            spans = [
                f"{_span(reading.first_image, reading.last_image)} of {camera.image_topic}",
                f"{_span(reading.first_truth, reading.last_truth)} of {truth.topic}",
            ]
            return (
                f"{path}: no image has truth that could be used "
                f"({next(iter(self._reasons), '')}, {self._settings.tolerance_ns / 1e9:g} s); "
                f"stamps run from {' and from '.join(spans)}: they should be of one clock"
            )
        return (
            f"{path}: {truth.topic} has no valid depth between {MIN_DEPTH} and "
            f"{self._settings.max_depth:g} m for any image"
        )


def _status(outcome: Outcome, *, with_truth: bool) -> tuple[Status, str]:
    if outcome.invalid:
        return "invalid", outcome.invalid
    if not with_truth:
        return "no_truth", ""
    if outcome.frame.truth is None:
        return "unmatched", outcome.frame.unmatched
    if outcome.bad_truth:
        return "invalid_truth", outcome.bad_truth
    if outcome.score is None or not outcome.score.pixels:
        return "no_valid_truth", "no valid depth in its truth"
    return "scored", ""


def _notes(reading: Reading) -> Iterator[str]:
    for count, what in (
        (reading.damaged_images, "images are no messages and count as invalid"),
        (reading.damaged_truths, "messages of truth are none and were passed over"),
        (reading.repeated_stamps, "images have the stamp of the one before: matched to no truth"),
        (reading.backward_images, "image stamps are before that of the image before"),
        (reading.backward_truths, "truth stamps are before that of the truth before"),
    ):
        if count:
            yield f"{count} {what}"


def _rate(reading: Reading, images: int) -> float | None:
    first, last = reading.first_image, reading.last_image
    if first is None or last is None or last <= first or images < 2:
        return None
    return (images - 1) / ((last - first) / 1e9)


def _span(first: int | None, last: int | None) -> str:
    if first is None or last is None:
        return "none"
    return f"{first / 1e9:.3f} to {last / 1e9:.3f} s"
