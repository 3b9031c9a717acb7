# SPDX-License-Identifier: Apache-2.0
"""Training examples: labels follow the focal length, whatever is cut, mirrored or padded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from street_data import Rig, encode, write_frame

torch = pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("torchvision", reason="needs torchvision: pip install '.[train]'")
pytest.importorskip("kornia_rs", reason="needs kornia_rs: pip install '.[train]'")

from depth_dpt_core.artifact import ModelSpec  # noqa: E402
from depth_dpt_core.config import (  # noqa: E402
    AugmentationConfig,
    DataConfig,
    DPTConfig,
    LabelConfig,
    OptimizationConfig,
    TrainingConfig,
)
from depth_dpt_core.data.cityscapes import DataError  # noqa: E402
from depth_dpt_core.data.dataset import DepthDataset  # noqa: E402
from depth_dpt_core.data.preprocessing import preprocess  # noqa: E402
from depth_dpt_core.data.processed import ProcessedDataset, read_processed  # noqa: E402
from depth_dpt_core.estimator import DepthEstimator  # noqa: E402
from depth_dpt_core.preprocess import PADDING_COLOR  # noqa: E402

CANONICAL = 300.0
NETWORK = (64, 128)  # height, width
FRAME = (128, 256)
RIG = Rig(fx=200.0)
BLUE = 30  # of every frame; padding is 104
PLAIN = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0, "grey": 0.0,
         "blur": 0.0, "jpeg": 0.0, "noise": 0.0}  # fmt: skip
STRONG = AugmentationConfig(brightness=0.9, hue=0.5, grey=0.3, blur=0.5, jpeg=0.5, noise=0.2)


def config_for(root: Path, augmentation=None, *, size=NETWORK, seed=0, max_depth=100.0, **labels):
    """Network pixels, canonical focal length 300 unless `labels` say otherwise."""
    return TrainingConfig(
        data=DataConfig(root=str(root), processed=str(root / "processed"), max_depth=max_depth),
        labels=LabelConfig(**{"canonical_focal_length": CANONICAL, "min_depth": 1.0, **labels}),
        model=DPTConfig(height=size[0], width=size[1]),
        augmentation=augmentation or AugmentationConfig(),
        optimization=OptimizationConfig(seed=seed),
    )


def dataset(root: Path, augmentation=None, *, split="train", **options) -> DepthDataset:
    """The frames that were written to `root`, processed at their own size."""
    config = config_for(root, augmentation, **options)
    preprocess(config.data, workers=1)
    source = ProcessedDataset.open(Path(config.data.processed))
    return DepthDataset(source, split, config, augment=augmentation is not None)


def write_both(root: Path, name: str, image, depth, *, rig=RIG, labels=None) -> None:
    """The same frame for training and validation; neither split may be empty."""
    for split in ("train", "val"):
        write_frame(root, name, image, encode(depth, rig), split=split, rig=rig, labels=labels)


def write_scene(root: Path, depth, name="wall_000000_000019", labels=None) -> None:
    """A frame that says in red how deep it is (decimetres) and in green which column this is."""
    image = np.empty((*depth.shape, 3), np.uint8)
    image[..., 0] = np.nan_to_num(depth, nan=0.0, posinf=0.0).clip(0, 25.5) * 10
    image[..., 1], image[..., 2] = np.arange(depth.shape[1]), BLUE
    write_both(root, name, image, depth, labels=labels)


def arrays(example):
    image = example["image"].numpy().astype(np.float64)
    return image, example["depth"].numpy()[0], example["farther_than"].numpy()[0]


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
        image, depth, bound = arrays(examples[0])
        part, magnification = measure(image)
        expected = distance * CANONICAL / (RIG.fx * abs(magnification))
        # parts and contents are whole pixels: their other side may miss the aspect by one
        np.testing.assert_allclose(depth[part], expected, rtol=0.02)
        outside = np.ones(NETWORK, bool)
        outside[part] = False
        assert not depth[outside].any()  # padding is unknown
        assert not bound.any()
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
    blocks = rng.integers(2, 12, (4, 8)) * 1.5
    write_scene(tmp_path, np.kron(blocks, np.ones((32, 32))))
    examples = dataset(tmp_path, AUGMENTATIONS[kind])
    for epoch in range(8):
        examples.set_epoch(epoch)
        image, depth, _ = arrays(examples[0])
        part, magnification = measure(image)
        seen = np.round(image[0][part] / 15) * 1.5 * CANONICAL / (RIG.fx * abs(magnification))
        known = depth[part] > 0
        close = np.abs(seen - depth[part]) < 0.02 * seen
        assert known.mean() > 0.8  # the rest is beyond the range
        assert close[known].mean() > 0.8  # the rest are edges, where colours mix


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_a_label_times_its_scale_is_the_true_distance(tmp_path, kind):
    write_scene(tmp_path, np.full(FRAME, 8.0))
    examples = dataset(tmp_path, AUGMENTATIONS[kind])
    for epoch in range(5):
        examples.set_epoch(epoch)
        example = examples[0]
        depth = example["depth"] * example["scale"]
        np.testing.assert_allclose(depth[depth > 0], 8.0, rtol=3e-3)  # codes of disparity


def test_mirroring_mirrors_picture_labels_and_bounds_alike(tmp_path):
    rng = np.random.default_rng(1)
    depth = rng.uniform(2, 20, NETWORK)
    depth[:20, :50] = np.nan
    labels = np.where(np.isnan(depth), 23, 7).astype(np.uint8)
    write_scene(tmp_path, depth, labels=labels)
    fixed = {**PLAIN, "letterbox": 0.0, "zoom": (1.0, 1.0)}
    straight, mirrored = (
        dataset(tmp_path, AugmentationConfig(**fixed, flip=flip))[0] for flip in (0.0, 1.0)
    )
    for key in ("image", "depth", "farther_than"):
        assert torch.equal(straight[key].flip(-1), mirrored[key])
        assert not torch.equal(straight[key], mirrored[key])
    assert straight["scale"] == mirrored["scale"]


def test_shapes_and_types_are_those_that_are_documented(tmp_path):
    write_scene(tmp_path, np.full(NETWORK, 7.0))
    example = dataset(tmp_path)[0]
    assert {k: (type(v), tuple(v.shape), v.dtype) for k, v in example.items()} == {
        "image": (torch.Tensor, (3, *NETWORK), torch.uint8),
        "depth": (torch.Tensor, (1, *NETWORK), torch.float32),
        "farther_than": (torch.Tensor, (1, *NETWORK), torch.float32),
        "scale": (torch.Tensor, (), torch.float32),
    }
    np.testing.assert_allclose(example["depth"], 7.0 * CANONICAL / RIG.fx, rtol=1e-3)


@pytest.mark.parametrize("aspect", ["pad", "stretch"])
@pytest.mark.parametrize("frame", [NETWORK, FRAME, (90, 250), (200, 150), (31, 20)])
def test_unaugmented_examples_are_what_the_estimator_shows_and_scales(tmp_path, frame, aspect):
    image = np.random.default_rng(3).integers(0, 256, (*frame, 3), np.uint8)
    write_both(tmp_path, "noise_000000_000019", image, np.full(frame, 9.0))
    config = config_for(tmp_path, aspect=aspect)
    examples = dataset(tmp_path, aspect=aspect)
    (sample,) = ProcessedDataset.open(tmp_path / "processed").frames("train")
    camera = json.loads(sample.camera.read_text())
    sample.camera.write_text(json.dumps({**camera, "fy": 1.1 * camera["fy"]}))
    stored = read_processed(sample)
    assert stored.image.shape == image.shape

    spec = ModelSpec(NETWORK[1], NETWORK[0], config.labels.canonical_focal_length, aspect=aspect)
    estimator = DepthEstimator(spec, engine=None)  # not asked anything
    geometry = estimator.geometry(frame[1], frame[0])
    example = examples[0]
    expected = geometry.to_network(stored.image)
    assert np.array_equal(example["image"].permute(1, 2, 0).numpy(), expected)
    scale = estimator.metric_scale(geometry, stored.intrinsics)
    assert example["scale"].item() == pytest.approx(scale, rel=1e-6)
    content = geometry.crop(example["depth"][0].numpy())
    np.testing.assert_allclose(content, 9.0 / scale, rtol=4e-3)
    assert np.count_nonzero(example["depth"]) == content.size


@pytest.mark.parametrize("frame", [(90, 250), (200, 150)])
def test_stretched_labels_follow_both_focal_lengths_alike(tmp_path, frame):
    """Whatever is cut: sqrt(sx sy) of the part decides, as the pixels themselves tell."""
    image = np.zeros((*frame, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(frame[0])[:, None], np.arange(frame[1])
    write_both(tmp_path, "ramps_000000_000019", image, np.full(frame, 6.0))
    still = {**PLAIN, "flip": 0.0, "letterbox": 0.5, "aspect": (1.0, 2.5), "zoom": (1.0, 1.5)}
    examples = dataset(tmp_path, AugmentationConfig(**still), aspect="stretch")
    for epoch in range(8):
        examples.set_epoch(epoch)
        example = examples[0]
        seen = example["image"].numpy().astype(float)
        down = np.polyfit(np.arange(60), seen[0, 2:-2].mean(1), 1)[0]
        right = np.polyfit(np.arange(124), seen[1, :, 2:-2].mean(0), 1)[0]
        scale = RIG.fx / CANONICAL / np.sqrt(down * right)
        assert example["scale"].item() == pytest.approx(scale, rel=0.02)
        assert (example["depth"] > 0).all()  # there is no padding


FAR = np.float32(44 * 256 / 93)  # m: 120 m at the nearest code of disparity, 94


@pytest.mark.parametrize("canonical", [CANONICAL, 100.0, 200.0, None])
@pytest.mark.parametrize(
    ("depth", "label", "known", "bound"),
    [
        (20.0, 7, True, None),
        (20.0, 23, False, np.inf),  # stereo found something in the sky: no label
        (np.nan, 23, False, np.inf),
        (np.nan, 7, False, None),
        (20.0, 1, False, None),  # own vehicle
        (20.0, 2, False, None),  # rectification border
        (FAR, 7, False, 100.0),  # beyond the data's range, how far is not kept
        (FAR, 1, False, None),
        (70.0, 7, True, None),
        (0.7, 7, True, None),
    ],
)
def test_what_is_known_and_what_is_known_to_be_far(
    tmp_path, depth, label, known, bound, canonical
):
    """The range 1 to 100 m holds at the canonical focal length, the frame's being 200 pixels."""
    labels = np.full(NETWORK, label, np.uint8)
    write_scene(tmp_path, np.full(NETWORK, depth), labels=labels)
    example = dataset(tmp_path, canonical_focal_length=canonical)[0]
    _, out, farther_than = arrays(example)
    scale = 1.0 if canonical is None else RIG.fx / canonical
    assert example["scale"].item() == pytest.approx(scale)

    true = depth / scale
    expected = true if known and 1.0 < true < 100.0 else 0.0
    np.testing.assert_allclose(out, expected, rtol=0.01)
    limit = 0.0 if bound is None else min(bound / scale, 100.0)
    if known and true >= 100.0:
        limit = 100.0
    np.testing.assert_allclose(farther_than, limit, rtol=1e-5)


