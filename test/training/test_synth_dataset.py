# SPDX-License-Identifier: Apache-2.0
"""Data sets of synthetic streets: same settings, same files; nothing else is mixed in."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("embreex", reason="needs embreex: pip install '.[synth]'")
pytest.importorskip("tqdm", reason="needs tqdm: pip install '.[synth]'")

from depth_dpt_core.data.cityscapes import list_split, read_camera, read_frame
from depth_dpt_core.data.synth.dataset import SynthSettings, generate
from depth_dpt_core.data.synth.ranges import SynthRanges, load_ranges

WIDTH = 64
RANGES = SynthRanges()
SMALL = SynthSettings(scenes=2, views_per_scene=2, width=WIDTH)


def test_a_file_of_ranges_changes_those_and_no_others(tmp_path):
    file = tmp_path / "level.yaml"
    file.write_text("camera: {pitch: [0, 0]}\nkinds:\n  rural: {share: 0}\n")
    ranges = load_ranges(file)
    assert ranges.camera.pitch == (0.0, 0.0)
    assert ranges.kinds["rural"].share == 0
    assert ranges.camera.roll == RANGES.camera.roll
    assert ranges.kinds["urban"] == RANGES.kinds["urban"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("camera: {tilt: [0, 0]}", "camera: no range 'tilt'; there are focal_over_width"),
        ("camera: {pitch: 3}", "camera: pitch: 3 where \\[low, high\\] is expected"),
        ("camera: {pitch: [1, 0]}", "low must not be above high"),
        ("kinds: {village: {share: 1}}", "no range 'village'; there are urban"),
        ("camera: [1, 2]", "where names are expected"),
        ("light: {sun_share: often}", "'often' where a number is expected"),
        ("a: [b", "not YAML"),
        ("camera: {height: [.nan, 2]}", "\\[low, high\\] is expected"),
        ("camera: {height: [-1, 2]}", "camera: height: -1: must not be below 0"),
        ("camera: {aspect: [0, 2]}", "camera: aspect: 0: must be above 0"),
        ("camera: {bonnet_share: 7}", "bonnet_share: 7: a share is 1 at most"),
        (
            "kinds:\n" + "".join(f" {kind}: {{share: 0}}\n" for kind in RANGES.kinds),
            "kinds: one share at least must be above 0",
        ),
    ],
)
def test_a_wrong_file_of_ranges_is_refused_by_name(tmp_path, text, message):
    file = tmp_path / "ranges.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"ranges.yaml: .*{message}"):
        load_ranges(file)


def content(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two streets of two views, by one worker."""
    root = tmp_path_factory.mktemp("small")
    assert generate(root, SMALL, workers=1) == 4
    return root


@pytest.mark.slow
def test_files_agree_with_each_other(small):
    samples = list_split(small, "train").samples
    assert len(samples) == 4
    for sample in samples:
        exact = cv2.imread(
            str(sample.camera).replace("camera", "depth").replace("json", "tiff"),
            cv2.IMREAD_UNCHANGED,
        )
        labels = cv2.imread(str(sample.labels), cv2.IMREAD_UNCHANGED)
        frame = read_frame(sample)
        intrinsics, baseline = read_camera(sample.camera)
        assert exact.dtype == np.float32
        assert set(np.unique(labels)) <= {0, 1, 23}
        assert np.array_equal(np.isnan(exact), labels != 0)
        assert np.array_equal(frame.sky, labels == 23)
        reach = baseline * intrinsics.fx * 256 / exact
        encodable = (reach >= 0.5) & (reach < 65534)  # not NaN, and not code 0 or 1
        assert np.array_equal(~np.isnan(frame.depth), encodable)
        steps = np.abs(1 / frame.depth - 1 / exact)[encodable] * baseline * intrinsics.fx * 256
        assert steps.max() < 0.51
        low, high = RANGES.camera.focal_over_width
        assert low * WIDTH <= intrinsics.fx <= high * WIDTH
        assert RANGES.camera.stereo_baseline[0] <= baseline <= RANGES.camera.stereo_baseline[1]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files_with_any_number_of_workers(small, tmp_path):
    generate(tmp_path, SMALL, workers=2)
    assert content(tmp_path) == content(small)


