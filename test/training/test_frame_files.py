# SPDX-License-Identifier: Apache-2.0
"""What a processed frame holds, against arithmetic done here."""

from __future__ import annotations

import numpy as np
import pytest
from street_data import Rig, encode, write_frame

pytest.importorskip("kornia_rs")
pytest.importorskip("filelock")

from depth_dpt_core.config import DataConfig
from depth_dpt_core.data.preprocessing import preprocess
from depth_dpt_core.data.processed import ProcessedDataset, decode_depth, read_processed

CITYSCAPES = Rig(2262.52, 0.209313)
UNKNOWN, FAR, SKY = 0, 65534, 65535


def grey(height, width):
    return np.full((height, width, 3), 100, np.uint8)


def process(tmp_path, *frames, labels=None, **settings):
    """Preprocess frames (image, disparity, rig), as val too; returns those of train."""
    for split in ("train", "val"):
        for index, (image, disparity, rig) in enumerate(frames):
            write_frame(
                tmp_path / "in", f"c_{index}", image, disparity,
                split=split, rig=rig, labels=labels,
            )  # fmt: skip
    config = DataConfig(root=str(tmp_path / "in"), processed=str(tmp_path / "out"), **settings)
    preprocess(config, workers=1)
    dataset = ProcessedDataset.open(tmp_path / "out")
    return [read_processed(sample) for sample in dataset.frames("train")]


def test_depth_is_that_of_the_format_within_half_a_step(tmp_path):
    """b f = 473.57484876 m px; metres computed elsewhere."""
    codes = np.array([[257, 1517, 12125, 65535, 0, 1]], np.uint16)
    (frame,) = process(tmp_path, (grey(1, 6), codes, CITYSCAPES), max_depth=500.0)
    depth, farther_than = decode_depth(frame.code, 500.0)
    expected = [[473.5748488, 79.9704230, 9.9996009, 1.8499582, 0, 0]]
    np.testing.assert_allclose(depth, expected, rtol=1e-6, atol=0.5 * 500 / 65533)
    assert not farther_than.any()


def test_what_is_beyond_the_range_is_masked_rather_than_clamped(tmp_path):
    # 1517 is 79.97 m, 1516 is 80.02 m
    codes = np.array([[257, 1516, 1517, 12125, 2]], np.uint16)
    (frame,) = process(tmp_path, (grey(1, 5), codes, CITYSCAPES))
    depth, farther_than = decode_depth(frame.code, 80.0)
    assert (frame.code == FAR).tolist() == [[True, True, False, False, True]]
    assert (depth == 0).tolist() == [[True, True, False, False, True]]
    assert farther_than.tolist() == [[80, 80, 0, 0, 80]]


def test_every_disparity_keeps_its_order_and_value(tmp_path):
    codes = np.arange(65536).astype(np.uint16).reshape(256, 256)
    (frame,) = process(tmp_path, (grey(256, 256), codes, CITYSCAPES))
    disparity = (codes[codes >= 1517].astype(np.float64) - 1) / 256
    metres = 0.209313 * 2262.52 / disparity
    np.testing.assert_allclose(
        decode_depth(frame.code, 80.0)[0][codes >= 1517], metres, atol=0.5 * 80 / 65533, rtol=1e-6
    )
    assert (frame.code[codes <= 1] == UNKNOWN).all()
    assert (frame.code[(codes > 1) & (codes < 1517)] == FAR).all()


def test_every_frame_is_scaled_by_its_own_camera(tmp_path):
    codes = np.full((8, 16), 2561, np.uint16)  # 10 pixels
    frames = process(
        tmp_path, (grey(8, 16), codes, CITYSCAPES), (grey(8, 16), codes, Rig(2268.36, 0.222126))
    )
    depths = [float(decode_depth(frame.code, 80.0)[0][0, 0]) for frame in frames]
    np.testing.assert_allclose(depths, [47.3574849, 50.3861733], atol=0.5 * 80 / 65533)


def test_sky_and_own_vehicle_win_over_what_stereo_found(tmp_path):
    labels = np.full((64, 64), 7, np.uint8)
    labels[:20], labels[50:], labels[:, :4] = 23, 1, 2
    codes = np.full((64, 64), 12125, np.uint16)
    codes[10:30, 30:] = 0
    (frame,) = process(tmp_path, (grey(64, 64), codes, CITYSCAPES), labels=labels)
    depth, farther_than = decode_depth(frame.code, 80.0)
    sky = labels == 23
    assert np.array_equal(frame.code == SKY, sky)
    assert np.array_equal(frame.code == UNKNOWN, (labels < 3) | ((codes == 0) & ~sky))
    assert np.isinf(farther_than[sky]).all()
    assert not depth[sky].any()
    np.testing.assert_allclose(depth[depth > 0], 9.9996009, atol=0.5 * 80 / 65533)


def test_shrinking_keeps_aspect_averages_colors_and_picks_depths(tmp_path):
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.integers(0, 256, (8, 16, 3)), np.ones((8, 8, 1)))
    image = np.clip(coarse + rng.normal(0, 12, coarse.shape), 0, 255).astype(np.uint8)
    metres = rng.uniform(3, 70, (64, 128))
    rig = Rig(150.0, 0.22)
    (frame,) = process(tmp_path, (image, encode(metres, rig), rig), width=64)
    averaged = image.reshape(32, 2, 64, 2, 3).mean((1, 3))
    assert frame.image.shape == (32, 64, 3)
    # JPEG; picking single pixels would err by 8
    assert np.abs(frame.image - averaged).mean() < 4
    # the nearest to the centre of two pixels is the second
    depth = decode_depth(frame.code, 80.0)[0]
    step = metres[1::2, 1::2] ** 2 / (256 * rig.fx * rig.baseline)
    assert (np.abs(depth - metres[1::2, 1::2]) < 0.51 * step + 0.001).all()
    k = frame.intrinsics
    assert (k.fx, k.fy, k.cx, k.cy) == (75, 75, 31.75, 15.75)


@pytest.mark.parametrize(
    ("size", "width", "expected"),
    [
        ((128, 64), 128, (128, 64)),
        ((128, 64), 1024, (128, 64)),  # never enlarged
        ((128, 64), 100, (100, 50)),
        ((101, 57), 40, (40, 23)),
        ((90, 1), 30, (30, 1)),
    ],
)
def test_size_and_intrinsics_fit_each_other(tmp_path, size, width, expected):
    codes = np.full(size[::-1], 3000, np.uint16)
    (frame,) = process(tmp_path, (grey(*size[::-1]), codes, Rig(200.0, 0.2)), width=width)
    assert frame.code.shape[::-1] == expected
    assert frame.image.shape[1::-1] == expected
    sx, sy = expected[0] / size[0], expected[1] / size[1]
    k = frame.intrinsics
    np.testing.assert_allclose([k.fx, k.fy], [200 * sx, 200 * sy])
    # write_frame puts the principal point at half the size
    centre = [(size[0] / 2 + 0.5) * sx - 0.5, (size[1] / 2 + 0.5) * sy - 0.5]
    np.testing.assert_allclose([k.cx, k.cy], centre)


def test_colors_keep_their_resolution_and_order(tmp_path):
    image = np.zeros((16, 64, 3), np.uint8)
    image[:, 0::2], image[:, 1::2] = [200, 40, 40], [40, 40, 200]  # RGB
    (frame,) = process(tmp_path, (image, np.full((16, 64), 3000, np.uint16), CITYSCAPES))
    assert np.abs(frame.image.astype(int) - image).max() < 30
