# SPDX-License-Identifier: Apache-2.0
"""Render a drive through a synthetic street into a bag: images, CameraInfo and depth truth.

The bundled bag `depth_dpt_ros/demo_drive` was made by `depth-dpt synth-drive`.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import Header
from tqdm import tqdm

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.data.synth.frame import Frame, look, render_frame
from depth_dpt_core.data.synth.ranges import SynthRanges
from depth_dpt_core.data.synth.render import Renderer
from depth_dpt_core.data.synth.sensor import Sensor
from depth_dpt_core.data.synth.street.compose import build_street
from depth_dpt_ros.image_codec import encode_compressed_depth

WIDTH, HEIGHT, FOCAL_LENGTH = 640, 320, 480.0  # pixels; the focal length is 0.75 widths
RATE = 10  # Hz
SPEED = 8.0  # m/s
START = 1_700_000_000  # s
FRAME_ID = "camera_optical_frame"
_MIN_CLEARANCE = 2.0  # m
# inner city, clear air, and a camera of middling quality
_RANGES = SynthRanges().changed(
    {
        "kinds": {
            "residential": {"share": 0},
            "arterial": {"share": 0},
            "highway": {"share": 0},
            "rural": {"share": 0},
        },
        "light": {"sun_share": 1, "fog_share": 0, "wet_share": 0},
        "sensor": {
            "exposure": (0.9, 1.1),
            "white_balance": (0.98, 1.02),
            "noise": (0.004, 0.008),
            "blur": (0.0, 0.4),
            "motion": (0.0, 0.0),
            "jpeg_quality": (94, 96),
        },
    }
)
_CLEAR_AHEAD = 75.0  # m; the drive takes 48


def write_drive(out: Path, *, frames: int = 60, seed: int = 5) -> None:
    """Write the bag: `frames` at 10 Hz, driving at 8 m/s.

    Raises:
        ValueError: `out` exists, or something stands in this seed's way.
        RendererMissingError: the ray caster is not installed.
    """
    if out.exists():
        raise ValueError(f"{out} exists: choose a new folder")
    rng = np.random.default_rng(seed)
    street = build_street(rng, _RANGES, clear_ahead=_CLEAR_AHEAD)
    renderer = Renderer(street)
    sensor = Sensor.draw(rng, _RANGES.sensor)
    camera = Intrinsics.centered(FOCAL_LENGTH, WIDTH, HEIGHT)
    views = [
        look(street, i / RATE * SPEED, intrinsics=camera, width=WIDTH, height=HEIGHT, pitch=-0.03)
        for i in range(frames)
    ]
    if min(renderer.clearance(view) for view in views) < _MIN_CLEARANCE:
        raise ValueError(f"seed {seed}: something stands within {_MIN_CLEARANCE} m of the camera")
    types = get_typestore(Stores.ROS2_HUMBLE)
    with Writer(out, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {
            "/camera/image_raw/compressed": CompressedImage,
            "/camera/camera_info": CameraInfo,
            "/camera/depth/image_rect/compressedDepth": CompressedImage,
        }
        connections = [
            writer.add_connection(topic, f"sensor_msgs/msg/{kind.__name__}", typestore=types)
            for topic, kind in topics.items()
        ]
        for i, view in enumerate(tqdm(views, unit="frame", desc=str(out))):
            frame = render_frame(renderer, view, sensor, rng)
            stamp = START * 10**9 + i * 10**9 // RATE
            for connection, message in zip(connections, _messages(frame, stamp), strict=True):
                writer.write(connection, stamp, serialize_message(message))


def _messages(frame: Frame, stamp: int) -> tuple[CompressedImage, CameraInfo, CompressedImage]:
    header = Header(frame_id=FRAME_ID)
    header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
    picture = cv2.imencode(".jpg", frame.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    k = frame.intrinsics
    info = CameraInfo(
        header=header, width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[0.0] * 5,
        k=[k.fx, 0.0, k.cx, 0.0, k.fy, k.cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[k.fx, 0.0, k.cx, 0.0, 0.0, k.fy, k.cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )  # fmt: skip
    image = CompressedImage(
        header=header, format="rgb8; jpeg compressed bgr8", data=picture.tobytes()
    )
    # within 0.1 % below 80 m; inverse depth of 16 bits reaches down to 1 m
    truth = encode_compressed_depth(frame.depth, header, depth_max=150.0, depth_quantization=250.0)
    return image, info, truth
