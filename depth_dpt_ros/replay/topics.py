# SPDX-License-Identifier: Apache-2.0
"""Which topics of a bag to evaluate: those that were named, or the only ones that make sense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from depth_dpt_ros.replay.bag import IMAGES, Bag, BagError, Camera, cameras, find_camera, listed
from depth_dpt_ros.replay.ground_truth import (
    DISPARITY_IMAGE,
    POINT_CLOUD,
    DepthImages,
    Disparity,
    GroundTruth,
    Kind,
    Points,
    find_candidates,
    first_view,
)

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
OPTIONS: dict[Kind, str] = {
    "depth_image": "--depth-topic",
    "disparity": "--disparity-topic",
    "points": "--points-topic",
}
_SOURCES: dict[Kind, tuple[Callable[[str], GroundTruth], tuple[str, ...]]] = {
    "depth_image": (DepthImages, IMAGES),
    "disparity": (Disparity, (DISPARITY_IMAGE,)),
    "points": (Points, (POINT_CLOUD,)),
}


@dataclass(frozen=True)
class Topics:
    """What a user named of the topics; None is to be found."""

    image: str | None = None
    camera_info: str | None = None
    truth: tuple[Kind, str] | None = None


@dataclass(frozen=True)
class Choice:
    """What is evaluated against what; `notes` says what a user may want to know about it."""

    camera: Camera
    truth: GroundTruth | None
    notes: tuple[str, ...]


def choose(bag: Bag, topics: Topics) -> Choice:
    """Choose a camera and its truth.

    Raises:
        BagError: a named topic is absent, empty or of the wrong type, or the bag leaves a choice
            that only the user can make; the text lists it.
    """
    camera = _camera(bag, topics)
    notes = []
    if camera.camera_info_topic is None:
        notes.append("no CameraInfo: depth is right only up to a constant factor")
    if topics.truth is not None:
        return Choice(camera, _named_truth(bag, camera, *topics.truth), tuple(notes))
    candidates = find_candidates(bag, camera)
    if len(candidates.truths) > 1:
        named = listed(f"{OPTIONS[truth.kind]} {truth.topic}" for truth in candidates.truths)
        raise BagError(f"{bag.path} has several topics of true depth: choose one with {named}")
    notes += [f"{reason}: not taken for truth" for reason in candidates.refused]
    return Choice(camera, next(iter(candidates.truths), None), tuple(notes))


def _camera(bag: Bag, topics: Topics) -> Camera:
    if topics.image is None:
        found = {camera.base_topic: camera for camera in reversed(cameras(bag))}
        if len(found) > 1:
            names = listed(sorted(camera.image_topic for camera in found.values()))
            raise BagError(
                f"{bag.path} has several cameras: choose one with --image-topic, of {names}"
            )
        camera = find_camera(bag, None)
    else:
        camera = find_camera(bag, topics.image)
    if topics.camera_info is None:
        return camera
    _check(bag, topics.camera_info, (CAMERA_INFO,), "CameraInfo")
    return replace(camera, camera_info_topic=topics.camera_info)


def _named_truth(bag: Bag, camera: Camera, kind: Kind, topic: str) -> GroundTruth:
    source, msgtypes = _SOURCES[kind]
    _check(bag, topic, msgtypes, {"depth_image": "depth", "points": "points"}.get(kind, kind))
    truth = source(topic)
    try:
        if kind == "points":
            first_view(bag, camera, topic)
        else:
            truth.read(bag.first(topic), None, None)
    except (LookupError, ValueError) as error:
        raise BagError(
            f"{bag.path}: {topic} cannot be true depth of the camera: {error}"
        ) from error
    return truth


def _check(bag: Bag, topic: str, msgtypes: tuple[str, ...], what: str) -> None:
    """Raise BagError unless a topic has messages of one of these types."""
    there = {each.name: each for each in bag.topics}
    suitable = bag.of_type(*msgtypes)
    if topic in suitable:
        return
    if topic not in there:
        raise BagError(f"{bag.path} has no topic {topic!r}; its topics of {what} type are "
                       f"{listed(suitable)}")  # fmt: skip
    if there[topic].msgtype in msgtypes:
        raise BagError(f"{bag.path} has no message on {topic!r}")
    raise BagError(
        f"{bag.path}: {topic!r} is of type {there[topic].msgtype}, where {' or '.join(msgtypes)} "
        "would be right"
    )
