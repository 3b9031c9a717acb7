# SPDX-License-Identifier: Apache-2.0
"""One camera frame of a synthetic street, with everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics, Mounting
from depth_dpt_core.data.synth.geometry.mesh import Floats
from depth_dpt_core.data.synth.ranges import CameraRanges
from depth_dpt_core.data.synth.render import Renderer, View
from depth_dpt_core.data.synth.sensor import Sensor
from depth_dpt_core.data.synth.street.street import Street

_MIN_CLEARANCE = 1.2  # m; nearer, the camera would stand inside or against something
_TRIES = 20
_DRIVE = 100.0  # m of the street that cameras stand on


@dataclass(frozen=True)
class Frame:
    """A picture and its truth.

    `image` [H,W,3] RGB uint8; `depth` [H,W] metres along camera z at pixel centres, NaN in the
    sky and on the camera's own bonnet; `sky` and `ego` [H,W] bool.
    """

    image: NDArray[np.uint8]
    depth: Floats
    sky: NDArray[np.bool_]
    ego: NDArray[np.bool_]
    intrinsics: Intrinsics


def look(
    street: Street,
    z: float,
    *,
    intrinsics: Intrinsics,
    width: int,
    height: int,
    aside: float = 0.0,
    camera_height: float = 1.5,
    pitch: float = 0.0,
    roll: float = 0.0,
    yaw: float = 0.0,
) -> View:
    """Place a camera in its own lane at z, facing along the road.

    Lengths in metres, angles in radians: positive pitch looks up, positive yaw to the right.
    """
    here, ahead = street.terrain.offset(np.array([z, z + 1.0])), z + 1.0
    side, up = here
    heading = float(np.arctan2(side[1] - side[0], ahead - z)) + yaw
    tilt = float(np.arctan2(up[1] - up[0], ahead - z)) * np.cos(yaw) + pitch
    forward = np.array(
        [np.sin(heading) * np.cos(tilt), np.sin(tilt), np.cos(heading) * np.cos(tilt)]
    )
    right = np.array([np.cos(heading), 0.0, -np.sin(heading)])
    down = np.cross(right, forward)  # the world frame is left-handed
    axes = np.stack(
        [
            np.cos(roll) * right + np.sin(roll) * down,
            np.cos(roll) * down - np.sin(roll) * right,
            forward,
        ],
        1,
    )
    lane = street.layout.own_center + aside
    position = np.array([lane + side[0], camera_height + up[0], z], np.float32)
    mounting = Mounting(camera_height, pitch, roll)
    return View(position, axes.astype(np.float32), intrinsics, width, height, mounting)


def draw_view(
    street: Street,
    renderer: Renderer,
    rng: np.random.Generator,
    ranges: CameraRanges,
    width: int,
) -> View:
    """Draw a camera from the ranges, clear of everything or as clear as a few tries give.

    The picture is `width` pixels wide; its height follows from the aspect ratio drawn.
    """
    low, high = np.log(ranges.aspect)
    height = max(8, round(width / float(np.exp(rng.uniform(low, high)))))
    best, clearance = None, -1.0
    for _ in range(_TRIES):
        view = _any_view(street, rng, ranges, width, height)
        free = 0.0 if renderer.is_enclosed(view) else renderer.clearance(view)
        if free > clearance:
            best, clearance = view, free
        if clearance > _MIN_CLEARANCE:
            break
    assert best is not None
    return best


def _any_view(
    street: Street, rng: np.random.Generator, ranges: CameraRanges, width: int, height: int
) -> View:
    low, high = np.log(ranges.focal_over_width)
    focal = width * float(np.exp(rng.uniform(low, high)))
    center = rng.normal([0.5 * width, 0.5 * height], [0.01 * width, 0.03 * height])
    aside = rng.random() < ranges.side_view_share
    span = (-ranges.side_view_yaw, ranges.side_view_yaw) if aside else ranges.yaw
    return look(
        street,
        rng.uniform(0, _DRIVE),
        intrinsics=Intrinsics(focal, focal * rng.uniform(0.99, 1.01), *center.tolist()),
        width=width,
        height=height,
        aside=rng.normal(0, ranges.offset),
        camera_height=rng.uniform(*ranges.height),
        pitch=rng.uniform(*ranges.pitch),
        roll=rng.uniform(*ranges.roll),
        yaw=rng.uniform(*span),
    )


def render_frame(
    renderer: Renderer,
    view: View,
    sensor: Sensor,
    rng: np.random.Generator,
    *,
    ego: NDArray[np.bool_] | None = None,
) -> Frame:
    """Render colour and truth; `ego` [H,W] marks where the camera's own bonnet is seen."""
    linear, depth = renderer.color_and_depth(view)
    sky = np.isinf(depth)
    own = np.zeros(depth.shape, np.bool_) if ego is None else ego
    if ego is not None:
        linear = np.where(own[..., None], _bonnet_paint(linear, rng), linear)
    truth = np.where(sky | own, np.nan, depth).astype(np.float32)
    return Frame(sensor.expose(linear, rng), truth, sky & ~own, own, view.intrinsics)


def draw_bonnet(rng: np.random.Generator, width: int, height: int) -> NDArray[np.bool_]:
    """Draw the outline of a bonnet along the lower edge: [H,W] bool."""
    crown = rng.uniform(0.02, 0.16) * height
    half_width = rng.uniform(0.6, 1.3) * width
    middle = rng.normal(0.5, 0.05) * width
    x, y = np.arange(width), np.arange(height)[:, None]
    edge = height - crown + rng.uniform(0.1, 0.9) * height * ((x - middle) / half_width) ** 2
    return np.asarray(y > edge, np.bool_)


def _bonnet_paint(linear: Floats, rng: np.random.Generator) -> Floats:
    """Paint mirroring the picture above it, dimmed."""
    color = rng.choice([0.02, 0.15, 0.5]) * (1 + rng.uniform(-0.2, 0.2, 3))
    mirrored = linear[::-1] * rng.uniform(0.15, 0.5)
    return np.asarray(color + mirrored, np.float32)
