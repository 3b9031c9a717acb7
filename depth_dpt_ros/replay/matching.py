# SPDX-License-Identifier: Apache-2.0
"""Every image of a bag with its CameraInfo and the truth nearest in time, in one pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple

from numpy.typing import NDArray

from depth_dpt_ros.camera_info import focal_lengths
from depth_dpt_ros.replay.bag import Bag, BagError, Camera, Message
from depth_dpt_ros.replay.ground_truth import GroundTruth
from depth_dpt_ros.replay.transforms import TransformTree, frame_id, moving_transforms
from depth_dpt_ros.stamps import stamp_ns

TOLERANCE_NS = 50_000_000
# How much later than its counterpart a message may reach the recorder.
WAIT_NS = 1_000_000_000


@dataclass(frozen=True, eq=False)
class Frame:
    """An image and what belongs to it.

    `truth` is None where `unmatched` says why; `cloud_to_camera` ([4, 4], None for images of
    truth) holds at the image's time.
    """

    stamp: int  # ns, of the header
    log_time: int  # ns
    image: Message
    camera_info: Message | None
    truth: Message | None = None
    cloud_to_camera: NDArray[Any] | None = None
    unmatched: str = ""


@dataclass
class Reading:
    """What was met on the way through a bag; complete after the last frame."""

    damaged_images: int = 0  # bytes that are no message
    damaged_truths: int = 0
    repeated_stamps: int = 0  # images with the stamp of the one before
    backward_images: int = 0  # stamps before that of the image before
    backward_truths: int = 0
    first_image: int | None = None  # stamps, ns
    last_image: int | None = None
    first_truth: int | None = None
    last_truth: int | None = None


def iter_frames(
    bag: Bag,
    camera: Camera,
    truth: GroundTruth | None = None,
    *,
    tolerance_ns: int = TOLERANCE_NS,
    reading: Reading | None = None,
) -> Iterator[Frame]:
    """Yield every image in the order of the bag, each once.

    An image takes the truth whose stamp is nearest to its own, and none if that is farther than
    the tolerance. It takes the CameraInfo of its stamp, else the latest before it, else the
    first. Only messages that may still match are held, so that an image whose stamp goes back may
    be left without truth. Nothing else may read from the bag in the meantime.

    Args:
        bag: an open bag.
        camera: the images.
        truth: what to compare with, if anything.
        tolerance_ns: largest difference between stamps, included.
        reading: counts what is met.

    Raises:
        BagError: the bag turns out to be damaged.
    """
    joiner = _Joiner(bag, camera, truth, tolerance_ns, reading or Reading())
    for topic, log_time, raw in bag.messages(joiner.topics):
        joiner.take(topic, log_time, raw)
        yield from joiner.certain(log_time)
    yield from joiner.certain(inf)


class _Entry(NamedTuple):
    stamp: int
    log_time: int
    message: Message


class _Joiner:
    def __init__(
        self,
        bag: Bag,
        camera: Camera,
        truth: GroundTruth | None,
        tolerance_ns: int,
        reading: Reading,
    ) -> None:
        self._bag, self._camera, self._tolerance, self._reading = (
            bag,
            camera,
            tolerance_ns,
            reading,
        )
        self._truth_topic = None if truth is None else truth.topic
        self._points = truth is not None and truth.kind == "points"
        self._tree = TransformTree.from_bag(bag) if self._points else TransformTree()
        self._moving = set(moving_transforms(bag)) if self._points else set()
        info_topic = camera.camera_info_topic
        self.topics = {camera.image_topic} | self._moving
        self.topics |= {topic for topic in (info_topic, self._truth_topic) if topic}
        self._images: deque[_Entry] = deque()
        self._truths: deque[_Entry] = deque()
        self._infos: deque[_Entry] = deque()
        self._newest_info = -inf
        if info_topic:
            self._expect_infos(info_topic)
        self._last_stamp: int | None = None

    def _expect_infos(self, topic: str) -> None:
        """Begin with the first CameraInfo, which images before it take too."""
        first = self._bag.first(topic)
        if focal_lengths(first) is not None:
            self._infos.append(_Entry(stamp_ns(first), 0, first))
        if any(each.name == topic and each.count == 1 for each in self._bag.topics):
            self._newest_info = inf  # no other is worth waiting for

    def take(self, topic: str, log_time: int, raw: bytes) -> None:
        """Sort in a message; bytes that are none are counted."""
        reading = self._reading
        try:
            message = self._bag.deserialize(raw, topic)
        except BagError:
            reading.damaged_images += topic == self._camera.image_topic
            reading.damaged_truths += topic == self._truth_topic
            return
        if topic in self._moving:
            self._tree.add(message)
            return
        entry = _Entry(stamp_ns(message), log_time, message)
        if topic == self._camera.camera_info_topic:
            if focal_lengths(message) is not None:
                self._infos.append(entry)
            self._newest_info = max(self._newest_info, entry.stamp)
        elif topic == self._truth_topic:
            reading.backward_truths += bool(self._truths) and entry.stamp < self._truths[-1].stamp
            reading.first_truth = _first(reading.first_truth, entry.stamp)
            reading.last_truth = entry.stamp
            self._truths.append(entry)
        else:
            last = reading.last_image
            reading.backward_images += last is not None and entry.stamp < last
            reading.first_image = _first(reading.first_image, entry.stamp)
            reading.last_image = entry.stamp
            self._images.append(entry)

    def certain(self, now: float) -> Iterator[Frame]:
        """Take out the images of which all that belongs to them has come by log time now.

        As stamps of a topic only grow, it has once something as late as the image has come, or
        nothing for WAIT_NS. What no later image can want is dropped.
        """
        stamp: float = -inf
        while self._images and (
            now - self._images[0].log_time > WAIT_NS or self._all_came(self._images[0])
        ):
            image = self._images.popleft()
            stamp = image.stamp
            yield self._frame(image)
        # An image may come WAIT_NS after its truth and then wait for as long.
        while self._truths and (
            self._truths[0].stamp < stamp - self._tolerance
            or now - self._truths[0].log_time > 2 * WAIT_NS
        ):
            self._truths.popleft()

    def _all_came(self, image: _Entry) -> bool:
        if self._camera.camera_info_topic and self._newest_info < image.stamp:
            return False
        if self._truth_topic is None:
            return True
        if not self._truths or self._truths[-1].stamp < image.stamp:
            return False
        frames = frame_id(image.message), frame_id(self._truths[-1].message)
        return not self._moving or self._tree.reaches(*frames, image.stamp)

    def _frame(self, image: _Entry) -> Frame:
        repeated = image.stamp == self._last_stamp
        self._reading.repeated_stamps += repeated
        self._last_stamp = image.stamp
        info = self._info(image.stamp)
        known = (image.stamp, image.log_time, image.message, info)
        if self._truth_topic is None:
            return Frame(*known)
        if repeated:  # which of the two was meant cannot be told
            return Frame(*known, unmatched="the stamp of the image before")
        nearest = min(self._truths, key=lambda truth: abs(truth.stamp - image.stamp), default=None)
        if nearest is None or abs(nearest.stamp - image.stamp) > self._tolerance:
            return Frame(*known, unmatched="no truth within the tolerance")
        if not self._points:
            return Frame(*known, nearest.message)
        target, source = frame_id(image.message), frame_id(nearest.message)
        try:
            matrix = self._tree.lookup(target, source, image.stamp)
        except LookupError as error:
            return Frame(*known, unmatched=str(error))
        return Frame(*known, nearest.message, matrix)

    def _info(self, stamp: int) -> Message | None:
        """Return an image's CameraInfo; those before it are not needed again."""
        while len(self._infos) > 1 and self._infos[1].stamp <= stamp:
            self._infos.popleft()
        return self._infos[0].message if self._infos else None


def _first(known: int | None, stamp: int) -> int:
    return stamp if known is None else known
