# SPDX-License-Identifier: Apache-2.0
"""Which source code is running."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def source_revision() -> str:
    """Commit of the source tree, `-dirty` where files differ from it; else the release."""
    here = Path(__file__)
    try:
        # an installed copy may lie within somebody else's repository
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return _release()


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _release() -> str:
    try:
        return version("depth_dpt_ros")
    except PackageNotFoundError:
        return "unknown"
