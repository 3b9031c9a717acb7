# SPDX-License-Identifier: Apache-2.0
import os
import stat

import pytest

from depth_dpt_core.files import replacing, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_new_content_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "numbers.json"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent  # a rename stays on one file system
        assert temporary.suffix == path.suffix  # numpy and OpenCV go by the name
    assert path.read_text() == "new"
    assert names(tmp_path) == ["numbers.json"]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    before = path.stat()

    def write():
        with replacing(path) as temporary:
            temporary.write_bytes(b"half of the new")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert names(tmp_path) == ["model.onnx"]


def test_an_error_before_the_first_version_leaves_nothing(tmp_path):
    def write():
        with replacing(tmp_path / "depth.npy"):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - any
        write()
    assert names(tmp_path) == []


def test_a_folder_in_the_way_is_an_error_and_stays(tmp_path):
    (tmp_path / "out" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="out"):
        write_atomically(tmp_path / "out", b"x")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["inside"]


def test_folders_are_made(tmp_path):
    write_atomically(tmp_path / "a" / "b" / "c.txt", b"there")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == b"there"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"x")
        assert os.umask(umask) == umask  # and the umask is as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_two_writers_at_once_leave_one_whole_file(tmp_path):
    path = tmp_path / "file"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_text("first" * 100)
        second.write_text("second" * 100)
    assert path.read_text() == "first" * 100  # the outer block ends last
    assert names(tmp_path) == ["file"]
