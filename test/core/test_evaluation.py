# SPDX-License-Identifier: Apache-2.0
"""Scores of a known network on frames made by hand."""

from __future__ import annotations

import json
import subprocess

import cv2
import numpy as np
import pytest
from tiny_models import bilinear, metres, process_environment, python, write_own

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_core.data.cityscapes import DataError, StereoRig, list_split
from depth_dpt_core.estimator import DepthEstimator
from depth_dpt_ros.cli import main

pytest.importorskip("tqdm")
pytest.importorskip("kornia_rs", reason="needs kornia_rs: pip install '.[train]'")
from depth_dpt_core.evaluation.frames import read_ahead
from depth_dpt_core.evaluation.score import score_split

WIDTH, HEIGHT = 8, 4
FX, BASELINE = 100.0, 0.5
CODE = FX * BASELINE * 256  # an encoded disparity is CODE / metres + 1
SPEC = ModelSpec(
    width=WIDTH, height=HEIGHT, canonical_focal_length=50.0, min_depth=0.1, max_depth=60.0
)
METRIC = ["metric"]


def add_frame(root, name, color, depth, *, fx=FX, split="test"):
    """One frame of a colour, or [H,W,3]; depth [H,W] must divide CODE, NaN is unknown."""
    code = np.where(np.isfinite(depth), CODE / depth + 1, 0)
    np.testing.assert_allclose(code, np.round(code), atol=1e-9)
    assert code.max() < 2**16
    image = np.empty((*depth.shape, 3), np.uint8)
    image[:] = color
    camera = {
        "intrinsic": {"fx": fx, "fy": fx, "u0": 3.5, "v0": 1.5},
        "extrinsic": {"baseline": FX * BASELINE / fx},
    }
    for kind in ("leftImg8bit", "disparity", "camera"):
        (root / kind / split / "town").mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(
        str(root / f"leftImg8bit/{split}/town/{name}_leftImg8bit.png"), image[..., ::-1]
    )
    assert cv2.imwrite(
        str(root / f"disparity/{split}/town/{name}_disparity.png"),
        np.round(code).astype(np.uint16),
    )
    (root / f"camera/{split}/town/{name}_camera.json").write_text(json.dumps(camera))


def rows(*values, width=WIDTH):
    return np.repeat(np.array(values, float)[:, None], width, axis=1)


def possible_depths(rng, shape):
    """Depths in metres that the disparity code holds exactly, 4 to 100 m."""
    divisors = np.array([CODE / code for code in range(128, 3200)])
    return rng.choice(divisors, shape)


def estimator_for(folder, width, height, **values):
    spec = ModelSpec(**{"width": width, "height": height, "max_depth": 100.0, **values})
    return DepthEstimator.load(str(write_own(folder / f"{width}x{height}.onnx", spec)))


@pytest.fixture
def estimator(tmp_path):
    return DepthEstimator.load(str(write_own(tmp_path / "tiny.onnx", SPEC)))


def test_numbers_by_hand(tmp_path, estimator):
    root = tmp_path / "streets"
    first, second = (0, 0, 95), (0, 40, 175)
    assert metres(np.array([first, second])) == pytest.approx([10, 20])
    # f is twice the canonical one, or as long: the answers are 20 m and 20 m
    add_frame(root, "a", first, rows(20, 25, np.nan, 16))
    add_frame(root, "b", second, rows(40, 25, 10, np.nan), fx=50.0)
    add_frame(root, "c", first, rows(np.nan, np.nan, 100, 100))  # nothing in range
    result = score_split(estimator, root, "test", METRIC, baseline=True)
    score = result.scores["metric"]
    assert (score.images, score.images_without_truth, score.missing, score.pixels) == (2, 1, 0, 48)

    errors = [[0, -5 / 25, 4 / 16], [-20 / 40, -5 / 25, 10 / 10]]
    assert result.metrics["metric"] is score.metrics
    assert score.metrics.abs_rel == pytest.approx(np.mean(np.abs(errors)), rel=1e-6)
    assert score.bias == pytest.approx(np.mean(errors), rel=1e-6)
    squared = [[0, 25, 16], [400, 25, 100]]
    assert score.metrics.rmse == pytest.approx(np.sqrt(np.mean(squared, axis=1)).mean(), rel=1e-6)
    # strict deltas: 25 / 20 and 20 / 16 are not below 1.25
    assert score.metrics.delta_1 == pytest.approx(np.mean([1 / 3, 0]))

    # per row: 20 or 40 m -> the nearer weighs more; 25 m; 10 m; 16 m
    row_errors = [[0, 0, 0], [20 / 40, 0, 0]]
    guess = result.baseline["metric"].metrics
    assert guess.abs_rel == pytest.approx(np.mean(row_errors), abs=0.002)
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert content["model"]["metric"]["metrics"] == score.metrics.to_dict()
    assert content["baseline"]["metric"]["images"] == 2


