# SPDX-License-Identifier: Apache-2.0
from fractions import Fraction

import numpy as np
import pytest
from tiny_models import bilinear

from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.preprocess import PADDING_COLOR, Geometry

NETWORK = (512, 256)
SIZES = [
    (1936, 1216), (960, 540), (2048, 1024), (640, 480), (480, 640), (1080, 1920),
    (1, 1), (37, 1000), (1000, 37), (2047, 1024), (513, 257), (511, 255), (3, 5), (1025, 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("image", "content", "corner"),
    [  # worked out by hand for a network of 512x256
        ((1936, 1216), (408, 256), (52, 0)),
        ((960, 540), (455, 256), (28, 0)),
        ((2048, 1024), (512, 256), (0, 0)),
        ((640, 480), (341, 256), (85, 0)),
        ((480, 640), (192, 256), (160, 0)),
        ((1, 1), (256, 256), (128, 0)),
        ((37, 1000), (9, 256), (251, 0)),
        ((1000, 37), (512, 19), (0, 118)),
        ((100_000, 10), (512, 1), (0, 127)),
    ],
)
def test_content_region(image, content, corner):
    geometry = Geometry.fit(image, NETWORK)
    assert (geometry.content_width, geometry.content_height) == content
    assert (geometry.left, geometry.top) == corner


@pytest.mark.parametrize("network", [(512, 256), (224, 224), (96, 160)])
@pytest.mark.parametrize("size", SIZES)
def test_aspect_is_kept_and_content_is_centred_inside(size, network):
    geometry = Geometry.fit(size, network)
    factor = min(Fraction(network[0], size[0]), Fraction(network[1], size[1]))
    content = (geometry.content_width, geometry.content_height)
    for side, original in zip(content, size, strict=True):
        assert side == 1 or abs(side - original * factor) <= Fraction(1, 2)
    assert content[0] == network[0] or content[1] == network[1]
    for start, side, whole in zip((geometry.left, geometry.top), content, network, strict=True):
        assert start >= 0
        assert whole - side - 2 * start in (0, 1)
    assert geometry.scale == pytest.approx(float(factor), rel=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_stretching_fills_the_network(size):
    geometry = Geometry.fit(size, NETWORK, stretch=True)
    assert geometry.content_slices == (slice(0, 256), slice(0, 512))
    assert geometry.scale_x == 512 / size[0]
    assert geometry.scale_y == 256 / size[1]


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 5)])
def test_sizes_must_be_positive(size):
    with pytest.raises(ValueError, match="both sides must be positive"):
        Geometry.fit(size, NETWORK)


def centres(geometry):
    """Image coordinates of the content's pixel centres, half-pixel rule: x [w], y [h]."""
    x = (np.arange(geometry.content_width) + 0.5) / geometry.scale_x - 0.5
    y = (np.arange(geometry.content_height) + 0.5) / geometry.scale_y - 0.5
    return x, y


@pytest.mark.parametrize("stretch", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_ramp_of_depth_comes_back_exactly_and_padding_never_leaks(size, stretch):
    width, height = size
    geometry = Geometry.fit(size, NETWORK, stretch=stretch)
    x, y = centres(geometry)
    depth = np.full((256, 512), np.nan, np.float32)
    depth[geometry.content_slices] = 3 + x[None] / width + 2 * y[:, None] / height
    back = geometry.to_image(depth)
    assert back.shape == (height, width)
    assert back.dtype == np.float32
    assert np.isfinite(back).all()
    ix, iy = np.arange(width), np.arange(height)
    inside = ((iy >= y[0]) & (iy <= y[-1]))[:, None] & ((ix >= x[0]) & (ix <= x[-1]))
    wanted = 3 + ix[None] / width + 2 * iy[:, None] / height
    # OpenCV's coefficients are single precision
    np.testing.assert_allclose(back[inside], wanted[inside], rtol=0, atol=2e-4)

    depth[np.isnan(depth)] = 1e30
    np.testing.assert_array_equal(geometry.to_image(depth), back)
    assert geometry.crop(depth).max() < 7


@pytest.mark.parametrize("size", [s for s in SIZES if min(s) > 1])
def test_a_ramp_of_colour_arrives_where_the_geometry_says(size):
    width, height = size
    geometry = Geometry.fit(size, NETWORK)
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.round(255 * np.arange(width) / width)
    image[..., 1] = np.round(255 * np.arange(height) / height)[:, None]
    content = geometry.to_network(image)[geometry.content_slices].astype(float)
    x, y = centres(geometry)
    # beyond the outermost pixel centres the edge is repeated
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    # half a level of rounding before and after
    assert np.abs(content[..., 0] - 255 * x[None] / width).max() <= 1.01
    assert np.abs(content[..., 1] - 255 * y[:, None] / height).max() <= 1.01
    assert not content[..., 2].any()


def test_padding_has_one_colour_and_content_of_equal_size_is_untouched():
    image = np.random.default_rng(0).integers(0, 256, (64, 40, 3)).astype(np.uint8)
    packed = Geometry.fit((40, 64), (128, 64)).to_network(image)
    assert packed.shape == (64, 128, 3)
    np.testing.assert_array_equal(packed[:, 44:84], image)
    rest = np.delete(packed, np.s_[44:84], axis=1).reshape(-1, 3)
    np.testing.assert_array_equal(np.unique(rest, axis=0), [PADDING_COLOR])


@pytest.mark.parametrize("size", [(40, 30), (31, 77), (200, 10)])
def test_the_way_back_is_bilinear(size):
    geometry = Geometry.fit(size, (96, 64))
    depth = np.random.default_rng(1).uniform(1, 80, (64, 96)).astype(np.float32)
    wanted = bilinear(geometry.crop(depth).astype(float), size[1], size[0])
    np.testing.assert_allclose(geometry.to_image(depth), wanted, rtol=1e-5)


@pytest.mark.parametrize("stretch", [False, True])
@pytest.mark.parametrize("network", [(100, 64), (60, 120)])
def test_a_point_projects_onto_the_resized_pixel(network, stretch):
    width, height = 200, 120
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(width), np.arange(height)[:, None]
    geometry = Geometry.fit((width, height), network, stretch=stretch)
    content = geometry.to_network(image)[geometry.content_slices].astype(float)
    camera = Intrinsics(150.0, 140.0, 97.0, 63.0)
    small = geometry.intrinsics_at_content(camera)
    for x, y, z in [(0.0, 0.0, 4.0), (-1.2, 0.7, 3.0), (2.0, -1.0, 5.0), (0.3, 0.9, 2.5)]:
        u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        column, row = small.fx * x / z + small.cx, small.fy * y / z + small.cy
        i, j = int(row), int(column)
        a, b = row - i, column - j
        patch = content[i : i + 2, j : j + 2, :2]
        seen = np.einsum("i,j,ijc->c", [1 - a, a], [1 - b, b], patch)
        np.testing.assert_allclose(seen, [u, v], atol=0.6)  # the image holds whole numbers
