# SPDX-License-Identifier: Apache-2.0
"""What is wrong between a camera and a node."""

from __future__ import annotations

from depth_dpt_ros.doctor.finding import Finding, megabytes, note, ok, problem
from depth_dpt_ros.doctor.graph import Camera, Graph, Heard, Topic
from depth_dpt_ros.doctor.shared_memory import Process
from depth_dpt_ros.doctor.transport import ROOM, profile_exports

_LOST = 0.1  # share of images that may be missing
_OLD = 1.0  # s
_MANY = 6  # names in a list
_RELIABLE = {True: "reliable", False: "best effort"}


def findings(graph: Graph, asked: str | None) -> list[Finding]:
    """What is wrong between the cameras and a node."""
    if graph.error:
        return [
            problem(
                f"nothing can be seen: {graph.error}",
                "see the findings on ROS and transport above",
            )
        ]
    if asked is not None and asked not in graph.images:
        return [absent(asked, graph.images)]
    if not graph.cameras:
        return [
            problem(
                "no camera is seen: nobody publishes images on this ROS_DOMAIN_ID",
                "start the camera driver with the same ROS_DOMAIN_ID, user and container network",
            )
        ]
    return [finding for camera in graph.cameras for finding in _camera(camera)]


def absent(asked: str, images: tuple[str, ...], taken: tuple[str, ...] = ()) -> Finding:
    """A topic without publishers, the topics that have some, and those of them in use."""
    more = f" and {len(images) - _MANY} more" * (len(images) > _MANY)
    seen = f"images are on {', '.join(images[:_MANY])}{more}"
    free = [image for image in images if image not in taken]
    return problem(
        f"nobody publishes images on {asked}; {seen if images else 'nor anywhere else'}",
        f"name the right topic: image:={free[0]}"
        if free
        else "start the camera driver with the same ROS_DOMAIN_ID",
    )


def _camera(camera: Camera) -> list[Finding]:
    heard, topic = camera.heard, camera.image
    found = [*of_qos(topic), *of_qos(camera.info)]
    if heard.images == 0:
        return [*found, _silent(camera), *_info(camera)]
    offer = " and ".join(sorted({_RELIABLE[end.reliable] for end in topic.publishers}))
    text = (
        f"{topic.name}: {heard.width}x{heard.height} {heard.encoding} "
        f"({megabytes(heard.size)}), {heard.rate:.1f} Hz, {offer}"
    )
    found.append(ok(text))
    if heard.refusal:
        found.append(
            problem(
                f"{topic.name}: the node cannot use these images: {heard.refusal}",
                "have the driver publish one of the encodings of the README, such as rgb8",
            )
        )
    return [*found, *_way(camera), *_stamps(topic.name, heard), *_info(camera)]


def of_qos(topic: Topic) -> list[Finding]:
    """Pairs of publisher and subscription that do not connect."""
    found = []
    for publisher in topic.publishers:
        for subscription in topic.subscriptions:
            for name, offered, wanted in (
                ("reliable", publisher.reliable, subscription.reliable),
                ("transient local", publisher.transient_local, subscription.transient_local),
            ):
                if wanted and not offered:
                    found.append(
                        problem(
                            f"{topic.name}: {subscription.node} wants {name} messages, which "
                            f"{publisher.node} does not offer: the two do not connect",
                            f"set the QoS of {subscription.node} to what is offered, or that of "
                            f"{publisher.node} to {name}",
                        )
                    )
    return found


def _silent(camera: Camera) -> Finding:
    """Why nothing comes of a topic that is published."""
    name, heard = camera.image.name, camera.heard
    text = f"{name}: published, and nothing came in {heard.seconds:g} s"
    publishers = camera.image.publishers
    width, height = heard.info_size
    small = _processes_below(ROOM * width * height * 3, camera.image)  # as if rgb8
    if heard.infos and small:
        return problem(
            f"{text}, while its CameraInfo did ({heard.infos}): process {small[0].pid} "
            f"({_short(small[0].command)}) has shared-memory segments of "
            f"{megabytes(small[0].segment)}",
            _profile_cure(small[0]),
        )
    if any(p.same_host and p.process is None for p in publishers):
        return problem(
            f"{text}; its process is on this machine, but another user's or in another container",
            "run both as one user, and containers with --network host and --ipc=host",
        )
    if publishers and not any(p.same_host in (True, None) for p in publishers):
        return problem(
            f"{text}; it comes from another machine",
            "see that both machines are on one network that passes multicast, and raise "
            "net.core.rmem_max as above",
        )
    return problem(text, f"see whether {publishers[0].node} gets images from its camera")


