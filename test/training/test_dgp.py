# SPDX-License-Identifier: Apache-2.0
"""Scenes with LiDAR truth: made ones with known answers, and a real one where it is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dgp_scene import write_scene

from depth_dpt_core.data.cityscapes import DataError
from depth_dpt_core.data.dgp import read_scene

REAL = Path(__file__).resolve().parents[3] / "shared/data/dgp_test_scene/scene_01"


def test_points_land_where_the_camera_sees_them(tmp_path):
    # 10 m before the camera, 1 m to its right, 2 m below it; the second one behind it
    seen, hidden, behind = [11.2, -1.0, -1.1], [21.2, -2.0, -3.1], [-5.0, 0.0, 0.0]
    road = [[x, y, -0.6] for x in np.linspace(-9, 1, 9) for y in (-2.0, 2.0)]
    write_scene(tmp_path, np.array([hidden, seen, behind, *road]))
    (frame,) = read_scene(tmp_path)
    assert (frame.camera, frame.name, frame.image.shape) == ("FRONT", "2", (40, 60, 3))
    # u = 29.5 + 50 * 1 / 10, v = 19.5 + 50 * 2 / 10; the farther point shares the pixel
    assert np.argwhere(np.isfinite(frame.depth)).tolist() == [[30, 35]]
    assert frame.depth[30, 35] == pytest.approx(10.0)
    assert frame.mounting.height == pytest.approx(0.9 + 0.6)
    assert (frame.mounting.pitch, frame.mounting.roll) == pytest.approx((0, 0), abs=1e-9)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "scene_x.json").unlink(), "no scene_"),
        (lambda folder: (folder / "scene_x.json").write_text("{"), "not a DGP scene"),
        (lambda folder: (folder / "calibration/k.json").write_text("{}"), "not a DGP scene"),
        (lambda folder: (folder / "rgb/FRONT/2.jpg").write_bytes(b"x"), "2.jpg cannot be read"),
        (lambda folder: (folder / "point_cloud/LIDAR/1.npz").unlink(), "1.npz"),
    ],
)
def test_a_broken_scene_is_an_error_that_names_it(tmp_path, spoil, message):
    write_scene(tmp_path, np.array([[5.0, 0.0, -0.6]] * 3))
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        list(read_scene(tmp_path))


@pytest.mark.skipif(not REAL.exists(), reason="needs the real scene scene_01 of TRI-ML/dgp")
def test_a_real_scene_has_its_known_points():
    frames = {(frame.camera, frame.name[9:11]): frame for frame in read_scene(REAL)}
    assert len(frames) == 9
    middle = frames["CAMERA_01", "39"]
    assert middle.image.shape == (1216, 1936, 3)
    # each pixel keeps one of the 4,779 points in the image
    assert 4700 < np.isfinite(middle.depth).sum() <= 4779
    assert np.nanmedian(middle.depth) == pytest.approx(11.4, abs=0.1)
    assert 1.3 < middle.mounting.height < 1.7
