# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt predict` as a process: files, messages, exit status, and what it must not import."""

import json
import subprocess

import cv2
import numpy as np
import pytest
from tiny_models import (
    describe,
    metres,
    process_environment,
    python,
    write_own,
    write_third_party,
)

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_core.colorize import colorize

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 32, 16
SPEC = ModelSpec(
    width=WIDTH, height=HEIGHT, canonical_focal_length=40.0, min_depth=0.1, max_depth=500.0
)
HEAVY = "('torch', 'timm', 'rclpy', 'onnx', 'rosbags', 'mlflow', 'huggingface_hub')"


def run(tmp_path, *arguments):
    return subprocess.run(
        arguments,
        cwd=tmp_path,
        env=process_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )


def predict(tmp_path, *arguments):
    return run(tmp_path, *python("-m", "depth_dpt_ros.cli", "predict", *arguments))


@pytest.fixture
def image(tmp_path):
    """An RGB picture and its PNG."""
    rgb = np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    path = tmp_path / "street.png"
    assert cv2.imwrite(str(path), rgb[..., ::-1])
    return rgb, path


@pytest.fixture
def model(tmp_path):
    return write_own(tmp_path / "tiny.onnx", SPEC)


def test_writes_metres_and_colours(tmp_path, image, model):
    rgb, path = image
    second = tmp_path / "grey.png"
    assert cv2.imwrite(str(second), np.full((40, 60), 90, np.uint8))
    out = tmp_path / "new" / "out"
    done = predict(tmp_path, path, second, "--model", model, "--fx", "80", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    written = [
        out / name
        for name in (
            "street_depth.npy", "street_depth.png", "grey_depth.npy", "grey_depth.png",
        )
    ]  # fmt: skip
    assert done.stdout.splitlines() == [f"wrote {file}" for file in written]
    assert sorted(out.iterdir()) == sorted(written)

    depth = np.load(written[0], allow_pickle=False)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, 2 * metres(rgb), rtol=1e-5)
    color = cv2.imread(str(written[1]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(color[..., ::-1], colorize(depth, 1.0, 80.0))
    # the grey image is resized by 0.4: 80 pixels become 32
    grey = np.load(written[2], allow_pickle=False)
    assert grey.shape == (40, 60)
    np.testing.assert_allclose(grey, 0.8 * metres(np.full(3, 90, np.uint8)), rtol=1e-5)


def test_without_focal_length_it_says_what_it_assumes(tmp_path, image, model):
    rgb, path = image
    done = predict(tmp_path, path, "--model", model, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert done.stderr == "no --fx: assuming the camera that the model was trained for\n"
    np.testing.assert_allclose(
        np.load(tmp_path / "out" / "street_depth.npy"), metres(rgb), rtol=1e-5
    )


def test_third_partys_model(tmp_path, image):
    rgb, path = image
    model = write_third_party(
        tmp_path / "third.onnx", size=(WIDTH, HEIGHT), weights=(1, 2, 4), bias=1
    )
    describe(
        model,
        width=WIDTH,
        height=HEIGHT,
        min_depth=0.01,
        input={"name": "pixels", "layout": "NCHW", "dtype": "float32", "color": "BGR"},
        output={"name": "out", "quantity": "inverse_depth", "scale": 0.5},
    )
    done = predict(tmp_path, path, "--model", model, "--fx", "80", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    wanted = 1 / (0.5 * (rgb.astype(float)[..., ::-1] / 255 @ (1, 2, 4) + 1))
    np.testing.assert_allclose(np.load(tmp_path / "street_depth.npy"), wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["missing.png"], "missing.png"),
        (["empty.png"], "empty.png: not a readable image file"),
        (["text.png"], "text.png: not a readable image file"),
        (["half.png"], "half.png: not a readable image file"),
        (["street.png", "--model", "missing.onnx"], "missing.onnx: no such model file"),
        (["street.png", "--model", "text.png"], "text.png: not a model that ONNX Runtime can"),
        (["street.png", "--fx=0"], "focal length must be a positive number"),
        (["street.png", "--fx=-80"], "focal length must be a positive number"),
        (["street.png", "--fx=nan"], "focal length must be a positive number"),
        (["street.png", "--fy=0"], "focal length must be a positive number"),
        (["street.png", "--out", "street.png"], "street.png"),
    ],
)
def test_bad_input_is_one_line_and_status_1(tmp_path, image, model, arguments, complaint):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("This is no picture. " * 20)
    whole = image[1].read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    before = sorted(path.name for path in tmp_path.iterdir())
    done = predict(tmp_path, "--model", model, "--fx", "80", "--out", "out", *arguments)
    assert done.returncode == 1
    # OpenCV may log a line of its own about a broken picture
    lines = [line for line in done.stderr.splitlines() if not line.startswith("[ WARN")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("depth-dpt: ")
    assert complaint in lines[0]
    assert done.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_vertical_focal_length_alone_is_refused(tmp_path, image, model):
    done = predict(tmp_path, image[1], "--model", model, "--fy", "80", "--out", "out")
    assert (done.returncode, done.stderr) == (1, "depth-dpt: --fy needs --fx\n")


def test_images_whose_results_would_replace_each_other_are_refused(tmp_path, image, model):
    other = tmp_path / "left" / image[1].name
    other.parent.mkdir()
    other.write_bytes(image[1].read_bytes())
    done = predict(tmp_path, image[1], other, "--model", model, "--fx", "80", "--out", "out")
    assert done.returncode == 1
    wanted = f"depth-dpt: {other}: would be written over the result of {image[1]}\n"
    assert done.stderr == wanted
    assert not (tmp_path / "out").exists()


def test_nothing_heavy_is_imported(tmp_path, image, model):
    script = f"""
import sys, json
import depth_dpt_ros, depth_dpt_core.estimator
from depth_dpt_ros.cli import main
status = main({["predict", str(image[1]), "--model", str(model), "--fx", "80", "--out", "out"]!r})
print(json.dumps([status, [name for name in {HEAVY} if name in sys.modules]]))
"""
    done = run(tmp_path, *python("-c", script))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


def test_a_command_is_required(tmp_path):
    done = run(tmp_path, *python("-m", "depth_dpt_ros.cli"))
    assert done.returncode == 2
    assert "COMMAND" in done.stderr
