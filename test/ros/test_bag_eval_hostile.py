# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt bag-eval` on bags that are wrong: a sentence and a status, never a wrong number."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin
from small_bags import (
    START,
    STEP,
    Messages,
    camera_info,
    cloud,
    depth_image,
    disparity,
    image,
    ros,
    tf,
    write,
)
from tiny_models import write_own

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_ros.cli import main

WIDTH, HEIGHT, FRAMES = 16, 8, 4


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    spec = ModelSpec(WIDTH, HEIGHT, canonical_focal_length=20.0)
    return str(write_own(tmp_path_factory.mktemp("model") / "tiny.onnx", spec))


def evaluate(
    capsys: pytest.CaptureFixture[str], out: Path, model: str, *arguments: str | Path
) -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, figures of the bags, and the last line of standard error."""
    file = out / "figures.json"
    named = ["--model", model, "--out", str(out), "--json", str(file)]
    status = main(["bag-eval", *map(str, arguments), *named])
    said = capsys.readouterr().err
    assert "Traceback" not in said
    bags = json.loads(file.read_text())["bags"] if file.exists() else []
    return status, bags, said.strip().splitlines()[-1]


def picture(stamp: int, **changes: Any) -> Any:
    grey = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    return image(grey, stamp, **changes)


def depth(stamp: int, metres: float = 10.0) -> Any:
    return depth_image(np.full((HEIGHT, WIDTH), metres), stamp)


def stamps(count: int = FRAMES, step: int = STEP, start: int = START) -> list[int]:
    return [start + n * step for n in range(count)]


def camera(times: list[int], name: str = "cam") -> list[tuple[str, int, Any]]:
    """Images and CameraInfo; the log time is regular, whatever the stamps."""
    messages: list[tuple[str, int, Any]] = []
    for log_time, stamp in zip(stamps(len(times)), times, strict=True):
        messages.append((f"/{name}/image_raw", log_time, picture(stamp)))
        info = camera_info(40.0, WIDTH, HEIGHT, stamp)
        messages.append((f"/{name}/camera_info", log_time, info))
    return messages


def truth(times: list[int], metres: float = 10.0) -> list[tuple[str, int, Any]]:
    log_times = stamps(len(times))
    return [
        ("/cam/truth", log_time, depth(stamp, metres))
        for log_time, stamp in zip(log_times, times, strict=True)
    ]


# Choosing topics

LIDAR = [
    ("/lidar", START, cloud(np.array([(0, 0, 10.0)]), START)),
    ("/tf_static", START, tf("optical", "lidar", (0, 0, 0), (0, 0, 0, 1))),
]
RGB = [("/paint", START, picture(START))]
NO_TRANSFORM = [("/lidar", START, cloud(np.array([(0, 0, 10.0)]), START))]
ZERO_ROTATION = [
    NO_TRANSFORM[0],
    ("/tf_static", START, tf("optical", "lidar", (0,) * 3, (0,) * 4)),
]
NO_BASELINE = [("/disp", START, disparity(np.ones((HEIGHT, WIDTH)), START, 40.0, 0.0, (0, 9)))]


@pytest.mark.parametrize(
    ("messages", "options", "words"),
    [
        (camera(stamps(), "rear"), [], ["several cameras", "/cam/image_raw, /rear/image_raw"]),
        (LIDAR, [], ["several", "--depth-topic /cam/truth, --points-topic /lidar"]),
        ([], ["--image-topic", "/nose"], ["no camera on '/nose'", "/cam/image_raw"]),
        ([], ["--depth-topic", "/nose"], ["no topic '/nose'", "/cam/truth"]),
        ([], ["--depth-topic", "/cam/camera_info"], ["CameraInfo", "sensor_msgs/msg/Image"]),
        (RGB, ["--image-topic", "/cam/image_raw", "--depth-topic", "/paint"], ["'rgb8'", "32FC1"]),
        ([], ["--camera-info-topic", "/cam/truth"], ["sensor_msgs/msg/CameraInfo would be right"]),
        ([], ["--points-topic", "/cam/truth"], ["PointCloud2 would be right"]),
        (NO_TRANSFORM, ["--points-topic", "/lidar"], ["no transforms tie frame 'lidar'"]),
        (ZERO_ROTATION, ["--points-topic", "/lidar"], ["quaternion of length 0"]),
        (NO_BASELINE, ["--disparity-topic", "/disp"], ["baseline"]),
    ],
)
def test_what_cannot_be_chosen_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    messages: Messages,
    options: list[str],
    words: list[str],
) -> None:
    path = write(tmp_path / "bag", [*camera(stamps()), *truth(stamps()), *messages])
    status, bags, said = evaluate(capsys, tmp_path / "out", model, path, *options)
    assert status == 1
    assert [bag["ended"] for bag in bags] == ["failed"]
    assert "metrics" not in bags[0]
    for word in [str(path), *words]:
        assert word in said


@pytest.mark.parametrize("topic", ["/depth/image", "/cam/depth/image"])
def test_answers_of_the_node_are_not_taken_for_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, topic: str
) -> None:
    answers = [(topic, stamp, depth(stamp)) for stamp in stamps()]
    path = write(tmp_path / "bag", [*camera(stamps()), *answers])
    status, (bag,), _ = evaluate(capsys, tmp_path / "out", model, path)
    assert (status, bag["truth_topic"], bag["metrics"]) == (0, None, None)
    assert any(topic in note for note in bag["notes"])
    _, (bag,), _ = evaluate(capsys, tmp_path / "out", model, path, "--depth-topic", topic)
    assert bag["images"]["scored"] == FRAMES


@pytest.mark.parametrize(
    "option",
    [("--tolerance", "-1"), ("--max-depth", "nan"), ("--focal-length", "0"), ("--tolerance", "x")],
)
def test_impossible_options_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit):
        main(["bag-eval", str(tmp_path), *option])
    assert f"argument {option[0]}" in capsys.readouterr().err


# Truth that is none


@pytest.mark.parametrize("metres", [np.nan, 0.0, -1.0, np.inf, 80.0])
def test_truth_that_knows_nothing_gives_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, metres: float
) -> None:
    path = write(tmp_path / "bag", [*camera(stamps()), *truth(stamps(), metres)])
    status, (bag,), said = evaluate(
        capsys, tmp_path / "out", model, path, "--depth-topic", "/cam/truth"
    )
    assert (status, bag["metrics"], bag["images"]["no_valid_truth"]) == (1, None, FRAMES)
    assert "/cam/truth gives no valid depth" in said
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize("offset", [10**9, -(START // 2)])
def test_truth_of_another_clock_gives_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, offset: int
) -> None:
    other = [stamp + offset for stamp in stamps()]
    path = write(tmp_path / "bag", [*camera(stamps()), *truth(other)])
    status, (bag,), said = evaluate(capsys, tmp_path / "out", model, path)
    assert (status, bag["metrics"], bag["images"]["unmatched"]) == (1, None, FRAMES)
    assert "should be of one clock" in said
    assert f"{other[0] / 1e9:.3f}" in said


def test_tolerance_decides_what_matches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    late = [
        stamp + delay
        for stamp, delay in zip(stamps(), (0, 20_000_000, 45_000_000, 0), strict=True)
    ]
    path = write(tmp_path / "bag", [*camera(stamps()), *truth(late)])
    _, (bag,), _ = evaluate(capsys, tmp_path / "out", model, path, "--tolerance", "0.02")
    images = bag["images"]
    assert (images["matched"], images["unmatched"], bag["tolerance_s"]) == (3, 1, 0.02)


def test_stamps_that_go_back_or_stand_still_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    first, second, third, fourth = stamps()
    times = [first, second, second, fourth, third]
    path = write(tmp_path / "bag", [*camera(times), *truth([first, second, third, fourth])])
    status, (bag,), _ = evaluate(capsys, tmp_path / "out", model, path)
    met, images = bag["stamps"], bag["images"]
    assert (status, met["repeated_stamps"], met["backward_images"]) == (0, 1, 1)
    # the truth of an image that comes out of order may be gone: then it is left out, not guessed
    assert (images["total"], images["scored"], images["unmatched"]) == (5, 3, 2)
    assert sum("before" in note for note in bag["notes"]) >= 2


def test_stamps_that_are_all_zero_match_one_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    path = write(tmp_path / "bag", [*camera([0] * FRAMES), *truth([0] * FRAMES)])
    _, (bag,), _ = evaluate(capsys, tmp_path / "out", model, path)
    assert bag["images"]["scored"] == 1
    assert bag["stamps"]["repeated_stamps"] == FRAMES - 1


def test_images_that_cannot_be_used_are_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    messages = [*camera(stamps()), *truth(stamps())]
    broken = [message for topic, _, message in messages if topic == "/cam/image_raw"]
    broken[1].data = broken[1].data[:9]
    broken[2].encoding = "nv99"
    status, (bag,), _ = evaluate(
        capsys, tmp_path / "out", model, write(tmp_path / "bag", messages)
    )
    assert (status, bag["images"]["invalid"], bag["images"]["scored"]) == (0, 2, 2)
    assert any("data is too short" in note for note in bag["notes"])
    assert any("nv99" in note for note in bag["notes"])


def test_camera_info_of_another_size_refuses_its_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    messages = [*camera(stamps()), *truth(stamps())]
    for topic, _, message in messages:
        if topic == "/cam/camera_info":
            message.width = 99
    status, (bag,), said = evaluate(
        capsys, tmp_path / "out", model, write(tmp_path / "bag", messages)
    )
    assert (status, bag["images"]["invalid"], bag["metrics"]) == (1, FRAMES, None)
    assert "camera_info is for 99x8 pixels" in said


def test_bytes_that_are_no_message_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    path = write(
        tmp_path / "bag", [*camera(stamps()), *truth(stamps())], plugin=StoragePlugin.SQLITE3
    )
    with sqlite3.connect(path / "bag.db3") as database:
        (topic,) = database.execute("select id from topics where name='/cam/image_raw'").fetchone()
        (second,) = database.execute(
            "select id from messages where topic_id=? order by timestamp limit 1 offset 1",
            (topic,),
        ).fetchone()
        database.execute("update messages set data=x'0001' where id=?", (second,))
    status, (bag,), _ = evaluate(capsys, tmp_path / "out", model, path)
    assert (status, bag["images"]["total"], bag["images"]["invalid"]) == (0, FRAMES, 1)
    assert bag["images"]["scored"] == FRAMES - 1


# Bags that are cut short


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("with_metadata", [True, False])
def test_truncation_anywhere_ends_with_a_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    model: str,
    plugin: StoragePlugin,
    *,
    with_metadata: bool,
) -> None:
    """A bag that is cut gives what is in it and says so, or nothing; never other figures."""
    noisy = np.random.default_rng(3)
    messages = [*camera(stamps()), *truth(stamps())]
    for topic, _, message in messages:
        if topic == "/cam/image_raw":
            message.data = noisy.integers(0, 256, message.data.size, np.uint8)
    whole = write(tmp_path / "whole", messages, plugin=plugin)
    assert evaluate(capsys, tmp_path / "out", model, whole)[0] == 0
    full = (tmp_path / "out" / "whole" / "frames.csv").read_text().splitlines()
    file = next(path for path in whole.iterdir() if path.suffix != ".yaml")
    content = file.read_bytes()
    for cut in np.linspace(0, len(content) - 1, 15).astype(int):
        path = tmp_path / f"cut_{cut}"
        path.mkdir()
        (path / file.name).write_bytes(content[:cut])
        if with_metadata:
            shutil.copy(whole / "metadata.yaml", path)
        out = tmp_path / f"out_{cut}"
        status, (bag,), said = evaluate(capsys, out, model, path)
        assert status == 1, (cut, bag)
        assert str(path) in said
        assert bag["ended"] in ("failed", "damaged")
        table = out / path.name / "frames.csv"
        if table.exists():
            rows = table.read_text().splitlines()
            assert set(rows) <= set(full)


# Many bags


def test_a_bad_bag_does_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    folder = tmp_path / "drives"
    folder.mkdir()
    for index, metres in enumerate((10.0, 20.0)):
        write(folder / f"good_{index}", [*camera(stamps()), *truth(stamps(), metres)])
    bad = write(folder / "bad", camera(stamps())) / "bad.mcap"
    bad.write_bytes(bad.read_bytes()[:500])
    out, file = tmp_path / "out", tmp_path / "figures.json"
    named = ["--model", model, "--out", str(out), "--json", str(file)]
    assert main(["bag-eval", str(folder), *named]) == 1
    said = capsys.readouterr()
    assert str(folder / "bad") in said.err
    content = json.loads(file.read_text())
    names = [Path(bag["bag"]).name for bag in content["bags"]]
    assert names == ["bad", "good_0", "good_1"]
    errors = [bag["metrics"]["abs_rel"] for bag in content["bags"][1:]]
    assert content["all"]["metrics"]["abs_rel"] == pytest.approx(np.mean(errors), rel=1e-9)
    assert content["all"]["images"]["scored"] == 2 * FRAMES
    page = (out / "report.html").read_text()
    assert all(f"<h2>{folder / name}</h2>" in page for name in names)
    assert "<h2>All bags</h2>" in page


def test_bags_of_one_name_do_not_share_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    paths = []
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        paths.append(write(tmp_path / folder / "drive", [*camera(stamps()), *truth(stamps())]))
    status, _, _ = evaluate(capsys, tmp_path / "out", model, *paths)
    assert status == 0
    for name in ("drive", "drive-2"):
        assert (tmp_path / "out" / name / "frames.csv").exists()


def test_a_folder_without_bags_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    (tmp_path / "empty").mkdir()
    status, bags, said = evaluate(capsys, tmp_path / "out", model, tmp_path / "empty")
    assert (status, bags) == (1, [])
    assert "is no bag and holds none" in said


def test_other_files_of_the_folder_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    path = write(tmp_path / "bag", [*camera(stamps()), *truth(stamps())])
    for _ in range(2):
        assert evaluate(capsys, out, model, path)[0] == 0
    assert (out / "notes.txt").read_text() == "mine"
    left = {entry.name for entry in out.iterdir() if not entry.name.endswith(".lock")}
    assert left == {"notes.txt", "report.html", "figures.json", "bag"}


def test_talk_is_no_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    path = write(tmp_path / "bag", [("/talk", START, ros("std_msgs/String", "hello"))])
    status, _, said = evaluate(capsys, tmp_path / "out", model, path)
    assert status == 1
    assert "no pictures" in said


def test_images_that_are_all_broken_are_told_without_truth_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    messages = camera(stamps())
    for topic, _, message in messages:
        if topic == "/cam/image_raw":
            message.encoding = "nv99"
    path = write(tmp_path / "bag", messages)
    status, (bag,), said = evaluate(capsys, tmp_path / "out", model, path)
    assert (status, bag["images"]["invalid"]) == (1, FRAMES)
    assert "none of the images of /cam/image_raw can be used" in said
    assert "nv99" in said