def test_the_truth_keeps_its_resolution_and_the_answer_comes_to_it(tmp_path):
    rng = np.random.default_rng(1)
    small = rng.integers(20, 200, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    image = small.repeat(8, 0).repeat(8, 1)  # area averaging gives exactly `small` back
    truth = possible_depths(rng, image.shape[:2])
    truth[rng.random(truth.shape) < 0.2] = np.nan
    add_frame(tmp_path, "a", image, truth)
    result = score_split(estimator_for(tmp_path, WIDTH, HEIGHT), tmp_path, "test", METRIC)
    answer = bilinear(metres(small), 8 * HEIGHT, 8 * WIDTH)
    valid = truth < 80
    assert result.scores["metric"].pixels == np.count_nonzero(valid)
    error = (answer - truth)[valid]
    metrics = result.metrics["metric"]
    assert metrics.abs_rel == pytest.approx(np.mean(np.abs(error) / truth[valid]), rel=1e-5)
    assert metrics.rmse == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)


def test_ranges_are_means_of_images_that_reach_there(tmp_path, estimator):
    rng = np.random.default_rng(2)
    edges = (4.0, 10.0, 25.0, 60.0, 80.0, 120.0)
    images = [possible_depths(rng, (2 * HEIGHT, 2 * WIDTH)) for _ in range(4)]
    images[0][images[0] > 25] = 10  # exactly at an edge, and nothing farther
    images[1][:] = np.nan
    images[2][:3] = 25
    for number, truth in enumerate(images):
        add_frame(tmp_path, f"f{number}", (10 * number, 40, 95), truth)
    score = score_split(estimator, tmp_path, "test", METRIC, ranges=edges).scores["metric"]
    assert [part.name for part in score.by_range] == ["4-10", "10-25", "25-60", "60-80", "80-120"]
    for part in score.by_range[:-1]:
        answers = [metres(np.array([10 * n, 40, 95])) for n in range(4)]
        found = [
            (answer - truth[inside], truth[inside])
            for answer, truth in zip(answers, images, strict=True)
            if (inside := (truth >= part.low) & (truth < part.high)).any()
        ]
        assert part.images == len(found)
        assert part.pixels == sum(len(g) for _, g in found)
        wanted = {
            "abs_rel": np.mean([np.mean(np.abs(e) / g) for e, g in found]),
            "sq_rel": np.mean([np.mean(e**2 / g) for e, g in found]),
            "rmse": np.mean([np.sqrt(np.mean(e**2)) for e, _ in found]),
            "rmse_log": np.mean([np.sqrt(np.mean(np.log1p(e / g) ** 2)) for e, g in found]),
            "delta_2": np.mean(
                [np.mean((1 + e / g < 1.5625) & (g / (g + e) < 1.5625)) for e, g in found]
            ),
        }
        got = part.metrics.to_dict()
        assert {name: got[name] for name in wanted} == pytest.approx(wanted, rel=1e-5)
        assert part.bias == pytest.approx(np.mean([np.mean(e / g) for e, g in found]), rel=1e-5)
    beyond = score.by_range[-1]
    assert (beyond.metrics, beyond.images, beyond.pixels) == (None, 0, 0)
    assert beyond.to_dict() == {"images": 0, "pixels": 0}


def test_the_curve_holds_every_pixel_of_its_two_decades(tmp_path, estimator):
    truth = possible_depths(np.random.default_rng(3), (40, 50))
    add_frame(tmp_path, "a", (0, 0, 95), truth)
    score = score_split(estimator, tmp_path, "test", METRIC).scores["metric"]
    assert score.curve[0].low == pytest.approx(0.8)
    assert score.curve[-1].high == pytest.approx(80)
    assert sum(part.pixels for part in score.curve) == score.pixels == (truth < 80).sum()
    weighted = sum(part.pixels * part.metrics.abs_rel for part in score.curve if part.pixels)
    assert weighted / score.pixels == pytest.approx(score.metrics.abs_rel)


