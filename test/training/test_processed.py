# SPDX-License-Identifier: Apache-2.0
"""Reading the processed data set."""

from __future__ import annotations

import json

import numpy as np
import pytest
from street_data import write_roads

pytest.importorskip("kornia_rs")
pytest.importorskip("filelock")

from depth_dpt_core.config import DataConfig
from depth_dpt_core.data.cityscapes import DataError
from depth_dpt_core.data.preprocessing import preprocess
from depth_dpt_core.data.processed import ProcessedDataset, decode_depth, read_processed


@pytest.fixture
def processed(tmp_path):
    write_roads(tmp_path / "in", {"train": 3, "val": 1})
    config = DataConfig(root=str(tmp_path / "in"), processed=str(tmp_path / "out"), max_depth=60.0)
    preprocess(config, workers=1)
    return tmp_path / "out"


def test_lists_each_split_in_the_order_of_names(processed):
    dataset = ProcessedDataset.open(processed)
    assert dataset.settings == {"width": 1024, "max_depth": 60.0}
    names = [sample.name for sample in dataset.frames("train")]
    assert names == [f"train/road/road_{index:06d}_000019" for index in range(3)]
    assert len(dataset.frames("val")) == 1
    assert dataset.frames("test") == dataset.frames("other") == []


@pytest.mark.parametrize("max_depth", [60.0, 80.0])
def test_codes_mean_what_the_format_says(max_depth):
    code = np.array([[0, 1, 32767, 65533, 65534, 65535]], np.uint16)
    depth, farther_than = decode_depth(code, max_depth)
    assert depth.dtype == farther_than.dtype == np.float32
    metres = [[0, max_depth / 65533, 32767 * max_depth / 65533, max_depth, 0, 0]]
    np.testing.assert_allclose(depth, metres, rtol=1e-6)
    assert farther_than.tolist() == [[0, 0, 0, 0, max_depth, np.inf]]


def test_a_folder_without_record_is_not_a_data_set(processed):
    (processed / "dataset.json").unlink()
    with pytest.raises(DataError, match="depth-dpt preprocess"):
        ProcessedDataset.open(processed)


@pytest.mark.parametrize("damage", ["", "{", "[]", "7", "\x00", {"version": 0}, {"frames": 3}])
def test_a_broken_record_is_an_error_that_names_the_command(processed, damage):
    path = processed / "dataset.json"
    if isinstance(damage, dict):
        damage = json.dumps({**json.loads(path.read_text()), **damage})
    path.write_text(damage)
    with pytest.raises(DataError, match=r"dataset\.json.*depth-dpt preprocess"):
        ProcessedDataset.open(processed)


@pytest.mark.parametrize("kind", ["image", "depth", "camera"])
@pytest.mark.parametrize("damage", ["remove", "empty", "cut", "end cut"])
def test_a_broken_file_is_an_error_that_names_it(processed, kind, damage):
    sample = ProcessedDataset.open(processed).frames("val")[0]
    path = getattr(sample, kind)
    if damage == "remove":
        path.unlink()
    else:
        content = path.read_bytes()
        left = {"empty": 0, "cut": 40, "end cut": len(content) - 20}[damage]
        path.write_bytes(content[:left])
    with pytest.raises(DataError) as error:
        read_processed(sample)
    assert str(path) in str(error.value)
