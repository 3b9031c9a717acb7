# SPDX-License-Identifier: Apache-2.0
import json

import cv2
import numpy as np
import pytest
from tiny_models import metres, write_own

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_core.data.cityscapes import DataError
from depth_dpt_core.estimator import DepthEstimator

pytest.importorskip("tqdm")
from depth_dpt_core.evaluation import RowPredictor, evaluate

WIDTH, HEIGHT = 8, 4
FX, BASELINE = 100.0, 0.5
CODE = FX * BASELINE * 256  # an encoded disparity is CODE / metres + 1
SPEC = ModelSpec(
    width=WIDTH, height=HEIGHT, canonical_focal_length=50.0, min_depth=0.1, max_depth=60.0
)


def add_frame(root, name, color, depth, *, fx=FX):
    """One frame of a single colour; depth [H,W] must divide CODE, NaN is unknown."""
    code = np.where(np.isfinite(depth), CODE / depth + 1, 0)
    assert (code == np.round(code)).all()
    image = np.full((*depth.shape, 3), color, np.uint8)
    camera = {
        "intrinsic": {"fx": fx, "fy": fx, "u0": 3.5, "v0": 1.5},
        "extrinsic": {"baseline": FX * BASELINE / fx},
    }
    for kind in ("leftImg8bit", "disparity", "camera"):
        (root / kind / "test" / "town").mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(
        str(root / "leftImg8bit/test/town" / f"{name}_leftImg8bit.png"), image[..., ::-1]
    )
    assert cv2.imwrite(
        str(root / "disparity/test/town" / f"{name}_disparity.png"), code.astype(np.uint16)
    )
    (root / "camera/test/town" / f"{name}_camera.json").write_text(json.dumps(camera))


def rows(*values):
    return np.repeat(np.array(values, float)[:, None], WIDTH, axis=1)


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
    result = evaluate(estimator, root, "test")
    assert (result.images, result.images_without_truth, result.missing_share) == (2, 1, 0)

    errors = [[0, 5 / 25, 4 / 16], [20 / 40, 5 / 25, 10 / 10]]
    assert result.model.abs_rel == pytest.approx(np.mean(errors), rel=1e-6)
    squared = [[0, 25, 16], [400, 25, 100]]
    assert result.model.rmse == pytest.approx(np.sqrt(np.mean(squared, axis=1)).mean(), rel=1e-6)
    # strict deltas: 25 / 20 and 20 / 16 are not below 1.25
    assert result.model.delta_1 == pytest.approx(np.mean([1 / 3, 0]))

    # per row: 20 or 40 m -> the nearer weighs more; 25 m; 10 m; 16 m
    row_errors = [[0, 0, 0], [20 / 40, 0, 0]]
    assert result.row_predictor.abs_rel == pytest.approx(np.mean(row_errors), rel=1e-6)
    content = json.loads(json.dumps(result.to_dict()))
    assert content["abs_rel_ratio"] == pytest.approx(np.mean(errors) / np.mean(row_errors))
    assert content["images"] == 2
    assert content["model"] == result.model.to_dict()


def test_answers_out_of_range_are_counted_and_scored_as_80_m(tmp_path):
    root = tmp_path / "streets"
    near, far = (0, 255, 255), (255, 255, 255)
    assert metres(np.array([near, far])) == pytest.approx([38.75, 41.3])
    add_frame(root, "a", far, rows(50, 50, 50, 50))
    add_frame(root, "b", near, rows(50, 50, np.nan, np.nan))
    spec = ModelSpec(WIDTH, HEIGHT, max_depth=40.0)
    narrow = DepthEstimator.load(str(write_own(tmp_path / "narrow.onnx", spec)))
    result = evaluate(narrow, root, "test")
    assert result.missing_share == pytest.approx(32 / 48)
    assert result.model.abs_rel == pytest.approx(np.mean([(80 - 50) / 50, (50 - 38.75) / 50]))


def test_a_missing_camera_file_is_named(tmp_path, estimator):
    add_frame(tmp_path, "a", (1, 2, 3), rows(10, 20, 40, 50))
    (tmp_path / "camera/test/town/a_camera.json").unlink()
    with pytest.raises(DataError, match=r"camera/test/town/a_camera\.json is missing"):
        evaluate(estimator, tmp_path, "test")


def test_no_truth_at_all_is_said_clearly(tmp_path, estimator):
    add_frame(tmp_path, "a", (1, 2, 3), rows(np.nan, np.nan, 100, 100))
    with pytest.raises(ValueError, match=r"no image has valid depth between 0\.001 and 80"):
        evaluate(estimator, tmp_path, "test")


def test_an_empty_split_is_said_clearly(tmp_path, estimator):
    with pytest.raises(DataError, match="no images at leftImg8bit/val"):
        evaluate(estimator, tmp_path, "val")


def test_images_of_different_heights_are_refused(tmp_path, estimator):
    add_frame(tmp_path, "a", (1, 2, 3), rows(10, 20, 40, 50))
    add_frame(tmp_path, "b", (1, 2, 3), rows(10, 20, 40))
    with pytest.raises(ValueError, match="equally high"):
        evaluate(estimator, tmp_path, "test")


def mean_abs_rel(constant, images):
    """abs_rel of one depth per row, averaged over images, straight from its definition."""
    scores = []
    for truth in images:
        valid = np.isfinite(truth) & (truth > 0.001) & (truth < 80)
        if valid.any():
            guess = np.broadcast_to(constant[:, None], truth.shape)
            scores.append(np.mean(np.abs(guess - truth)[valid] / truth[valid]))
    return np.mean(scores)


@pytest.mark.parametrize("seed", range(8))
def test_no_other_depth_per_row_scores_better(seed):
    generator = np.random.default_rng(seed)
    images = []
    for _ in range(3):
        truth = generator.uniform(2, 95, (3, 5)).astype(np.float32)  # some beyond 80 m
        truth[generator.random(truth.shape) < generator.uniform(0.1, 0.6)] = np.nan
        images.append(truth)
    predictor = RowPredictor()
    for truth in images:
        predictor.add(truth)
    best = predictor.best().astype(float)
    reached = mean_abs_rel(best, images)
    # rows are independent; the optimum is at a seen depth, but any depth may try
    for row in range(3):
        seen = np.concatenate([truth[row] for truth in images])
        for depth in [*seen[np.isfinite(seen)].tolist(), *np.linspace(1, 80, 60)]:
            other = best.copy()
            other[row] = depth
            assert mean_abs_rel(other, images) >= reached - 1e-6


def test_rows_without_truth_take_the_nearest_row():
    predictor = RowPredictor()
    predictor.add(rows(np.nan, 30, np.nan, np.nan, 90, np.nan, 10).astype(np.float32))
    np.testing.assert_array_equal(predictor.best(), [30, 30, 30, 30, 10, 10, 10])
