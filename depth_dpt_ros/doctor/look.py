# SPDX-License-Identifier: Apache-2.0
"""Looking at the ROS graph: cameras and depth nodes."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import parameter_value_to_python

from depth_dpt_ros.doctor.graph import DepthNode, Graph
from depth_dpt_ros.doctor.listen import IMAGE_TYPES, Watcher
from depth_dpt_ros.transport import large_image_settings

_DISCOVERY = 10.0  # s at most until processes have found each other
_STEADY = 2.0  # s without news, after which they have
_PATIENCE = 2.0  # s for a service to answer
_ASKED = ("depth_encoding", "image_transport", "use_sim_time")


def gather(seconds: float, image: str | None) -> Graph:
    """Look at the graph, then listen to each camera for some seconds.

    Args:
        seconds: for each camera.
        image: the only image topic to listen to, or None for those of running depth nodes, or
            all where there are none.
    """
    os.environ.update(large_image_settings(os.environ))  # as the node does
    context = Context()
    try:
        rclpy.init(context=context)
        node = rclpy.create_node(f"depth_dpt_doctor_{os.getpid()}", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        return _graph(Watcher(node, executor), seconds, image)
    except RuntimeError as error:  # of rcl and the middleware
        return Graph(error=" ".join(str(error).split()))
    finally:
        if context.ok():
            rclpy.shutdown(context=context)


def _discover(watcher: Watcher) -> None:
    """Wait until no more nodes, topics and services turn up, and for some image at all."""
    node, end = watcher.node, time.monotonic() + _DISCOVERY
    known: tuple[Any, ...] = ()
    since = time.monotonic()
    while (now := time.monotonic()) < end:
        if now > since + _STEADY and _images(watcher):
            break
        watcher.spin(0.2)
        seen = (
            sorted(node.get_node_names_and_namespaces()),
            sorted(node.get_topic_names_and_types()),
            sorted(node.get_service_names_and_types()),
        )
        if seen != known:
            known, since = seen, time.monotonic()


def _graph(watcher: Watcher, seconds: float, image: str | None) -> Graph:
    statuses: dict[str, Any] = {}
    watcher.node.create_subscription(
        DiagnosticArray,
        "/diagnostics",
        lambda array: statuses.update((status.name, status) for status in array.status),
        10,
    )
    _discover(watcher)
    nodes = _depth_nodes(watcher)
    answers = {output.name for node in nodes for output in node.outputs}
    images = [name for name in _images(watcher) if name not in answers]
    wanted = {topic for node in nodes for topic in node.inputs} & set(images)
    if image is not None:
        wanted = {image} & set(images)
    elif not wanted:
        wanted = set(images)
    cameras = tuple(watcher.camera(name, seconds) for name in sorted(wanted))
    if not cameras:
        watcher.spin(1.5)  # for diagnostics
    clock = watcher.node.count_publishers("/clock") > 0
    told = tuple(_with_statuses(node, statuses) for node in nodes)
    return Graph(cameras, told, tuple(sorted(images)), clock)


def _images(watcher: Watcher) -> list[str]:
    """Image topics that somebody publishes."""
    return [
        name
        for name, types in watcher.node.get_topic_names_and_types()
        if set(types) & set(IMAGE_TYPES) and watcher.node.count_publishers(name)
    ]


def _depth_nodes(watcher: Watcher) -> list[DepthNode]:
    """Nodes with a life cycle and the parameter depth_encoding."""
    found = []
    names = Counter(watcher.node.get_node_names_and_namespaces())
    for (name, namespace), count in sorted(names.items()):
        services = dict(watcher.node.get_service_names_and_types_by_node(name, namespace))
        full = f"{namespace.rstrip('/')}/{name}"
        if f"{full}/get_state" not in services:
            continue
        values = _call(watcher, GetParameters, f"{full}/get_parameters",
                       GetParameters.Request(names=list(_ASKED)))  # fmt: skip
        state = _call(watcher, GetState, f"{full}/get_state", GetState.Request())
        if values is None or state is None:
            if "depth" in name:  # as ours is called
                found.append(DepthNode(full))
            continue
        encoding, transport, sim_time = map(parameter_value_to_python, values.values)
        if encoding is None:
            continue
        published = watcher.node.get_publisher_names_and_types_by_node(name, namespace)
        subscribed = watcher.node.get_subscriber_names_and_types_by_node(name, namespace)
        outputs = [
            topic for topic, types in published
            if "/depth" in topic and set(types) & {*IMAGE_TYPES, "sensor_msgs/msg/PointCloud2"}
        ]  # fmt: skip
        found.append(
            DepthNode(
                full,
                state.current_state.label,
                transport == "compressed",
                bool(sim_time),
                tuple(topic for topic, types in subscribed if set(types) & set(IMAGE_TYPES)),
                tuple(watcher.topic(topic) for topic in outputs),
                namesakes=count - 1,
            )
        )
    return found


def _call(watcher: Watcher, kind: Any, name: str, request: Any) -> Any:
    """Answer of a service; None if there is none in time."""
    client: Any = watcher.node.create_client(kind, name)
    try:
        if not client.wait_for_service(_PATIENCE):
            return None
        answer = client.call_async(request)
        watcher.spin(_PATIENCE, answer.done)
        return answer.result() if answer.done() else None
    finally:
        watcher.node.destroy_client(client)


def _with_statuses(node: DepthNode, statuses: dict[str, Any]) -> DepthNode:
    own = [
        (status.level[0], name, status.message)
        for name, status in sorted(statuses.items())
        if status.hardware_id == node.name or name.partition(":")[0].strip("/") == node.name[1:]
    ]
    return replace(node, statuses=tuple(own))
