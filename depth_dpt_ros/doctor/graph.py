# SPDX-License-Identifier: Apache-2.0
"""What was seen of cameras and depth nodes on the ROS graph."""

from __future__ import annotations

from dataclasses import dataclass

from depth_dpt_ros.doctor.shared_memory import Process


@dataclass(frozen=True)
class Endpoint:
    """A publisher or subscription.

    Attributes:
        node: full name of its node.
        same_host: whether it is on this machine; None where the middleware does not say.
        process: its process, where it is on this machine and can be seen.
    """

    node: str
    reliable: bool
    transient_local: bool = False
    same_host: bool | None = None
    process: Process | None = None


@dataclass(frozen=True)
class Topic:
    """A topic, its types such as `sensor_msgs/msg/Image`, and who is on it."""

    name: str
    types: tuple[str, ...] = ()
    publishers: tuple[Endpoint, ...] = ()
    subscriptions: tuple[Endpoint, ...] = ()


@dataclass(frozen=True)
class Heard:
    """What came of a camera while the doctor listened.

    Attributes:
        seconds: how long that was.
        images: how many came.
        rate: of the images by their stamps, Hz; 0 with fewer than two.
        width: pixels; so is `height`.
        size: bytes of an image.
        refusal: why the node would not take the image; empty if it would.
        infos: how many CameraInfo came.
        unpaired: CameraInfo whose image did not come, though others' did.
        info_size: (width, height) that they are for.
        focal_length: pixels; 0 for an uncalibrated camera.
        distorted: whether they hold lens distortion.
        age: of the images when they came, by this machine's clock, median, seconds.
        unstamped: whether stamps are zero.
        backwards: how often a stamp was before the one before it.
    """

    seconds: float
    images: int = 0
    rate: float = 0.0
    width: int = 0
    height: int = 0
    encoding: str = ""
    size: int = 0
    refusal: str = ""
    frame_id: str = ""
    infos: int = 0
    unpaired: int = 0
    info_size: tuple[int, int] = (0, 0)
    focal_length: float = 0.0
    distorted: bool = False
    age: float = 0.0
    unstamped: bool = False
    backwards: int = 0


@dataclass(frozen=True)
class Camera:
    """An image topic, the CameraInfo beside it, and what came."""

    image: Topic
    info: Topic
    heard: Heard


@dataclass(frozen=True)
class DepthNode:
    """A running depth node.

    Attributes:
        state: of its life cycle; empty if it does not answer.
        compressed: whether it wants compressed images.
        use_sim_time: whether it waits for /clock.
        inputs: image topics that it subscribes to.
        outputs: topics that it publishes depth on.
        statuses: its diagnostics: level (0 to 3), name, message.
        namesakes: other nodes of the same full name.
    """

    name: str
    state: str = ""
    compressed: bool = False
    use_sim_time: bool = False
    inputs: tuple[str, ...] = ()
    outputs: tuple[Topic, ...] = ()
    statuses: tuple[tuple[int, str, str], ...] = ()
    namesakes: int = 0


@dataclass(frozen=True)
class Graph:
    """Everything seen.

    Attributes:
        images: image topics with publishers, whether listened to or not.
        clock: whether anybody publishes /clock.
        error: why nothing could be seen.
    """

    cameras: tuple[Camera, ...] = ()
    nodes: tuple[DepthNode, ...] = ()
    images: tuple[str, ...] = ()
    clock: bool = False
    error: str = ""
