# SPDX-License-Identifier: Apache-2.0
"""Evaluate one bag: every image once, in order, however fast the machine is."""

from __future__ import annotations

import csv
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
from depth_dpt_ros.replay.bag_figures import bag_figures
from depth_dpt_ros.replay.extremes import Extremes
from depth_dpt_ros.replay.frame_work import Answer, FrameWork, ModelPredictor, Outcome, Predictor
from depth_dpt_ros.replay.matching import TOLERANCE_NS, Frame, Reading, iter_frames
from depth_dpt_ros.replay.output_bag import OutputBag, Serialized
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
        predictor = ModelPredictor(
            estimator, focal_length=settings.focal_length, points=settings.points
        )
        evaluation = Evaluation(bag, choice, predictor, settings, overall)
        with OutputBag(folder / "depth") as output:
            return evaluation.run(folder / "frames.csv", interrupted, write=output.write)


class Evaluation:
    """Works on a bag's frames with as many threads as there are cores, and sums up."""

    def __init__(
        self,
        bag: Bag,
        choice: Choice,
        predictor: Predictor,
        settings: Settings,
        overall: Summary,
    ) -> None:
        self._bag, self._choice, self._settings = bag, choice, settings
        self._predictor = predictor
        scorer = ImageScorer(max_depth=settings.max_depth, ranges=settings.ranges)
        self._work = FrameWork(predictor, scorer, choice.truth)
        self._summary, self._overall = Summary(scorer), overall
        counts = {topic.name: topic.count for topic in bag.topics}
        self._expected = counts[choice.camera.image_topic]
        self._extremes = Extremes(self._expected)
        self._reading = Reading()
        self._before: tuple[int, Answer] | None = None
        self._reasons: dict[str, int] = {}
        self._index = 0

    def run(
        self,
        table: Path,
        interrupted: Event,
        *,
        write: Callable[[Serialized, int], None] | None = None,
        also: Callable[[Iterator[Frame]], Iterator[Frame]] = iter,
        cut_short: bool = False,
    ) -> BagResult:
        """Work on all frames, in order.

        Args:
            table: CSV file with a line for each frame.
            interrupted: when set, ends the work with what was done.
            write: takes messages for the output bag, with their log times in ns.
            also: what else is done to the frames before they are worked on.
            cut_short: `also` leaves out those after an interruption.
        """
        began, cpu = time.perf_counter(), time.process_time()
        damage = ""
        bar = tqdm(total=self._expected, desc=self._bag.path.name, unit="image")
        with table.open("w", newline="") as file, bar, self._predictor:
            rows = csv.writer(file)
            rows.writerow(csv_header())
            try:
                for outcome in self._outcomes(interrupted, also):
                    record = self._record(outcome)
                    if write is not None:
                        for message in outcome.messages:
                            write(message, outcome.frame.log_time)
                    rows.writerow(csv_row(record))
                    bar.update()
            except BagError as error:
                damage = str(error)
        seconds = time.perf_counter() - began
        timing = {
            "wall_s": seconds,
            "cpu_s": time.process_time() - cpu,
            "images_per_s": self._index / seconds,
        }
        figures = bag_figures(
            self._bag,
            self._choice,
            self._summary,
            self._reading,
            max_depth=self._settings.max_depth,
            tolerance_ns=self._settings.tolerance_ns,
            reasons=self._reasons,
            damage=damage,
            interrupted=interrupted.is_set() or cut_short,
        )
        return BagResult({**figures, "timing": timing}, self._summary, self._extremes)

    def _outcomes(
        self, interrupted: Event, also: Callable[[Iterator[Frame]], Iterator[Frame]]
    ) -> Iterator[Outcome]:
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
                for frame in also(frames):
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


def _status(outcome: Outcome, *, with_truth: bool) -> tuple[Status, str]:
    if outcome.invalid:
        return "invalid", outcome.invalid
    if outcome.answer is None:
        return "dropped", "not answered by the node"
    if not with_truth:
        return "no_truth", ""
    if outcome.frame.truth is None:
        return "unmatched", outcome.frame.unmatched
    if outcome.bad_truth:
        return "invalid_truth", outcome.bad_truth
    if outcome.score is None or not outcome.score.pixels:
        return "no_valid_truth", "no valid depth in its truth"
    return "scored", ""