def test_without_a_canonical_focal_length_labels_are_the_true_distances(tmp_path):
    write_scene(tmp_path, np.full(FRAME, 8.0))
    examples = dataset(tmp_path, AUGMENTATIONS["zoom"], canonical_focal_length=None)
    for epoch in range(4):
        examples.set_epoch(epoch)
        example = examples[0]
        assert example["scale"] == 1
        np.testing.assert_allclose(example["depth"], 8.0, rtol=3e-3)


@pytest.fixture
def noisy_root(tmp_path):
    rng = np.random.default_rng(2)
    for index in range(6):
        image = rng.integers(0, 256, (*FRAME, 3), np.uint8)
        write_both(tmp_path, f"noise_{index:06d}_000019", image, rng.uniform(3, 30, FRAME))
    return tmp_path


def same(one, other) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def test_padding_is_the_estimators_colour_whatever_happens_to_the_picture(noisy_root):
    augmentation = replace(STRONG, letterbox=1.0, aspect=(0.7, 1.6))
    examples = dataset(noisy_root, augmentation)
    for index in range(6):
        image, depth, bound = arrays(examples[index])
        columns = np.flatnonzero(depth.any(0))
        outside = np.ones(NETWORK[1], bool)
        outside[columns[0] : columns[-1] + 1] = False
        assert 10 < outside.sum() < 100
        assert (image[:, :, outside] == np.reshape(PADDING_COLOR, (3, 1, 1))).all()
        assert not bound[:, outside].any()


