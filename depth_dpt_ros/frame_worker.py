# SPDX-License-Identifier: Apache-2.0
"""The thread that turns the cameras' newest images into published depth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_ros.camera import Camera, CameraFrames, Received
from depth_dpt_ros.camera_info import CameraInfoError
from depth_dpt_ros.frame import Frame, begin
from depth_dpt_ros.image_codec import ImageCodecError
from depth_dpt_ros.node_log import NodeLog
from depth_dpt_ros.parameters import UNSCALED


class FrameWorker:
    """Owns the estimator; takes images from the mailbox until stopped."""

    def __init__(
        self,
        estimator: DepthEstimator,
        frames: CameraFrames,
        log: NodeLog,
        now: Callable[[], int],
    ) -> None:
        """Start the thread.

        Args:
            estimator: from now on this thread's.
            frames: opened here.
            log: for images that cannot be used.
            now: the time that stamps are compared with, nanoseconds.
        """
        self._estimator = estimator
        # a relative model's, once the user has said what its unit is
        self._metric = estimator.with_scale(1.0) if estimator.relative else estimator
        self._frames = frames
        self._log = log
        self._now = now
        frames.open()
        self._thread = Thread(target=self._run, name="depth", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the frames that it is at."""
        self._frames.close()
        self._thread.join()

    def _run(self) -> None:
        engine = self._estimator.engine
        # as many cameras as the engine takes at once
        while (taken := self._frames.take(engine.batch)) is not None:
            self._answer(taken)

    def _answer(self, taken: list[tuple[Camera, Received]]) -> None:
        frames: list[Frame] = []
        for camera, received in taken:
            with self._refusing(camera):
                scaled = received.settings.depth_scale != UNSCALED
                estimator = self._metric if scaled else self._estimator
                frame = begin(camera, received, estimator, self._log)
                if frame is not None:
                    frames.append(frame)
        if not frames:
            return
        with self._refusing(*(frame.camera for frame in frames)):
            _lap(frames, "wait")  # for those that were read after it
            answers = self._estimator.infer([frame.tensor for frame in frames])
            _lap(frames, "network")
            for frame, answer in zip(frames, answers, strict=True):
                frame.times.lap("wait")  # for those that were published before it
                with self._refusing(frame.camera):
                    frame.finish(answer, self._now)

    @contextmanager
    def _refusing(self, *cameras: Camera) -> Iterator[None]:
        """Count and log what goes wrong: the thread must outlive any frame."""
        try:
            yield
        except (ImageCodecError, CameraInfoError) as error:
            cause = "bad image" if isinstance(error, ImageCodecError) else "wrong camera_info"
            for camera in cameras:
                camera.health.count_refused(cause, str(error))
                self._log.warn(camera.titled(f"image refused: {error}"))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be seen
            for camera in cameras:
                camera.health.count_refused("internal error", repr(error))
            names = ", ".join(camera.name for camera in cameras if camera.name)
            whose = f" of {names}" if names else ""
            self._log.unexpected(f"frame{whose} lost to an unexpected error: {error!r}")


def _lap(frames: list[Frame], stage: str) -> None:
    for frame in frames:
        frame.times.lap(stage)
