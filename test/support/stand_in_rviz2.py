# SPDX-License-Identifier: Apache-2.0
"""An `rviz2` that keeps what it was started with."""

from __future__ import annotations

from pathlib import Path


def write_rviz2(folder: Path) -> Path:
    """Put it into a folder, for PATH; returns where its configuration will be.

    Its arguments are beside it, one a line, with the suffix .txt.
    """
    shown = folder / "shown.rviz"
    program = folder / "rviz2"
    lines = (
        "#!/bin/sh",
        f'printf "%s\\n" "$@" > {shown}.txt',
        f'cp "$2" {shown}.new && mv {shown}.new {shown}',
    )
    program.write_text("\n".join(lines) + "\n")
    program.chmod(0o755)
    return shown
