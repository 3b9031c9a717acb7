# SPDX-License-Identifier: Apache-2.0
"""Rectification against the distortion models' formulas, written out here."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("sensor_msgs", reason="needs ROS messages: pip install '.[ros]'")

from sensor_msgs.msg import CameraInfo

from depth_dpt_core.preprocess import PADDING_COLOR
from depth_dpt_ros.camera_info import CameraInfoError, intrinsics_of
from depth_dpt_ros.rectification import Rectifier, RectifierCache

WIDTH, HEIGHT = 320, 200
FX, FY, CX, CY = 210.0, 205.0, 163.0, 96.0
TURN = cv2.Rodrigues(np.array([0.02, -0.03, 0.01]))[0]
MODELS = {
    "plumb_bob": [-0.31, 0.11, 0.001, -0.002, -0.02],
    "rational_polynomial": [0.4, 0.05, 0.001, -0.0005, 0.01, 0.7, 0.2, 0.02],
    "equidistant": [0.05, -0.02, 0.004, -0.001],
}


def info(model: str = "plumb_bob", **changes: object) -> CameraInfo:
    message = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model=model)
    message.header.frame_id = "front_optical"
    message.d = MODELS.get(model, [])
    message.k = [FX, 0.0, CX, 0.0, FY, CY, 0.0, 0.0, 1.0]
    message.r = TURN.ravel().tolist()
    message.p = [180.0, 0.0, 158.0, 0.0, 0.0, 185.0, 101.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def distorted(model: str, d: list[float], x: np.ndarray, y: np.ndarray) -> tuple:
    """Where a point at x, y of the plane z = 1 appears on that plane, formula by formula."""
    r = np.hypot(x, y)
    if model == "equidistant":
        theta = np.arctan(r)
        bent = theta * (1 + sum(k * theta ** (2 * n) for n, k in enumerate(d, 1)))
        return x * bent / r, y * bent / r
    k1, k2, p1, p2, k3, k4, k5, k6 = (d + [0.0] * 8)[:8]
    radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    return (
        x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2),
        y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y,
    )


def raw_pixels(message: CameraInfo, u: np.ndarray, v: np.ndarray) -> tuple:
    """Full-resolution raw pixels of full-resolution rectified ones."""
    p = message.p if message.p[0] else [FX, 0, CX, 0, 0, FY, CY, 0]
    rays = np.stack([(u - p[2]) / p[0], (v - p[6]) / p[5], np.ones_like(u)], -1)
    x, y, z = np.moveaxis(rays @ np.reshape(message.r, (3, 3)), -1, 0)  # R^-1 applied
    x, y = distorted(message.distortion_model, list(message.d), x / z, y / z)
    return FX * x + CX, FY * y + CY


def position_picture(width: int, height: int) -> np.ndarray:
    """Red tells the column and green the row, in eighths of a pixel modulo 32 pixels."""
    v, u = np.mgrid[:height, :width]
    return np.stack([u * 8 % 256, v * 8 % 256, 0 * u], -1).astype(np.uint8)


def assert_shows(picture: np.ndarray, channel: int, wanted: np.ndarray, known: np.ndarray) -> None:
    """Each known pixel shows the raw position `wanted`, to 0.15 of a pixel."""
    clear = known & (wanted % 32 > 1) & (wanted % 32 < 30)  # no wrap between two samples
    assert clear.mean() > 0.5
    found = picture[..., channel].astype(float) / 8
    np.testing.assert_allclose(found[clear], (wanted % 32)[clear], atol=0.15)


def seen(rectifier: Rectifier, shape: tuple[int, ...]) -> np.ndarray:
    return np.ones(shape, bool) if rectifier.known is None else rectifier.known


@pytest.mark.parametrize("p_is_zero", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_every_pixel_shows_what_the_formula_says(model: str, p_is_zero: bool) -> None:
    message = info(model, **({"p": [0.0] * 12} if p_is_zero else {}))
    rectifier = Rectifier(message, WIDTH, HEIGHT)
    v, u = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    raw_u, raw_v = raw_pixels(message, u, v)
    inside = (raw_u >= -0.5) & (raw_u <= WIDTH - 0.5) & (raw_v >= -0.5) & (raw_v <= HEIGHT - 0.5)
    assert 0.5 < inside.mean() < (1.01 if p_is_zero else 1)
    known = seen(rectifier, inside.shape)
    assert (known == inside).mean() > 0.999  # but for rounding at the rim
    picture = rectifier(position_picture(WIDTH, HEIGHT))
    for channel, (raw, side) in enumerate(((raw_u, WIDTH), (raw_v, HEIGHT))):
        assert_shows(picture, channel, np.clip(raw, 0, side - 1), inside & known)
    assert (picture[~known] == PADDING_COLOR).all()


@pytest.mark.parametrize("binning", [0, 1, 2])
@pytest.mark.parametrize("roi", [None, (60, 40, 200, 120)])
@pytest.mark.parametrize("model", MODELS)
def test_region_and_binning(model: str, roi: tuple | None, binning: int) -> None:
    message = info(model, binning_x=binning, binning_y=binning)
    left, top, width, height = roi or (0, 0, WIDTH, HEIGHT)
    if roi:
        message.roi.x_offset, message.roi.y_offset = left, top
        message.roi.width, message.roi.height = width, height
    by = max(1, binning)
    width, height = width // by, height // by
    rectifier = Rectifier(message, width, height)
    v, u = np.mgrid[:height, :width].astype(float)
    # the middle of a binned pixel, in pixels of the whole sensor
    raw = raw_pixels(message, (u + 0.5) * by - 0.5 + left, (v + 0.5) * by - 0.5 + top)
    raw_u, raw_v = ((at - off + 0.5) / by - 0.5 for at, off in zip(raw, (left, top), strict=True))
    known = seen(rectifier, (height, width))
    picture = rectifier(position_picture(width, height))
    assert_shows(picture, 0, np.clip(raw_u, 0, width - 1), known)
    assert_shows(picture, 1, np.clip(raw_v, 0, height - 1), known)
    assert rectifier.intrinsics.fx == pytest.approx(180 / by)
    assert rectifier.intrinsics.cx == pytest.approx((158 - left + 0.5) / by - 0.5)


@pytest.mark.parametrize("model", MODELS)
def test_a_photographed_checkerboard_becomes_the_pinhole_view_of_it(model: str) -> None:
    """The raw view is drawn through OpenCV's iterative inverse, four samples a pixel side."""
    fine, square = 4, 0.12
    message = info(model, r=np.eye(3).ravel().tolist())
    v, u = (np.mgrid[: HEIGHT * fine, : WIDTH * fine] + 0.5) / fine - 0.5
    lens = np.array([[FX, 0, CX], [0, FY, CY], [0, 0, 1.0]])
    inverse = cv2.fisheye.undistortPoints if model == "equidistant" else cv2.undistortPoints
    seen = inverse(np.stack([u, v], -1).reshape(-1, 1, 2), lens, np.array(MODELS[model]))
    board = np.floor(seen.reshape(*u.shape, 2) / square).sum(-1) % 2 * 200 + 20
    soft = cv2.GaussianBlur(board.astype(np.float32), (0, 0), fine)  # as a lens is
    raw = cv2.resize(soft, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    rectifier = Rectifier(message, WIDTH, HEIGHT)
    grey = rectifier(cv2.merge([raw.astype(np.uint8)] * 3))[..., 0]
    steps = np.arange(-4, 5) * square
    x, y = np.meshgrid(steps, steps[2:-2])
    camera = intrinsics_of(message, WIDTH, HEIGHT)
    wanted = np.stack([x * camera.fx + camera.cx, y * camera.fy + camera.cy], -1).reshape(-1, 2)
    start = np.ascontiguousarray(wanted + 0.8, np.float32)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 50, 1e-4)
    found = cv2.cornerSubPix(grey, start, (4, 4), (-1, -1), stop)
    errors = found - wanted
    assert np.abs(errors.mean(axis=0)).max() < 0.02
    assert np.linalg.norm(errors, axis=1).max() < 0.2  # what finding a corner is good for here