@pytest.mark.slow
def test_another_seed_gives_other_pictures_and_cameras(small, tmp_path):
    settings = SynthSettings(seed=1, scenes=1, views_per_scene=1, width=WIDTH)
    generate(tmp_path, settings, workers=1)
    new, old = content(tmp_path), content(small)
    for name in set(new) - {"synth.json"}:
        # a label picture may be equal by chance
        assert "gtFine" in name or new[name] != old[name]
    assert len(new) == 6


@pytest.mark.slow
def test_a_run_that_was_interrupted_goes_on_to_the_same_files(small, tmp_path):
    generate(tmp_path, SMALL, workers=1)
    cameras = sorted(tmp_path.glob("camera/*/*/*.json"))
    cameras[1].rename(tmp_path / "set_aside")  # written last: this frame counts as missing
    image = tmp_path / "leftImg8bit" / cameras[1].relative_to(tmp_path / "camera")
    image = image.with_name(image.name.replace("camera.json", "leftImg8bit.png"))
    image.write_bytes(b"half a picture")
    image.with_name(f".{image.stem}.x1y2.png").write_bytes(b"left behind by a kill")
    untouched = cameras[0].stat().st_mtime_ns
    assert generate(tmp_path, SMALL, workers=1) == 4
    again = content(tmp_path)
    again.pop("set_aside")
    assert again == content(small)
    assert cameras[0].stat().st_mtime_ns == untouched  # a whole frame is not made again
    assert len(list_split(tmp_path, "train").samples) == 4


@pytest.mark.parametrize(
    "changed",
    [{"seed": 1}, {"width": 128}, {"ranges": RANGES.changed({"road": {"slope": [0, 0]}})}],
)
def test_a_folder_of_other_settings_is_refused_and_left_as_it_was(tmp_path, changed):
    first = {"scenes": 0, "width": WIDTH}
    generate(tmp_path, SynthSettings(**first), workers=1)
    before = content(tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        generate(tmp_path, SynthSettings(**{**first, **changed}), workers=1)
    assert content(tmp_path) == before


def test_frames_of_another_revision_and_other_files_are_not_mixed_with(tmp_path):
    (tmp_path / "leftImg8bit").mkdir()
    with pytest.raises(ValueError, match="something else than streets: choose an empty folder"):
        generate(tmp_path, SynthSettings(scenes=0), workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["leftImg8bit"]

    streets = tmp_path / "streets"
    generate(streets, SynthSettings(scenes=0), workers=1)
    record = streets / "synth.json"
    held = json.loads(record.read_text())
    record.write_text(json.dumps({**held, "code": "0" * 64}))
    with pytest.raises(ValueError, match="another revision of depth-dpt"):
        generate(streets, SynthSettings(scenes=0), workers=1)
    record.write_text(json.dumps({**held, "scenes": 3}))
    with pytest.raises(ValueError, match="more than 2 streets"):
        generate(streets, SynthSettings(scenes=2), workers=1)


@pytest.mark.slow
def test_a_set_can_be_extended(small, tmp_path):
    generate(tmp_path, dataclasses.replace(SMALL, scenes=1), workers=1)
    assert generate(tmp_path, SMALL, workers=1) == 4
    assert content(tmp_path) == content(small)


@pytest.mark.slow
def test_command_deals_twenty_streets_eighteen_to_one_to_one(tmp_path):
    command = [
        sys.executable, "-m", "depth_dpt_ros.cli", "synth", "--out", str(tmp_path / "set"),
        "--scenes", "20", "--views", "1", "--width", str(WIDTH),
        "--workers", "2",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=200, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    assert "20 frames of 20 streets" in done.stdout
    counts = {
        split: len(list_split(tmp_path / "set", split).samples)
        for split in ("train", "val", "test")
    }
    assert counts == {"train": 18, "val": 1, "test": 1}
    assert json.loads((tmp_path / "set" / "synth.json").read_text())["scenes"] == 20
    again = subprocess.run(
        [*command, "--seed", "3"], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert "other settings" in again.stderr
