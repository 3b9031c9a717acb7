# SPDX-License-Identifier: Apache-2.0
"""The proof that an engine answers like the model that it was built from.

Engines of vision transformers are known to build without complaint and answer wrongly on the very
devices that this is for (NVIDIA/TensorRT issues 4723 and 4837 among others), so none is used that
has not answered like ONNX Runtime on the CPU on this very device.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.artifact import ModelSpec
from depth_dpt_core.engines import Engine
from depth_dpt_core.frames import street_frames
from depth_dpt_core.network_io import to_depth, to_tensor
from depth_dpt_core.preprocess import Geometry

REPEATS = 3  # runs of each frame
_NEAREST = 1e-3  # m; keeps the relative error finite where a model's range begins at 0


@dataclass(frozen=True)
class Limits:
    """How far an engine may be from the reference on one frame; all relative to the depth.

    `abs_rel` is the mean of |engine - reference| / reference, `largest` the worst pixel of it, and
    `scale_drift` how far the median of engine / reference is from 1.
    """

    abs_rel: float
    largest: float
    scale_drift: float


# Numbers of 11 significant bits (fp16, TF32) carry a rounding error of 5e-4 each. The built-in
# model with every weight and activation rounded to fp16 is off by 7e-4 on average, 7e-3 in the
# worst pixel and 5e-4 in scale; deeper networks by a few times that. Monocular models are wrong by
# 5 % to 10 % of the depth themselves, so that a tenth of it changes nothing for a user, and
# engines that were reported as wrong are off by tens of percent. At a depth edge a single pixel
# may fall to the other side.
STREET_LIMITS = Limits(abs_rel=0.01, largest=0.2, scale_drift=0.005)
# Pictures unlike any street leave a network undecided, and rounding is amplified: twice as much
# was measured as above.
HARD_LIMITS = Limits(abs_rel=0.03, largest=0.5, scale_drift=0.015)
# The same frame again must give the same depth. Kernels that sum in any order may differ by
# rounding; more than that is a race, or memory that nobody wrote.
REPEAT_LIMIT = 1e-3
# A model that answers hardly anything within its range on streets proves nothing.
MIN_KNOWN = 0.1


@dataclass(frozen=True)
class Frame:
    """One picture [H,W,3] RGB uint8 to answer; hard ones are no streets."""

    name: str
    image: NDArray[np.uint8]
    hard: bool


@dataclass(frozen=True)
class FrameResult:
    """What an engine did with one frame; see `Limits` for the first three.

    `nonfinite` counts pixels of the raw answer that are no number. `repeat_difference` is the
    largest relative difference between runs, 0 if all were alike to the bit.
    """

    frame: str
    hard: bool
    abs_rel: float
    largest: float
    scale_drift: float
    nonfinite: int
    repeat_difference: float

    def failures(self) -> list[str]:
        """What is beyond its limit, in words."""
        limits = HARD_LIMITS if self.hard else STREET_LIMITS
        measured = {
            "abs_rel": (self.abs_rel, limits.abs_rel),
            "largest relative error": (self.largest, limits.largest),
            "scale drift": (self.scale_drift, limits.scale_drift),
            "pixels that are no number": (self.nonfinite, 0),
            "difference between runs": (self.repeat_difference, REPEAT_LIMIT),
        }
        return [
            f"{name} {value:.3g} (limit {limit:g})"
            for name, (value, limit) in measured.items()
            if value > limit
        ]


@dataclass(frozen=True)
class CheckReport:
    """The outcome on all frames.

    `known` is the share of the reference's answers on street frames that are within the model's
    range.
    """

    engine: str
    reference: str
    known: float
    results: tuple[FrameResult, ...]

    @property
    def passed(self) -> bool:
        """Whether the engine may be used."""
        return self.known >= MIN_KNOWN and not any(r.failures() for r in self.results)

    @property
    def verdict(self) -> str:
        """One sentence."""
        failed = [result for result in self.results if result.failures()]
        if self.known < MIN_KNOWN:
            return (
                f"refused, {self.reference} answers only {self.known:.0%} of the street frames "
                f"within the model's range, which proves nothing (must be {MIN_KNOWN:.0%})"
            )
        if failed:
            why = f"{failed[0].frame}: {', '.join(failed[0].failures())}"
            return (
                f"refused, {self.engine} does not answer like {self.reference} on "
                f"{len(failed)} of {len(self.results)} frames; {why}"
            )
        street = max(r.abs_rel for r in self.results if not r.hard)
        worst = max(r.largest for r in self.results)
        return (
            f"passed, {self.engine} answers like {self.reference}: abs_rel {street:.2g} at most "
            f"on streets, {worst:.2g} in the worst pixel of all {len(self.results)} frames"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        results = [asdict(result) for result in self.results]
        return {
            "passed": self.passed,
            "verdict": self.verdict,
            "engine": self.engine,
            "reference": self.reference,
            "known": self.known,
            "limits": {"street": asdict(STREET_LIMITS), "hard": asdict(HARD_LIMITS)},
            "repeat_limit": REPEAT_LIMIT,
            "repeats": REPEATS,
            "frames": results,
        }


def check_frames() -> list[Frame]:
    """The packaged street frames and what is hard for a network, always the same."""
    streets = street_frames()
    first = streets[0]
    noise = np.random.default_rng(0).integers(0, 256, first.shape, np.uint8)
    return [
        *(Frame(f"street_{i}", image, hard=False) for i, image in enumerate(streets)),
        Frame("dark", first // 16, hard=True),
        Frame("saturated", np.minimum(first.astype(np.uint16) * 4, 255).astype(np.uint8), True),
        Frame("noise", noise, hard=True),
        Frame("flat", np.full_like(first, 128), hard=True),
    ]


def reference_answers(
    engine: Engine, spec: ModelSpec, frames: Iterable[Frame]
) -> NDArray[np.float32]:
    """What the network should answer: raw output of each frame, [F,H,W]."""
    return _answers(engine, spec, list(frames))


def check(
    engine: Engine,
    spec: ModelSpec,
    frames: Sequence[Frame],
    expected: NDArray[np.float32],
    *,
    reference: str,
) -> CheckReport:
    """Let an engine answer all frames `REPEATS` times and compare.

    Args:
        engine: to be proven.
        spec: of its model.
        frames: from `check_frames`.
        expected: from `reference_answers`, [F,H,W].
        reference: name of what gave them, for people.
    """
    # frame after frame, then all again: a buffer that is not written anew shows
    runs = [_answers(engine, spec, frames, shift) for shift in range(REPEATS)]
    results = [
        _compare(frame, spec, [run[i] for run in runs], expected[i])
        for i, frame in enumerate(frames)
    ]
    streets = expected[[i for i, frame in enumerate(frames) if not frame.hard]]
    depth = to_depth(streets, spec.output)
    known = float(((depth >= spec.min_depth) & (depth <= spec.max_depth)).mean())
    return CheckReport(engine.name, reference, known, tuple(results))


def network_input(
    spec: ModelSpec, image: NDArray[np.uint8]
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """A picture [H,W,3] as a network takes it, batch of one."""
    height, width = image.shape[:2]
    stretch = spec.aspect == "stretch"
    geometry = Geometry.fit((width, height), (spec.width, spec.height), stretch=stretch)
    return to_tensor(geometry.to_network(image), spec.input)


def _answers(
    engine: Engine, spec: ModelSpec, frames: Sequence[Frame], shift: int = 0
) -> NDArray[np.float32]:
    """Raw output [F,H,W], in full batches; each `shift` gives frames other places in a batch."""
    answers = []
    for first in range(0, len(frames), engine.batch):
        inputs = [network_input(spec, frame.image) for frame in frames[first:][: engine.batch]]
        answer = engine.infer(np.roll(np.concatenate(inputs), shift, axis=0))
        answers.append(np.roll(answer.reshape(-1, spec.height, spec.width), -shift, axis=0))
    return np.concatenate(answers)


def _compare(
    frame: Frame,
    spec: ModelSpec,
    answers: Sequence[NDArray[np.float32]],
    expected: NDArray[np.float32],
) -> FrameResult:
    truth = _in_range(expected, spec)
    depths = [_in_range(answer, spec) for answer in answers]
    ratio = depths[0] / truth
    error = np.abs(ratio - 1)
    return FrameResult(
        frame.name,
        frame.hard,
        abs_rel=float(error.mean()),
        largest=float(error.max()),
        scale_drift=abs(float(np.median(ratio)) - 1),
        nonfinite=max(int((~np.isfinite(a)).sum()) for a in answers),
        repeat_difference=max(float(np.abs(d / depths[0] - 1).max()) for d in depths),
    )


def _in_range(answer: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float64]:
    """Depth in metres, clipped to the model's range, beyond which it is dropped as unknown."""
    depth = to_depth(answer, spec.output).astype(np.float64)
    return np.clip(np.nan_to_num(depth, nan=np.inf), max(spec.min_depth, _NEAREST), spec.max_depth)
