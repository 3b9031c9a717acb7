# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest
from tiny_models import process_environment, python

pytest.importorskip("filelock")
from depth_dpt_core.engines.tensorrt.cache import CacheKey, EngineCache, default_folder
from depth_dpt_core.engines.tensorrt.errors import BuildCancelledError, EngineError

KEY = CacheKey("engine", "city", {"tensorrt": "10.3.0", "onnx_sha256": "ab" * 32})
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def test_what_was_written_is_read_by_the_next_process(cache):
    assert cache.read(KEY) is None
    cache.write(KEY, CONTENT)
    assert EngineCache(cache.folder).read(KEY) == CONTENT
    cache.write(KEY, b"newer")
    assert cache.read(KEY) == b"newer"


def test_any_difference_in_a_key_is_another_file(cache):
    cache.write(KEY, CONTENT)
    for field in KEY.fields:
        assert cache.read(CacheKey("engine", "city", {**KEY.fields, field: "other"})) is None
    assert cache.read(CacheKey("timing", "city", KEY.fields)) is None
    same = CacheKey("engine", "city", dict(reversed(KEY.fields.items())))
    assert cache.read(same) == CONTENT


def test_names_say_what_they_are_and_stay_in_the_folder(cache):
    assert KEY.file_name.startswith("city-")
    assert KEY.file_name.endswith(".engine")
    hostile = CacheKey("engine", "../../etc/passwd\n", {})
    assert cache.path(hostile).parent == cache.folder
    assert "/" not in hostile.file_name


def test_the_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "depth_dpt_ros" / "engines"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for unusable in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert default_folder() == tmp_path / "home/.cache/depth_dpt_ros/engines"


def test_everything_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        cache = EngineCache(tmp_path / "a" / "engines")
        cache.write(KEY, CONTENT)
        cache.refuse(KEY, {"verdict": "refused"})
        cache.write(KEY, CONTENT)
    finally:
        os.umask(before)
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    for file in cache.folder.rglob("*.engine*"):
        assert file.stat().st_mode & 0o077 == 0, file


@pytest.mark.parametrize("mode", [0o770, 0o755, 0o701])
def test_a_folder_that_others_can_enter_is_refused(tmp_path, mode):
    folder = tmp_path / "engines"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(EngineError, match=r"engines: others can enter.*chmod 700"):
        EngineCache(folder)


def test_a_folder_behind_a_link_or_that_is_none_is_refused(tmp_path):
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(real)
    with pytest.raises(EngineError, match="a folder of your own"):
        EngineCache(tmp_path / "link")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EngineError, match="cannot be made"):
        EngineCache(tmp_path / "file")


def test_somebody_elses_folder_or_file_is_refused(cache, monkeypatch, caplog):
    cache.write(KEY, CONTENT)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache.read(KEY) is None
    assert "not a file of your own" in caplog.text
    with pytest.raises(EngineError, match="a folder of your own"):
        EngineCache(cache.folder)


def damage(path, how):
    content = path.read_bytes()
    if how == "bit":
        path.write_bytes(content[:99] + bytes([content[99] ^ 1]) + content[100:])
    elif how == "short":
        path.write_bytes(content[:-1])
    elif how == "long":
        path.write_bytes(content + b"\0")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "gone":
        path.unlink()
    elif how == "group-writable":
        path.chmod(0o620)
    elif how == "world-writable":
        path.chmod(0o602)
    elif how == "link":
        path.rename(path.with_name("elsewhere"))
        path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("which", ["engine", "seal"])
@pytest.mark.parametrize(
    "how", ["bit", "short", "long", "empty", "gone", "group-writable", "world-writable", "link"]
)
def test_a_file_that_cannot_be_trusted_is_not_used_and_replaced(cache, which, how):
    cache.write(KEY, CONTENT)
    path = cache.path(KEY)
    damage(path if which == "engine" else path.with_name(f"{path.name}.json"), how)
    assert cache.read(KEY) is None
    cache.write(KEY, CONTENT)
    assert cache.read(KEY) == CONTENT


@pytest.mark.parametrize("field", ["size", "sha256", "fields", "schema"])
def test_a_seal_must_agree_in_everything(cache, field):
    cache.write(KEY, CONTENT)
    path = cache.path(KEY).with_name(f"{KEY.file_name}.json")
    seal = json.loads(path.read_bytes())
    seal[field] = None
    path.write_text(json.dumps(seal))
    assert cache.read(KEY) is None


def test_one_keys_file_under_anothers_name_is_not_used(cache):
    other = CacheKey("engine", "city", {**KEY.fields, "tensorrt": "10.13.3"})
    cache.write(KEY, CONTENT)
    for end in ("", ".json"):
        there = cache.folder / f"{other.file_name}{end}"
        there.write_bytes((cache.folder / f"{KEY.file_name}{end}").read_bytes())
        there.chmod(0o600)
    assert cache.read(other) is None


