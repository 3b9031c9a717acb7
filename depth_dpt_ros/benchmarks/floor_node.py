# SPDX-License-Identifier: Apache-2.0
"""The floor of what a Python node costs: it receives an image and publishes as many numbers.

Each message is filled anew from a ready array by the fastest public way, as any node must that
has something to say. Run as a process of its own by the bench of the node.
"""

from __future__ import annotations

import signal
import sys
from threading import Event
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

_QUALITY = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)  # as the node's


class FloorNode(Node):
    """Answers `image` with depth of its size, and colour where the parameter `color` is set."""

    def __init__(self) -> None:
        super().__init__("floor_node")
        self._color: bool = self.declare_parameter("color", False).value
        self._depth_output = self.create_publisher(Image, "depth/image", _QUALITY)
        self._color_output = self.create_publisher(Image, "depth/color/image", _QUALITY)
        self._metres = np.ones((0, 0), np.float32)
        self._rgb = np.ones((0, 0, 3), np.uint8)
        self.create_subscription(Image, "image", self._answer, _QUALITY)

    def _answer(self, image: Image) -> None:
        size = (image.height, image.width)
        if self._metres.shape != size:
            self._metres, self._rgb = np.ones(size, np.float32), np.ones((*size, 3), np.uint8)
        self._depth_output.publish(_filled(self._metres, "32FC1", image))
        if self._color:
            self._color_output.publish(_filled(self._rgb, "rgb8", image))


def _filled(pixels: NDArray[Any], encoding: str, asked: Image) -> Image:
    answer = Image(header=asked.header, encoding=encoding, height=asked.height, width=asked.width)
    answer.step = pixels.nbytes // asked.height
    answer.data.frombytes(pixels.view(np.uint8))
    return answer


def main() -> int:
    """Run until SIGTERM."""
    ending = Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = FloorNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not ending.is_set():
        executor.spin_once(timeout_sec=0.1)
    executor.remove_node(node)
    node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
