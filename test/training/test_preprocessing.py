# SPDX-License-Identifier: Apache-2.0
"""Keeping the processed data set up to date with its source, whatever happens in between."""

from __future__ import annotations

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from street_data import write_roads

pytest.importorskip("kornia_rs")
pytest.importorskip("filelock")

from filelock import FileLock
from processed_data import KINDS, run, times, tree, write_config

from depth_dpt_core.data.cityscapes import DataError
from depth_dpt_core.data.processed import ProcessedDataset
from depth_dpt_ros.cli import main


@pytest.fixture
def source(tmp_path):
    write_roads(tmp_path / "in", {"train": 4, "val": 2, "test": 1})
    return tmp_path / "in"


def remade(before, after):
    """Frames of which a file was written, or is new; by the last digits of their names."""
    changed = {path for path, moment in after.items() if before.get(path) != moment}
    by_frame: dict[str, set[str]] = {}
    for path in changed:
        kind, _, name = path.partition("/")
        split, _, stem = name.partition("/road/road_")
        by_frame.setdefault(f"{split} {int(stem[:6])}", set()).add(kind)
    assert all(kinds == set(KINDS) for kinds in by_frame.values())
    return set(by_frame)


def record(out):
    return json.loads((out / "dataset.json").read_text())


def only(source, pattern):
    (path,) = source.glob(pattern)
    return path


def test_holds_every_frame_of_every_split(source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".gitkeep").touch()
    report = run(source, tmp_path / "out")
    assert report.frames == {"train": 4, "val": 2, "test": 1}
    assert (report.made, report.kept, report.removed, report.unusable) == (7, 0, 0, [])
    assert len(tree(tmp_path / "out")) == 3 * 7 + 1 + 1
    content = record(tmp_path / "out")
    assert content["settings"] == {"width": 1024, "max_depth": 80.0}
    assert [len(content["frames"][split]) for split in ("train", "val", "test")] == [4, 2, 1]


def test_a_second_run_changes_nothing(source, tmp_path):
    run(source, tmp_path / "out")
    before, moments = tree(tmp_path / "out"), times(tmp_path / "out")
    written = (tmp_path / "out" / "dataset.json").stat().st_mtime_ns
    report = run(source, tmp_path / "out")
    assert (report.made, report.kept) == (0, 7)
    assert tree(tmp_path / "out") == before
    assert times(tmp_path / "out") == moments
    assert (tmp_path / "out" / "dataset.json").stat().st_mtime_ns == written


def test_splits_that_are_not_used_are_named(source, tmp_path):
    (source / "leftImg8bit" / "train_extra").mkdir()
    assert "warning: split train_extra is not used" in run(source, tmp_path / "out").summary()


@pytest.mark.slow
def test_processes_make_the_same_files_as_one(source, tmp_path):
    run(source, tmp_path / "one")
    run(source, tmp_path / "out", workers=2)
    assert tree(tmp_path / "out") == tree(tmp_path / "one")


@pytest.mark.parametrize(
    "changed", [{"width": 64}, {"max_depth": 30.0}, {"width": 100, "max_depth": 79.0}]
)
def test_a_changed_setting_makes_all_frames_again(source, tmp_path, changed):
    run(source, tmp_path / "out")
    before = record(tmp_path / "out")["fingerprint"]
    assert run(source, tmp_path / "out", **changed).made == 7
    run(source, tmp_path / "fresh", **changed)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")
    assert record(tmp_path / "out")["fingerprint"] != before


def test_the_rig_of_the_settings_matters_only_where_it_is_used(source, tmp_path):
    run(source, tmp_path / "out")
    before = tree(tmp_path / "out")
    assert run(source, tmp_path / "out", baseline=0.3, focal_length=2000.0).made == 0
    assert tree(tmp_path / "out") == before
    (source / "leftImg8bit").rename(source / "depth_X")
    (source / "disparity").rename(source / "depth_y")
    assert run(source, tmp_path / "out", baseline=0.3).made == 0  # the cameras are still there
    shutil.rmtree(source / "camera")
    assert run(source, tmp_path / "out", baseline=0.3, focal_length=2000.0).made == 7
    camera = json.loads(only(tmp_path / "out", "camera/test/*/*.json").read_text())
    assert (camera["fx"], camera["cx"]) == (2000, 63.5)
    assert run(source, tmp_path / "out", baseline=0.3, focal_length=2000.0).made == 0
    assert run(source, tmp_path / "out", baseline=0.3, focal_length=1000.0).made == 7
    assert run(source, tmp_path / "out", baseline=0.2, focal_length=1000.0).made == 7


