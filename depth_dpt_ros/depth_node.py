# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node: camera images in, metric depth out."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from threading import Event

import cv2
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]  # rclpy of 2022 too
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from depth_dpt_core.engines.faults import remembered_fault
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_ros import parameters
from depth_dpt_ros.camera import Camera, CameraFrames
from depth_dpt_ros.core_log import join_core_log
from depth_dpt_ros.diagnostics import ERROR, WARN, Report, as_array, engine_report
from depth_dpt_ros.engine_loader import USER_ERRORS, EngineLoader, ModelChoice
from depth_dpt_ros.frame_worker import FrameWorker
from depth_dpt_ros.latest_frame import LatestFrames
from depth_dpt_ros.node_log import NodeLog
from depth_dpt_ros.parameters import NodeParameters
from depth_dpt_ros.transport import large_image_settings

_RELATIVE = (
    "the model answers relative depth: no metres are published until depth_scale is set, or scale "
    "and shift are in the model's description"
)
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
            self.failure = f"{transition.__name__.removeprefix('on_')} failed: {error}"
            if isinstance(error, USER_ERRORS):
                self.get_logger().error(self.failure)
            else:
                self.log.unexpected(self.failure)
            self.stop()
            if transition.__name__ == "on_configure":
                self.free()
            return TransitionCallbackReturn.FAILURE
        self.failure = ""
        return result

    return wrapper


class DepthNode(LifecycleNode):
    """Loads the model when configured, subscribes while active; see README for the interface.

    An engine that must be built first is built behind it all: the node is configured and activated
    meanwhile, and publishes nothing until the engine is proven.

    Attributes:
        failure: why the last transition failed; empty if it did not.
        log: for what may happen at every frame.
    """

    def __init__(self) -> None:
        super().__init__("depth_node")
        self.failure = ""
        self.log = NodeLog(self.get_logger())
        self._active = False
        parameters.declare(self, lambda: self._active)
        self._remembered = parameters.RememberedParameters(self)
        self._frames: CameraFrames = LatestFrames(Camera.due)
        self._cameras: list[Camera] = []
        self._loader: EngineLoader | None = None
        self._estimator: DepthEstimator | None = None
        self._worker: FrameWorker | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._loaded = self.create_guard_condition(self._on_loaded)
        # steady: with use_sim_time and no /clock, ROS time stands still
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._each_second, clock=steady)

    # transitions

    @_reporting
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model; a bad file is a FAILURE and the node stays unconfigured."""
        self._prepare(self.current_parameters())
        return super().on_configure(state)

    @_reporting
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and start working as soon as there is an engine.

        Another model, or other cameras, than the node was configured with are taken now.
        """
        values = self.current_parameters()
        self._prepare(values)
        for camera in self._cameras:
            camera.activate(compressed=values.image_transport == "compressed")
        result = super().on_activate(state)
        self._active = True
        self._start_worker()
        return result

    @_reporting
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe; the model stays loaded."""
        self.stop()
        return super().on_deactivate(state)

    @_reporting
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and the publishers; an engine still being built is given up."""
        self.free()
        return super().on_cleanup(state)

    @_reporting
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        self.free()
        return super().on_shutdown(state)

    # what they do

    def _prepare(self, values: NodeParameters) -> None:
        """Load the model and create the cameras that the parameters name, unless they are there.

        Raises what loading raised; see `EngineLoader.estimator`.
        """
        choice = ModelChoice(values.model, values.runtime, values.num_threads)
        if self._loader is None or self._loader.choice != choice:
            self._free_engine()
            self._loader = EngineLoader(choice, self._loaded.trigger)
            self._loader.wait()
            if not self._loader.done:
                self.get_logger().info(f"{self._loader.model}: {self._loader.progress}")
        if self._loader.done:
            self._take_engine(self._loader)
        if [camera.name for camera in self._cameras] != values.cameras:
            self._free_cameras()
            self._cameras = [
                Camera(self, name, self._frames, self._remembered) for name in values.cameras
            ]

    def _on_loaded(self) -> None:
        """An engine has come, or failed, after the node was configured."""
        if self._loader is None or not self._loader.done or self._estimator is not None:
            return  # given up, or taken by a transition
        if self._loader.failure:
            self.get_logger().error(self._loader.failure)
            return
        self._take_engine(self._loader)
        self._start_worker()

    def _take_engine(self, loader: EngineLoader) -> None:
        if self._estimator is None:
            self._estimator = loader.estimator()
            self.get_logger().info(f"{loader.model} runs on {self._estimator.engine.name}")

    def _start_worker(self) -> None:
        if self._active and self._estimator is not None:
            clock = self.get_clock()
            self._worker = FrameWorker(
                self._estimator, self._frames, self.log, lambda: clock.now().nanoseconds
            )

    def stop(self) -> None:
        """Unsubscribe and end the worker thread; harmless when there is none."""
        self._active = False
        for camera in self._cameras:
            camera.deactivate()
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def free(self) -> None:
        """Stop working and free everything, in whatever state the node is."""
        self.stop()
        self._free_cameras()
        self._free_engine()

    def _free_cameras(self) -> None:
        while self._cameras:
            self._cameras.pop().destroy()

    def _free_engine(self) -> None:
        if self._loader is not None:
            self._loader.cancel()
        self._loader = self._estimator = None

    def current_parameters(self) -> NodeParameters:
        """The values now."""
        return self._remembered()

    def must_end(self) -> bool:
        """Whether the GPU was lost and a fresh process is wanted for that."""
        lost = self._loader is not None and self._loader.lost_gpu
        return lost and self.current_parameters().exit_on_gpu_fault

    # once a second

    def _each_second(self) -> None:
        for camera in self._cameras:
            camera.follow_publishers()
        self._diagnostics.publish(as_array(self._statuses(), self.get_clock().now().to_msg()))

    def _statuses(self) -> list[DiagnosticStatus]:
        """One for the node and its engine, and one for each named camera."""
        report = Report()
        report.add(ERROR, self.failure)
        report = report.joined(engine_report(self._loader))
        unscaled = self.current_parameters().depth_scale == parameters.UNSCALED
        if self._estimator is not None and self._estimator.relative and unscaled:
            report.add(WARN, _RELATIVE)
        named = []
        for camera in self._cameras:
            if camera.name:
                named.append((camera.name, camera.report()))
            else:
                report = report.joined(camera.report())
        state = self._state_machine.current_state[1]
        hardware = self.get_fully_qualified_name()
        return [
            found.status(f"{self.get_name()}: {title}", hardware, state)
            for title, found in [("depth", report), *named]
        ]


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM ends it."""
    os.environ.update(large_image_settings(os.environ))
    # each call takes a millisecond, and OpenCV's threads spin between them
    cv2.setNumThreads(1)
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
