# SPDX-License-Identifier: Apache-2.0
import dataclasses

import numpy as np
import pytest
from tiny_models import bilinear, metres, write_own

from depth_dpt_core.artifact import ArtifactError, ModelSpec
from depth_dpt_core.camera import Intrinsics
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_core.frames import street_frames

WIDTH, HEIGHT = 64, 32
CANONICAL = 50.0
SPEC = ModelSpec(
    width=WIDTH, height=HEIGHT, canonical_focal_length=CANONICAL, min_depth=0.1, max_depth=200.0
)


@pytest.fixture
def load(tmp_path):
    def load(**changes):
        spec = dataclasses.replace(SPEC, **changes)
        return DepthEstimator.load(str(write_own(tmp_path / "tiny.onnx", spec)))

    return load


def picture(width, height, seed=6):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def camera(fx, fy=None):
    return Intrinsics(fx, fx if fy is None else fy, 0.0, 0.0)


def test_an_image_of_network_size_is_answered_pixel_by_pixel(load):
    image = picture(WIDTH, HEIGHT)
    depth = load()(image, None)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, metres(image), rtol=1e-6)


def test_a_bigger_image_gets_the_bilinear_answer_of_the_network(load):
    small = picture(WIDTH, HEIGHT)
    image = small.repeat(3, axis=0).repeat(3, axis=1)  # shrinks back to exactly `small`
    estimator = load()
    depth = estimator(image, None)
    wanted = bilinear(metres(small), 3 * HEIGHT, 3 * WIDTH)
    np.testing.assert_allclose(depth, wanted, rtol=1e-5)
    np.testing.assert_allclose(
        estimator(image, None, at_network_size=True), metres(small), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("size", "content"),
    [((64, 32), (64, 32)), ((120, 120), (32, 32)), ((640, 100), (64, 10)), ((33, 99), (11, 32))],
)
def test_sizes_of_answers(load, size, content):
    image = picture(*size)
    estimator = load()
    assert estimator(image, camera(80)).shape == (size[1], size[0])
    assert estimator(image, camera(80), at_network_size=True).shape == (content[1], content[0])


def test_padding_does_not_reach_the_answer(load):
    image = np.full((96, 96, 3), (10, 20, 30), np.uint8)  # padded left and right
    np.testing.assert_allclose(load()(image, None), metres(image), rtol=1e-6)


@pytest.mark.parametrize("at_network_size", [False, True])
@pytest.mark.parametrize("size", [(64, 32), (100, 90), (191, 32)])
def test_twice_the_focal_length_is_twice_the_depth(load, size, at_network_size):
    estimator, image = load(), picture(*size)
    once, twice = (
        estimator(image, camera(fx), at_network_size=at_network_size) for fx in (70.0, 140.0)
    )
    assert np.isfinite(once).all()
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "fx", "factor"),
    [
        ((64, 32), 50.0, 1.0),
        ((128, 64), 50.0, 0.5),  # at network size the focal length is 25
        ((128, 64), 100.0, 1.0),
        ((96, 96), 150.0, 1.0),  # padded: r is 1/3, and not 64/96
        ((640, 100), 1000.0, 2.0),
        ((127, 64), 100.0, 1.0),  # content 63.5 rounds to 64 wide; the height says exactly 1/2
    ],
)
def test_scale_with_the_aspect_kept(load, size, fx, factor):
    estimator = load()
    # the vertical focal length does not count here
    for fy in (fx, 3 * fx):
        scale = estimator.metric_scale(estimator.geometry(*size), camera(fx, fy))
        assert scale == pytest.approx(factor, rel=1e-12)
    image = np.full((size[1], size[0], 3), 100, np.uint8)
    wanted = factor * metres(image)
    np.testing.assert_allclose(estimator(image, camera(fx)), wanted, rtol=1e-5)


def test_label_rule_of_metric3d(load):
    estimator = load(canonical_focal_length=1000.0)
    geometry = estimator.geometry(WIDTH, HEIGHT)
    assert 8.8397009 * estimator.metric_scale(geometry, camera(2262.52)) == pytest.approx(20)
    assert 20 * estimator.metric_scale(geometry, camera(500.0)) == pytest.approx(10)


