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

from depth_dpt_core.camera import Intrinsics
from depth_dpt_ros.image_codec import to_depth
from depth_dpt_ros.replay.bag import IMAGES, Bag, BagError, Camera, Message, cameras, stamp_ns

TOLERANCE_NS = 50_000_000
# How much later than its counterpart a message may reach the recorder.
WAIT_NS = 1_000_000_000

Depth = NDArray[np.float32]
Floats = NDArray[Any]

_POINT_FIELDS = {7: "f4", 8: "f8"}  # sensor_msgs/PointField FLOAT32 and FLOAT64
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
        size = (camera_info.height, camera_info.width)
        points = cloud_points(message)
        return project_points(points, self.cloud_to_camera, intrinsics(camera_info), size)


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


class TransformTree:
    """Static transforms between frames, as [4, 4] matrices."""

    def __init__(self, messages: Iterable[Message]) -> None:
        """Take tf2_msgs/TFMessages; between two frames the last transform counts."""
        self._from: dict[str, dict[str, Floats]] = {}  # [a][b] takes points from frame b to a
        for transform in (each for message in messages for each in message.transforms):
            parent, child = _frame(transform), transform.child_frame_id.lstrip("/")
            matrix = _matrix(transform.transform)
            self._from.setdefault(parent, {})[child] = matrix
            self._from.setdefault(child, {})[parent] = np.linalg.inv(matrix)

    @classmethod
    def from_bag(cls, bag: Bag) -> TransformTree:
        """Read all of /tf_static, also where it is in a namespace."""
        topics = [t for t in bag.of_type("tf2_msgs/msg/TFMessage") if t.endswith("/tf_static")]
        return cls(bag.deserialize(raw, topic) for topic, _, raw in bag.messages(topics))

    def lookup(self, target: str, source: str) -> Floats:
        """Return the matrix that takes points from frame source to frame target.

        Raises:
            LookupError: no chain of transforms ties the two.
        """
        reached: dict[str, Floats] = {target: np.eye(4)}
        border = deque([target])
        while border:
            frame = border.popleft()
            for neighbour in self._from.get(frame, {}).keys() - reached:
                reached[neighbour] = reached[frame] @ self._from[frame][neighbour]
                border.append(neighbour)
        if source not in reached:
            known = ", ".join(sorted(reached))
            raise LookupError(f"no static transforms tie frame {source!r} to any of {known}")
        return reached[source]

    def apart(self, a: str, b: str) -> bool:
        """Tell whether the origins of two frames are known to be over a millimetre apart."""
        try:
            return bool(np.linalg.norm(self.lookup(a, b)[:3, 3]) > 1e-3)
        except LookupError:
            return False


def project_points(
    points: Floats, cloud_to_camera: Floats, camera: Intrinsics, size: tuple[int, int]
) -> Depth:
    """Return points [N, 3] in metres as a depth image of size (H, W), NaN where no point falls.

    A point in front of the camera falls on the pixel at floor(u + 0.5), floor(v + 0.5), where
    the smallest Z wins. No lens distortion is applied: the image is taken to be rectified.
    """
    points = points[np.isfinite(points).all(axis=1)]
    points = points @ cloud_to_camera[:3, :3].T + cloud_to_camera[:3, 3]
    points = points[points[:, 2] > 0]
    uv = points[:, :2] / points[:, 2:] * (camera.fx, camera.fy) + (camera.cx, camera.cy)
    pixel = np.floor(uv + 0.5)
    inside = ((pixel >= 0) & (pixel < size[::-1])).all(axis=1)
    column, row = pixel[inside].astype(np.intp).T
    depth = np.full(size, np.inf, np.float32)
    np.minimum.at(depth, (row, column), points[inside, 2].astype(np.float32))
    depth[np.isinf(depth)] = np.nan
    return depth


def cloud_points(cloud: Message) -> Floats:
    """Return x, y, z of a sensor_msgs/PointCloud2 as [N, 3], row by row.

    Reads float32 and float64 of either byte order, padded points and padded rows.

    Raises:
        BagError: the cloud has no such x, y and z, or not the size it states.
    """
    fields = {field.name: field for field in cloud.fields}
    order = ">" if cloud.is_bigendian else "<"
    try:
        layout: Any = {
            "names": ["x", "y", "z"],
            "formats": [order + _POINT_FIELDS[fields[axis].datatype] for axis in "xyz"],
            "offsets": [fields[axis].offset for axis in "xyz"],
            "itemsize": cloud.point_step,
        }
        row_step = max(cloud.row_step, cloud.width * cloud.point_step)  # some leave it at 0
        shape, strides = (cloud.height, cloud.width), (row_step, cloud.point_step)
        grid = np.ndarray(shape, np.dtype(layout), cloud.data, strides=strides)
    except (KeyError, TypeError, ValueError) as error:
        raise BagError(
            f"a PointCloud2 of {cloud.height} x {cloud.width} points should have float x, y and z "
            f"within its {cloud.point_step} bytes a point and {len(cloud.data)} in all ({error})"
        ) from error
    return np.stack([grid[axis].ravel() for axis in "xyz"], axis=1).astype(np.float64)


def intrinsics(camera_info: Message) -> Intrinsics:
    """Return P of a sensor_msgs/CameraInfo, K where P is unset; ValueError if both are unset."""
    p, k = camera_info.p, camera_info.k
    values = (p[0], p[5], p[2], p[6]) if p[0] else (k[0], k[4], k[2], k[5])
    return Intrinsics(*map(float, values))


def _depth_images(
    bag: Bag, camera: Camera, tree: TransformTree
) -> Iterator[tuple[tuple[bool, int], GroundTruth]]:
    """Yield the depth images to which no other camera has a better claim, with that claim."""
    views = [(c.base_topic, _frame(bag.first(c.image_topic))) for c in (camera, *cameras(bag))]
    for topic in bag.of_type(*IMAGES):
        image, truth = bag.first(topic), GroundTruth(topic)
        try:
            truth.depth(image, None)
        except ValueError:  # a picture, or depth coded in a way that cannot be read
            continue
        claim, *others = (_claim(view, (topic, _frame(image))) for view in views)
        if claim >= max(others, default=claim) and not tree.apart(views[0][1], _frame(image)):
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
    frame = _frame(bag.first(camera.image_topic))
    for topic in bag.of_type("sensor_msgs/msg/PointCloud2"):
        cloud = bag.first(topic)
        try:
            truth = GroundTruth(topic, tree.lookup(frame, _frame(cloud)))
            yield int(np.isfinite(truth.depth(cloud, info)).sum()), truth
        except (LookupError, ValueError):  # no chain, no calibration, or no x, y and z
            continue


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


def _frame(message: Message) -> str:
    return str(message.header.frame_id).lstrip("/")  # ROS 1 may begin it with a slash


def _matrix(transform: Message) -> Floats:
    """Return a geometry_msgs/Transform as [4, 4]."""
    rotation, translation = transform.rotation, transform.translation
    quaternion = np.array([rotation.x, rotation.y, rotation.z, rotation.w])
    x, y, z, w = quaternion / np.linalg.norm(quaternion)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += 2 * w * cross + 2 * cross @ cross
    matrix[:3, 3] = translation.x, translation.y, translation.z
    return matrix
