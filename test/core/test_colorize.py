# SPDX-License-Identifier: Apache-2.0
import math

import cv2
import numpy as np
import pytest

from depth_dpt_core.colorize import COLOR_MAPS, UNKNOWN_COLOR, colorize, scale_bar

OPENCV = {
    "turbo": cv2.COLORMAP_TURBO,
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
}
NEAR, FAR = 1.0, 80.0


def reference_table(color_map):
    """OpenCV's own 256 colours as RGB, near to far."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    return cv2.applyColorMap(ramp, OPENCV[color_map])[0, ::-1, ::-1].astype(int)


def colors_of(metres, color_map="turbo", ends=(NEAR, FAR)):
    return colorize(np.array([metres], np.float32), *ends, color_map=color_map)[0].astype(int)


def test_the_maps_are_the_documented_ones():
    assert set(COLOR_MAPS) == set(OPENCV)


@pytest.mark.parametrize("ends", [(1.0, 80.0), (0.1, 10.0), (5.0, 6.0)])
@pytest.mark.parametrize("color_map", COLOR_MAPS)
def test_colours_follow_the_logarithm_in_order(color_map, ends):
    metres = np.geomspace(*ends, 3000)
    share = np.log(metres / ends[0]) / math.log(ends[1] / ends[0])
    level = np.round(255 * share).astype(int)
    table = reference_table(color_map)
    got = colors_of(metres, color_map, ends)
    # single precision may round a value on the edge to the neighbouring level, never further
    near = np.abs(255 * share - np.floor(255 * share) - 0.5) < 2e-3
    np.testing.assert_array_equal(got[~near], table[level[~near]])
    for step in (-1, 0, 1):
        near &= (got != table[np.clip(level + step, 0, 255)]).any(axis=1)
    assert not near.any()
    assert len(np.unique(level[np.abs(255 * share - level) < 0.4])) == 256


@pytest.mark.parametrize("color_map", COLOR_MAPS)
def test_same_metres_same_colour_whatever_else_is_in_the_image(color_map):
    alone = colors_of([17.3], color_map)[0]
    for others in ([1.0, 2.0, 3.0], [79.0, 80.0, 500.0], [math.nan, math.inf, 0.0]):
        np.testing.assert_array_equal(colors_of([*others, 17.3], color_map)[-1], alone)


@pytest.mark.parametrize("color_map", COLOR_MAPS)
def test_unknown_has_a_colour_of_its_own(color_map):
    table = reference_table(color_map)
    assert not (table == UNKNOWN_COLOR).all(axis=1).any()
    assert not (colors_of(np.geomspace(0.5, 200, 5000), color_map) == UNKNOWN_COLOR).all(1).any()
    got = colors_of([math.nan, math.inf, -math.inf, 5.0], color_map)
    assert [tuple(color) == UNKNOWN_COLOR for color in got.tolist()] == [True, True, True, False]


@pytest.mark.parametrize("color_map", COLOR_MAPS)
def test_beyond_the_ends_takes_the_colour_of_the_end(color_map):
    table = reference_table(color_map)
    near = colors_of([NEAR, 0.5, 1e-9, 0.0, -3.0, -1e30], color_map)
    np.testing.assert_array_equal(near, np.tile(table[0], (6, 1)))
    far = colors_of([FAR, 80.01, 1e6, 3e38], color_map)
    np.testing.assert_array_equal(far, np.tile(table[255], (4, 1)))


def test_shape_and_type():
    out = colorize(np.full((3, 7), 4.0, np.float32), NEAR, FAR)
    assert out.shape == (3, 7, 3)
    assert out.dtype == np.uint8


def test_the_depth_is_left_alone():
    depth = np.array([[0.0, np.nan, 5.0, 500.0]], np.float32)
    before = depth.copy()
    colorize(depth, NEAR, FAR)
    np.testing.assert_array_equal(depth, before)


@pytest.mark.parametrize(
    "ends", [(0.0, 80.0), (-1.0, 80.0), (80.0, 1.0), (5.0, 5.0), (math.nan, 80.0), (1.0, math.nan)]
)
def test_impossible_ends(ends):
    with pytest.raises(ValueError, match="needs 0 < min_depth < max_depth"):
        colorize(np.ones((2, 2), np.float32), *ends)


def test_unknown_map_names_the_known_ones():
    with pytest.raises(ValueError, match="'jet': choose one of turbo, inferno, magma"):
        colorize(np.ones((2, 2), np.float32), NEAR, FAR, color_map="jet")


@pytest.mark.parametrize("size", [(22, 70), (221, 70), (400, 90)])
def test_scale_bar_size(size):
    height, width = size
    bar = scale_bar(height, NEAR, FAR, width=width)
    assert bar.shape == (height, width, 3)
    assert bar.dtype == np.uint8


@pytest.mark.parametrize("color_map", COLOR_MAPS)
def test_scale_bar_shows_the_colours_of_its_labels(color_map):
    # 201 rows from 100 m down to 1 m: the ticks of 100, 10 and 1 m fall on whole rows
    bar = scale_bar(221, 1.0, 100.0, color_map=color_map)
    ticks = np.flatnonzero((bar[:, 24:29] == 0).all(axis=(1, 2)))
    metres = [100, 80, 50, 30, 20, 10, 5, 3, 2, 1]  # far at the top
    assert len(ticks) == len(metres)
    table = colorize(np.geomspace(1, 100, 256)[None].astype(np.float32), 1.0, 100.0,
                     color_map=color_map)[0].astype(int)  # fmt: skip
    for row, there in zip(ticks, metres, strict=True):
        shown = bar[row, 5:24].astype(int)
        assert (shown == shown[0]).all()
        wanted = colors_of([there], color_map, (1.0, 100.0))[0]
        if there in (1, 10, 100):
            np.testing.assert_array_equal(shown[0], wanted)
        # half a row is 0.64 of 256 steps
        level = np.abs(table - wanted).sum(axis=1).argmin()
        close = table[max(level - 1, 0) : level + 2]
        assert (close == shown[0]).all(axis=1).any(), f"{there} m"


@pytest.mark.parametrize("height", [0, 10, 20, 21])
def test_scale_bar_without_room_is_refused(height):
    with pytest.raises(ValueError, match="needs 22 pixels of height"):
        scale_bar(height, NEAR, FAR)
