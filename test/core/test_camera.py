# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest

from depth_dpt_core.camera import Intrinsics, focal_correction

CAMERA = Intrinsics(700.0, 650.0, 301.5, 188.25)


def project(camera, point):
    x, y, z = point
    return np.array([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy])


@pytest.mark.parametrize("scale", [(0.5, 0.5), (0.37, 0.61), (2.0, 3.5), (1.0, 1.0)])
@pytest.mark.parametrize("point", [(0.0, 0.0, 5.0), (-3.0, 1.2, 20.0), (7.0, -2.0, 11.0)])
def test_scaling_keeps_the_share_of_the_image_where_a_point_appears(scale, point):
    # an image of W pixels reaches from -0.5 to W - 0.5; resizing keeps (u + 0.5) / W
    size = np.array([640, 384])
    before = (project(CAMERA, point) + 0.5) / size
    after = (project(CAMERA.scaled(*scale), point) + 0.5) / (size * scale)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-12)


def test_shifting_moves_every_point_alike():
    point = (1.0, 2.0, 9.0)
    moved = project(CAMERA.shifted(12, -7.5), point) - project(CAMERA, point)
    np.testing.assert_allclose(moved, [12, -7.5], atol=1e-12)


def test_scaling_there_and_back_is_the_identity():
    there = CAMERA.scaled(0.3, 0.7).scaled(1 / 0.3, 1 / 0.7)
    np.testing.assert_allclose(
        [there.fx, there.fy, there.cx, there.cy],
        [CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy],
        rtol=1e-12,
    )


@pytest.mark.parametrize(("size", "middle"), [((640, 480), (319.5, 239.5)), ((1, 5), (0.0, 2.0))])
def test_centered(size, middle):
    camera = Intrinsics.centered(500.0, *size)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500.0, 500.0, *middle)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_focal_length_must_be_a_positive_number(bad, which):
    focal = [500.0, 500.0]
    focal[which] = bad
    with pytest.raises(ValueError, match="focal length must be a positive number"):
        Intrinsics(*focal, 0.0, 0.0)


@pytest.mark.parametrize("scale", [(0.0, 1.0), (1.0, -2.0)])
def test_scaling_by_nothing_is_refused(scale):
    with pytest.raises(ValueError, match="focal length"):
        CAMERA.scaled(*scale)


@pytest.mark.parametrize(
    ("focal", "canonical", "stretched", "factor"),
    [
        # label rule of Metric3D, canonical 1000: 20 m at 2262.52 is labelled 8.8397009,
        # and an answer of 20 at f = 500 is 10 m
        ((2262.52, 2262.52), (1000.0, 1000.0), False, 20 / 8.8397009),
        ((500.0, 500.0), (1000.0, 1000.0), False, 0.5),
        ((400.0, 900.0), (200.0, 100.0), False, 2.0),  # aspect kept: fx alone decides
        ((400.0, 900.0), (200.0, 100.0), True, math.sqrt(2.0 * 9.0)),
        ((300.0, 300.0), (300.0, 300.0), True, 1.0),
    ],
)
def test_focal_correction(focal, canonical, stretched, factor):
    got = focal_correction(*focal, *canonical, stretched=stretched)
    assert got == pytest.approx(factor, rel=1e-8)
