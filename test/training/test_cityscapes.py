# SPDX-License-Identifier: Apache-2.0
"""Reading the Cityscapes layout; expected values computed by hand or stated by its authors."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from street_data import Rig, encode, write_frame

from depth_dpt_core.data.cityscapes import (
    DataError,
    StereoRig,
    decode_disparity,
    encode_disparity,
    list_split,
    read_camera,
    read_frame,
    read_png,
)

pytest.importorskip("kornia_rs")

BASELINE_FOCAL = 473.57484876  # m * pixels: 0.209313 * 2262.52
SIZE = (48, 64)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.fixture
def frame_root(tmp_path):
    """One whole frame, 10 m everywhere."""
    write_frame(tmp_path, "aachen_000000_000019", picture(), encode(np.full(SIZE, 10.0), Rig()))
    return tmp_path


def only(root, pattern):
    (path,) = root.glob(pattern)
    return path


@pytest.mark.parametrize(
    ("code", "depth"),
    [
        (257, 473.5748488),
        (1517, 79.9704230),
        (12125, 9.9996009),
        (65535, 1.8499582),
        (0, np.nan),
        (1, np.nan),  # disparity 0, infinitely far
        (2, 256 * BASELINE_FOCAL),
    ],
)
def test_decodes_as_the_format_says(code, depth):
    decoded = decode_disparity(np.array([[code]], np.uint16), BASELINE_FOCAL)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, [[depth]], rtol=1e-7)


@pytest.mark.parametrize("baseline_focal", [BASELINE_FOCAL, 11.0, 60.0])
def test_round_trip_errs_by_at_most_half_a_step_of_disparity(baseline_focal):
    rng = np.random.default_rng(1)
    depth = np.exp(rng.uniform(np.log(2.0), np.log(500.0), (50, 60))).astype(np.float32)
    code = encode_disparity(depth, baseline_focal)
    reachable = baseline_focal / depth * 256 < 65534
    assert np.array_equal(code > 1, reachable)
    decoded = decode_disparity(code, baseline_focal)[reachable].astype(np.float64)
    step = 256 * np.abs(baseline_focal / decoded - baseline_focal / depth[reachable])
    assert step.max() <= 0.5 + 0.02  # float32 depth itself rounds at near range
    assert step.max() > 0.45  # rounds to nearest rather than down or up


@pytest.mark.parametrize("code", range(2, 65536, 3571))
def test_every_code_survives_decoding_and_encoding(code):
    encoded = np.full((1, 1), code, np.uint16)
    again = encode_disparity(decode_disparity(encoded, BASELINE_FOCAL), BASELINE_FOCAL)
    assert again[0, 0] == code


@pytest.mark.parametrize("depth", [np.nan, np.inf, 0.0, -3.0, 1e-3, 1e9])
def test_what_cannot_be_encoded_becomes_invalid(depth):
    assert encode_disparity(np.full((1, 1), depth, np.float32), BASELINE_FOCAL)[0, 0] == 0


def test_reads_colors_depth_and_camera_of_a_frame(frame_root):
    (sample,) = list_split(frame_root, "train").samples
    frame = read_frame(sample)
    assert sample.name == "train/aachen/aachen_000000_000019"
    assert np.array_equal(frame.image, picture())  # RGB, unlike OpenCV's order
    # 44 m px: the nearest code to 10 m, 1126.4 + 1, is 1127
    np.testing.assert_allclose(frame.depth, 44 * 256 / 1126, rtol=1e-6)
    assert not frame.sky.any()
    assert (frame.intrinsics.fx, frame.intrinsics.cx) == (200.0, 32.0)


def test_own_vehicle_and_rectification_border_are_unknown_and_sky_is_marked(tmp_path):
    labels = np.full(SIZE, 7, np.uint8)
    labels[40:], labels[:, :3], labels[:10, 20:], labels[20, 20:30] = 1, 2, 23, 3
    code = encode(np.full(SIZE, 10.0), Rig())
    write_frame(tmp_path, "ulm_000000_000019", picture(), code, labels=labels)
    frame = read_frame(list_split(tmp_path, "train").samples[0])
    assert np.array_equal(np.isnan(frame.depth), (labels == 1) | (labels == 2))
    assert np.array_equal(frame.sky, labels == 23)


def test_every_frame_is_scaled_by_its_own_camera(tmp_path):
    rigs = {"a_000000_000019": Rig(2262.52, 0.209313), "b_000000_000019": Rig(2268.36, 0.222126)}
    for name, rig in rigs.items():
        write_frame(tmp_path, name, picture(), np.full(SIZE, 2561, np.uint16), rig=rig)
    samples = list_split(tmp_path, "train").samples
    assert [sample.name for sample in samples] == [f"train/{name[0]}/{name}" for name in rigs]
    depths = [float(read_frame(sample).depth[0, 0]) for sample in samples]
    np.testing.assert_allclose(depths, [47.357484876, 50.386173], rtol=1e-6)


def truncate(path):
    path.write_bytes(path.read_bytes()[:200])


def empty(path):
    path.write_bytes(b"")


def shrink(path):
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(path), picture[:-1])


def eight_bit(path):
    cv2.imwrite(str(path), np.zeros(SIZE, np.uint8))


def colored(path):
    cv2.imwrite(str(path), np.zeros((*SIZE, 3), np.uint16))


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("leftImg8bit", truncate),
        ("leftImg8bit", empty),
        ("leftImg8bit", eight_bit),
        ("disparity", truncate),
        ("disparity", empty),
        ("disparity", shrink),
        ("disparity", eight_bit),
        ("disparity", colored),
        ("camera", truncate),
        ("camera", empty),
        ("gtFine", truncate),
        ("gtFine", shrink),
        ("gtFine", colored),
    ],
)
def test_a_broken_file_is_an_error_that_names_it(tmp_path, kind, damage):
    labels = np.random.default_rng(0).integers(3, 20, SIZE).astype(np.uint8)
    code = np.random.default_rng(0).integers(300, 9000, SIZE).astype(np.uint16)
    write_frame(tmp_path, "bonn_000000_000019", picture(), code, labels=labels)
    path = only(tmp_path, f"{kind}/train/bonn/*")
    if kind == "camera" and damage is truncate:
        path.write_text(path.read_text()[:-4])
    else:
        damage(path)
    (sample,) = list_split(tmp_path, "train").samples
    with pytest.raises(DataError) as error:
        read_frame(sample)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("extrinsic", "baseline", 0),
        ("extrinsic", "baseline", -0.2),
        ("extrinsic", "baseline", None),
        ("extrinsic", "baseline", float("nan")),
        ("extrinsic", "baseline", float("inf")),
        ("intrinsic", "fx", 10**400),
        ("intrinsic", "fx", 0),
        ("intrinsic", "fy", "wide"),
        ("intrinsic", "fx", float("inf")),
        ("intrinsic", "u0", ...),  # removed
        ("extrinsic", "baseline", ...),
    ],
)
def test_an_impossible_camera_is_an_error_that_names_the_file(frame_root, section, key, value):
    path = only(frame_root, "camera/*/*/*")
    content = json.loads(path.read_text())
    if value is ...:
        del content[section][key]
    else:
        content[section][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as error:
        read_camera(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "content", ["[]", "7", '{"intrinsic": 3, "extrinsic": {}}', "[" * 100_000]
)
def test_a_camera_file_of_another_shape_is_an_error(tmp_path, content):
    path = tmp_path / "x_camera.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"x_camera\.json"):
        read_camera(path)


@pytest.mark.parametrize("kind", ["leftImg8bit", "disparity", "camera"])
def test_a_frame_without_one_of_its_files_is_listed_as_unusable(frame_root, kind):
    write_frame(frame_root, "bonn_1", picture(), encode(np.full(SIZE, 9.0), Rig()))
    path = only(frame_root, f"{kind}/train/aachen/*")
    path.rename(path.with_name("elsewhere"))
    listing = list_split(frame_root, "train")
    assert [sample.name for sample in listing.samples] == ["train/bonn/bonn_1"]
    (unusable,) = listing.unusable
    assert unusable.name == "train/aachen/aachen_000000_000019"
    assert kind in unusable.reason


@pytest.mark.parametrize("split", ["val", "test"])
def test_an_empty_split_is_an_error_that_says_where_it_looked(frame_root, split):
    with pytest.raises(DataError, match=f"leftImg8bit/{split}"):
        list_split(frame_root, split)


def test_half_written_files_are_not_taken_for_frames(frame_root):
    image = only(frame_root, "leftImg8bit/*/*/*.png")
    image.with_name(f".{image.stem}.k3j2.png").write_bytes(b"half")
    image.with_name(f"._{image.name}").write_bytes(b"of another system")
    listing = list_split(frame_root, "train")
    assert (len(listing.samples), listing.unusable) == (1, [])


def to_older_layout(root):
    (root / "leftImg8bit").rename(root / "depth_X")
    (root / "disparity").rename(root / "depth_y")


def test_the_older_layout_uses_the_given_rig(frame_root):
    to_older_layout(frame_root)
    shutil.rmtree(frame_root / "camera")
    (sample,) = list_split(frame_root, "train", StereoRig(0.5, 300.0)).samples
    frame = read_frame(sample)
    np.testing.assert_allclose(frame.depth, 0.5 * 300 * 256 / 1126, rtol=1e-6)
    k = frame.intrinsics
    assert (k.fx, k.fy, k.cx, k.cy) == (300, 300, 31.5, 23.5)


def test_the_older_layout_prefers_its_own_cameras(frame_root):
    to_older_layout(frame_root)
    (sample,) = list_split(frame_root, "train", StereoRig(0.5, 300.0)).samples
    assert read_frame(sample).intrinsics.fx == Rig().fx
    only(frame_root, "camera/*/*/*").unlink()
    listing = list_split(frame_root, "train", StereoRig(0.5, 300.0))
    assert not listing.samples
    assert "aachen_000000_000019_camera.json" in listing.unusable[0].reason


def test_the_older_layout_without_cameras_or_rig_is_unusable(frame_root):
    to_older_layout(frame_root)
    shutil.rmtree(frame_root / "camera")
    listing = list_split(frame_root, "train")
    assert not listing.samples
    assert "camera" in listing.unusable[0].reason


def test_names_correspond_up_to_the_last_underscore(tmp_path):
    files = {
        "depth_X": ["s_1_leftImg8bit", "s_2_rgb", "plain", "twice_a", "twice_b"],
        "depth_y": ["s_1_disparity", "s_2_sgm", "plain_disparity", "twice_disparity", "alone_d"],
    }
    for folder, stems in files.items():
        (tmp_path / folder / "val" / "city").mkdir(parents=True)
        for stem in stems:
            (tmp_path / folder / "val" / "city" / f"{stem}.png").touch()
    listing = list_split(tmp_path, "val", StereoRig(0.2, 2000.0))
    pairs = {sample.name: (sample.image.stem, sample.disparity.stem) for sample in listing.samples}
    assert pairs == {
        "val/city/plain": ("plain", "plain_disparity"),
        "val/city/s_1": ("s_1_leftImg8bit", "s_1_disparity"),
        "val/city/s_2": ("s_2_rgb", "s_2_sgm"),
    }
    alone, twice = listing.unusable
    assert (alone.name, twice.name) == ("val/city/alone", "val/city/twice")
    assert "depth_X" in alone.reason
    assert "twice_a.png" in twice.reason
    assert "twice_b.png" in twice.reason


def test_names_that_are_alike_in_both_folders_correspond_as_they_are(tmp_path):
    for folder in ("depth_X", "depth_y"):
        (tmp_path / folder / "val" / "city").mkdir(parents=True)
        for stem in ("city_000000_000164", "city_000000_000712"):
            (tmp_path / folder / "val" / "city" / f"{stem}.png").touch()
    listing = list_split(tmp_path, "val", StereoRig(0.2, 2000.0))
    assert [sample.name for sample in listing.samples] == [
        "val/city/city_000000_000164", "val/city/city_000000_000712",
    ]  # fmt: skip
    assert all(sample.image.name == sample.disparity.name for sample in listing.samples)
    assert not listing.unusable


def test_a_single_wrong_bit_is_found(tmp_path):
    path = tmp_path / "x.png"
    cv2.imwrite(str(path), picture())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.png"):
        read_png(path, np.uint8, channels=3)
