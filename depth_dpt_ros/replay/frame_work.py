# SPDX-License-Identifier: Apache-2.0
"""All that is done to one frame of a bag, in any thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

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
    """What is said to an image; depth as in `Prediction`."""

    image: NDArray[np.uint8]  # [H,W,3] RGB
    depth: NDArray[np.float32]  # [h,w]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a frame.

    Attributes:
        frame: what went in.
        invalid: why the image could not be used, else empty.
        answer: None for an invalid image, and for one that was not answered.
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


@dataclass(frozen=True, eq=False)
class Prediction:
    """Depth of an image in metres, NaN unknown.

    Attributes:
        depth: [h,w] at the network's resolution, padding cut, or as it was published.
        whole: gives the same [H,W] at the image's resolution.
        messages: for the output bag.
    """

    depth: NDArray[np.float32]
    whole: Callable[[], NDArray[np.float32]]
    messages: list[Serialized] = field(default_factory=list)


class Predictor(Protocol):
    """Says what the depth of a frame is; a context, called from any thread."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    def __call__(
        self, frame: Frame, image: NDArray[np.uint8], camera: Intrinsics | None
    ) -> Prediction | None:
        """Return a frame's depth, None where there is no answer.

        Args:
            frame: the frame.
            image: [H,W,3] RGB.
            camera: None if unknown.
        """


class ModelPredictor:
    """Asks a model; a context that owns the engine's thread.

    An engine that is not concurrent runs in one thread of its own, to which all frames go.
    """

    def __init__(
        self, estimator: DepthEstimator, *, focal_length: float | None, points: bool
    ) -> None:
        """Prepare to ask.

        Args:
            estimator: the model.
            focal_length: pixels, of images without CameraInfo; None takes the camera that the
                model was trained for.
            points: also make point clouds for the output bag.
        """
        self._estimator, self._focal_length, self._points = estimator, focal_length, points

    def __enter__(self) -> Self:
        self._engine_thread = ThreadPoolExecutor(1, "engine")
        return self

    def __exit__(self, *_: object) -> None:
        self._engine_thread.shutdown()

    def __call__(
        self, frame: Frame, image: NDArray[np.uint8], camera: Intrinsics | None
    ) -> Prediction:
        """See `Predictor`."""
        estimator = self._estimator
        height, width = image.shape[:2]
        geometry = estimator.geometry(width, height)
        raw = self._infer(estimator.prepare(image))
        used = camera or self._assumed_camera(width, height)
        small = estimator.metric_depth(raw, geometry, used, at_network_size=True)
        messages = depth_messages(
            frame.image.header, small, frame.camera_info, camera, geometry, points=self._points
        )
        return Prediction(small, lambda: estimator.metric_depth(raw, geometry, used), messages)

    def _infer(self, tensor: NDArray[Any]) -> NDArray[np.float32]:
        engine = self._estimator.engine
        if engine.concurrent:
            return engine.infer(tensor)
        return self._engine_thread.submit(engine.infer, tensor).result()

    def _assumed_camera(self, width: int, height: int) -> Intrinsics | None:
        if self._focal_length is None:
            return None
        return Intrinsics.centered(self._focal_length, width, height)


@dataclass(frozen=True)
class FrameWork:
    """Decodes and scores frames.

    Attributes:
        predictor: says what their depth is.
        scorer: compares.
        truth: what to compare with, if anything.
    """

    predictor: Predictor
    scorer: ImageScorer
    truth: GroundTruth | None

    def __call__(self, frame: Frame) -> Outcome:
        """Do everything; what cannot be used is told in the outcome."""
        try:
            image = to_rgb(frame.image)
            height, width = image.shape[:2]
            camera = None
            if frame.camera_info is not None:
                camera = intrinsics_of(frame.camera_info, width, height)
        except (ImageCodecError, CameraInfoError) as error:
            return Outcome(frame, invalid=str(error))
        prediction = self.predictor(frame, image, camera)
        if prediction is None:
            return Outcome(frame)
        answer, messages = Answer(image, prediction.depth), prediction.messages
        if self.truth is None or frame.truth is None:
            return Outcome(frame, answer=answer, messages=messages)
        try:
            truth = self.truth.read(frame.truth, frame.camera_info, frame.cloud_to_camera)
        except (BagError, ImageCodecError, CameraInfoError) as error:
            return Outcome(frame, answer=answer, bad_truth=str(error), messages=messages)
        with_hidden = None
        if truth.with_hidden is None:
            score = self.scorer.score_image(prediction.whole(), truth.depth)
        else:
            score = self.scorer.score_points(prediction.depth, truth.depth)
            with_hidden = self.scorer.score_points(prediction.depth, truth.with_hidden)
        return Outcome(frame, "", answer, truth, "", score, with_hidden, messages)
