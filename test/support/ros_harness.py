# SPDX-License-Identifier: Apache-2.0
"""The real node in its own process, and a camera with listeners in this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from depth_dpt_ros.image_codec import rgb_to_image
from depth_dpt_ros.stamps import stamp_ns
from depth_dpt_ros.transport import large_image_settings

os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.update(large_image_settings(os.environ))


class NodeProcess:
    """`depth_node` as its own process."""

    def __init__(self, domain: int, log: Path, *arguments: str, **parameters: Any) -> None:
        self._log = log
        settings = [f"{name}:={value}" for name, value in parameters.items()]
        command = [sys.executable, "-m", "depth_dpt_ros.depth_node", "--ros-args"]
        command += [part for setting in settings for part in ("-p", setting)] + list(arguments)
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "ROS_DOMAIN_ID": str(domain)},
            )

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)
        if kind is not None:
            print(self.log())

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(20)

    def log(self) -> str:
        """What the node has printed so far."""
        return self._log.read_text(errors="replace")


class Camera:
    """Publishes images and CameraInfo, and keeps what the node answers."""

    def __init__(
        self,
        context: Context,
        *,
        best_effort: bool = False,
        name: str = "",
        beside: Camera | None = None,
    ) -> None:
        """A camera of that name; `beside` another one, handling messages handles those of both."""
        if beside is None:
            self.node = Node("test_camera", context=context)
            self._executor = SingleThreadedExecutor(context=context)
            self._executor.add_node(self.node)
        else:
            self.node, self._executor = beside.node, beside._executor
        self.context, self.name = context, name
        self._prefix = f"{name}/" if name else ""
        policy = ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE
        quality = QoSProfile(depth=5, reliability=policy)
        self._image = self.node.create_publisher(Image, f"{self._prefix}image", quality)
        self._compressed = self.node.create_publisher(
            CompressedImage, f"{self._prefix}image/compressed", quality
        )
        self._info = self.node.create_publisher(CameraInfo, f"{self._prefix}camera_info", quality)
        self.depth: list[Image] = []
        self.info: list[CameraInfo] = []
        self.color: list[Image] = []
        self.compressed: list[CompressedImage] = []
        self.points: list[PointCloud2] = []
        self.diagnostics: list[DiagnosticArray] = beside.diagnostics if beside else []
        if beside is None:
            keep = self.diagnostics.append
            self.node.create_subscription(DiagnosticArray, "/diagnostics", keep, 10)
        self._tick = 0

    def listen(self, *topics: str) -> None:
        """Subscribe to some of depth, info, color, compressed and points, reliably."""
        quality = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
        known: dict[str, tuple[type, str, Callable[[Any], None]]] = {
            "depth": (Image, "depth/image", self.depth.append),
            "info": (CameraInfo, "depth/camera_info", self.info.append),
            "color": (Image, "depth/color/image", self.color.append),
            "compressed": (
                CompressedImage,
                "depth/color/image/compressed",
                self.compressed.append,
            ),
            "points": (PointCloud2, "depth/points", self.points.append),
        }
        for topic in topics:
            kind, name, keep = known[topic]
            self.node.create_subscription(kind, f"{self._prefix}{name}", keep, quality)

    def header(self, frame_id: str = "camera_optical") -> Header:
        """A header with a stamp of its own."""
        self._tick += 1
        header = Header(frame_id=frame_id)
        header.stamp.sec, header.stamp.nanosec = divmod(10**12 + self._tick * 10**8, 10**9)
        return header

    def camera_info(self, header: Header, width: int, height: int, focal: float) -> CameraInfo:
        """A rectified camera with its principal point in the middle."""
        cx, cy = (width - 1) / 2, (height - 1) / 2
        return CameraInfo(
            header=header, width=width, height=height, distortion_model="plumb_bob",
            d=[0.0] * 5,
            k=[focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
            r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            p=[focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
        )  # fmt: skip

    def send(
        self, rgb: np.ndarray, focal: float | None = None, *, info_first: bool = True
    ) -> Header:
        """Publish an image, and its CameraInfo if it has a focal length."""
        header = self.header()
        steps = [lambda: self._image.publish(rgb_to_image(rgb, header))]
        if focal is not None:
            info = self.camera_info(header, rgb.shape[1], rgb.shape[0], focal)
            steps.insert(0 if info_first else 1, lambda: self._info.publish(info))
        for step in steps:
            step()
        return header

    def send_message(self, message: Image | CompressedImage) -> None:
        """Publish an image message as it is."""
        compressed = isinstance(message, CompressedImage)
        (self._compressed if compressed else self._image).publish(message)

    def send_info(self, info: CameraInfo) -> None:
        """Publish a CameraInfo as it is."""
        self._info.publish(info)

    def spin(self, seconds: float) -> None:
        """Handle messages for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(left)

    def wait_for(self, condition: Callable[[], Any], timeout: float = 20.0) -> None:
        """Handle messages until the condition holds; fails after the timeout."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"waited {timeout} s in vain"
            self._executor.spin_once(0.05)

    def wait_until_subscribed(
        self, *, compressed: bool = False, timeout: float = 40.0, settle: float = 1.5
    ) -> None:
        """Wait until the node listens to images and CameraInfo, with the right reliability."""
        image = self._compressed if compressed else self._image
        self.wait_for(
            lambda: image.get_subscription_count() and self._info.get_subscription_count(),
            timeout,
        )
        self.spin(settle)  # the node may subscribe anew once it sees what is offered

    def answer(self, rgb: np.ndarray, focal: float | None, **options: Any) -> Image:
        """Send an image and return its depth."""
        header = self.send(rgb, focal, **options)
        stamp = header.stamp.sec * 10**9 + header.stamp.nanosec
        self.wait_for(lambda: any(stamp_ns(m) == stamp for m in self.depth))
        return next(m for m in self.depth if stamp_ns(m) == stamp)

    def change_state(self, transition: int) -> None:
        """Ask the node for a lifecycle transition; fails unless it succeeds."""
        assert self.try_transition(transition)

    def try_transition(self, transition: int) -> bool:
        """Ask the node for a lifecycle transition; whether it succeeds."""
        client = self.node.create_client(ChangeState, "depth_node/change_state")
        self.wait_for(client.service_is_ready)
        request = ChangeState.Request()
        request.transition.id = transition
        answer = client.call_async(request)
        self.wait_for(answer.done)
        return bool(answer.result().success)

    def set_parameters(self, **values: Any) -> list[str]:
        """Set parameters of the node one by one; why each was refused, empty if it was not."""
        client = self.node.create_client(SetParameters, "depth_node/set_parameters")
        self.wait_for(client.service_is_ready)
        wanted = [
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()
        ]
        answer = client.call_async(SetParameters.Request(parameters=wanted))
        self.wait_for(answer.done)
        return ["" if r.successful else r.reason for r in answer.result().results]

    def status(self) -> Any:
        """The node's newest diagnostic status."""
        self.diagnostics.clear()
        self.wait_for(lambda: self.diagnostics)
        return self.diagnostics[-1].status[0]

    def wait_for_status(
        self,
        level: bytes,
        words: str = "",
        *,
        name: str = "depth_node: depth",
        send: Callable[[], object] = lambda: None,
        timeout: float = 40.0,
    ) -> Any:
        """Wait for a diagnostic status, while `send` keeps images coming at some ten hertz."""
        self.diagnostics.clear()
        end = time.monotonic() + timeout
        while True:
            seen = [s for a in self.diagnostics for s in a.status if s.name == name]
            for status in seen:
                if status.level == level and words in status.message:
                    return status
            assert time.monotonic() < end, [(s.level, s.message) for s in seen[-1:]]
            send()
            self.spin(0.1)


def metres(message: Image) -> np.ndarray:
    """Depth of a 32FC1 message [H,W]."""
    assert message.encoding == "32FC1"
    return np.frombuffer(message.data, "<f4").reshape(message.height, message.width)


@contextmanager
def camera_in(domain: int, **options: Any) -> Iterator[Camera]:
    """A camera in its own context on a domain."""
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    try:
        yield Camera(context, **options)
    finally:
        rclpy.shutdown(context=context)
