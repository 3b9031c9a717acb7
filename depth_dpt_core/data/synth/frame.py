# SPDX-License-Identifier: Apache-2.0
"""One camera frame of a synthetic street, with everything that is known about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics, Mounting
from depth_dpt_core.data.synth.geometry.mesh import Floats, rotation
from depth_dpt_core.data.synth.ranges import CameraRanges
from depth_dpt_core.data.synth.render import Renderer, View
from depth_dpt_core.data.synth.sensor import Sensor
from depth_dpt_core.data.synth.street.street import Street

_MIN_CLEARANCE = 1.2  # m; nearer, the camera would stand inside or against something
_TRIES = 20


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

    Lengths in metres; angles in radians, relative to the road there: positive pitch looks up,
    positive yaw to the right.
    """
    forward = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    down = np.cross(right, forward)  # the world frame is left-handed
    above_road = np.stack(
        [
            np.cos(roll) * right + np.sin(roll) * down,
            np.cos(roll) * down - np.sin(roll) * right,
            forward,
        ]
    )
    place = np.array(street.layout.own_center + aside), np.array(z)
    terrain = street.terrain
    axes = above_road @ _climb(float(terrain.grade(place[1])))
    axes = axes @ rotation(float(terrain.heading(place[1])))
    position = np.stack(terrain.place(*place)) + [0, camera_height, 0]
    mounting = Mounting(camera_height, pitch, roll)
    return View(
        position.astype(np.float32), axes.T.astype(np.float32), intrinsics, width, height, mounting
    )


def _climb(grade: float) -> NDArray[np.float64]:
    """Matrix [3,3] that tilts row vectors from z towards y by `grade` radians."""
    cos, sin = np.cos(grade), np.sin(grade)
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])


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
    spread = [ranges.principal_x * width, ranges.principal_y * height]
    center = rng.normal([0.5 * width, 0.5 * height], spread)
    aside = rng.random() < ranges.side_view_share
    span = (-ranges.side_view_yaw, ranges.side_view_yaw) if aside else ranges.yaw
    return look(
        street,
        rng.uniform(*ranges.place),
        intrinsics=Intrinsics(focal, focal * rng.uniform(*ranges.pixel_aspect), *center.tolist()),
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


def draw_bonnet(
    rng: np.random.Generator, ranges: CameraRanges, width: int, height: int
) -> NDArray[np.bool_]:
    """Draw the outline of a bonnet along the lower edge: [H,W] bool."""
    crown = rng.uniform(*ranges.bonnet_height) * height
    half_width = rng.uniform(*ranges.bonnet_half_width) * width
    middle = rng.normal(0.5, 0.05) * width
    x, y = np.arange(width), np.arange(height)[:, None]
    drop = rng.uniform(*ranges.bonnet_drop) * height
    edge = height - crown + drop * ((x - middle) / half_width) ** 2
    return np.asarray(y > edge, np.bool_)


def _bonnet_paint(linear: Floats, rng: np.random.Generator) -> Floats:
    """Paint mirroring the picture above it, dimmed."""
    color = rng.choice([0.02, 0.15, 0.5]) * (1 + rng.uniform(-0.2, 0.2, 3))
    mirrored = linear[::-1] * rng.uniform(0.15, 0.5)
    return np.asarray(color + mirrored, np.float32)