def test_a_disk_that_takes_nothing_is_told(cache, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("depth_dpt_core.engines.tensorrt.cache.write_atomically", full)
    with pytest.raises(EngineError, match=r"city-.*\.engine: cannot be written .*No space left"):
        cache.write(KEY, CONTENT)


def test_a_folder_that_cannot_be_locked_is_told(cache, monkeypatch):
    def read_only(*arguments, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("depth_dpt_core.engines.tensorrt.cache.only_one_at", read_only)
    expected = pytest.raises(EngineError, match=r"cannot be locked .*Read-only")
    with expected, cache.only_one(KEY, lambda: False):
        pytest.fail("not locked")


def test_a_refused_engine_is_aside_with_its_report(cache):
    cache.write(KEY, CONTENT)
    assert cache.refusal(KEY) is None
    aside = cache.refuse(KEY, {"verdict": "refused, 3 frames", "passed": False})
    assert cache.read(KEY) is None
    assert aside.read_bytes() == CONTENT
    assert cache.refusal(KEY).startswith("refused, 3 frames (report in ")
    (entry,) = cache.entries()
    assert (entry.path, entry.refused, entry.fields) == (aside, "refused, 3 frames", KEY.fields)
    cache.forgive(KEY)
    assert cache.refusal(KEY) is None
    assert cache.entries() == []


def test_the_last_check_is_told_until_the_engine_is_another(cache):
    cache.write(KEY, CONTENT)
    assert [entry.checked for entry in cache.entries()] == [""]
    cache.note_check(KEY, "passed, 8 frames")
    (entry,) = cache.entries()
    assert re.fullmatch(r"passed, 8 frames \(20\d\d-\d\d-\d\d \d\d:\d\d UTC\)", entry.checked)
    time.sleep(0.02)
    cache.write(KEY, b"built again")
    assert [entry.checked for entry in cache.entries()] == [""]
    cache.note_check(KEY, "passed, 8 frames")
    cache.refuse(KEY, {"verdict": "refused"})
    assert [(entry.refused, entry.checked) for entry in cache.entries()] == [("refused", "")]


def test_entries_leave_out_what_is_not_sealed(cache):
    cache.write(KEY, CONTENT)
    (cache.folder / "stray.engine").write_bytes(b"x")
    (entry,) = cache.entries()
    assert (entry.path.name, entry.size, entry.refused) == (KEY.file_name, len(CONTENT), "")


HOLD = """
import sys, time
from pathlib import Path
from depth_dpt_core.engines.tensorrt.cache import CacheKey, EngineCache
cache, key = EngineCache(Path(sys.argv[1])), CacheKey("engine", "city", {})
with cache.only_one(key, lambda: True):
    print("held", flush=True)
    time.sleep(60)
"""
WRITE = """
import itertools, sys
from pathlib import Path
from depth_dpt_core.engines.tensorrt.cache import CacheKey, EngineCache
cache, key = EngineCache(Path(sys.argv[1])), CacheKey("engine", "city", {})
with cache.only_one(key, lambda: True):
    print("writing", flush=True)
    for i in itertools.count():
        cache.write(key, bytes([i % 256]) * 3_000_000)
"""


def start(program, folder):
    process = subprocess.Popen(
        python("-c", program, folder), env=process_environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline()
    return process


@pytest.mark.slow
def test_another_process_is_waited_for_until_cancelled_or_dead(cache):
    key = CacheKey("engine", "city", {})
    other = start(HOLD, cache.folder)
    try:
        with pytest.raises(BuildCancelledError), cache.only_one(key, lambda: True):
            pytest.fail("two at once")
        threading.Timer(0.7, other.kill).start()
        began = time.monotonic()
        with cache.only_one(key, lambda: False):
            assert time.monotonic() - began > 0.5
    finally:
        other.kill()
        other.wait()


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.013, 0.05, 0.11])
def test_killed_while_writing_leaves_a_whole_file_or_none(cache, delay):
    key = CacheKey("engine", "city", {})
    process = start(WRITE, cache.folder)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    content = cache.read(key)
    assert content is None or (len(content) == 3_000_000 and len(set(content)) == 1)
    with cache.only_one(key, lambda: False):
        cache.write(key, CONTENT)
    assert cache.read(key) == CONTENT
    kept = {key.file_name, f"{key.file_name}.json"}
    files = {p.name for p in cache.folder.iterdir() if p.is_file() and p.suffix != ".lock"}
    assert files == kept