def test_an_example_depends_on_seed_epoch_and_index_alone(noisy_root):
    config = AugmentationConfig()
    first, second = (dataset(noisy_root, config, seed=4) for _ in range(2))
    other_seed = dataset(noisy_root, config, seed=5)
    first.set_epoch(3)
    torch.manual_seed(1)
    expected = [first[index] for index in range(6)]
    torch.manual_seed(2)
    for index in (5, 0, 2):  # another order, another object, another state of torch
        second.set_epoch(3)
        other_seed.set_epoch(3)
        assert same(expected[index], second[index])
        assert not same(expected[index], other_seed[index])
        second.set_epoch(4)
        assert not same(expected[index], second[index])


def test_neighbouring_frames_and_epochs_are_not_changed_alike(tmp_path):
    """Every combination of seed, epoch and index has its own part of the same picture."""
    for index in range(3):
        write_scene(tmp_path, np.full(FRAME, 5.0), f"wall_{index:06d}_000019")
    scales = []
    for seed in range(3):
        examples = dataset(tmp_path, AUGMENTATIONS["zoom"], seed=seed)
        for epoch in range(3):
            examples.set_epoch(epoch)
            scales += [examples[index]["scale"].item() for index in range(3)]
    assert len(set(scales)) > 20  # of 27; parts are whole pixels


