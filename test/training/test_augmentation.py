# SPDX-License-Identifier: Apache-2.0
"""Random changes of training frames: each does what its range says, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("torchvision", reason="needs torchvision: pip install '.[train]'")

from torchvision import tv_tensors  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

from depth_dpt_core.config import AugmentationConfig  # noqa: E402
from depth_dpt_core.data.augmentation import Focal, network_transform  # noqa: E402
from depth_dpt_core.preprocess import PADDING_COLOR, Geometry  # noqa: E402

NETWORK = (64, 128)  # height, width
FOCAL = (200.0, 210.0)
NONE = {
    "flip": 0.0, "zoom": (1.0, 1.0), "letterbox": 0.0, "brightness": 0.0, "contrast": 0.0,
    "saturation": 0.0, "hue": 0.0, "grey": 0.0, "blur": 0.0, "jpeg": 0.0, "noise": 0.0,
}  # fmt: skip
STRONG = AugmentationConfig(
    brightness=0.9, contrast=0.9, saturation=0.9, hue=0.5, grey=0.3, blur=0.5, jpeg=0.5, noise=0.2
)


def noise_picture(shape=NETWORK) -> np.ndarray:
    return np.random.default_rng(9).integers(20, 230, (*shape, 3), np.uint8)


def plain_picture(color, shape=NETWORK) -> np.ndarray:
    return np.broadcast_to(np.array(color, np.uint8), (*shape, 3)).copy()


def example(image: np.ndarray) -> dict:
    """Labels: the row in one map, the column in the other, both from 1."""
    rows, columns = np.indices(image.shape[:2], np.float32) + 1
    return {
        "image": tv_tensors.Image(torch.from_numpy(image.copy()).permute(2, 0, 1)),
        "labels": tv_tensors.Mask(torch.from_numpy(np.stack([rows, columns]))),
        "focal": Focal(list(FOCAL)),
    }


def changed(image: np.ndarray, seed: int = 0, *, stretch=False, **ranges) -> dict:
    """What becomes of an image with these ranges and no others; arrays, the image [H,W,3]."""
    transform = network_transform(
        NETWORK, stretch=stretch, augmentation=AugmentationConfig(**{**NONE, **ranges})
    )
    torch.manual_seed(seed)
    out = transform(example(image))
    return {
        "image": out["image"].permute(1, 2, 0).numpy(),
        "labels": out["labels"].numpy(),
        "focal": out["focal"].numpy(),
    }


def images(image: np.ndarray, count: int, **ranges) -> list[np.ndarray]:
    return [changed(image, seed, **ranges)["image"].astype(float) for seed in range(count)]


@pytest.mark.parametrize(
    ("shape", "stretch"),
    [
        *((shape, stretch) for shape in [NETWORK, (128, 256), (31, 62)] for stretch in (0, 1)),
        ((200, 150), True),
        ((474, 1096), True),  # 474 * (1096 / 474) / (1096 / 474) is a little less than 474
    ],
)
def test_ranges_of_nothing_change_nothing(shape, stretch):
    out = changed(noise_picture(shape), stretch=stretch)
    still = network_transform(NETWORK, stretch=stretch, augmentation=None)(
        example(noise_picture(shape))
    )
    assert np.array_equal(out["image"], still["image"].permute(1, 2, 0).numpy())
    assert np.array_equal(out["labels"], still["labels"].numpy())
    assert np.array_equal(out["focal"], still["focal"].numpy())


@pytest.mark.parametrize("stretch", [False, True])
@pytest.mark.parametrize("shape", [NETWORK, (128, 256), (90, 250), (200, 150), (31, 20), (1, 1)])
def test_without_augmentation_images_are_what_inference_sees(shape, stretch):
    image = noise_picture(shape)
    geometry = Geometry.fit(shape[::-1], NETWORK[::-1], stretch=stretch)
    out = network_transform(NETWORK, stretch=stretch, augmentation=None)(example(image))
    assert np.array_equal(out["image"].permute(1, 2, 0).numpy(), geometry.to_network(image))
    content = np.zeros(NETWORK, bool)
    content[geometry.content_slices] = True
    assert np.array_equal(out["labels"].numpy() > 0, np.stack([content, content]))


@pytest.mark.parametrize("augmentation", [None, STRONG], ids=["still", "strong"])
def test_all_steps_are_v2_transforms_that_keep_what_they_are_given_as_it_is(augmentation):
    steps = network_transform(NETWORK, stretch=False, augmentation=augmentation)
    out = example(noise_picture((90, 160)))
    torch.manual_seed(0)
    for step in steps.transforms:
        assert isinstance(step, v2.Transform)
        before, out = out, step(out)
        assert {key: (type(value), value.dtype) for key, value in out.items()} == {
            "image": (tv_tensors.Image, torch.uint8),
            "labels": (tv_tensors.Mask, torch.float32),
            "focal": (Focal, torch.float32),
        }
        assert torch.equal(out["focal"], before["focal"]) == (step is not steps.transforms[0])
    assert tuple(out["image"].shape) == (3, *NETWORK)
    assert tuple(out["labels"].shape) == (2, *NETWORK)


def test_images_given_are_left_alone():
    made = example(noise_picture())
    before = {key: value.clone() for key, value in made.items()}
    network_transform(NETWORK, stretch=False, augmentation=STRONG)(made)
    assert all(torch.equal(made[key], before[key]) for key in made)


def test_the_same_draw_gives_the_same_example_and_another_a_different_one():
    def draw(seed):
        torch.manual_seed(seed)
        transform = network_transform(NETWORK, stretch=False, augmentation=STRONG)
        return transform(example(noise_picture((90, 160))))

    one, same, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["image"], other["image"])
    assert not torch.equal(one["labels"], other["labels"])


@pytest.mark.parametrize("seed", range(12))
def test_padding_keeps_its_colour_whatever_happens_to_the_picture(seed):
    padded = replace(STRONG, letterbox=1.0, aspect=(0.7, 1.6))  # at both sides
    transform = network_transform(NETWORK, stretch=False, augmentation=padded)
    torch.manual_seed(seed)
    out = transform(example(noise_picture((90, 160))))
    padding = out["labels"][0] == 0
    assert torch.equal(padding, out["labels"][1] == 0)
    assert 0.15 < padding.float().mean() < 0.7
    colors = out["image"].as_subclass(torch.Tensor)[:, padding]
    assert torch.equal(colors.unique(dim=1), torch.tensor([PADDING_COLOR], dtype=torch.uint8).T)


# geometry


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_as_many_frames_are_mirrored_as_the_configuration_says(probability):
    image, mirrored = noise_picture(), []
    for seed in range(200):
        out = changed(image, seed, flip=probability)
        mirrored.append(out["labels"][1, 0, 0] == NETWORK[1])
        order = slice(None, None, -1 if mirrored[-1] else 1)
        assert np.array_equal(out["image"], image[:, order])
        assert np.array_equal(out["labels"], example(image)["labels"].numpy()[..., order])
        np.testing.assert_array_equal(out["focal"], np.float32(FOCAL))
    assert np.mean(mirrored) == pytest.approx(probability, abs=0.1)


def test_zoom_is_spread_evenly_over_its_logarithm_and_so_are_places():
    shape, zooms, places = (256, 512), [], []
    for seed in range(200):
        out = changed(noise_picture(shape), seed, zoom=(1.5, 3.0))
        zooms.append(out["focal"] / np.float32(FOCAL) * shape[1] / NETWORK[1])
        columns = out["labels"][1]
        columns = columns[columns > 0]
        assert columns.size >= 127 * 64  # whole pixels may miss the aspect ratio by a line
        assert np.ptp(columns) == pytest.approx((shape[1] - 1) / zooms[-1][0], abs=6)
        places.append((columns.min() - 1) / (shape[1] - shape[1] / zooms[-1][0]))
    zooms = np.array(zooms)
    np.testing.assert_allclose(zooms[:, 0], zooms[:, 1])  # the aspect is kept
    assert 1.49 < zooms.min() < 1.53
    assert 2.9 < zooms.max() < 3.04  # parts are whole pixels
    assert np.log(zooms).mean() == pytest.approx(np.log([1.5, 3.0]).mean(), abs=0.05)
    np.testing.assert_allclose(np.histogram(places, 4, (0, 1.05))[0], 50, atol=20)


@pytest.mark.parametrize("shape", [(192, 384), (20, 40), (150, 300)])
def test_labels_are_those_of_the_nearest_pixel_and_never_mixed(shape):
    rows, columns = changed(noise_picture(shape))["labels"]
    for found, axis in ((rows[:, 0], 0), (columns[0], 1)):
        centers = (np.arange(NETWORK[axis]) + 0.5) * shape[axis] / NETWORK[axis] + 0.5
        assert np.abs(found - centers).max() <= 0.5
        assert np.array_equal(found, np.round(found))
    assert (np.ptp(rows, axis=1) == 0).all()
    assert (np.ptp(columns, axis=0) == 0).all()


def test_letterboxed_parts_have_the_aspect_ratios_of_the_range():
    aspects = []
    for seed in range(200):
        out = changed(noise_picture((256, 512)), seed, letterbox=0.4, aspect=(1.0, 4.0))
        content = out["labels"][0] > 0
        height, width = content.any(1).sum(), content.any(0).sum()
        assert content.sum() == height * width
        aspects.append(width / height)
    other = [aspect for aspect in aspects if abs(aspect - 2) > 0.05]
    assert len(other) / 200 == pytest.approx(0.4, abs=0.1)
    assert 0.98 < min(other) < 1.15
    assert 3.5 < max(other) < 4.15
    assert np.log(other).mean() == pytest.approx(np.log(2), abs=0.15)


@pytest.mark.parametrize("shape", [(90, 250), (200, 150)])
def test_stretched_parts_fill_the_input_and_lengthen_each_focal_length_by_its_own_side(shape):
    for seed in range(10):
        out = changed(noise_picture(shape), seed, stretch=True, zoom=(1.0, 2.0))
        rows, columns = out["labels"]
        assert (rows > 0).all()
        tall = (rows[-1, 0] - rows[0, 0]) * NETWORK[0] / (NETWORK[0] - 1)  # of the part
        wide = (columns[0, -1] - columns[0, 0]) * NETWORK[1] / (NETWORK[1] - 1)
        expected = np.array(FOCAL) * [NETWORK[1] / wide, NETWORK[0] / tall]
        np.testing.assert_allclose(out["focal"], expected, rtol=0.04)


# colours


def factors(out: np.ndarray, image: np.ndarray) -> np.ndarray:
    return out.mean((0, 1)) / image.mean((0, 1))


def test_brightness_multiplies_by_up_to_its_range_either_way():
    image = plain_picture((60, 90, 120))
    seen = np.array([factors(out, image) for out in images(image, 60, brightness=0.4)])
    assert np.ptp(seen, axis=1).max() < 0.03  # all channels alike, but for rounding
    assert 0.59 < seen.min() < 0.68
    assert 1.32 < seen.max() < 1.41


def test_contrast_spreads_around_the_mean():
    image = noise_picture()
    outs = images(image, 60, contrast=0.4)
    spreads = np.array([out.std() for out in outs]) / image.std()
    assert 0.59 < spreads.min() < 0.68
    assert 1.25 < spreads.max() < 1.41  # the brightest saturate
    assert max(abs(out.mean() - image.mean()) for out in outs) < 3


def test_saturation_moves_colours_to_and_from_their_grey():
    image = plain_picture((100, 120, 140))
    grey = 0.299 * 100 + 0.587 * 120 + 0.114 * 140
    seen = [(out[0, 0] - grey) / (image[0, 0] - grey) for out in images(image, 60, saturation=0.4)]
    seen = np.array(seen)[:, ::2]  # green is too close to the grey to tell
    assert np.ptp(seen, axis=1).max() < 0.1
    assert 0.55 < seen.min() < 0.68
    assert 1.32 < seen.max() < 1.45


def test_hue_turns_the_colour_circle_by_up_to_its_range():
    image = plain_picture((200, 60, 60))  # red: 0 degrees
    turns = []
    for out in images(image, 60, hue=0.05):
        hue, saturation, value = cv2.cvtColor(np.float32(out / 255), cv2.COLOR_RGB2HSV)[0, 0]
        turns.append((hue + 180) % 360 - 180)
        assert saturation == pytest.approx(0.7, abs=0.01)
        assert value == pytest.approx(200 / 255, abs=0.005)
    assert -18.5 < min(turns) < -14
    assert 14 < max(turns) < 18.5


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_as_many_pictures_become_grey_as_the_configuration_says(probability):
    outs = images(noise_picture(), 100, grey=probability)
    grey = [np.ptp(out, axis=2).max() == 0 for out in outs]
    assert np.mean(grey) == pytest.approx(probability, abs=0.12)


def roughness(image: np.ndarray) -> float:
    return float(np.abs(np.diff(image.astype(float), axis=1)).mean())


@pytest.mark.parametrize("probability", [0.4, 1.0])
def test_blur_smooths_slightly(probability):
    image = noise_picture()
    ends = [roughness(cv2.GaussianBlur(image, (3, 3), sigma)) for sigma in (1.2, 0.3)]
    outs = [roughness(out) for out in images(image, 100, blur=probability)]
    blurred = [value for value in outs if value != roughness(image)]
    assert len(blurred) / 100 == pytest.approx(probability, abs=0.12)
    assert min(blurred) == pytest.approx(ends[0], rel=0.05)
    assert max(blurred) == pytest.approx(ends[1], rel=0.1)


@pytest.mark.parametrize("quality", [10, 60, 95])
def test_jpeg_is_that_of_its_quality(quality):
    image = cv2.GaussianBlur(noise_picture(), (9, 9), 0)
    code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    expected = cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1].astype(float)
    (out,) = images(image, 1, jpeg=1.0, jpeg_quality=(quality, quality))
    assert np.abs(out - expected).mean() < 0.5  # two decoders
    assert np.abs(out - image).mean() > 1


def test_jpeg_draws_its_quality_from_the_range():
    image = noise_picture()
    outs = images(image, 60, jpeg=0.5, jpeg_quality=(10, 90))
    losses = np.array([np.abs(out - image).mean() for out in outs])
    assert np.mean(losses > 0) == pytest.approx(0.5, abs=0.15)
    ends = [np.abs(images(image, 1, jpeg=1.0, jpeg_quality=(q, q))[0] - image).mean()
            for q in (90, 10)]  # fmt: skip
    some = losses[losses > 0]
    assert ends[0] <= some.min() < np.mean(ends) < some.max() <= ends[1]


def test_noise_has_every_strength_up_to_its_range_and_no_bias():
    image = plain_picture((128, 128, 128))
    outs = images(image, 60, noise=0.04)
    strengths = np.array([(out - 128).std() for out in outs]) / 255
    assert strengths.max() == pytest.approx(0.04, rel=0.07)
    assert strengths.min() < 0.004
    assert strengths.mean() == pytest.approx(0.02, abs=0.005)
    assert max(abs((out - 128).mean()) for out in outs) < 0.3


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255)])
def test_noise_ends_at_black_and_white(color):
    (out,) = images(plain_picture(color), 1, noise=0.2)
    assert np.abs(out - color[0]).max() < 200  # nothing wraps around
    assert 0.3 < (out == color[0]).mean() < 0.7
