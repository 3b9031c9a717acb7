# SPDX-License-Identifier: Apache-2.0
"""Training examples: labels follow the focal length, whatever is cut, mirrored or padded."""

from __future__ import annotations

import numpy as np
import pytest
from street_data import Rig, encode, write_frame

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("torchvision", reason="needs torchvision: pip install '.[train]'")

from depth_dpt_core.data.augmentation import augment_colors  # noqa: E402
from depth_dpt_core.data.dataset import DepthDataset  # noqa: E402
from depth_dpt_core.training.config import AugmentationConfig, DataConfig  # noqa: E402

CANONICAL = 300.0
NETWORK = (64, 128)  # height, width
FRAME = (128, 256)
RIG = Rig(fx=200.0)
BLUE = 30  # of every frame; padding is 104
PLAIN = {"brightness": 0.0, "hue": 0.0, "grey": 0.0, "blur": 0.0, "noise": 0.0}


def dataset(root, augmentation=None, *, size=NETWORK, split="train", seed=0) -> DepthDataset:
    config = DataConfig(root=str(root), canonical_focal_length=CANONICAL)
    return DepthDataset(split, config, size, augmentation, seed)


def write_scene(root, depth, name="wall_000000_000019", labels=None) -> None:
    """A frame that says in red how deep it is (decimetres) and in green which column this is."""
    image = np.empty((*depth.shape, 3), np.uint8)
    image[..., 0] = np.nan_to_num(depth, nan=0.0, posinf=0.0).clip(0, 25.5) * 10
    image[..., 1], image[..., 2] = np.arange(depth.shape[1]), BLUE
    write_frame(root, name, image, encode(depth, RIG), rig=RIG, labels=labels)


def arrays(example):
    image = example["image"].numpy().astype(np.float64)
    return image, example["depth"].numpy()[0], example["far"].numpy()[0]