def _profile_cure(process: Process) -> str:
    return f"before starting process {process.pid} again: {profile_exports()}"


def _way(camera: Camera) -> list[Finding]:
    """Whether images are lost on the way, and whether the publisher's segment holds them."""
    heard, name = camera.heard, camera.image.name
    expected = heard.images + heard.unpaired
    lost = heard.unpaired / expected
    small = _processes_below(ROOM * heard.size, camera.image)
    if small:
        process = small[0]
        loss = f", and {lost:.0%} of them are lost" if lost > _LOST else ""
        return [
            problem(
                f"{name}: its process {process.pid} ({_short(process.command)}) has shared-memory "
                f"segments of {megabytes(process.segment)} for images of "
                f"{megabytes(heard.size)}{loss}",
                _profile_cure(process),
            )
        ]
    if lost > _LOST:
        return [
            problem(
                f"{name}: {lost:.0%} of the images do not arrive; CameraInfo of "
                f"{heard.unpaired} images came without them",
                "see the findings on transport and load above, and have the driver publish "
                "reliably",
            )
        ]
    return []


def _processes_below(segment: int, topic: Topic) -> list[Process]:
    """Publishers of a topic on this machine whose segments are smaller than so many bytes."""
    processes = [end.process for end in topic.publishers if end.process is not None]
    return [process for process in processes if process.segment < segment]


def _short(command: str) -> str:
    return command if len(command) <= 40 else f"...{command[-37:]}"


def _stamps(name: str, heard: Heard) -> list[Finding]:
    found = []
    if heard.unstamped:
        found.append(
            problem(
                f"{name}: stamps are zero, so that CameraInfo and depth cannot be matched to "
                "images",
                "have the driver stamp its images",
            )
        )
    elif abs(heard.age) > _OLD:
        side = "behind" if heard.age > 0 else "ahead of"
        found.append(
            note(
                f"{name}: stamps are {abs(heard.age):.1f} s {side} this machine's clock: a "
                "recording, or clocks that disagree",
                "with a bag, ros2 bag play --clock and use_sim_time:=true; else synchronise the "
                "clocks (chrony, PTP)",
            )
        )
    if heard.backwards:
        found.append(
            note(
                f"{name}: {heard.backwards} stamps went backwards: two publishers, or a bag that "
                "starts over"
            )
        )
    if not heard.frame_id:
        found.append(note(f"{name}: frame_id is empty; rviz2 and tf cannot place depth"))
    return found


def _info(camera: Camera) -> list[Finding]:
    heard, info = camera.heard, camera.info
    if not info.publishers:
        return [
            problem(
                f"{info.name}: nobody publishes the CameraInfo of {camera.image.name}; the scale "
                "of depth is a guess, and there is no depth/camera_info",
                "publish it there, name another topic with camera_info:=, or set focal_length",
            )
        ]
    if heard.infos == 0:
        return [
            problem(
                f"{info.name}: published, and nothing came in {heard.seconds:g} s",
                f"see whether {info.publishers[0].node} has a calibration to send",
            )
        ]
    if heard.focal_length == 0:
        return [
            problem(
                f"{info.name}: holds no focal length (K and P are zero): the camera is not "
                "calibrated",
                "calibrate it (camera_calibration), or set focal_length",
            )
        ]
    if heard.images and all(heard.info_size) and heard.info_size != (heard.width, heard.height):
        return [
            problem(
                f"{info.name}: for {heard.info_size[0]}x{heard.info_size[1]} pixels, the images "
                f"have {heard.width}x{heard.height}; the node refuses them",
                "name the CameraInfo of these very images with camera_info:=",
            )
        ]
    found = [ok(f"{info.name}: focal length {heard.focal_length:.1f} px")]
    if heard.distorted and "rect" not in camera.image.name:
        found.append(
            note(
                f"{info.name}: the lens distorts, and {camera.image.name} does not say that it "
                "is rectified",
                "give the node the rectified topic, or set its parameter rectify",
            )
        )
    return found