@pytest.mark.parametrize(
    ("model", "d", "turns_at"),
    [
        ("plumb_bob", [-0.3, 0.0, 0.0, 0.0, 0.0], (1 / 0.9) ** 0.5),  # 1 + 3 k1 r^2 = 0
        ("equidistant", [-0.2, 0.0, 0.0, 0.0], np.tan((1 / 0.6) ** 0.5)),
    ],
)
def test_no_second_picture_where_the_polynomial_turns_back(
    model: str, d: list[float], turns_at: float
) -> None:
    # a wide pinhole, which looks far past the turning point
    wide = [20.0, 0.0, 159.5, 0.0, 0.0, 20.0, 99.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    message = info(model, d=d, p=wide, r=np.eye(3).ravel().tolist())
    known = Rectifier(message, WIDTH, HEIGHT).known
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    radius = np.hypot(u - 159.5, v - 99.5) / 20
    assert known[radius < 0.4].all()
    assert not known[radius > turns_at + 0.05].any()


def test_what_lies_behind_the_camera_is_unknown() -> None:
    """R that turns by a right angle: half of the rectified view is behind the raw camera."""
    turned = cv2.Rodrigues(np.array([0.0, np.pi / 2, 0.0]))[0]
    known = Rectifier(info(r=turned.ravel().tolist()), WIDTH, HEIGHT).known
    assert not known[:, :158].any() or not known[:, 159:].any()


def test_the_outgoing_camera_info_is_of_a_pinhole() -> None:
    message = info()
    message.p[3] = -18.0  # right camera of a stereo pair
    before = [list(message.d), list(message.k), list(message.r), list(message.p)]
    out = Rectifier(message, WIDTH, HEIGHT).info
    assert out.header == message.header
    assert (out.distortion_model, list(out.d)) == ("plumb_bob", [0.0] * 5)
    assert np.reshape(out.r, (3, 3)).tolist() == np.eye(3).tolist()
    assert list(out.k) == [180.0, 0, 158.0, 0, 185.0, 101.0, 0, 0, 1]
    assert list(out.p) == [180.0, 0, 158.0, -18.0, 0, 185.0, 101.0, 0, 0, 0, 1, 0]
    assert (out.width, out.height) == (WIDTH, HEIGHT)
    assert [list(message.d), list(message.k), list(message.r), list(message.p)] == before
    again = Rectifier(out, WIDTH, HEIGHT)
    picture = position_picture(WIDTH, HEIGHT)
    assert again(picture) is picture


@pytest.mark.parametrize("model", ["plumb_bob", "", "none"])
@pytest.mark.parametrize("d", [[], [0.0] * 5])
def test_without_distortion_nothing_is_done(model: str, d: list[float]) -> None:
    k = [FX, 0.0, CX, 0.0, FY, CY, 0.0, 0.0, 1.0]
    message = info(model, d=d, k=k, r=[0.0] * 9, p=[0.0] * 12)
    rectifier = Rectifier(message, WIDTH, HEIGHT)
    picture = position_picture(WIDTH, HEIGHT)
    assert rectifier(picture) is picture
    assert rectifier.known is None


def test_a_fisheye_without_coefficients_is_still_a_fisheye() -> None:
    message = info("equidistant", d=[0.0] * 4)
    v, u = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    raw_u, _ = raw_pixels(message, u, v)
    rectifier = Rectifier(message, WIDTH, HEIGHT)
    assert_shows(rectifier(position_picture(WIDTH, HEIGHT)), 0, raw_u, rectifier.known)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"distortion_model": "radtan", "d": [0.1]}, "distortion model 'radtan' is unknown; it"),
        ({"distortion_model": "none", "d": [0.1]}, "one of plumb_bob, rational_polynomial, equid"),
        ({"d": [0.1, 0.2]}, "D of plumb_bob should have 4 or 5 numbers, has 2"),
        ({"distortion_model": "equidistant", "d": []}, "should have 4 numbers, has 0"),
        ({"d": [float("nan")] * 5}, "D should be finite"),
        ({"r": [1.0] * 9}, "R should be a rotation"),
        ({"r": [float("nan")] * 9}, "R should be a rotation"),
        ({"k": [0.0] * 9}, "K cannot be rectified by: focal length must be a positive number"),
        ({"k": [0.0] * 9, "p": [0.0] * 12}, "no focal length"),
        ({"width": 640}, "camera_info is for 640x200 pixels, the image has 320x200"),
    ],
)  # fmt: skip
def test_what_cannot_be_rectified_is_one_clear_line(changes: dict, complaint: str) -> None:
    with pytest.raises(CameraInfoError) as error:
        Rectifier(info(**changes), WIDTH, HEIGHT)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (80, 50), (107, 67), (640, 400)])