def test_torchs_own_random_numbers_are_left_alone(noisy_root):
    examples = dataset(noisy_root, AugmentationConfig())
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    _ = examples[0], examples[1]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.rand(3), expected)


def test_color_changes_leave_labels_alone(noisy_root):
    colored = dataset(noisy_root, AugmentationConfig(grey=0.5, blur=0.5, jpeg=0.5))
    plain = dataset(noisy_root, AugmentationConfig(**PLAIN))
    for index in range(6):
        for key in ("depth", "farther_than", "scale"):
            assert torch.equal(colored[index][key], plain[index][key])
        assert not torch.equal(colored[index]["image"], plain[index]["image"])


@pytest.mark.slow
def test_workers_give_the_same_examples_and_see_the_epoch(noisy_root):
    examples = dataset(noisy_root, AugmentationConfig())
    loader = torch.utils.data.DataLoader(examples, batch_size=3, num_workers=2)
    seen = []
    for epoch in (0, 1):
        examples.set_epoch(epoch)
        batches = list(loader)
        for key in ("image", "depth", "farther_than", "scale"):
            expected = torch.stack([examples[index][key] for index in range(6)])
            assert torch.equal(torch.cat([batch[key] for batch in batches]), expected)
        seen.append(batches[0]["image"])
    assert not torch.equal(*seen)


def test_a_split_has_its_own_frames_in_the_order_of_their_names(tmp_path):
    image = np.zeros((*NETWORK, 3), np.uint8)
    for split, distances in {"train": [8.0, 4.0], "val": [6.0]}.items():
        for index, distance in enumerate(distances):
            depth = encode(np.full(NETWORK, distance), RIG)
            write_frame(tmp_path, f"a_{index:06d}_000019", image, depth, split=split, rig=RIG)
    for split, expected in {"train": [8.0, 4.0], "val": [6.0], "test": []}.items():
        examples = dataset(tmp_path, split=split, canonical_focal_length=None)
        assert len(examples) == len(expected)
        seen = [examples[index]["depth"].median().item() for index in range(len(examples))]
        np.testing.assert_allclose(seen, expected, rtol=3e-3)


@pytest.mark.parametrize("kind", ["image", "depth", "camera"])
def test_a_frame_that_broke_since_is_an_error_that_names_the_file(tmp_path, kind):
    write_scene(tmp_path, np.full(NETWORK, 7.0))
    examples = dataset(tmp_path)
    (path,) = (tmp_path / "processed" / kind / "train").rglob("wall_*")
    path.write_bytes(b"")
    with pytest.raises(DataError, match=path.name):
        examples[0]