def measure(image):
    """Where content is (rows, columns), and by how much it was magnified, seen in green."""
    content = image[2] < (BLUE + 104) / 2
    rows, columns = np.flatnonzero(content.any(1)), np.flatnonzero(content.any(0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    assert content[part].all()
    ramp = image[1][part].mean(0)[2:-2]
    return part, 1 / np.polyfit(np.arange(len(ramp)), ramp, 1)[0]


AUGMENTATIONS = {
    "whole": None,
    "zoom": AugmentationConfig(**PLAIN, letterbox=0.0, flip=0.0, zoom=(1.0, 3.0)),
    "mirrored": AugmentationConfig(**PLAIN, letterbox=0.0, flip=1.0),
    "letterbox": AugmentationConfig(**PLAIN, letterbox=1.0, flip=0.5, aspect=(1.0, 3.5)),
}


@pytest.mark.parametrize("kind", AUGMENTATIONS)
@pytest.mark.parametrize("distance", [4.0, 13.0])
def test_labels_of_a_wall_follow_the_magnification(tmp_path, kind, distance):
    write_scene(tmp_path, np.full(FRAME, distance))
    examples = dataset(tmp_path, AUGMENTATIONS[kind])
    magnifications, padding = [], []
    for epoch in range(25):
        examples.set_epoch(epoch)
        image, depth, far = arrays(examples[0])
        part, magnification = measure(image)
        expected = distance * CANONICAL / (RIG.fx * abs(magnification))
        np.testing.assert_allclose(depth[part], expected, rtol=0.01)
        outside = np.ones(NETWORK, bool)
        outside[part] = False
        assert not depth[outside].any()  # padding is unknown
        assert not far.any()
        magnifications.append(magnification)
        padding.append(outside.sum())
    spread = np.ptp(np.abs(magnifications))
    assert (spread > 0.2) == (kind != "whole")
    if kind == "letterbox":
        assert np.mean(np.array(padding) > 2 * NETWORK[1]) > 0.5
    else:
        assert max(padding) <= NETWORK[1]  # whole pixels may miss the aspect ratio by a line
    signs = {"whole": {1}, "zoom": {1}, "mirrored": {-1}, "letterbox": {-1, 1}}
    assert set(np.sign(magnifications)) == signs[kind]


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_labels_stay_on_the_pixels_that_they_belong_to(tmp_path, kind):
    rng = np.random.default_rng(0)
    blocks = rng.integers(2, 12, (4, 8)).astype(float) * 1.5
    write_scene(tmp_path, np.kron(blocks, np.ones((32, 32))))
    examples = dataset(tmp_path, AUGMENTATIONS[kind])
    for epoch in range(8):
        examples.set_epoch(epoch)
        image, depth, _ = arrays(examples[0])
        part, magnification = measure(image)
        seen = image[0][part] / 10 * CANONICAL / (RIG.fx * abs(magnification))
        known = depth[part] > 0
        close = np.abs(seen - depth[part]) < 0.02 * seen
        assert known.mean() > 0.8  # the rest is beyond the range
        assert close[known].mean() > 0.8  # the rest are edges, where colours mix


def test_mirroring_mirrors_picture_labels_and_far_mask_alike(tmp_path):
    rng = np.random.default_rng(1)
    depth = rng.uniform(2, 20, NETWORK)
    depth[:20, :50] = np.nan
    labels = np.where(np.isnan(depth), 23, 7).astype(np.uint8)
    write_scene(tmp_path, depth, labels=labels)
    fixed = {**PLAIN, "letterbox": 0.0, "zoom": (1.0, 1.0)}
    straight, mirrored = (
        dataset(tmp_path, AugmentationConfig(**fixed, flip=flip))[0] for flip in (0.0, 1.0)
    )
    for key, value in straight.items():
        assert torch.equal(value.flip(-1), mirrored[key])
        assert not torch.equal(value, mirrored[key])


def test_without_augmentation_a_frame_of_network_size_is_given_as_it_is(tmp_path):
    write_scene(tmp_path, np.full(NETWORK, 7.0))
    example = dataset(tmp_path)[0]
    assert {k: (tuple(v.shape), v.dtype) for k, v in example.items()} == {
        "image": ((3, *NETWORK), torch.uint8),
        "depth": ((1, *NETWORK), torch.float32),
        "far": ((1, *NETWORK), torch.bool),
    }
    image, depth, _ = arrays(example)
    assert (image[0] == 70).all()
    assert np.array_equal(image[1], np.broadcast_to(np.arange(128), NETWORK))
    np.testing.assert_allclose(depth, 7.0 * CANONICAL / RIG.fx, rtol=1e-3)


@pytest.mark.parametrize(
    ("depth", "label", "known", "far"),
    [
        (20.0, 7, True, False),
        (20.0, 23, False, True),  # stereo found something in the sky: no label
        (np.nan, 23, False, True),
        (np.nan, 7, False, False),
        (20.0, 1, False, False),  # own vehicle
        (20.0, 2, False, False),  # rectification border
        (70.0, 7, False, True),  # 105 m at the canonical focal length
        (65.0, 7, True, False),  # 97.5 m
        (0.6, 7, False, False),  # 0.9 m
        (0.7, 7, True, False),
        (70.0, 1, False, False),
    ],
)
def test_what_is_known_and_what_is_known_to_be_far(tmp_path, depth, label, known, far):
    labels = np.full(NETWORK, label, np.uint8)
    write_scene(tmp_path, np.full(NETWORK, depth), labels=labels)
    _, out, beyond = arrays(dataset(tmp_path)[0])
    assert ((out > 0) == known).all()
    assert (beyond == far).all()


@pytest.fixture
def noisy_root(tmp_path):
    rng = np.random.default_rng(2)
    for index in range(6):
        image = rng.integers(0, 256, (*FRAME, 3), np.uint8)
        code = encode(rng.uniform(3, 30, FRAME), RIG)
        write_frame(tmp_path, f"noise_{index:06d}_000019", image, code, rig=RIG)
    return tmp_path


def same(one, other) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def test_an_example_depends_on_seed_epoch_and_index_alone(noisy_root):
    config = AugmentationConfig()
    first, second = (dataset(noisy_root, config, seed=4) for _ in range(2))
    other_seed = dataset(noisy_root, config, seed=5)
    first.set_epoch(3)
    expected = [first[index] for index in range(6)]
    for index in (5, 0, 2):  # another order, another object
        second.set_epoch(3)
        other_seed.set_epoch(3)
        assert same(expected[index], second[index])
        assert not same(expected[index], other_seed[index])
        second.set_epoch(4)
        assert not same(expected[index], second[index])


def test_color_changes_leave_labels_alone(noisy_root):
    colored = dataset(noisy_root, AugmentationConfig(grey=0.5, blur=0.5))
    plain = dataset(noisy_root, AugmentationConfig(**PLAIN))
    for index in range(6):
        assert torch.equal(colored[index]["depth"], plain[index]["depth"])
        assert torch.equal(colored[index]["far"], plain[index]["far"])
        assert not torch.equal(colored[index]["image"], plain[index]["image"])


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_give_the_same_examples_and_see_the_epoch(noisy_root, persistent):
    examples = dataset(noisy_root, AugmentationConfig())
    loader = torch.utils.data.DataLoader(
        examples, batch_size=3, num_workers=2, persistent_workers=persistent
    )
    seen = []
    for epoch in (0, 1):
        examples.set_epoch(epoch)
        batches = list(loader)
        for key in ("image", "depth", "far"):
            expected = torch.stack([examples[index][key] for index in range(6)])
            assert torch.equal(torch.cat([batch[key] for batch in batches]), expected)
        seen.append(batches[0]["image"])
    assert not torch.equal(*seen)


def pixels(shape=(40, 50, 3)):
    return np.random.default_rng(9).integers(20, 230, shape, np.uint8)


def test_augmentation_with_all_ranges_zero_is_the_identity():
    config = AugmentationConfig(**PLAIN)
    assert np.array_equal(augment_colors(pixels(), np.random.default_rng(0), config), pixels())


@pytest.mark.parametrize("seed", range(5))
def test_augmentation_is_repeatable_and_leaves_its_input_alone(seed):
    image, config = pixels(), AugmentationConfig()
    first, second = (augment_colors(image, np.random.default_rng(seed), config) for _ in "ab")
    assert np.array_equal(first, second)
    assert np.array_equal(image, pixels())
    assert (first.shape, first.dtype) == (image.shape, np.uint8)
    assert not np.array_equal(first, image)


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({"grey": 1.0}, lambda out: np.ptp(out, axis=2).max() == 0),
        ({"blur": 1.0}, lambda out: np.diff(out, axis=0).std() < 75),
        ({"noise": 0.05}, lambda out: 0.1 < (out - pixels()).std() < 13.5),
        ({"brightness": 0.35}, lambda out: np.corrcoef(out.ravel(), pixels().ravel())[0, 1] > 0.9),
        ({"hue": 0.05}, lambda out: np.abs(out.max(2) - pixels().max(2)).max() <= 2),  # HSV value
    ],
)
def test_each_augmentation_does_what_it_says(change, holds):
    config = AugmentationConfig(**{**PLAIN, **change})
    out = augment_colors(pixels(), np.random.default_rng(1), config).astype(float)
    assert not np.array_equal(out, pixels())
    assert holds(out)