def test_depth_of_unknown_pixels_is_nan_at_every_resolution(size: tuple[int, int]) -> None:
    rectifier = Rectifier(info(), WIDTH, HEIGHT)
    depth = np.ones(size[::-1], np.float32)
    rectifier.blank(depth)
    known = np.isfinite(depth)
    assert known.mean() == pytest.approx(rectifier.known.mean(), abs=0.03)
    columns = ((np.arange(size[0]) + 0.5) * WIDTH / size[0]).astype(int)
    rows = ((np.arange(size[1]) + 0.5) * HEIGHT / size[1]).astype(int)
    middles = rectifier.known[rows][:, columns]
    if size[0] <= WIDTH:
        assert not (known & ~middles).any()  # nothing known whose middle is not


def test_maps_are_kept_until_the_calibration_or_the_size_changes() -> None:
    cache = RectifierCache()
    first = cache.get(info(), WIDTH, HEIGHT)
    later = info()
    later.header.stamp.sec = 7
    assert cache.get(later, WIDTH, HEIGHT) is first
    zoomed = info(k=[250.0, 0.0, CX, 0.0, 250.0, CY, 0.0, 0.0, 1.0])
    assert cache.get(zoomed, WIDTH, HEIGHT) is not first
    binned = info(binning_x=2, binning_y=2)
    assert cache.get(binned, WIDTH // 2, HEIGHT // 2).intrinsics.fx == 90
    with pytest.raises(CameraInfoError):
        cache.get(info(), WIDTH // 2, HEIGHT)
    assert cache.get(binned, WIDTH // 2, HEIGHT // 2).intrinsics.fx == 90
