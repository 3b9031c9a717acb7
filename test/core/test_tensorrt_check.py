# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace

import numpy as np
import pytest

from depth_dpt_core.engines.onnxruntime import OnnxRuntimeEngine
from depth_dpt_core.engines.tensorrt.check import (
    HARD_LIMITS,
    REPEAT_LIMIT,
    REPEATS,
    STREET_LIMITS,
    check,
    check_frames,
    reference_answers,
)

STREETS = ["street_0", "street_1", "street_2", "street_3"]
HARD = ["dark", "saturated", "noise", "flat"]


class Altered:
    """An engine that is wrong in one way: `change(answer, frame, run)`."""

    name = "altered"
    batch = 1

    def __init__(self, right, change):
        self.right, self.change, self.count = right, change, 0

    def infer(self, tensor):
        answer = self.right.infer(tensor).copy()
        run, frame = divmod(self.count, len(STREETS + HARD))
        self.count += 1
        return np.asarray(self.change(answer, frame, run), np.float32)


@pytest.fixture
def proof(model):
    right = OnnxRuntimeEngine(model, cpu_only=True)
    frames = check_frames()
    expected = reference_answers(right, model.spec, frames)

    def proof(change=lambda answer, frame, run: answer, spec=model.spec):
        return check(Altered(right, change), spec, frames, expected, reference="truth")

    return proof


def test_frames_are_the_streets_and_what_is_hard():
    frames = check_frames()
    assert [f.name for f in frames] == STREETS + HARD
    assert [f.hard for f in frames] == [False] * 4 + [True] * 4
    by_name = {f.name: f.image for f in frames}
    assert by_name["dark"].max() <= 15
    assert (by_name["saturated"] == 255).mean() > 0.3
    assert np.ptp(by_name["flat"]) == 0
    assert by_name["noise"].std() > 70
    for one, other in zip(frames, check_frames(), strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_the_same_numbers_pass_with_no_error_at_all(proof):
    report = proof()
    assert report.passed
    assert [r.frame for r in report.results] == STREETS + HARD
    for result in report.results:
        assert (result.abs_rel, result.largest, result.scale_drift) == (0, 0, 0)
        assert (result.nonfinite, result.repeat_difference) == (0, 0)
    assert report.verdict.startswith("passed, altered answers like truth")


def test_rounding_passes_and_is_measured(proof):
    rng = np.random.default_rng(1)
    noise = 1 + rng.uniform(-0.004, 0.004, (1, 1, 12, 24))
    report = proof(lambda answer, frame, run: answer * noise)
    assert report.passed
    assert report.results[0].abs_rel == pytest.approx(np.abs(noise - 1).mean(), rel=0.02)
    assert report.results[0].largest == pytest.approx(np.abs(noise - 1).max(), rel=0.02)


@pytest.mark.parametrize("frame", range(8))
def test_a_single_wrong_frame_is_enough(proof, frame):
    limits = STREET_LIMITS if frame < 4 else HARD_LIMITS
    factor = 1 + 1.2 * limits.scale_drift
    report = proof(lambda answer, i, run: answer * (factor if i == frame else 1))
    assert not report.passed
    name = (STREETS + HARD)[frame]
    assert "does not answer like truth on 1 of 8 frames" in report.verdict
    assert f"{name}: scale drift" in report.verdict


def test_limits_are_limits_of_the_mean_the_worst_and_the_median(proof):
    def spoil(answer, frame, run):
        spoilt = answer.copy()
        spoilt[..., :2, :] *= 1.15  # a sixth of the pixels: the median does not move
        return spoilt

    (failure,) = proof(spoil).results[0].failures()
    assert failure.startswith("abs_rel 0.02")

    def one_pixel(answer, frame, run):
        spoilt = answer.copy()
        spoilt[..., 5, 5] *= 1 + 2 * STREET_LIMITS.largest
        return spoilt

    (failure,) = proof(one_pixel).results[1].failures()
    assert failure.startswith("largest relative error 0.4 (limit 0.2)")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_pixel_that_is_no_number_is_enough(proof, value):
    def spoil(answer, frame, run):
        if (frame, run) == (6, REPEATS - 1):
            answer[..., 3, 4] = value
        return answer

    report = proof(spoil)
    assert not report.passed
    assert report.results[6].nonfinite == 1
    assert "noise: pixels that are no number 1 (limit 0)" in report.verdict
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["passed"] is False


@pytest.mark.parametrize("other", [1, REPEATS - 1])
def test_runs_that_differ_are_refused(proof, other):
    def drift(answer, frame, run):
        return answer * (1 + 2 * REPEAT_LIMIT * (run == other))

    report = proof(drift)
    assert not report.passed
    assert report.results[0].repeat_difference == pytest.approx(2 * REPEAT_LIMIT, rel=0.01)
    assert "difference between runs 0.002 (limit 0.001)" in report.verdict


@pytest.mark.parametrize(
    "change",
    [
        np.zeros_like,
        lambda a: np.full_like(a, np.median(a)),
        lambda a: a[..., ::-1],
        lambda a: a.swapaxes(2, 3).reshape(a.shape),
        lambda a: -a,
        lambda a: a + 1000,
    ],
)
def test_plainly_wrong_engines_are_refused(proof, change):
    assert not proof(lambda answer, frame, run: change(answer)).passed


def test_beyond_the_range_nothing_matters(proof, model):
    near = replace(model.spec, max_depth=20.0)  # much of the tiny network's answer is farther

    def change(answer, frame, run):
        return np.where(answer > 20, answer * 1.5, answer)

    assert proof(change, spec=near).passed
    assert not proof(change).passed


def test_a_reference_that_answers_nothing_proves_nothing(proof, model):
    report = proof(spec=replace(model.spec, min_depth=500.0, max_depth=501.0))
    assert not report.passed
    assert "truth answers only 0% of the street frames" in report.verdict
