# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt bag-eval`: known models with known errors, on bags of every kind."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import CompressionMode, StoragePlugin
from small_bags import (
    START,
    STEP,
    camera_info,
    cloud,
    depth_image,
    disparity,
    image,
    tf,
    write,
)
from tiny_models import bilinear, metres, write_own

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_core.metrics import METRIC_NAMES
from depth_dpt_ros.cli import main
from depth_dpt_ros.replay.bag import Bag
from depth_dpt_ros.stamps import stamp_ns

WIDTH, HEIGHT, FRAMES = 32, 16, 6
FOCAL = 40.0  # of the camera, pixels; the model's own is half of it
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "bags"
TOPICS = ["--image-topic", "/cam/image_raw", "--depth-topic", "/cam/truth"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    spec = ModelSpec(WIDTH, HEIGHT, canonical_focal_length=FOCAL / 2, max_depth=60.0)
    return str(write_own(tmp_path_factory.mktemp("model") / "tiny.onnx", spec))


def pictures(frames: int = FRAMES) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(frames)]


def truths(frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> list[np.ndarray]:
    """From 1 to 100 m, a fifth unknown."""
    rng = np.random.default_rng(8)
    depths = [np.exp(rng.uniform(0, np.log(100), (height, width))) for _ in range(frames)]
    for depth in depths:
        depth[rng.random(depth.shape) < 0.2] = np.nan
    return [depth.astype(np.float32) for depth in depths]


def answers() -> list[np.ndarray]:
    """What the model says in metres: twice the canonical depth, NaN beyond its 60 m."""
    depths = [metres(picture) for picture in pictures()]
    return [np.where(depth <= 60, depth * 2, np.nan) for depth in depths]


def drive(truth: list[np.ndarray] | None = None) -> list[tuple[str, int, Any]]:
    """Images with CameraInfo, and truth 10 ms after each."""
    messages: list[tuple[str, int, Any]] = []
    for index, picture in enumerate(pictures()):
        stamp = START + index * STEP
        messages.append(("/cam/image_raw", stamp, image(picture, stamp)))
        messages.append(("/cam/camera_info", stamp, camera_info(FOCAL, WIDTH, HEIGHT, stamp)))
        if truth is not None:
            late = stamp + 10_000_000
            messages.append(("/cam/truth", late, depth_image(truth[index], late)))
    return messages


def evaluate(tmp_path: Path, model: str, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Exit status and the JSON file."""
    out, file = tmp_path / "out", tmp_path / "figures.json"
    named = ["--model", model, "--out", str(out), "--json", str(file)]
    status = main(["bag-eval", *map(str, arguments), *named])
    return status, json.loads(file.read_text()) if file.exists() else {}


def by_hand(p: np.ndarray, g: np.ndarray, max_depth: float = 80.0) -> np.ndarray:
    """The seven metrics and the bias of one image, written down anew."""
    valid = np.isfinite(g) & (g > 0.001) & (g < max_depth)
    p, g = p[valid], g[valid].astype(np.float64)
    p = np.clip(np.where(np.isfinite(p), p, max_depth), 0.001, max_depth)
    ratio = np.maximum(p / g, g / p)
    return np.array([
        np.mean(np.abs(p - g) / g), np.mean((p - g) ** 2 / g), np.sqrt(np.mean((p - g) ** 2)),
        np.sqrt(np.mean((np.log(p) - np.log(g)) ** 2)),
        *(np.mean(ratio < 1.25**power) for power in (1, 2, 3)), np.mean((p - g) / g),
    ])  # fmt: skip


def figures_of(bag: dict[str, Any]) -> np.ndarray:
    return np.array([*(bag["metrics"][name] for name in METRIC_NAMES), bag["bias"]])


def test_figures_of_a_known_model(tmp_path: Path, model: str) -> None:
    status, content = evaluate(tmp_path, model, write(tmp_path / "bag", drive(truths())), *TOPICS)
    assert status == 0
    (bag,) = content["bags"]
    singles = np.array([by_hand(p, g) for p, g in zip(answers(), truths(), strict=True)])
    np.testing.assert_allclose(figures_of(bag), singles.mean(axis=0), rtol=1e-6)
    counts = {name: bag["images"][name] for name in ("total", "matched", "scored", "invalid")}
    assert counts == {"total": FRAMES, "matched": FRAMES, "scored": FRAMES, "invalid": 0}
    valid = [np.isfinite(g) & (g < 80) for g in truths()]
    missing = sum(int((v & ~np.isfinite(p)).sum()) for v, p in zip(valid, answers(), strict=True))
    assert bag["pixels"] == {"scored": sum(int(v.sum()) for v in valid), "missing": missing}
    for name, (low, high) in bag["interval_95"].items():
        column = singles[:, [*METRIC_NAMES, "bias"].index(name)]
        assert column.min() <= low <= column.mean() <= high <= column.max()


def test_ranges_regions_and_scale_of_a_known_model(tmp_path: Path, model: str) -> None:
    _, content = evaluate(tmp_path, model, write(tmp_path / "bag", drive(truths())), *TOPICS)
    (bag,) = content["bags"]
    pairs = list(zip(answers(), truths(), strict=True))
    for name, part in bag["by_range"].items():
        low, high = map(float, name.split("-"))
        inside = [(p, np.where((g >= low) & (g < high), g, np.nan)) for p, g in pairs]
        assert part["abs_rel"] == pytest.approx(
            np.mean([by_hand(p, g)[0] for p, g in inside]), rel=1e-6
        )
    rows = {"top": range(6), "middle": range(6, 11), "bottom": range(11, 16)}
    columns = {"left": range(11), "centre": range(11, 22), "right": range(22, 32)}
    for name, part in bag["by_region"].items():
        row, column = name.split()
        cut = np.ix_(rows[row], columns[column])
        assert part["rmse"] == pytest.approx(
            np.mean([by_hand(p[cut], g[cut])[2] for p, g in pairs]), rel=1e-6
        )
    ratios = [np.nanmedian(np.where(g < 80, g, np.nan) / p) for p, g in pairs]
    assert bag["scale"]["factor"] == pytest.approx(np.median(ratios), rel=1e-6)
    images = [part["images"] for part in bag["by_time"]]
    assert sum(images) == FRAMES


def test_wrong_focal_length_shows_in_the_scale(tmp_path: Path, model: str) -> None:
    """Truth grows from 1.2 to 1.5 times the answer: a factor, and a drift of it."""
    factors = np.linspace(1.2, 1.5, FRAMES)
    grown = [p * factor for p, factor in zip(answers(), factors, strict=True)]
    path = write(tmp_path / "bag", drive([g.astype(np.float32) for g in grown]))
    _, content = evaluate(tmp_path, model, path, *TOPICS, "--max-depth", "500")
    scale = content["bags"][0]["scale"]
    assert scale["factor"] == pytest.approx(1.35, rel=1e-6)
    assert (scale["lowest"], scale["highest"]) == pytest.approx((1.2, 1.5), rel=1e-6)
    assert scale["drift"] == pytest.approx(0.3 / 1.35, rel=1e-6)


def test_frames_table_and_report_say_the_same(tmp_path: Path, model: str) -> None:
    _, content = evaluate(tmp_path, model, write(tmp_path / "bag", drive(truths())), *TOPICS)
    with (tmp_path / "out" / "bag" / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["stamp_ns"]) for row in rows] == [START + n * STEP for n in range(FRAMES)]
    assert {row["truth_offset_s"] for row in rows} == {"0.01"}
    for row, p, g in zip(rows, answers(), truths(), strict=True):
        np.testing.assert_allclose(float(row["rmse"]), by_hand(p, g)[2], rtol=1e-6)
    page = (tmp_path / "out" / "report.html").read_text()
    embedded = re.search(r"id='figures'>(.*?)</script>", page)
    assert embedded
    assert json.loads(embedded[1]) == content
    assert f"{content['bags'][0]['metrics']['rmse']:.6g}" in page
    assert not re.findall(r"(?:src|href)=['\"](?!data:|#)", page)  # opens offline
    assert page.count("<svg") == 3
    assert page.count("data:image/jpeg") == 9


FORMS: dict[str, dict[str, Any]] = {
    "sqlite3": {"plugin": StoragePlugin.SQLITE3},
    "version 8": {"version": 8},
    "mcap, compressed chunks": {"compression": CompressionMode.STORAGE},
    "sqlite3, compressed messages": {
        "plugin": StoragePlugin.SQLITE3, "compression": CompressionMode.MESSAGE,
    },
    "mcap, compressed file": {"compression": CompressionMode.FILE},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_figures_do_not_depend_on_the_form_of_the_bag(
    tmp_path: Path, model: str, form: str
) -> None:
    plain = write(tmp_path / "plain", drive(truths()))
    other = write(tmp_path / "other", drive(truths()), **FORMS[form])
    _, content = evaluate(tmp_path, model, plain, other, *TOPICS)
    assert_same(*content["bags"])


def assert_same(*bags: dict[str, Any]) -> None:
    first, *others = (
        {name: value for name, value in bag.items() if name not in ("bag", "timing")}
        for bag in bags
    )
    for other in others:
        assert other == first


def older_metadata(path: Path, version: int) -> Path:
    """Rewrite metadata.yaml as a recorder of that version did."""
    file = path / "metadata.yaml"
    content = yaml.safe_load(file.read_text())
    bag = content["rosbag2_bagfile_information"]
    bag["version"] = version
    newer = {"files": 5, "custom_data": 6, "ros_distro": 8}
    for name in [name for name, since in newer.items() if since > version]:
        bag.pop(name, None)
    for topic in bag["topics_with_message_count"]:
        topic["topic_metadata"].pop("type_description_hash")
        topic["topic_metadata"]["offered_qos_profiles"] = ""
    file.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("version", [4, 5])  # Foxy and Galactic; Humble
@pytest.mark.parametrize("split", [False, True])
def test_bags_of_older_recorders_split_or_not(
    tmp_path: Path, model: str, version: int, *, split: bool
) -> None:
    whole = write(tmp_path / "whole", drive(truths()), plugin=StoragePlugin.SQLITE3)
    old = older_metadata(shutil.copytree(whole, tmp_path / "old"), version)
    with sqlite3.connect(old / "whole.db3") as database:  # they held no schemas
        database.execute("delete from message_definitions")
    if split:
        halves = drive(truths())[:9], drive(truths())[9:]
        files = []
        for index, half in enumerate(halves):
            part = write(tmp_path / f"part_{index}", half, plugin=StoragePlugin.SQLITE3)
            files.append(f"part_{index}.db3")
            shutil.copy(part / files[-1], old)
        content = yaml.safe_load((old / "metadata.yaml").read_text())
        content["rosbag2_bagfile_information"]["relative_file_paths"] = files
        (old / "metadata.yaml").write_text(yaml.safe_dump(content))
    status, content = evaluate(tmp_path, model, whole, old, *TOPICS)
    assert status == 0
    assert_same(*content["bags"])


def test_the_same_bag_gives_the_same_figures(tmp_path: Path, model: str) -> None:
    path = write(tmp_path / "bag", drive(truths()))
    runs = [evaluate(tmp_path, model, path)[1]["bags"][0] for _ in range(3)]
    assert_same(*runs)
    assert runs[0]["truth_topic"] == "/cam/truth"


def test_disparity_is_focal_length_times_baseline_over_pixels(tmp_path: Path, model: str) -> None:
    f, t = 100.0, 0.5
    messages = drive()
    expected = []
    for index, (answer, depth) in enumerate(zip(answers(), truths(), strict=True)):
        stamp = START + index * STEP
        pixels = np.where(np.isfinite(depth), f * t / depth, -1)
        messages.append(("/cam/disparity", stamp, disparity(pixels, stamp, f, t, (0.9, 40.0))))
        expected.append(by_hand(answer, np.where((pixels < 0.9) | (pixels > 40), np.nan, depth)))
    path = write(tmp_path / "bag", messages)
    status, content = evaluate(tmp_path, model, path)
    (bag,) = content["bags"]
    assert (status, bag["truth_kind"]) == (0, "disparity")
    np.testing.assert_allclose(figures_of(bag), np.mean(expected, axis=0), rtol=1e-6)


def test_truth_of_another_size_is_met_bilinearly(tmp_path: Path, model: str) -> None:
    larger = truths(height=3 * HEIGHT, width=2 * WIDTH)
    # where all is within the model's range, so that no unanswered pixel spreads
    dark = [picture // 2 for picture in pictures()]
    messages = drive(larger)
    messages = [m for m in messages if m[0] != "/cam/image_raw"]
    messages += [
        ("/cam/image_raw", START + n * STEP, image(picture, START + n * STEP))
        for n, picture in enumerate(dark)
    ]
    _, content = evaluate(tmp_path, model, write(tmp_path / "bag", messages), *TOPICS)
    depths = [bilinear(2 * metres(p), 3 * HEIGHT, 2 * WIDTH) for p in dark]
    expected = np.mean([by_hand(p, g) for p, g in zip(depths, larger, strict=True)], axis=0)
    np.testing.assert_allclose(figures_of(content["bags"][0]), expected, rtol=1e-5)


def test_points_through_a_moving_mount(tmp_path: Path, model: str) -> None:
    """The LiDAR moves along the camera's axis; images lie between two transforms."""
    messages = drive()
    expected = []
    rng = np.random.default_rng(9)
    for index, answer in enumerate(answers()):
        stamp = START + index * STEP
        column, row = rng.integers(0, WIDTH, 20), rng.integers(0, HEIGHT, 20)
        z = rng.uniform(5, 70, 20)
        x = (column - (WIDTH - 1) / 2) / FOCAL * z
        y = (row - (HEIGHT - 1) / 2) / FOCAL * z
        ahead = 2.0 + index  # of the LiDAR before the camera at the image's time
        xyz = np.stack([x, y, z - ahead], axis=1)
        messages.append(("/lidar", stamp + 1000, cloud(xyz, stamp + 1000)))
        for offset in (-1, 1):
            time = stamp + offset * STEP // 4
            place = (0, 0, ahead + offset)
            messages.append(("/tf", time, tf("optical", "lidar", place, (0, 0, 0, 1), time)))
        depth = np.full((HEIGHT, WIDTH), np.inf)
        np.minimum.at(depth, (row, column), np.float32(z))
        expected.append(by_hand(answer, np.where(np.isinf(depth), np.nan, depth)))
    path = write(tmp_path / "bag", messages)
    status, content = evaluate(tmp_path, model, path)
    (bag,) = content["bags"]
    assert (status, bag["truth_kind"], bag["images"]["scored"]) == (0, "points", FRAMES)
    whole = bag["without_occlusion_filter"]
    np.testing.assert_allclose(figures_of(whole), np.mean(expected, axis=0), rtol=1e-5)
    assert whole["pixels"] == bag["pixels"]["scored"] + whole["hidden_pixels"]


def test_points_take_the_nearest_answer(tmp_path: Path, model: str) -> None:
    """An image of thrice the network's size: a pixel takes the answer whose third it lies in."""
    size = (3 * WIDTH, 3 * HEIGHT)
    picture = pictures()[0] // 2
    stamp, focal = START, 3 * FOCAL
    column, row, z = np.array([0, 46, 95]), np.array([0, 20, 47]), np.array([10.0, 20, 30])
    xyz = np.stack(
        [(column - (size[0] - 1) / 2) / focal * z, (row - (size[1] - 1) / 2) / focal * z, z], 1
    )
    messages = [
        ("/cam/image_raw", stamp, image(picture.repeat(3, 0).repeat(3, 1), stamp)),
        ("/cam/camera_info", stamp, camera_info(focal, *size, stamp)),
        ("/lidar", stamp, cloud(xyz, stamp)),
        ("/tf_static", stamp, tf("optical", "lidar", (0, 0, 0), (0, 0, 0, 1))),
    ]
    _, content = evaluate(tmp_path, model, write(tmp_path / "bag", messages))
    answer = 2 * metres(picture)[row // 3, column // 3]
    np.testing.assert_allclose(
        figures_of(content["bags"][0]), by_hand(answer, z.astype(np.float32)), rtol=1e-5
    )


def test_without_truth_there_is_the_output_bag_and_stability(tmp_path: Path, model: str) -> None:
    status, content = evaluate(tmp_path, model, write(tmp_path / "bag", drive()))
    (bag,) = content["bags"]
    assert (status, bag["metrics"], bag["truth_topic"]) == (0, None, None)
    changes = [np.log(b / a) for a, b in zip(answers(), answers()[1:], strict=False)]
    flicker = np.mean([np.nanmedian(np.abs(change)) for change in changes])
    jump = np.mean([abs(np.nanmedian(change)) for change in changes])
    assert bag["stability"]["flicker"] == pytest.approx(flicker, rel=1e-5)
    assert bag["stability"]["scale_jump"] == pytest.approx(jump, rel=1e-4)
    assert bag["image_rate"] == pytest.approx(10)


def test_output_bag_has_stamps_frames_and_sizes_of_the_input(tmp_path: Path, model: str) -> None:
    evaluate(tmp_path, model, write(tmp_path / "bag", drive()), "--points")
    folder = tmp_path / "out" / "bag" / "depth"
    metadata = yaml.safe_load((folder / "metadata.yaml").read_text())
    assert metadata["rosbag2_bagfile_information"]["version"] == 8  # Humble's too
    with Bag(folder) as bag:
        messages = [(t, time, bag.deserialize(raw, t)) for t, time, raw in bag.messages(
            topic.name for topic in bag.topics)]  # fmt: skip
    names = {"/depth/image", "/depth/camera_info", "/depth/color/image", "/depth/points"}
    assert {topic for topic, *_ in messages} == names
    for topic in names:
        stamps = [stamp_ns(message) for name, _, message in messages if name == topic]
        assert stamps == [START + n * STEP for n in range(FRAMES)]
    for topic, time, message in messages:
        assert time == stamp_ns(message)
        assert message.header.frame_id == "optical"
        assert (message.height, message.width) == (HEIGHT, WIDTH)
        if topic == "/depth/camera_info":
            assert message.p[[0, 5, 2, 6]] == pytest.approx([FOCAL, FOCAL, 15.5, 7.5])
    first = {topic: message for topic, _, message in reversed(messages)}
    depth = first["/depth/image"].data.view(np.float32).reshape(HEIGHT, WIDTH)
    np.testing.assert_allclose(depth, answers()[0], rtol=1e-5)
    points = first["/depth/points"].data.view(np.float32).reshape(HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(points[..., 2], depth)
    columns = (np.arange(WIDTH) - 15.5) / FOCAL
    np.testing.assert_allclose(points[..., 0], depth * columns, rtol=1e-5)


def real(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"needs the recording {name}, which is not part of the project")
    return DATA / name


@pytest.mark.slow
def test_real_camera_against_lidar(tmp_path: Path) -> None:
    bag = real("dgp_scene_01_mcap")
    status, content = evaluate(tmp_path, "builtin", bag, "--image-topic", "/camera_05/image_raw")
    figures = content["bags"][0]
    assert (status, figures["truth_topic"]) == (0, "/lidar/points")
    assert figures["images"]["scored"] == 3
    hidden = figures["without_occlusion_filter"]["hidden_pixels"]
    assert 0.05 < hidden / figures["pixels"]["scored"] < 0.15


@pytest.mark.slow
def test_real_highway_without_truth(tmp_path: Path) -> None:
    status, content = evaluate(tmp_path, "builtin", real("udacity_highway_db3"))
    figures = content["bags"][0]
    assert (status, figures["metrics"], figures["images"]["evaluated"]) == (0, None, 36)
    assert figures["image_rate"] == pytest.approx(5)
