# SPDX-License-Identifier: Apache-2.0
"""Bringing what the node published together with the frames of the bag."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics
from depth_dpt_ros.image_codec import to_depth
from depth_dpt_ros.replay.bag import Bag, Message
from depth_dpt_ros.replay.frame_work import Prediction
from depth_dpt_ros.replay.matching import Frame
from depth_dpt_ros.replay.player import DEPTH, Playback
from depth_dpt_ros.stamps import stamp_ns


@dataclass(frozen=True, eq=False)
class AnsweredFrame(Frame):
    """A frame, and the depth that the node published for it."""

    depth: Message | None = None


class LiveAnswers:
    """The depth that was recorded, in the order of the bag's images, which is the node's too."""

    def __init__(self, recorded: Bag, playback: Playback) -> None:
        """Take the depth in a bag, open as long as it is wanted."""
        self._recorded, self._playback = recorded, playback
        # to which of several images of one stamp the answers belong can be told only if each has
        # one
        self._unclear = {
            stamp
            for stamp, images in playback.played.items()
            if images > 1 and playback.answers[stamp] != images
        }

    def join(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Give every frame its answer; an interrupted playback ends with its last image."""
        answers = self._answers()
        upcoming = next(answers, None)
        played = self._playback.played.copy()
        left = played.total()
        for frame in frames:
            if self._playback.interrupted and not left:
                return
            if played[frame.stamp]:
                played[frame.stamp] -= 1
                left -= 1
            depth = None
            if upcoming is not None and stamp_ns(upcoming) == frame.stamp:
                depth, upcoming = upcoming, next(answers, None)
            known = {each.name: getattr(frame, each.name) for each in fields(Frame)}
            yield AnsweredFrame(**known, depth=depth)

    def _answers(self) -> Iterator[Message]:
        topics = [topic.name for topic in self._recorded.topics if topic.name == DEPTH]
        for topic, _, raw in self._recorded.messages(topics):
            message = self._recorded.deserialize(raw, topic)
            if stamp_ns(message) not in self._unclear:
                yield message


class RecordedPredictor:
    """Says what the node said."""

    def __enter__(self) -> None:
        """See `Predictor`."""

    def __exit__(self, *_: object) -> None: ...

    def __call__(
        self,
        frame: Frame,
        image: NDArray[np.uint8],  # noqa: ARG002
        camera: Intrinsics | None,  # noqa: ARG002
    ) -> Prediction | None:
        """See `Predictor`; depth has the size in which it was published."""
        assert isinstance(frame, AnsweredFrame)
        if frame.depth is None:
            return None
        depth = to_depth(frame.depth)
        return Prediction(depth, lambda: depth)


def live_figures(playback: Playback, dropped: int) -> dict[str, Any]:
    """Real-time figures: images, rates, latency from sending an image to receiving its depth.

    Args:
        playback: what happened.
        dropped: images without an answer.
    """
    latencies = np.array(playback.latencies()) * 1e3
    names = ("p50", "p95", "p99", "max")
    values: list[float | None] = [None] * len(names)
    if len(latencies):
        values = np.percentile(latencies, [50, 95, 99, 100]).tolist()
    return {
        "player": playback.player,
        "images": {
            "played": playback.played.total(),
            "answered": playback.answers.total(),
            "lost": dropped,
        },
        "rate": {
            "played": _rate(list(playback.sent.values())),
            "answered": _rate(list(playback.answered.values())),
        },
        "latency_ms": dict(zip(names, values, strict=True)),
    }


def _rate(times: list[float]) -> float | None:
    """Events a second."""
    span = max(times) - min(times) if times else 0.0
    return (len(times) - 1) / span if span else None
