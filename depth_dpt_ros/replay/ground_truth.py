# SPDX-License-Identifier: Apache-2.0
"""True depth from a bag: depth images, disparity, or LiDAR projected into the camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from operator import eq, itemgetter
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from depth_dpt_ros.camera_info import image_size, intrinsics_of
from depth_dpt_ros.image_codec import to_depth
from depth_dpt_ros.replay.bag import IMAGES, Bag, BagError, Camera, Message, base_topic, cameras
from depth_dpt_ros.replay.projection import cloud_points, project_points, visible_points
from depth_dpt_ros.replay.transforms import TransformTree, frame_id, moving_transforms

Depth = NDArray[np.float32]
Floats = NDArray[Any]
Kind = Literal["depth_image", "disparity", "points"]

DISPARITY_IMAGE = "stereo_msgs/msg/DisparityImage"
POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
_OWN_ANSWER = "/depth/image"  # where depth_node publishes


@dataclass(frozen=True)
class TrueDepth:
    """True metres along Z [H, W], NaN where unknown.

    `with_hidden` has those points too that nearer ones hide from the camera; None where what
    was measured is what the camera sees.
    """

    depth: Depth
    with_hidden: Depth | None = None


class GroundTruth(Protocol):
    """A topic that says how far things are, and the way to read it as a depth image."""

    @property
    def topic(self) -> str:
        """Its name in the bag."""

    @property
    def kind(self) -> Kind:
        """What it holds."""

    def read(
        self, message: Message, camera_info: Message, cloud_to_camera: Floats | None, /
    ) -> TrueDepth:
        """Return what a message of the topic says.

        Args:
            message: of the topic.
            camera_info: the camera's, None if unknown; only points need it.
            cloud_to_camera: [4, 4] from the frame of points to the camera's; they need it too.

        Raises:
            ValueError: a message is malformed, or the camera not calibrated.
        """


@dataclass(frozen=True)
class DepthImages:
    """Depth as sensor_msgs/Image or compressedDepth."""

    topic: str
    kind: ClassVar[Kind] = "depth_image"

    def read(self, message: Message, *_: object) -> TrueDepth:
        """See `GroundTruth.read`."""
        return TrueDepth(to_depth(message))


@dataclass(frozen=True)
class Disparity:
    """stereo_msgs/DisparityImage of the camera: Z = f T / d."""

    topic: str
    kind: ClassVar[Kind] = "disparity"

    def read(self, message: Message, *_: object) -> TrueDepth:
        """See `GroundTruth.read`; disparity outside its stated range is unknown."""
        if message.image.encoding != "32FC1":
            raise BagError(f"disparity should be 32FC1 pixels, not {message.image.encoding!r}")
        factor = float(message.f) * abs(float(message.t))
        if not 0 < factor < np.inf:
            raise BagError(
                f"disparity needs a focal length and a baseline, not f {message.f:g}, "
                f"T {message.t:g}"
            )
        pixels = to_depth(message.image)  # NaN unless positive and finite
        low, high = float(message.min_disparity), float(message.max_disparity)
        pixels[pixels < low] = np.nan
        if high > low:
            pixels[pixels > high] = np.nan
        return TrueDepth(np.asarray(np.float32(factor) / pixels, np.float32))


@dataclass(frozen=True)
class Points:
    """sensor_msgs/PointCloud2, projected into the camera."""

    topic: str
    kind: ClassVar[Kind] = "points"

    def read(
        self, message: Message, camera_info: Message, cloud_to_camera: Floats | None, /
    ) -> TrueDepth:
        """See `GroundTruth.read`; the image is of the size in camera_info."""
        if camera_info is None or cloud_to_camera is None:
            raise BagError("points need a CameraInfo with a focal length, and transforms")
        width, height = image_size(camera_info)
        if not (width and height):
            raise BagError("camera_info says no image size, which points need")
        camera = intrinsics_of(camera_info, width, height)
        points = cloud_points(message)
        depth = project_points(points, cloud_to_camera, camera, (height, width))
        return TrueDepth(visible_points(depth), depth)


@dataclass(frozen=True)
class Candidates:
    """Truth that a bag has for a camera, the surest first, and why other topics are none."""

    truths: tuple[GroundTruth, ...]
    refused: tuple[str, ...]


def find_candidates(bag: Bag, camera: Camera) -> Candidates:
    """Look for a camera's truth: depth images, then disparity, then points in its view.

    Images must be in the camera's frame or namespace, unless another camera has a better claim.
    What is named as depth_node's own answer is none: it cannot be told from truth. Points need
    the camera's CameraInfo and transforms from their frame to the camera's.
    """
    tree = TransformTree.from_bag(bag)
    refused: list[str] = []
    images = sorted(_images(bag, camera, tree, refused), key=itemgetter(0), reverse=True)
    clouds = sorted(_clouds(bag, camera, refused), key=itemgetter(0), reverse=True)
    truths: dict[str, GroundTruth] = {}
    for _, truth in images:
        # the raw topic and its compressed sibling hold the same
        truths.setdefault(base_topic(truth.topic), truth)
    return Candidates((*truths.values(), *(truth for _, truth in clouds)), tuple(refused))


def find_ground_truth(bag: Bag, camera: Camera) -> GroundTruth | None:
    """Return the surest truth for a camera, or None."""
    return next(iter(find_candidates(bag, camera).truths), None)


def _images(
    bag: Bag, camera: Camera, tree: TransformTree, refused: list[str]
) -> Iterator[tuple[tuple[bool, bool, int], GroundTruth]]:
    """Yield depth and disparity to which no other camera has a better claim, with that claim."""
    views = [(c.base_topic, frame_id(bag.first(c.image_topic))) for c in (camera, *cameras(bag))]
    for topic in bag.of_type(*IMAGES, DISPARITY_IMAGE):
        message = bag.first(topic)
        disparity = topic in bag.of_type(DISPARITY_IMAGE)
        truth: GroundTruth = Disparity(topic) if disparity else DepthImages(topic)
        try:
            truth.read(message, None, None)
        except ValueError:  # a picture, or depth coded in a way that cannot be read
            continue
        claim, *others = (_claim(view, (topic, frame_id(message))) for view in views)
        if claim < max(others, default=claim) or tree.apart(views[0][1], frame_id(message)):
            refused.append(f"{topic} belongs to another camera")
        elif base_topic(topic).endswith(_OWN_ANSWER):
            refused.append(f"{topic} has the name of depth_node's own answer")
        else:
            yield (not disparity, *claim), truth


def _claim(camera: tuple[str, str], depth: tuple[str, str]) -> tuple[bool, int]:
    """Rate how surely two (topic, frame) belong together: same frame, then names alike."""
    alike = takewhile(bool, map(eq, camera[0].split("/"), depth[0].split("/")))
    return camera[1] == depth[1] != "", sum(alike)


def _clouds(bag: Bag, camera: Camera, refused: list[str]) -> Iterator[tuple[int, GroundTruth]]:
    """Yield the clouds tied to the camera, with the number of pixels the first one fills."""
    for topic in bag.of_type(POINT_CLOUD):
        try:
            seen = first_view(bag, camera, topic)
        except (LookupError, ValueError) as error:
            refused.append(f"{topic} cannot be projected: {error}")
            continue
        if seen:
            yield seen, Points(topic)
        else:
            refused.append(f"{topic} has no points in the camera's view")


def first_view(bag: Bag, camera: Camera, topic: str) -> int:
    """Return how many pixels of the camera the first cloud of a topic fills.

    Raises:
        LookupError: no transforms tie the two frames, at the beginning of the bag.
        ValueError: there is no calibration, or the cloud has no x, y and z.
    """
    cloud, image = bag.first(topic), bag.first(camera.image_topic)
    if camera.camera_info_topic is None:
        raise BagError(f"there is no CameraInfo beside {camera.image_topic}")
    info = bag.first(camera.camera_info_topic)
    matrix = _first_transform(bag, frame_id(image), frame_id(cloud))
    return int(np.isfinite(Points(topic).read(cloud, info, matrix).depth).sum())


def _first_transform(bag: Bag, target: str, source: str) -> Floats:
    """Return the first transform between two frames; moving ones as they first are."""
    tree = TransformTree.from_bag(bag)
    for topic, _, raw in bag.messages(moving_transforms(bag)):
        if tree.ties(target, source):
            break
        tree.add(bag.deserialize(raw, topic))
    return tree.lookup(target, source)