@pytest.mark.parametrize("kind", ["leftImg8bit", "disparity", "camera", "gtFine"])
@pytest.mark.parametrize("change", ["time", "size"])
def test_a_changed_source_file_makes_its_frame_again(source, tmp_path, kind, change):
    run(source, tmp_path / "out")
    before = times(tmp_path / "out")
    path = only(source, f"{kind}/train/road/road_000002_*")
    status = path.stat()
    if change == "time":
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    else:
        path.write_bytes(path.read_bytes() + b"\n")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    run(source, tmp_path / "out")
    assert remade(before, times(tmp_path / "out")) == {"train 2"}


def test_labels_that_come_later_are_taken_up(source, tmp_path):
    labels = only(source, "gtFine/train/road/road_000001_*")
    aside = labels.rename(source / "aside")
    run(source, tmp_path / "out")
    before = times(tmp_path / "out")
    aside.rename(labels)
    run(source, tmp_path / "out")
    assert remade(before, times(tmp_path / "out")) == {"train 1"}
    run(source, tmp_path / "fresh")
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_what_left_the_source_leaves_the_data_set(source, tmp_path):
    run(source, tmp_path / "out")
    before = times(tmp_path / "out")
    for path in [*source.glob("*/test/road"), *source.glob("*/train/road/road_000003_*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    report = run(source, tmp_path / "out")
    assert (report.removed, report.made, report.frames["test"]) == (2, 0, 0)
    assert remade(before, times(tmp_path / "out")) == set()
    run(source, tmp_path / "fresh")
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")
    assert not (tmp_path / "out" / "image" / "test").exists()


def test_files_that_were_damaged_or_left_behind_do_not_survive(source, tmp_path):
    out = tmp_path / "out"
    run(source, out)
    before, moments = tree(out), times(out)
    only(out, "image/val/road/road_000000*").write_bytes(b"cut")
    only(out, "depth/val/road/road_000001*").unlink()
    only(out, "camera/train/road/road_000000*").write_text("{")
    (out / "image" / "train" / "road" / ".road_000000_000019.k3j2.jpg").write_bytes(b"half")
    (out / "depth" / "train" / "old").mkdir()
    (out / "depth" / "train" / "old" / "old_0.png").write_bytes(b"of an old frame")
    (out / ".dataset.x9z_.json").write_bytes(b"half")
    run(source, out)
    assert tree(out) == before
    assert not (out / "depth" / "train" / "old").exists()
    assert remade(moments, times(out)) == {"val 0", "val 1", "train 0"}


def test_fingerprint_depends_on_contents_only(source, tmp_path):
    run(source, tmp_path / "out")
    first = record(tmp_path / "out")["fingerprint"]
    shutil.copytree(source, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    run(tmp_path / "elsewhere", tmp_path / "other")
    assert record(tmp_path / "other")["fingerprint"] == first
    path = only(source, "disparity/val/road/road_000001_*")
    disparity = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    disparity[-1, 0] += 9
    cv2.imwrite(str(path), disparity)
    run(source, tmp_path / "out")
    assert record(tmp_path / "out")["fingerprint"] != first


def break_png(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


BREAKAGES = {
    "leftImg8bit": break_png,
    "disparity": lambda path: path.write_bytes(path.read_bytes()[:300]),
    "camera": lambda path: path.write_text(path.read_text().replace("0.22", "-0.22")),
    "gtFine": lambda path: cv2.imwrite(str(path), np.zeros((9, 9), np.uint8)),
}


@pytest.mark.parametrize("kind", BREAKAGES)
def test_a_broken_file_costs_its_frame_only_and_is_reported(source, tmp_path, kind):
    run(source, tmp_path / "out")
    before = times(tmp_path / "out")
    path = only(source, f"{kind}/train/road/road_000001_*")
    whole, status = path.read_bytes(), path.stat()
    BREAKAGES[kind](path)
    report = run(source, tmp_path / "out")
    assert report.frames["train"] == 3
    assert str(path) in report.summary()
    (unusable,) = record(tmp_path / "out")["unusable"]
    assert unusable["name"] == "train/road/road_000001_000019"
    assert str(path) in unusable["reason"]
    assert record(tmp_path / "out")["counts"]["unusable"] == 1
    assert not list((tmp_path / "out").glob("*/train/road/road_000001*"))
    assert run(source, tmp_path / "out").kept == 6
    path.write_bytes(whole)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run(source, tmp_path / "out").unusable == []
    assert remade(before, times(tmp_path / "out")) == {"train 1"}


@pytest.mark.parametrize("kind", ["leftImg8bit", "disparity", "camera"])
def test_a_missing_file_is_reported(source, tmp_path, kind):
    only(source, f"{kind}/val/road/road_000001_*").unlink()
    report = run(source, tmp_path / "out")
    assert [it.name for it in report.unusable] == ["val/road/road_000001_000019"]
    assert report.frames == {"train": 4, "val": 1, "test": 1}
    assert len(record(tmp_path / "out")["unusable"]) == 1


def test_a_dangling_link_is_reported(source, tmp_path):
    path = only(source, "disparity/train/road/road_000001_*")
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    (unusable,) = run(source, tmp_path / "out").unusable
    assert str(path) in unusable.reason


def test_command_warns_of_the_first_ten(tmp_path, capsys):
    write_roads(tmp_path / "in", {"train": 15, "val": 1})
    for path in (tmp_path / "in").glob("camera/train/road/road_00000*"):
        path.unlink()
    for path in (tmp_path / "in").glob("camera/train/road/road_00001[01]*"):
        path.write_text("{}")
    assert main(["preprocess", "--config", str(write_config(tmp_path)), "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("warning: train/road/road_") == 10
    assert "and 2 more, see" in printed
    assert "3 train, 1 val, 0 test" in printed
    assert len(record(tmp_path / "out")["unusable"]) == 12


def assert_one_line(arguments, capsys):
    assert main(arguments) == 1
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line and "frame/s" not in line]
    assert len(lines) == 1
    assert captured.out == ""
    return lines[0]


def command(tmp_path, **data):
    return ["preprocess", "--config", str(write_config(tmp_path, **data)), "--workers", "1"]


def test_a_root_without_images_is_an_error(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    line = assert_one_line(command(tmp_path), capsys)
    assert "leftImg8bit/train" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("damage", ["remove", "break"])
def test_a_split_without_a_usable_frame_is_an_error(source, tmp_path, capsys, split, damage):
    run(source, tmp_path / "out")
    for path in source.glob(f"disparity/{split}/road/*"):
        path.unlink() if damage == "remove" else path.write_bytes(b"")
    line = assert_one_line(command(tmp_path), capsys)
    assert f"split {split}" in line
    assert "road_000000" in line
    if damage == "break":
        with pytest.raises(DataError):
            ProcessedDataset.open(tmp_path / "out")


def test_a_folder_that_holds_something_else_is_left_alone(source, tmp_path, capsys):
    before = tree(source)
    line = assert_one_line(command(tmp_path, processed="in"), capsys)
    assert "empty folder" in line
    assert tree(source) == before


@pytest.mark.parametrize("folder", ["/sys/processed", "/sys", "file/processed"])
def test_a_folder_that_cannot_be_written_to_is_one_line(source, tmp_path, capsys, folder):
    (tmp_path / "file").touch()
    line = assert_one_line(command(tmp_path, processed=folder), capsys)
    assert folder in line


def test_workers_must_be_positive(source, tmp_path):
    with pytest.raises(ValueError, match="workers"):
        run(source, tmp_path / "out", workers=0)


def test_a_folder_in_use_is_left_alone(source, tmp_path, capsys):
    run(source, tmp_path / "out")
    before = tree(tmp_path / "out")
    with FileLock(tmp_path / "out" / ".preprocess.lock"):
        line = assert_one_line(command(tmp_path, width=64), capsys)
    assert "another process" in line
    assert tree(tmp_path / "out") == before
    assert run(source, tmp_path / "out", width=64).made == 7  # free again
