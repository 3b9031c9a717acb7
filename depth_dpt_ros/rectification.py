# SPDX-License-Identifier: Apache-2.0
"""Rectified images of distorted cameras, and the CameraInfo that belongs to them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.preprocess import PADDING_COLOR
from depth_dpt_ros.camera_info import CameraInfoError, intrinsics_of

Floats = NDArray[np.float64]

# how many coefficients each model may have (OpenCV adds thin prisms and a tilted sensor)
_MODELS = {"plumb_bob": (4, 5), "rational_polynomial": (8, 12, 14), "equidistant": (4,)}
_NOT_A_ROTATION = 1e-3  # largest deviation of R Rᵀ from the identity
_STEPS = 4096  # of the search for the radius where a distortion folds back


class Rectifier:
    """Rectifies the images of one calibration.

    The rectified image has the size of the raw one and, where the camera delivers a region of
    interest or bins its pixels, shows the same window of the rectified plane. It is the view of
    the pinhole camera P. Where P is zero, K takes its place: as sharp as the raw image in the
    middle, while the rim of a wide view is cut. Where R is zero it is taken as the identity.

    Pixel centres lie at integer coordinates, before binning and after (as in `intrinsics_of`;
    image_geometry divides by the binning instead, half a binned pixel less half a pixel off).

    Attributes:
        info: CameraInfo of the rectified images, whose header is that of the given one: D zero,
            R the identity, K = P, no region of interest, no binning.
        intrinsics: the same camera.
        known: bool [H,W], False where the raw image shows nothing; None where it shows all.
    """

    info: Any
    intrinsics: Intrinsics
    known: NDArray[np.bool_] | None

    def __init__(self, info: Any, width: int, height: int) -> None:
        """Prepare the maps: some tens of milliseconds per megapixel.

        Args:
            info: the raw images' CameraInfo.
            width: of the raw images, pixels.
            height: of the raw images, pixels.

        Raises:
            CameraInfoError: unknown distortion model, wrong number of coefficients, no focal
                length, R no rotation, or the sizes contradict each other.
        """
        self.intrinsics = intrinsics_of(info, width, height)
        self.info = _rectified_info(info, self.intrinsics, width, height)
        self.known = None
        self._maps: tuple[NDArray[Any], NDArray[Any]] | None = None
        self._unknown: NDArray[np.bool_] | None = None  # of the last size asked for
        model, coefficients = _distortion(info)
        raw, rotation = _raw_camera(info), _rotation(info)
        undistorted = model != "equidistant" and not coefficients.any()
        if undistorted and raw == self.intrinsics and (rotation == np.eye(3)).all():
            return
        init = cv2.fisheye if model == "equidistant" else cv2
        maps: Any = init.initUndistortRectifyMap(
            _matrix(raw), coefficients, rotation, _matrix(self.intrinsics), (width, height),
            cv2.CV_32FC1,
        )  # fmt: skip
        rays = _rays(self.intrinsics, rotation, width, height)
        known = _is_seen(rays, model, coefficients)
        for at, side in zip(maps, (width, height), strict=True):
            known &= (at >= -0.5) & (at <= side - 0.5)
        for at, side in zip(maps, (width, height), strict=True):
            np.clip(at, 0, side - 1, out=at)
            at[~known] = -2  # wholly outside
        self._maps = cv2.convertMaps(maps[0], maps[1], cv2.CV_16SC2)
        if not known.all():
            self.known = known

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Rectify an image [H,W,3]; the same array where there is nothing to do.

        Unknown pixels have the colour that the network's padding has.
        """
        if self._maps is None:
            return image
        return np.asarray(
            cv2.remap(
                image, *self._maps, cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT, borderValue=PADDING_COLOR,
            ),
            np.uint8,
        )  # fmt: skip

    def blank(self, depth: NDArray[np.float32]) -> None:
        """Make depth [h,w] of the rectified image, at any resolution, NaN where it is unknown.

        A pixel of a smaller depth image is unknown where any part of it is.
        """
        if self.known is None:
            return
        if self._unknown is None or self._unknown.shape != depth.shape:
            shares = cv2.resize(
                self.known.astype(np.float32), depth.shape[::-1], interpolation=cv2.INTER_AREA
            )
            self._unknown = np.asarray(shares < np.float32(0.999))
        np.copyto(depth, np.float32(np.nan), where=self._unknown)


class RectifierCache:
    """The rectifier of a camera, made anew only when its calibration or image size changes."""

    def __init__(self) -> None:
        self._key: object = None
        self._rectifier: Rectifier | None = None

    def get(self, info: Any, width: int, height: int) -> Rectifier:
        """The rectifier of a CameraInfo and its images' size; see `Rectifier` for errors."""
        roi = info.roi
        numbers = (*info.d, *info.k, *info.r, *info.p)
        window = (roi.x_offset, roi.y_offset, roi.width, roi.height)
        sizes = (info.width, info.height, info.binning_x, info.binning_y, width, height)
        key = (info.distortion_model, numbers, window, sizes)
        if self._rectifier is None or key != self._key:
            self._rectifier = Rectifier(info, width, height)
            self._key = key
        return self._rectifier


