# SPDX-License-Identifier: Apache-2.0
"""True depth from a bag: depth images, or LiDAR projected through /tf_static and CameraInfo."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from logging import getLogger
from math import inf
from operator import eq, itemgetter
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_dpt_ros.camera_info import image_size, intrinsics_of
from depth_dpt_ros.image_codec import to_depth
from depth_dpt_ros.replay.bag import IMAGES, Bag, BagError, Camera, Message, cameras
from depth_dpt_ros.replay.projection import TransformTree, cloud_points, frame_id, project_points
from depth_dpt_ros.stamps import stamp_ns

TOLERANCE_NS = 50_000_000
# How much later than its counterpart a message may reach the recorder.
WAIT_NS = 1_000_000_000

Depth = NDArray[np.float32]
Floats = NDArray[Any]

_log = getLogger(__name__)


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """A topic that says how far things are, and the way to read it as a depth image."""

    topic: str
    cloud_to_camera: Floats | None = None  # [4, 4]; None for a depth image

    @property
    def kind(self) -> Literal["depth_image", "points"]:
        """What the topic holds."""
        return "depth_image" if self.cloud_to_camera is None else "points"

    def depth(self, message: Message, camera_info: Message) -> Depth:
        """Return a message of the topic as metres along Z [H, W], NaN where unknown.

        Points fill an image of the size in camera_info, which a depth image does not need.

        Raises:
            ValueError: a message is malformed, or the camera not calibrated.
        """
        if self.cloud_to_camera is None:
            return to_depth(message)
        width, height = image_size(camera_info)
        if not (width and height):
            raise BagError("camera_info says no image size, which the projection of points needs")
        camera = intrinsics_of(camera_info, width, height)
        points = cloud_points(message)
        return project_points(points, self.cloud_to_camera, camera, (height, width))


def find_ground_truth(bag: Bag, camera: Camera) -> GroundTruth | None:
    """Return a camera's depth image, else the cloud that puts most points into its view, or None.

    A cloud needs the camera's CameraInfo and static transforms from its frame to the camera's.
    """
    tree = TransformTree.from_bag(bag)
    for rated in (_depth_images(bag, camera, tree), _clouds(bag, camera, tree)):
        if best := max(rated, key=itemgetter(0), default=None):
            return best[1]
    return None


def iter_truth(
    bag: Bag, camera: Camera, truth: GroundTruth, tolerance_ns: int = TOLERANCE_NS
) -> Iterator[tuple[int, Depth]]:
    """Yield (an image's header stamp in ns, true depth [H, W] in metres or NaN) in image order.

    An image takes the truth nearest to its own stamp and is left out if that is farther than the
    tolerance. Points are projected by the CameraInfo last seen. Only messages that may still
    match are held. The bag is opened once more, so that its images can be read at the same time.
    """
    info_topic = camera.camera_info_topic
    topics = {camera.image_topic, truth.topic} | ({info_topic} if info_topic else set())
    images: deque[_Entry] = deque()
    truths: deque[_Entry] = deque()
    with Bag(bag.path) as own:
        info = own.first(info_topic) if info_topic else None
        for topic, log_time, raw in own.messages(topics):
            message = own.deserialize(raw, topic)
            if topic == info_topic:
                info = message
            elif topic == truth.topic:
                truths.append(_Entry(stamp_ns(message), log_time, message))
            else:
                images.append(_Entry(stamp_ns(message), log_time))
            yield from _depths(truth, _decide(images, truths, log_time, tolerance_ns), info)
        yield from _depths(truth, _decide(images, truths, inf, tolerance_ns), info)


def _depth_images(
    bag: Bag, camera: Camera, tree: TransformTree
) -> Iterator[tuple[tuple[bool, int], GroundTruth]]:
    """Yield the depth images to which no other camera has a better claim, with that claim."""
    views = [(c.base_topic, frame_id(bag.first(c.image_topic))) for c in (camera, *cameras(bag))]
    for topic in bag.of_type(*IMAGES):
        image, truth = bag.first(topic), GroundTruth(topic)
        try:
            truth.depth(image, None)
        except ValueError:  # a picture, or depth coded in a way that cannot be read
            continue
        claim, *others = (_claim(view, (topic, frame_id(image))) for view in views)
        if claim >= max(others, default=claim) and not tree.apart(views[0][1], frame_id(image)):
            yield claim, truth


def _claim(camera: tuple[str, str], depth: tuple[str, str]) -> tuple[bool, int]:
    """Rate how surely two (topic, frame) belong together: same frame, then names alike."""
    alike = takewhile(bool, map(eq, camera[0].split("/"), depth[0].split("/")))
    return camera[1] == depth[1] != "", sum(alike)


def _clouds(bag: Bag, camera: Camera, tree: TransformTree) -> Iterator[tuple[int, GroundTruth]]:
    """Yield the clouds tied to the camera, with the number of pixels the first one fills."""
    if camera.camera_info_topic is None:
        return
    info = bag.first(camera.camera_info_topic)
    frame = frame_id(bag.first(camera.image_topic))
    for topic in bag.of_type("sensor_msgs/msg/PointCloud2"):
        cloud = bag.first(topic)
        try:
            truth = GroundTruth(topic, tree.lookup(frame, frame_id(cloud)))
            seen = int(np.isfinite(truth.depth(cloud, info)).sum())
        except (LookupError, ValueError):  # no chain, no calibration, or no x, y and z
            continue
        if seen:
            yield seen, truth


class _Entry(NamedTuple):
    stamp: int
    log_time: int
    message: Message = None


def _decide(
    images: deque[_Entry], truths: deque[_Entry], now: float, tolerance_ns: int
) -> Iterator[tuple[int, Message]]:
    """Take out images whose nearest truth is certain at log time now: (stamp, truth message).

    As stamps of a topic only grow, it is once a truth as late as the image has come, or none
    for WAIT_NS. Truths that no later image can want are dropped.
    """
    stamp = -inf
    while images and (
        (truths and truths[-1].stamp >= images[0].stamp) or now - images[0].log_time > WAIT_NS
    ):
        stamp = images.popleft().stamp
        nearest = min(truths, key=lambda truth: abs(truth.stamp - stamp), default=None)
        if nearest and abs(nearest.stamp - stamp) <= tolerance_ns:
            yield int(stamp), nearest.message
    # An image may come WAIT_NS after its truth and then wait for as long.
    while truths and (
        truths[0].stamp < stamp - tolerance_ns or now - truths[0].log_time > 2 * WAIT_NS
    ):
        truths.popleft()


def _depths(
    truth: GroundTruth, pairs: Iterable[tuple[int, Message]], info: Message
) -> Iterator[tuple[int, Depth]]:
    for stamp, message in pairs:
        depth = _depth_if_whole(truth, message, info)
        if depth is not None:
            yield stamp, depth


def _depth_if_whole(truth: GroundTruth, message: Message, info: Message) -> Depth | None:
    try:
        return truth.depth(message, info)
    except ValueError as error:
        _log.warning("skipping what %s says at %d ns: %s", truth.topic, stamp_ns(message), error)
        return None
