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
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # rclpy of 2022 too
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_dpt_core.artifact import ArtifactError, resolve
from depth_dpt_core.engines.choice import NoRuntimeError
from depth_dpt_core.engines.faults import remembered_fault
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_ros import parameters
from depth_dpt_ros.camera_info import CameraInfoBuffer
from depth_dpt_ros.camera_subscriptions import CameraSubscriptions
from depth_dpt_ros.core_log import join_core_log
from depth_dpt_ros.diagnostics import NodeHealth, as_array
from depth_dpt_ros.engine_loader import EngineLoader
from depth_dpt_ros.frame_worker import FrameWorker
from depth_dpt_ros.latest_frame import LatestFrame, Received
from depth_dpt_ros.transport import large_image_settings

_OVERRIDES = QoSOverridingOptions.with_default_policies
_WARN_PERIOD = 5.0  # s
_WARNINGS_KEPT = 50
_GPU_LOST = 70  # exit status; EX_SOFTWARE of sysexits.h
_WRONG_PARAMETERS = 2  # exit status; launch does not start the node anew
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
            if isinstance(error, (ArtifactError, NoRuntimeError)):
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
    """Loads the model when configured, subscribes while active; see README for the interface.

    An engine that must be built first is built behind it all: the node is configured and activated
    meanwhile, and publishes nothing until the engine is proven.
    """

    def __init__(self) -> None:
        super().__init__("depth_node")
        parameters.declare(self)
        self.health = NodeHealth()
        self._infos = CameraInfoBuffer()
        self._frames: LatestFrame[Received[Image | CompressedImage]] = LatestFrame()
        self._loader: EngineLoader | None = None
        self._estimator: DepthEstimator | None = None
        self._outputs: list[Any] = []
        self._worker: FrameWorker | None = None
        self._camera: CameraSubscriptions | None = None
        self._warned: dict[str, float] = {}  # text: when it was logged, monotonic seconds
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._loaded = self.create_guard_condition(self._on_loaded)
        # steady: with use_sim_time and no /clock, ROS time stands still
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._each_second, clock=steady)

    # transitions

    @_reporting
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; a bad file is a FAILURE and the node stays unconfigured."""
        values = self.current_parameters()
        self._loader = EngineLoader(
            resolve(values.model), values.runtime, values.num_threads, self._loaded.trigger
        )
        self.health.engine = self._loader
        self._loader.wait()
        if self._loader.done:
            self._take_engine(self._loader)
        else:
            self.get_logger().info(f"{self._loader.artifact.path}: an engine is being prepared")
        self._depth = self._create_output(Image, "depth/image")
        self._depth_info = self._create_output(CameraInfo, "depth/camera_info")
        self._color = self._create_output(Image, "depth/color/image")
        return super().on_configure(state)

    def _on_loaded(self) -> None:
        """An engine has come, or failed, after the node was configured."""
        if self._loader is None or not self._loader.done or self._estimator is not None:
            return  # given up, or taken by a transition
        if self._loader.failure:
            self.get_logger().error(self._loader.failure)
            return
        self._take_engine(self._loader)
        if self._camera is not None:
            self._start_worker()

    def _take_engine(self, loader: EngineLoader) -> None:
        self._estimator = loader.estimator()
        name = self._estimator.engine.name
        self.get_logger().info(f"{loader.artifact.path} runs on {name}")

    def _start_worker(self) -> None:
        assert self._estimator is not None
        self._worker = FrameWorker(self._estimator, self._frames, self._infos, self, self.health)

    def _create_output(self, kind: type, topic: str) -> Any:
        reliable = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
        publisher: Any = self.create_lifecycle_publisher(
            kind, topic, reliable, qos_overriding_options=_OVERRIDES()
        )
        self._outputs.append(publisher)
        return publisher

    @_reporting
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start working, as soon as there is an engine."""
        assert self._loader is not None, "activate follows configure"
        if self._loader.done and self._estimator is None:
            self._take_engine(self._loader)
        self._infos = CameraInfoBuffer()
        self.health.camera_warning = ""
        self._camera = CameraSubscriptions(
            self,
            compressed=self.current_parameters().image_transport == "compressed",
            on_image=self._on_image,
            on_info=self._infos.add,
        )
        if self._estimator is not None:
            self._start_worker()
        return super().on_activate(state)

    @_reporting
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; the model stays loaded."""
        self.stop()
        return super().on_deactivate(state)

    @_reporting
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and the publishers; an engine still being built is given up."""
        self._free()
        return super().on_cleanup(state)

    @_reporting
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        self.free()
        return super().on_shutdown(state)

    def stop(self) -> None:
        """Unsubscribe and end the worker thread; harmless when there is none."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _free(self) -> None:
        while self._outputs:
            self.destroy_lifecycle_publisher(self._outputs.pop())
        if self._loader is not None:
            self._loader.cancel()
        self._loader = self._estimator = self.health.engine = None

    def _on_image(self, message: Image | CompressedImage) -> None:
        self.health.count_received()
        if self._worker is not None:
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

    def must_end(self) -> bool:
        """Whether the GPU was lost and a fresh process is wanted for that."""
        lost = self._loader is not None and self._loader.lost_gpu
        return lost and self.current_parameters().exit_on_gpu_fault

    def free(self) -> None:
        """Stop working and free everything, in whatever state the node is."""
        self.stop()
        self._free()

    # once a second

    def _each_second(self) -> None:
        if self._camera is not None:
            self._camera.follow_publishers()
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
    node, status = None, 0
    try:
        node = DepthNode()
        join_core_log(node.get_logger())
        if node.current_parameters().autostart:
            configured = node.trigger_configure()
            if configured == TransitionCallbackReturn.SUCCESS and not ending.is_set():
                node.trigger_activate()
        executor.add_node(node)
        while not ending.is_set() and status == 0:
            executor.spin_once(timeout_sec=_SIGNAL_LATENCY)
            if node.must_end():
                node.get_logger().fatal("the GPU is lost: ending to be started anew")
                status = _GPU_LOST
    except (ParameterException, ValueError) as error:
        print(f"depth_node: {error}", file=sys.stderr)
        status = 1 if node else _WRONG_PARAMETERS
    finally:
        if node is not None:
            node.free()
            executor.remove_node(node)
            node.destroy_node()
        rclpy.shutdown()
    if remembered_fault():
        sys.stdout.flush()
        # an orderly end would free what is on the lost GPU, which can hang or abort
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
