# SPDX-License-Identifier: Apache-2.0
"""Play a bag's camera to a running node, and record what it publishes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tqdm import tqdm

from depth_dpt_ros.replay.bag import Bag, Camera
from depth_dpt_ros.replay.feeds import Player, Route, choose_player
from depth_dpt_ros.replay.output_bag import OutputBag, Serialized
from depth_dpt_ros.stamps import serialized_stamp_ns

DEPTH = "/depth/image"
ANSWERS: Mapping[str, type] = {DEPTH: Image, "/depth/camera_info": CameraInfo}
COLOR: Mapping[str, type] = {"/depth/color/image": Image}
_MATCH_TIMEOUT = 60.0  # s for the node to load its model and subscribe
_LAST_ANSWER = 3.0  # s to wait for answers after the last image
_RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_ERROR = DiagnosticStatus.ERROR


@dataclass
class Playback:
    """What happened: per image stamp (ns) the monotonic time it was sent and answered."""

    player: str
    played: Counter[int] = field(default_factory=Counter)  # images by stamp
    answers: Counter[int] = field(default_factory=Counter)
    sent: dict[int, float] = field(default_factory=dict)
    answered: dict[int, float] = field(default_factory=dict)
    interrupted: bool = False

    def latencies(self) -> list[float]:
        """Seconds from publishing an image to receiving its depth, in order of the images."""
        return [self.answered[s] - sent for s, sent in self.sent.items() if s in self.answered]


def play(
    bag: Bag,
    camera: Camera,
    route: Route,
    folder: Path,
    *,
    record: Mapping[str, type] = ANSWERS,
    with_images: bool = False,
    player: Player = "own",
    rate: float = 1.0,
    alive: Callable[[], bool] = lambda: True,
    interrupted: Event | None = None,
) -> Playback:
    """Play a camera's images and CameraInfo; record the node's answers to `folder`.

    Args:
        bag: an open bag.
        camera: what to play of it.
        route: where the node listens.
        folder: the new bag.
        record: topics of the node and their types, `DEPTH` among them.
        with_images: record the images, too.
        player: who plays.
        rate: how many times the recorded speed.
        alive: tells whether the node still runs.
        interrupted: when set, ends the playing.

    Raises:
        KeyboardInterrupt: interrupted before anything was played.
        RuntimeError: the node died, cannot work, or did not subscribe within a minute.
    """
    context = Context()
    rclpy.init(context=context)
    try:
        with OutputBag(folder) as recording:
            session = _Session(recording, context, alive, interrupted or Event(), record)
            return session.run(bag, camera, route, player, rate, with_images=with_images)
    finally:
        rclpy.shutdown(context=context)


class _InterruptedError(Exception):
    """The user wants it to end."""


class _Session:
    def __init__(
        self,
        recording: OutputBag,
        context: Context,
        alive: Callable[[], bool],
        interrupted: Event,
        record: Mapping[str, type],
    ) -> None:
        self._recording, self._alive, self._interrupted = recording, alive, interrupted
        self._record = record
        self._node = Node("depth_replay", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._last_sent = (0, 0.0)  # log time in ns, monotonic seconds
        self._last_answer = 0  # log time in ns
        self._runtime = self._failure = ""  # of the node
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def run(
        self,
        bag: Bag,
        camera: Camera,
        route: Route,
        player: Player,
        rate: float,
        *,
        with_images: bool,
    ) -> Playback:
        kind = choose_player(player, bag)
        self._playback, self._rate = Playback(kind.name), rate
        if self._node.count_publishers(route.images):
            raise RuntimeError(
                f"something else publishes {route.images} already: choose another ROS_DOMAIN_ID"
            )
        feed = kind(self._node, bag, camera, route)
        for topic, type_ in self._record.items():
            self._node.create_subscription(
                type_, topic, self._receiver(topic, type_), _RELIABLE, raw=True
            )
        try:
            self._wait_for_node(feed.matched)
        except _InterruptedError as error:
            raise KeyboardInterrupt from error
        image_kind = CompressedImage if route.compressed else Image

        def sent(log_time: int, raw: bytes) -> None:
            stamp = serialized_stamp_ns(raw)
            self._playback.played[stamp] += 1
            now = self._playback.sent[stamp] = time.monotonic()
            self._last_sent = log_time, now
            if with_images:
                self._write(route.images, image_kind, log_time, raw)
            bar.update()

        count = next(topic.count for topic in bag.topics if topic.name == camera.image_topic)
        try:
            with tqdm(total=count, desc="playing", unit="image") as bar:
                feed.play(rate, self._spin_until, sent)
            self._wait_for_last_answers()
        except _InterruptedError:
            self._playback.interrupted = True
        return self._playback

    def _receiver(self, topic: str, kind: type) -> Callable[[bytes], None]:
        def receive(raw: bytes) -> None:
            stamp = serialized_stamp_ns(raw)
            if stamp not in self._playback.sent:
                return  # of another node, which is not ours to record
            now = time.monotonic()
            if topic == DEPTH:
                self._playback.answers[stamp] += 1
                self._playback.answered[stamp] = now
            # on the bag's clock, and in the order of arrival, which is that of the images
            log_time, sent = self._last_sent
            log_time += int((now - sent) * self._rate * 1e9)
            self._last_answer = max(log_time, self._last_answer + 1)
            self._write(topic, kind, self._last_answer, raw)

        return receive

    def _write(self, topic: str, kind: type, log_time: int, raw: bytes) -> None:
        message = Serialized(topic, f"sensor_msgs/msg/{kind.__name__}", raw)
        self._recording.write(message, log_time)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {item.key: item.value for item in status.values}
            if "runtime" in values:
                self._runtime = values["runtime"]
                self._failure = status.message if status.level == _ERROR else ""

    def _wait_for_node(self, matched: Callable[[], bool]) -> None:
        """Wait until the node listens; an engine that is being built may take its time."""
        end = time.monotonic() + _MATCH_TIMEOUT
        while not (matched() and self._publishes() and self._runtime):
            if not self._runtime and self._failure:
                raise RuntimeError(f"the node cannot work: {self._failure}")
            if time.monotonic() > end and not matched():
                raise RuntimeError(f"the node did not subscribe within {_MATCH_TIMEOUT:g} s")
            self._spin_until(time.monotonic() + 0.1, doing="before it subscribed")
        # a node that meets a reliable camera subscribes anew within a second
        self._spin_until(time.monotonic() + 1.5)

    def _publishes(self) -> bool:
        return all(self._node.count_publishers(topic) > 0 for topic in self._record)

    def _spin_until(self, due: float, doing: str = "while the bag was played") -> None:
        while (left := due - time.monotonic()) > 0:
            if self._interrupted.is_set():
                raise _InterruptedError
            if not self._alive():
                raise RuntimeError(f"the node ended {doing}")
            self._executor.spin_once(min(left, 0.2))

    def _wait_for_last_answers(self) -> None:
        end = time.monotonic() + _LAST_ANSWER
        while time.monotonic() < end and len(self._playback.answered) < len(self._playback.sent):
            self._spin_until(time.monotonic() + 0.1)
        self._spin_until(time.monotonic() + 0.3)  # colour follows depth
