# SPDX-License-Identifier: Apache-2.0
"""A camera that asks processes under test for depth, each in a namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from depth_dpt_core.frames import street_frames
from depth_dpt_ros.image_codec import rgb_to_image
from depth_dpt_ros.stamps import stamp_ns

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

T = TypeVar("T")

WIDTH, HEIGHT = 2048, 1024
_FOCAL = 2000.0  # pixels
_QUALITY = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
_START_TIMEOUT = 60.0  # s
_ANSWER_TIMEOUT = 2.0  # s
_STOP_TIMEOUT = 20.0  # s


@dataclass(frozen=True)
class Subject:
    """A process under test: it answers `image` with `depth/image`, and colour where asked to.

    Its environment is the camera's, `without` some variables.
    """

    name: str  # its namespace
    module: str  # what `python -m` runs
    color: bool
    parameters: Mapping[str, object] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    def command(self) -> list[str]:
        """How it is started."""
        settings = [f"{name}:={value}" for name, value in self.parameters.items()]
        return [
            sys.executable, "-m", self.module, "--ros-args", "-r", f"__ns:=/{self.name}",
            *(part for setting in settings for part in ("-p", setting)),
        ]  # fmt: skip


class Rig:
    """Subjects, each in its process, and the camera in this one."""

    def __init__(self, subjects: list[Subject], folder: Path) -> None:
        """Start the subjects; their logs go to the folder."""
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = Node("bench_camera", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        picture = np.asarray(cv2.resize(street_frames()[0], (WIDTH, HEIGHT)), np.uint8)
        self._image = rgb_to_image(picture, Image().header)
        self._info = _camera_info()
        self._lanes = {it.name: _Lane(it, self._node, folder) for it in subjects}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        for lane in self._lanes.values():
            lane.stop()
        self._executor.remove_node(self._node)
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def wait_until_answering(self, name: str) -> None:
        """Send images until they are answered.

        Raises:
            RuntimeError: the process ended, or did not answer within a minute.
        """
        lane = self._lanes[name]
        end = time.monotonic() + _START_TIMEOUT
        while lane.image.get_subscription_count() == 0 or self.ask(name) >= _ANSWER_TIMEOUT:
            lane.check_alive()
            if time.monotonic() > end:
                raise RuntimeError(f"{name} did not answer within {_START_TIMEOUT:g} s")
            self.spin(0.2)

    def send(self, name: str) -> int:
        """Publish a CameraInfo and an image of the present moment; its stamp (ns)."""
        stamp = time.time_ns()
        header = self._image.header
        header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
        self._info.header = header
        lane = self._lanes[name]
        lane.info.publish(self._info)
        lane.sent[stamp] = time.monotonic()
        lane.image.publish(self._image)
        return stamp

    def ask(self, name: str) -> float:
        """Send an image and wait for its answer, for two seconds at most; the seconds it took."""
        stamp = self.send(name)
        lane = self._lanes[name]
        end = lane.sent[stamp] + _ANSWER_TIMEOUT
        while not lane.is_answered(stamp):
            if time.monotonic() > end:
                return _ANSWER_TIMEOUT
            self._executor.spin_once(0.1)
        return max(answers[stamp] for answers in lane.answered) - lane.sent[stamp]

    def is_answered(self, name: str, stamp: int) -> bool:
        """Whether all that was asked for has come: depth, and colour where it was."""
        return self._lanes[name].is_answered(stamp)

    def cpu_seconds(self, name: str) -> float:
        """What the process has used of all cores until now, in user and in system mode."""
        # the clock of clock_getcpuclockid(3); /proc counts in steps of 10 ms
        return time.clock_gettime((~self._lanes[name].process.pid << 3) | 2)

    def spin(self, seconds: float) -> None:
        """Handle messages for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(left)


class _Lane:
    """A running subject with the topics to it and from it."""

    def __init__(self, subject: Subject, node: Node, folder: Path) -> None:
        self.sent: dict[int, float] = {}  # stamp (ns): monotonic s
        self._log = folder / f"{subject.name}.log"
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                subject.command(),
                stdout=output,
                stderr=subprocess.STDOUT,
                env={k: v for k, v in os.environ.items() if k not in subject.without},
            )
        prefix = f"/{subject.name}"
        self.image = node.create_publisher(Image, f"{prefix}/image", _QUALITY)
        self.info = node.create_publisher(CameraInfo, f"{prefix}/camera_info", _QUALITY)
        topics = ["depth/image", *(["depth/color/image"] if subject.color else [])]
        self.answered: list[dict[int, float]] = [{} for _ in topics]  # likewise, of each topic
        for topic, answers in zip(topics, self.answered, strict=True):
            keep = partial(self._keep, answers)
            node.create_subscription(Image, f"{prefix}/{topic}", keep, _QUALITY)

    def _keep(self, answers: dict[int, float], message: Image) -> None:
        if (message.width, message.height) == (WIDTH, HEIGHT):
            answers[stamp_ns(message)] = time.monotonic()

    def is_answered(self, stamp: int) -> bool:
        return all(stamp in answers for answers in self.answered)

    def check_alive(self) -> None:
        if self.process.poll() is not None:
            raise RuntimeError(f"{self._log.stem} ended; it said:\n{self._log.read_text()}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def in_fresh_process(
    environment: Mapping[str, str], function: Callable[..., T], *args: object
) -> T:
    """Call a function in a new process: the middleware and malloc read settings but once.

    The environment is all that it gets.
    """
    with (
        _environment(environment),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        return pool.submit(function, *args).result()


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _camera_info() -> CameraInfo:
    cx, cy = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    return CameraInfo(
        width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[0.0] * 5,
        k=[_FOCAL, 0.0, cx, 0.0, _FOCAL, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[_FOCAL, 0.0, cx, 0.0, 0.0, _FOCAL, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )  # fmt: skip