def _rectified_info(info: Any, camera: Intrinsics, width: int, height: int) -> Any:
    out = copy.copy(info)
    out.width, out.height = width, height
    out.roi = copy.copy(info.roi)
    out.roi.x_offset = out.roi.y_offset = out.roi.width = out.roi.height = 0
    out.roi.do_rectify = False
    out.binning_x = out.binning_y = 0
    out.distortion_model, out.d = "plumb_bob", [0.0] * 5
    out.r, out.k = np.eye(3).ravel().tolist(), _matrix(camera).ravel().tolist()
    # a stereo camera's -f B, in pixels of this image
    shift = (float(info.p[3]) / max(1, info.binning_x), float(info.p[7]) / max(1, info.binning_y))
    out.p = np.c_[_matrix(camera), [*shift, 0.0]].ravel().tolist()
    return out


def _distortion(info: Any) -> tuple[str, Floats]:
    model, coefficients = info.distortion_model, np.array(info.d, np.float64)
    if not np.isfinite(coefficients).all():
        raise CameraInfoError(f"camera_info: D should be finite, is {coefficients.tolist()}")
    if model != "equidistant" and not coefficients.any():
        return model, np.zeros(5)  # many drivers leave the name empty then
    if model not in _MODELS:
        raise CameraInfoError(
            f"camera_info: distortion model {model!r} is unknown; it should be one of "
            + ", ".join(_MODELS)
        )
    if len(coefficients) not in _MODELS[model]:
        wanted = " or ".join(map(str, _MODELS[model]))
        raise CameraInfoError(
            f"camera_info: D of {model} should have {wanted} numbers, has {len(coefficients)}"
        )
    return model, coefficients


def _raw_camera(info: Any) -> Intrinsics:
    """K, as it stands for the raw image."""
    k, roi = [float(x) for x in info.k], info.roi
    try:
        whole = Intrinsics(k[0], k[4], k[2], k[5])
    except ValueError as error:
        raise CameraInfoError(f"camera_info: K cannot be rectified by: {error}") from error
    return whole.shifted(-roi.x_offset, -roi.y_offset).scaled(
        1 / max(1, info.binning_x), 1 / max(1, info.binning_y)
    )


def _rotation(info: Any) -> Floats:
    rotation = np.array(info.r, np.float64).reshape(3, 3)
    if not rotation.any():
        return np.eye(3)
    # not `>`, which NaN would pass
    if not np.abs(rotation @ rotation.T - np.eye(3)).max() <= _NOT_A_ROTATION:
        raise CameraInfoError(f"camera_info: R should be a rotation, is {rotation.tolist()}")
    return rotation


def _matrix(camera: Intrinsics) -> Floats:
    return np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]])


def _rays(
    camera: Intrinsics, rotation: Floats, width: int, height: int
) -> tuple[Floats, Floats, Floats]:
    """Where each rectified pixel looks, in the raw camera's frame: x, y, z, each [H,W]."""
    right = (np.arange(width) - camera.cx) / camera.fx
    down = (np.arange(height)[:, None] - camera.cy) / camera.fy
    x, y, z = (column[0] * right + column[1] * down + column[2] for column in rotation.T)
    return x, y, z


def _is_seen(
    rays: tuple[Floats, Floats, Floats], model: str, coefficients: Floats
) -> NDArray[np.bool_]:
    """Whether rays lie before the camera, where its distortion means something [H,W].

    A fitted polynomial turns back somewhere beyond the rim that it was fitted to. Past there it
    would show things of the middle a second time.
    """
    x, y, z = rays
    radius = np.hypot(x, y)
    with np.errstate(divide="ignore", invalid="ignore"):
        angle = np.arctan2(radius, z) if model == "equidistant" else radius / z
    ahead = z > 0
    if not ahead.any():
        return ahead
    distort = _equidistant if model == "equidistant" else _polynomial
    return ahead & (angle <= _turning_point(distort, coefficients, float(angle[ahead].max())))


def _turning_point(
    distort: Callable[[Floats, Floats], Floats], coefficients: Floats, reach: float
) -> float:
    """Up to where, from 0 to `reach`, a distorted radius grows with the undistorted one."""
    steps = np.linspace(0, reach, _STEPS)
    with np.errstate(divide="ignore", invalid="ignore"):
        back = ~(np.diff(distort(steps, coefficients)) > 0)
    return float(steps[back.argmax()]) if back.any() else reach


def _polynomial(radius: Floats, coefficients: Floats) -> Floats:
    k1, k2, _, _, k3, k4, k5, k6 = np.r_[coefficients, np.zeros(8)][:8]
    square = radius**2
    above = 1 + square * (k1 + square * (k2 + square * k3))
    below = 1 + square * (k4 + square * (k5 + square * k6))
    return np.asarray(radius * above / below)


def _equidistant(angle: Floats, coefficients: Floats) -> Floats:
    square = angle**2
    k1, k2, k3, k4 = coefficients
    return np.asarray(angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4)))))
