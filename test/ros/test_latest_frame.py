# SPDX-License-Identifier: Apache-2.0
"""The mailbox: whose turn it is."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from depth_dpt_ros.latest_frame import LatestFrames


def mailbox(**due: float) -> LatestFrames[str, int]:
    """Open; frames of the named sources are due at these times, all others at once."""
    frames: LatestFrames[str, int] = LatestFrames(lambda source, _: due.get(source, 0.0))
    frames.open()
    return frames


def test_the_newest_frame_of_each_wins() -> None:
    frames = mailbox()
    assert [frames.put("a", 1), frames.put("b", 2), frames.put("a", 3)] == [False, False, True]
    assert frames.take(1) == [("a", 3)]
    assert frames.take(1) == [("b", 2)]


@pytest.mark.parametrize("most", [1, 2, 3])
def test_whose_last_turn_is_longest_ago_comes_first(most: int) -> None:
    """One source always puts just before the others; all are there at every turn."""
    frames, turns = mailbox(), Counter[str]()
    for _ in range(30):
        for source in "abc":
            frames.put(source, 0)
        taken = frames.take(most)
        assert taken is not None
        assert len({source for source, _ in taken}) == most
        turns.update(source for source, _ in taken)
    assert set(turns.values()) == {10 * most}


def test_a_frame_waits_for_one_turn_of_each_other_at_most() -> None:
    frames = mailbox()
    for _ in range(5):  # at work on a fast one, whose next frame is there before the slow one's
        frames.put("fast", 0)
        assert frames.take(1) == [("fast", 0)]
    frames.put("fast", 1)
    frames.put("slow", 2)
    assert frames.take(1) == [("slow", 2)]


def test_what_is_not_due_holds_nobody_up() -> None:
    soon = time.monotonic() + 0.2
    frames = mailbox(later=soon)
    frames.put("later", 1)
    frames.put("now", 2)
    assert frames.take(2) == [("now", 2)]
    assert frames.take(2) == [("later", 1)]
    assert soon <= time.monotonic() < soon + 5


def test_wake_looks_again_at_what_was_not_due() -> None:
    due = {"a": time.monotonic() + 60}
    frames: LatestFrames[str, int] = LatestFrames(lambda source, _: due[source])
    frames.open()
    frames.put("a", 1)

    def arrive() -> None:
        due["a"] = 0.0
        frames.wake()

    threading.Timer(0.1, arrive).start()
    begun = time.monotonic()
    assert frames.take(1) == [("a", 1)]
    assert time.monotonic() - begun < 5


def test_closing_dismisses_and_drops() -> None:
    frames = mailbox()
    threading.Timer(0.1, frames.close).start()
    assert frames.take(1) is None
    assert not frames.put("a", 1)
    frames.open()
    frames.put("a", 2)
    frames.close()
    frames.open()
    assert not frames.put("a", 3)
    assert frames.take(1) == [("a", 3)]
