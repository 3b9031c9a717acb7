# SPDX-License-Identifier: Apache-2.0
"""A camera driver as a process of its own, that can be killed and can do much wrong.

Run as a script, it publishes until it is ended; see `main` for what it can be asked for.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

REPOSITORY = Path(__file__).resolve().parents[2]


class CameraProcess:
    """Starts this file and waits for its first image; options are those of `main`."""

    def __init__(
        self, domain: int, environment: dict[str, str] | None = None, **options: object
    ) -> None:
        command = [sys.executable, __file__]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
        paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
        self.process = subprocess.Popen(
            command,
            env={
                **(os.environ if environment is None else environment),
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                "ROS_DOMAIN_ID": str(domain),
            },
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"publishing\n"

    def __enter__(self) -> CameraProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.kill()

    def kill(self) -> None:
        """As a crash: no chance to say goodbye."""
        self.process.kill()
        self.process.communicate()


def main() -> None:
    """Publish noise and its CameraInfo under equal stamps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--image", default="/front/image_raw")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--height", type=int, default=32)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--focal", type=float, default=50.0, help="0: not calibrated")
    parser.add_argument("--info-width", type=int, help="that CameraInfo claims")
    parser.add_argument("--best-effort", action="store_true")
    parser.add_argument("--no-info", action="store_true", help="no CameraInfo")
    parser.add_argument("--silent", action="store_true", help="no images, only the topic")
    parser.add_argument("--broken", action="store_true", help="rows shorter than the step")
    parser.add_argument("--unstamped", action="store_true")
    parser.add_argument("--drop", type=int, default=1, help="send only each n-th image")
    asked = parser.parse_args()

    import numpy as np
    import rclpy
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CameraInfo, Image
    from std_msgs.msg import Header

    from depth_dpt_ros.image_codec import rgb_to_image

    rclpy.init()
    node = rclpy.create_node("driver")
    policy = ReliabilityPolicy.BEST_EFFORT if asked.best_effort else ReliabilityPolicy.RELIABLE
    quality = QoSProfile(depth=5, reliability=policy)
    images = node.create_publisher(Image, asked.image, quality)
    folder = asked.image.rpartition("/")[0]
    infos = None if asked.no_info else node.create_publisher(
        CameraInfo, f"{folder}/camera_info", quality
    )  # fmt: skip
    shape = (asked.height, asked.width, 3)
    rgb = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    focal, cx, cy = asked.focal, (asked.width - 1) / 2, (asked.height - 1) / 2
    upcoming = time.monotonic()
    for count in range(1 << 30):
        header = Header(frame_id="camera_optical")
        if not asked.unstamped:
            header.stamp.sec, header.stamp.nanosec = divmod(time.time_ns(), 10**9)
        if infos is not None:
            infos.publish(
                CameraInfo(
                    header=header,
                    width=asked.info_width or asked.width,
                    height=asked.height,
                    distortion_model="plumb_bob",
                    d=[0.0] * 5,
                    k=[focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
                    r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
                    p=[focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
                )
            )
        if not asked.silent and count % asked.drop == 0:
            message = rgb_to_image(rgb, header)
            if asked.broken:
                message.step //= 2
            images.publish(message)
        if count == 0:
            print("publishing", flush=True)
        upcoming += 1 / asked.rate
        time.sleep(max(0.0, upcoming - time.monotonic()))


if __name__ == "__main__":
    main()
