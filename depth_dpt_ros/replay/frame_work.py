# SPDX-License-Identifier: Apache-2.0
"""All that is done to one frame of a bag, in any thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.evaluation.image_score import ImageScore, ImageScorer
from depth_dpt_ros.camera_info import CameraInfoError, intrinsics_of
from depth_dpt_ros.image_codec import ImageCodecError, to_rgb
from depth_dpt_ros.replay.bag import BagError
from depth_dpt_ros.replay.ground_truth import GroundTruth, TrueDepth
from depth_dpt_ros.replay.matching import Frame
from depth_dpt_ros.replay.output_bag import Serialized, depth_messages

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model says to an image: metres at the network's resolution, padding cut."""

    image: NDArray[np.uint8]  # [H,W,3] RGB
    depth: NDArray[np.float32]  # [h,w]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a frame.

    Attributes:
        frame: what went in.
        invalid: why the image could not be used, else empty.
        answer: None for an invalid image.
        truth: None where there is none, or none that can be read.
        bad_truth: why the truth could not be read, else empty.
        score: None without truth.
        score_with_hidden: the same with points that nearer ones hide.
        messages: for the output bag.
    """

    frame: Frame
    invalid: str = ""
    answer: Answer | None = None
    truth: TrueDepth | None = None
    bad_truth: str = ""
    score: ImageScore | None = None
    score_with_hidden: ImageScore | None = None
    messages: list[Serialized] = field(default_factory=list)


class FrameWork:
    """Estimates, scores and serializes frames; a context that owns the engine's thread.

    An engine that is not concurrent runs in one thread of its own, to which all frames go.
    """

    def __init__(
        self,
        estimator: DepthEstimator,
        scorer: ImageScorer,
        truth: GroundTruth | None,
        *,
        focal_length: float | None,
        points: bool,
    ) -> None:
        """Prepare the work on a bag.

        Args:
            estimator: the model.
            scorer: compares.
            truth: what to compare with, if anything.
            focal_length: pixels, of images without CameraInfo; None takes the camera that the
                model was trained for.
            points: also make point clouds for the output bag.
        """
        self._estimator, self._scorer, self._truth = estimator, scorer, truth
        self._focal_length, self._points = focal_length, points

    def __enter__(self) -> Self:
        self._engine_thread = ThreadPoolExecutor(1, "engine")
        return self

    def __exit__(self, *_: object) -> None:
        self._engine_thread.shutdown()

    def __call__(self, frame: Frame) -> Outcome:
        """Do everything; what cannot be used is told in the outcome."""
        try:
            image = to_rgb(frame.image)
            height, width = image.shape[:2]
            calibrated = None
            if frame.camera_info is not None:
                calibrated = intrinsics_of(frame.camera_info, width, height)
        except (ImageCodecError, CameraInfoError) as error:
            return Outcome(frame, invalid=str(error))
        estimator = self._estimator
        geometry = estimator.geometry(width, height)
        raw = self._infer(estimator.prepare(image))
        camera = calibrated or self._assumed_camera(width, height)
        small = estimator.metric_depth(raw, geometry, camera, at_network_size=True)
        messages = depth_messages(
            frame.image.header, small, frame.camera_info, calibrated, geometry, points=self._points
        )
        answer = Answer(image, small)
        if self._truth is None or frame.truth is None:
            return Outcome(frame, answer=answer, messages=messages)
        try:
            truth = self._truth.read(frame.truth, frame.camera_info, frame.cloud_to_camera)
        except (BagError, ImageCodecError, CameraInfoError) as error:
            return Outcome(frame, answer=answer, bad_truth=str(error), messages=messages)
        with_hidden = None
        if truth.with_hidden is None:
            whole = estimator.metric_depth(raw, geometry, camera)
            score = self._scorer.score_image(whole, truth.depth)
        else:
            score = self._scorer.score_points(small, truth.depth)
            with_hidden = self._scorer.score_points(small, truth.with_hidden)
        return Outcome(frame, "", answer, truth, "", score, with_hidden, messages)

    def _infer(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        engine = self._estimator.engine
        if engine.concurrent:
            return engine.infer(tensor)
        return self._engine_thread.submit(engine.infer, tensor).result()

    def _assumed_camera(self, width: int, height: int) -> Intrinsics | None:
        if self._focal_length is None:
            return None
        return Intrinsics.centered(self._focal_length, width, height)
