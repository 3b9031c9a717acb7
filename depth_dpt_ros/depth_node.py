# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node: camera images in, metric depth out."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import wraps
from threading import Event
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # rclpy of 2022 too
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_dpt_core.artifact import ArtifactError, resolve
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_ros import parameters
from depth_dpt_ros.camera_info import CameraInfoBuffer
from depth_dpt_ros.diagnostics import NodeHealth, as_array
from depth_dpt_ros.frame_worker import FrameWorker
from depth_dpt_ros.latest_frame import LatestFrame, Received
from depth_dpt_ros.transport import large_image_settings

_OVERRIDES = QoSOverridingOptions.with_default_policies
_WARN_PERIOD = 5.0  # s
_WARNINGS_KEPT = 50
_SIGNAL_LATENCY = 0.1  # s; Python runs signal handlers only between waits

Transition = Callable[["DepthNode", LifecycleState], TransitionCallbackReturn]


def _reporting(transition: Transition) -> Transition:
    """Log what goes wrong in a transition and answer FAILURE: rclpy would swallow it."""

    @wraps(transition)
    def wrapper(self: DepthNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            result = transition(self, state)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be seen
            self.health.failure = f"{transition.__name__.removeprefix('on_')} failed: {error}"
            if isinstance(error, ArtifactError):
                self.get_logger().error(self.health.failure)
            else:
                self.error(self.health.failure)
            self.stop()
            if transition.__name__ == "on_configure":
                self._free()
            return TransitionCallbackReturn.FAILURE
        self.health.failure = ""
        return result

    return wrapper


class DepthNode(LifecycleNode):
    """Loads the model when configured, subscribes while active; see README for the interface."""

    def __init__(self) -> None:
        super().__init__("depth_node")
        parameters.declare(self)
        self.health = NodeHealth()
        self._infos = CameraInfoBuffer()
        self._frames: LatestFrame[Received[Image | CompressedImage]] = LatestFrame()
        self._estimator: DepthEstimator | None = None
        self._outputs: list[Any] = []
        self._worker: FrameWorker | None = None
        self._image_subscription: Subscription[Any] | None = None
        self._info_subscription: Subscription[Any] | None = None
        self._reliability = ReliabilityPolicy.BEST_EFFORT
        self._warned: dict[str, float] = {}  # text: when it was logged, monotonic seconds
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # steady: with use_sim_time and no /clock, ROS time stands still
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._each_second, clock=steady)

    # transitions

    @_reporting
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; a bad file is a FAILURE and the node stays unconfigured."""
        values = self.current_parameters()
        artifact = resolve(values.model)
        estimator = DepthEstimator.load(artifact, num_threads=values.num_threads)
        estimator.warm_up()
        self._depth = self._create_output(Image, "depth/image")
        self._depth_info = self._create_output(CameraInfo, "depth/camera_info")
        self._color = self._create_output(Image, "depth/color/image")
        self._estimator = estimator
        self.health.model = str(artifact.path)
        self.health.runtime = estimator.engine.name
        self.get_logger().info(f"{artifact.path} runs on {self.health.runtime}")
        return super().on_configure(state)

    def _create_output(self, kind: type, topic: str) -> Any:
        reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        publisher: Any = self.create_lifecycle_publisher(
            kind, topic, reliable, qos_overriding_options=_OVERRIDES()
        )
        self._outputs.append(publisher)
        return publisher

    @_reporting
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start working."""
        assert self._estimator is not None, "activate follows configure"
        self._infos = CameraInfoBuffer()
        self.health.camera_warning = ""
        topic: str = self.resolve_topic_name("image")
        # a remap of `image` does not move `image/compressed` by itself
        compressed = self.current_parameters().image_transport == "compressed"
        self._image_kind = CompressedImage if compressed else Image
        self._image_topic = f"{topic}/compressed" if compressed else topic
        self._subscribe()
        self._worker = FrameWorker(self._estimator, self._frames, self._infos, self, self.health)
        return super().on_activate(state)

    @_reporting
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; the model stays loaded."""
        self.stop()
        return super().on_deactivate(state)

    @_reporting
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and the publishers."""
        self._free()
        return super().on_cleanup(state)

    @_reporting
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        self.stop()
        self._free()
        return super().on_shutdown(state)

    def stop(self) -> None:
        """Unsubscribe and end the worker thread; harmless when there is none."""
        self._unsubscribe()
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _free(self) -> None:
        while self._outputs:
            self.destroy_lifecycle_publisher(self._outputs.pop())
        self._estimator = None
        self.health.model = self.health.runtime = ""

    # subscriptions

    def _subscribe(self) -> None:
        self._reliability = self._wanted_reliability()
        self._image_subscription = self.create_subscription(
            self._image_kind,
            self._image_topic,
            self._on_image,
            QoSProfile(depth=1, reliability=self._reliability),
            # reliability is ours to change: an override declared by rclpy would freeze it
            qos_overriding_options=QoSOverridingOptions(
                [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
            ),
        )
        # small messages; best effort connects to every publisher
        self._info_subscription = self.create_subscription(
            CameraInfo,
            "camera_info",
            self._infos.add,
            QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT),
            qos_overriding_options=_OVERRIDES(),
        )

    def _unsubscribe(self) -> None:
        for subscription in (self._image_subscription, self._info_subscription):
            if subscription is not None:
                self.destroy_subscription(subscription)
        self._image_subscription = self._info_subscription = None

    def _wanted_reliability(self) -> ReliabilityPolicy:
        """What the user set, else reliable if all publishers are, else best effort.

        Best effort connects to every publisher. While there is none, nothing changes.
        """
        override = f"qos_overrides.{self._image_topic}.subscription.reliability"
        if not self.has_parameter(override):
            about = "reliability of the image subscription, empty: as the publishers offer"
            self.declare_parameter(
                override, "", ParameterDescriptor(description=about, read_only=True)
            )
        chosen = self.get_parameter(override).value
        if chosen:
            names = [policy.name.lower() for policy in ReliabilityPolicy]
            if chosen not in names:
                raise ValueError(f"{override} is {chosen!r}, must be one of {', '.join(names)}")
            return ReliabilityPolicy[chosen.upper()]
        offers = self.get_publishers_info_by_topic(self._image_topic)
        if not offers:
            return self._reliability
        reliable = [o.qos_profile.reliability == ReliabilityPolicy.RELIABLE for o in offers]
        return ReliabilityPolicy.RELIABLE if all(reliable) else ReliabilityPolicy.BEST_EFFORT

    def _on_image(self, message: Image | CompressedImage) -> None:
        self.health.count_received()
        self._frames.put(Received(message))

    # what the worker needs

    def current_parameters(self) -> parameters.NodeParameters:
        """Parameters to use for the next frame."""
        return parameters.read(self)

    def listeners(self) -> tuple[bool, bool, bool]:
        """Whether anybody subscribes to depth, to its camera info, to colour."""
        depth, info, color = (
            publisher.get_subscription_count() > 0
            for publisher in (self._depth, self._depth_info, self._color)
        )
        return depth, info, color

    def publish_info(self, message: CameraInfo) -> None:
        """Publish the CameraInfo of a frame's depth."""
        self._depth_info.publish(message)

    def publish_depth(self, message: Image) -> None:
        """Publish a frame's depth."""
        self._depth.publish(message)

    def publish_color(self, message: Image) -> None:
        """Publish a frame's depth in colours."""
        self._color.publish(message)

    def warn(self, text: str) -> None:
        """Log a warning, each text at most every few seconds."""
        now = time.monotonic()
        if now - self._warned.get(text, -math.inf) > _WARN_PERIOD:
            if len(self._warned) > _WARNINGS_KEPT:
                self._warned.clear()
            self._warned[text] = now
            self.get_logger().warning(text)

    def warn_camera(self, text: str) -> None:
        """Log a warning about the camera, once."""
        self.get_logger().warning(text, once=True)

    def error(self, text: str) -> None:
        """Log an error with the current traceback."""
        self.get_logger().error(
            f"{text}\n{traceback.format_exc()}", throttle_duration_sec=_WARN_PERIOD
        )

    # once a second

    def _each_second(self) -> None:
        active = self._image_subscription is not None
        if active and self._wanted_reliability() != self._reliability:
            self._unsubscribe()
            self._subscribe()
        status = self.health.status(
            f"{self.get_name()}: depth",
            self.get_fully_qualified_name(),
            self._state_machine.current_state[1],
            self._frames.replaced,
        )
        self._diagnostics.publish(as_array(status, self.get_clock().now().to_msg()))


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM ends it."""
    os.environ.update(large_image_settings(os.environ))
    # rclpy's own handlers would invalidate the context under the worker thread, Python's would
    # raise KeyboardInterrupt wherever the main thread stands
    ending = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    node = None
    try:
        node = DepthNode()
        if node.current_parameters().autostart:
            configured = node.trigger_configure()
            if configured == TransitionCallbackReturn.SUCCESS and not ending.is_set():
                node.trigger_activate()
        executor.add_node(node)
        while not ending.is_set():
            executor.spin_once(timeout_sec=_SIGNAL_LATENCY)
    except (ParameterException, ValueError) as error:
        print(f"depth_node: {error}", file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.stop()
            executor.remove_node(node)
            node.destroy_node()
        rclpy.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
