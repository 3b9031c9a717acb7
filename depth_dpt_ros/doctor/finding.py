# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """Something that is well, worth knowing, or in the way.

    Attributes:
        level: a `problem` keeps depth from coming, or from being right.
        text: what was found and what it means.
        cure: what to do, one sentence; a problem always has one.
    """

    level: Level
    text: str
    cure: str = ""


def ok(text: str) -> Finding:
    """As it should be."""
    return Finding("ok", text)


def note(text: str, cure: str = "") -> Finding:
    """Worth knowing, and in nobody's way."""
    return Finding("note", text, cure)


def problem(text: str, cure: str) -> Finding:
    """In the way."""
    return Finding("problem", text, cure)


def megabytes(size: float) -> str:
    """A size in bytes for people."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"
