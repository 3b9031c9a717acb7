# SPDX-License-Identifier: Apache-2.0
"""A camera on the test's own ROS domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def camera(domain: int) -> Iterator[Any]:
    """A `ros_harness.Camera`."""
    from ros_harness import camera_in  # needs rclpy, which tests of bags do without

    with camera_in(domain) as camera:
        yield camera