def test_answers_out_of_range_are_counted_and_scored_as_the_largest_depth(tmp_path):
    root = tmp_path / "streets"
    near, far = (0, 255, 255), (255, 255, 255)
    assert metres(np.array([near, far])) == pytest.approx([38.75, 41.3])
    add_frame(root, "a", far, rows(50, 50, 50, 50))
    add_frame(root, "b", near, rows(50, 50, np.nan, np.nan))
    narrow = estimator_for(tmp_path, WIDTH, HEIGHT, max_depth=40.0)
    score = score_split(narrow, root, "test", METRIC).scores["metric"]
    assert score.missing_share == pytest.approx(32 / 48)
    assert score.metrics.abs_rel == pytest.approx(np.mean([(80 - 50) / 50, (50 - 38.75) / 50]))
    nearer = score_split(narrow, root, "test", METRIC, max_depth=60.0).metrics["metric"]
    assert nearer.abs_rel == pytest.approx(np.mean([(60 - 50) / 50, (50 - 38.75) / 50]))


def test_broken_frames_are_left_out_aloud_and_listed(tmp_path, estimator, capsys):
    for name in "abcd":
        add_frame(tmp_path, name, (0, 0, 95), rows(16, 25, 40, 50))
    alone = score_split(estimator, tmp_path, "test", METRIC)
    image = tmp_path / "leftImg8bit/test/town/b_leftImg8bit.png"
    image.write_bytes(image.read_bytes()[:-20])
    disparity = tmp_path / "disparity/test/town/c_disparity.png"
    disparity.write_bytes(b"not a picture")
    (tmp_path / "camera/test/town/d_camera.json").unlink()
    capsys.readouterr()
    result = score_split(estimator, tmp_path, "test", METRIC, baseline=True)
    assert result.metrics == alone.metrics
    assert result.scores["metric"].images == 1
    assert {frame.name for frame in result.unusable} == {f"test/town/{name}" for name in "bcd"}
    reasons = {frame.name[-1]: frame.reason for frame in result.unusable}
    assert image.name in reasons["b"]
    assert disparity.name in reasons["c"]
    assert "camera" in reasons["d"]
    said = capsys.readouterr().err
    assert all(said.count(f"left out test/town/{name}: ") == 1 for name in "bcd")
    assert result.to_dict()["unusable"] == [
        {"name": frame.name, "reason": frame.reason} for frame in result.unusable
    ]


def test_a_split_of_broken_frames_only_is_an_error(tmp_path, estimator):
    add_frame(tmp_path, "a", (1, 2, 3), rows(10, 20, 40, 50))
    (tmp_path / "camera/test/town/a_camera.json").unlink()
    with pytest.raises(DataError, match=r"none of the 1 frames of test can be used.*a_camera"):
        score_split(estimator, tmp_path, "test", METRIC)


def test_no_truth_at_all_is_said_clearly(tmp_path, estimator):
    add_frame(tmp_path, "a", (1, 2, 3), rows(np.nan, np.nan, 100, 100))
    with pytest.raises(DataError, match=r"test: no image has valid depth between 0\.001 and 80"):
        score_split(estimator, tmp_path, "test", METRIC)


def test_an_empty_split_is_said_clearly(tmp_path, estimator):
    with pytest.raises(DataError, match="no images at leftImg8bit/val"):
        score_split(estimator, tmp_path, "val", METRIC)


def test_images_may_differ_in_height(tmp_path, estimator):
    add_frame(tmp_path, "a", (0, 0, 95), rows(10, 20, 40, 50))
    add_frame(tmp_path, "b", (0, 0, 95), rows(10, 10, 20, 20, 40, 40, 50, 50))
    result = score_split(estimator, tmp_path, "test", METRIC, baseline=True)
    assert result.scores["metric"].images == 2
    assert result.baseline["metric"].metrics.abs_rel == pytest.approx(0, abs=0.003)


