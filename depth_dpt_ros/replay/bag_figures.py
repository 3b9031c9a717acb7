# SPDX-License-Identifier: Apache-2.0
"""The figures of one bag, and a clear sentence where there are none to be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from depth_dpt_core.metrics import MIN_DEPTH
from depth_dpt_ros.replay.bag import Bag
from depth_dpt_ros.replay.matching import Reading
from depth_dpt_ros.replay.summary import Summary
from depth_dpt_ros.replay.topics import Choice


def bag_figures(
    bag: Bag,
    choice: Choice,
    summary: Summary,
    reading: Reading,
    *,
    max_depth: float,
    tolerance_ns: int,
    reasons: Mapping[str, int],
    damage: str,
    interrupted: bool,
) -> dict[str, Any]:
    """Everything that the JSON file says about a bag, save how long it took.

    Args:
        bag: open.
        choice: what was evaluated.
        summary: of its frames.
        reading: what was met in it.
        max_depth: metres; truth from here on did not count.
        tolerance_ns: largest difference of stamps.
        reasons: why frames were not scored, and how many.
        damage: why the bag could not be read to its end, else empty.
        interrupted: whether reading was told to end early.
    """
    camera, truth = choice.camera, choice.truth
    expected = next(each.count for each in bag.topics if each.name == camera.image_topic)
    content = summary.to_dict()
    content["images"]["total"] += reading.damaged_images
    content["images"]["invalid"] += reading.damaged_images
    read = content["images"]["total"]
    ended = "damaged" if damage else "interrupted" if interrupted and read < expected else "whole"
    if ended == "whole" and read != expected:
        ended = "damaged"
        damage = (
            f"{bag.path} says that it holds {expected} images on {camera.image_topic}, but {read} "
            "can be read"
        )
    problem = damage
    if ended == "whole" and content["metrics"] is None:
        problem = _why_no_metrics(bag, choice, reading, content["images"], reasons, tolerance_ns)
    return {
        "bag": str(bag.path),
        "ended": ended,
        "problem": problem or None,
        "image_topic": camera.image_topic,
        "camera_info_topic": camera.camera_info_topic,
        "truth_topic": None if truth is None else truth.topic,
        "truth_kind": None if truth is None else truth.kind,
        "min_depth": MIN_DEPTH,
        "max_depth": max_depth,
        "tolerance_s": tolerance_ns / 1e9,
        "duration_s": bag.duration_ns / 1e9,
        "image_rate": _rate(reading, read),
        **content,
        "stamps": asdict(reading),
        "notes": [
            *choice.notes,
            *_notes(reading),
            *(f"{count} images: {reason}" for reason, count in reasons.items()),
        ],
    }


def _why_no_metrics(
    bag: Bag,
    choice: Choice,
    reading: Reading,
    images: Mapping[str, int],
    reasons: Mapping[str, int],
    tolerance_ns: int,
) -> str:
    """Say what is wrong; nothing is where images could be used and there is no truth."""
    camera = choice.camera.image_topic
    reason = max(reasons, key=lambda each: reasons[each], default="nothing could be read")
    if not images["evaluated"]:
        return f"{bag.path}: none of the images of {camera} can be used: {reason}"
    if choice.truth is None:
        return ""
    truth = choice.truth.topic
    if not images["matched"]:
        image_span = _span(reading.first_image, reading.last_image)
        truth_span = _span(reading.first_truth, reading.last_truth)
        return (
            f"{bag.path}: no image has truth that can be used: {reason} ({tolerance_ns / 1e9:g} "
            f"s); stamps run {image_span} on {camera} and {truth_span} on {truth}, and should be "
            "of one clock"
        )
    return f"{bag.path}: {truth} gives no valid depth for any image: {reason}"


def _notes(reading: Reading) -> Iterator[str]:
    for count, what in (
        (reading.damaged_images, "images are no messages and count as invalid"),
        (reading.damaged_truths, "messages of truth are none and were passed over"),
        (reading.repeated_stamps, "images have the stamp of the one before: matched to no truth"),
        (reading.backward_images, "image stamps are before that of the image before"),
        (reading.backward_truths, "truth stamps are before that of the truth before"),
    ):
        if count:
            yield f"{count} {what}"


def _rate(reading: Reading, images: int) -> float | None:
    first, last = reading.first_image, reading.last_image
    if first is None or last is None or last <= first or images < 2:
        return None
    return (images - 1) / ((last - first) / 1e9)


def _span(first: int | None, last: int | None) -> str:
    if first is None or last is None:
        return "from none to none"
    return f"from {first / 1e9:.3f} to {last / 1e9:.3f} s"