def test_stretching_takes_the_geometric_mean(load):
    estimator = load(aspect="stretch", canonical_focal_length_y=20.0)
    image = np.full((96, 96, 3), 100, np.uint8)
    intrinsics = camera(150.0, 120.0)
    across, down = 150 * 64 / 96 / 50, 120 * 32 / 96 / 20
    wanted = (across * down) ** 0.5 * metres(image)
    np.testing.assert_allclose(estimator(image, intrinsics), wanted, rtol=1e-5)
    square = load(aspect="stretch")
    scale = square.metric_scale(square.geometry(96, 96), camera(150.0))
    assert scale == pytest.approx((2 * 1) ** 0.5)


@pytest.mark.parametrize("aspect", ["pad", "stretch"])
def test_without_canonical_camera_the_focal_length_does_not_matter(load, aspect):
    estimator, image = load(canonical_focal_length=None, aspect=aspect), picture(100, 90)
    np.testing.assert_array_equal(estimator(image, camera(40)), estimator(image, camera(4000)))
    np.testing.assert_array_equal(estimator(image, camera(40)), estimator(image, None))


def test_without_intrinsics_the_training_camera_is_taken(load):
    estimator, image = load(), picture(WIDTH, HEIGHT)
    np.testing.assert_array_equal(estimator(image, None), estimator(image, camera(CANONICAL)))


@pytest.mark.parametrize("factor", [1.0, 0.3, 1.1, 2.7])
def test_the_range_scales_with_the_focal_length(load, factor):
    image = picture(WIDTH, HEIGHT)
    answer = metres(image)
    low, high = np.quantile(answer, [0.2, 0.7])
    depth = load(min_depth=low, max_depth=high)(image, camera(factor * CANONICAL))
    inside = (answer > low) & (answer < high)
    clear = (np.abs(answer - low) > 1e-4) & (np.abs(answer - high) > 1e-4)
    np.testing.assert_array_equal(np.isfinite(depth)[clear], inside[clear])
    np.testing.assert_allclose(depth[inside & clear], factor * answer[inside & clear], rtol=1e-6)
    assert np.isnan(depth[~np.isfinite(depth)]).all()


def test_the_ends_of_the_range_belong_to_it_at_every_focal_length(load):
    image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    answer = float(load()(image, None)[0, 0])
    for ends in ({"max_depth": answer}, {"min_depth": answer}):
        estimator = load(**ends)
        for fx in np.linspace(10, 400, 40):
            assert np.isfinite(estimator(image, camera(float(fx)))).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 1), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint16),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused(load, image):
    with pytest.raises(ValueError, match="image"):
        load()(image, None)


def test_views_and_read_only_images_are_fine_and_left_alone(load):
    estimator, image = load(), picture(100, 60)
    wanted = estimator(image, None)
    view = np.ascontiguousarray(image[..., ::-1])[..., ::-1]
    np.testing.assert_array_equal(estimator(view, None), wanted)
    before = image.copy()
    image.flags.writeable = False
    np.testing.assert_array_equal(estimator(image, None), wanted)
    np.testing.assert_array_equal(image, before)


def test_answers_do_not_share_memory(load):
    estimator = load()
    first = estimator(picture(WIDTH, HEIGHT, 1), None)
    kept = first.copy()
    estimator(picture(WIDTH, HEIGHT, 2), None)
    np.testing.assert_array_equal(first, kept)


def test_missing_model():
    with pytest.raises(ArtifactError, match=r"nowhere\.onnx: no such model file"):
        DepthEstimator.load("/nowhere.onnx")


def test_builtin_answers_on_the_road():
    estimator = DepthEstimator.load("builtin", num_threads=1)
    estimator.warm_up()
    frames = street_frames()
    assert len(frames) == 4
    for frame in frames:
        height, width = frame.shape[:2]
        depth = estimator(frame, None)
        assert depth.shape == (height, width)
        road = depth[int(0.7 * height) :, width // 4 : -width // 4]
        assert np.isfinite(road).mean() > 0.9
        assert np.nanmin(road) > 0