def test_the_older_layout_takes_the_given_rig(tmp_path, estimator):
    add_frame(tmp_path / "new", "a", (0, 0, 95), rows(16, 25, 40, 50))
    for kind, old, ending in (
        ("leftImg8bit", "depth_X", "leftImg8bit"),
        ("disparity", "depth_y", "disparity"),
    ):
        folder = tmp_path / "old" / old / "test/town"
        folder.mkdir(parents=True)
        (tmp_path / f"new/{kind}/test/town/a_{ending}.png").rename(folder / f"a_{ending}.png")
    rig = StereoRig(baseline=BASELINE / 2, focal_length=FX)  # half as deep
    metrics = score_split(estimator, tmp_path / "old", "test", METRIC, rig=rig).metrics["metric"]
    truth = np.array([16, 25, 40, 50]) / 2
    assert metrics.abs_rel == pytest.approx(np.mean(np.abs(20 - truth) / truth), rel=1e-6)


def test_frames_are_read_a_few_ahead_and_no_more(tmp_path):
    for number in range(12):
        add_frame(tmp_path, f"{number:02}", (number, 0, 0), rows(10, 20, 40, 50))
    listed = list_split(tmp_path, "test").samples
    taken = []
    frames = read_ahead((taken.append(sample) or sample for sample in listed), ahead=3)
    for count, (sample, frame) in enumerate(frames, 1):
        assert sample is listed[count - 1]
        assert frame.image[0, 0, 0] == count - 1
        assert len(taken) == min(count + 3, 12)


@pytest.fixture
def streets(tmp_path):
    root = tmp_path / "streets"
    for name, depth in (("a", rows(20, 25, 40, 16)), ("b", rows(40, 25, 10, np.nan))):
        add_frame(root, name, (0, 0, 95), depth)
        add_frame(root, name, (0, 0, 95), 2 * depth, split="val")
    return root


@pytest.fixture
def model(tmp_path):
    return str(write_own(tmp_path / "tiny.onnx", SPEC))


def test_command_prints_a_table_and_writes_numbers_and_a_picture(streets, model, capsys, tmp_path):
    arguments = ["evaluate", "--data", str(streets), "--model", model]
    files = ["--json", str(tmp_path / "out/numbers.json"), "--figure", str(tmp_path / "error.png")]
    assert main([*arguments, "--baseline", *files]) == 0
    out = capsys.readouterr().out
    content = json.loads((tmp_path / "out/numbers.json").read_text())
    scores = content["model"]["metric"]
    guess = content["baseline"]["metric"]["metrics"]["abs_rel"]
    table = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert table["abs_rel"] == [f"{scores['metrics']['abs_rel']:.4f}", f"{guess:.4f}"]
    part = scores["by_range"]["20-30"]
    assert table["20-30"][1] == f"{part['abs_rel']:.4f}"
    assert table["20-30"][-2:] == [str(part["images"]), str(part["pixels"])]
    assert "2 images, 0 without truth, 0 unusable" in out
    picture = cv2.imread(str(tmp_path / "error.png"))
    assert min(picture.shape[:2]) > 600
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    other = ["--split", "val", "--protocol", "manydepth"]
    assert main([*arguments, *other]) == 0
    assert "val, manydepth: " in capsys.readouterr().out


def test_the_reference_protocol_is_labelled_everywhere(streets, model, capsys, tmp_path):
    arguments = ["--model", model, "--protocol", "reference", "--json", str(tmp_path / "n.json")]
    assert main(["evaluate", "--data", str(streets), *arguments]) == 0
    assert "reference (for comparison only)" in capsys.readouterr().out
    assert "for comparison only" in (tmp_path / "n.json").read_text()


def test_options_that_do_not_go_together_are_refused(streets, model, capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--data", str(streets), "--config", "params.yaml"])
    assert stopped.value.code == 2
    assert "not allowed with" in capsys.readouterr().err
    for option in (
        ["--model", model],
        ["--split", "val"],
        ["--protocol", "metric"],
        ["--baseline"],
        ["--figure", str(tmp_path / "x.png")],
    ):
        assert main(["evaluate", *option]) == 1
        assert capsys.readouterr().err == f"depth-dpt: {option[0]} needs --data\n"
    assert main(["evaluate", "--config", str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml" in capsys.readouterr().err


def test_an_exported_model_is_scored_without_torch(streets, model):
    code = (
        "import sys; from depth_dpt_ros.cli import main;"
        "status = main(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run(
        python("-c", code, "evaluate", "--data", str(streets), "--model", model),
        env=process_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "abs_rel" in done.stdout
