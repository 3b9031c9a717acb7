# SPDX-License-Identifier: Apache-2.0
"""Which source code is running."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TRAINING_CODE = (  # patterns below depth_dpt_core
    "camera.py", "preprocess.py", "metrics.py", "data/augmentation.py", "data/cityscapes.py",
    "data/dataset.py", "data/processed.py", "model/*.py", "training/losses.py",
    "training/optimizer.py", "training/trainer.py", "training/validation.py",
)  # fmt: skip


def source_revision() -> str:
    """Commit of the source tree, `-dirty` where files differ from it; else the release."""
    here = Path(__file__)
    try:
        # an installed copy may lie within somebody else's repository
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return _release()


@functools.cache
def training_code() -> str:
    """Digest of the code that decides what training makes of settings and data."""
    return _digest(*TRAINING_CODE)


@functools.cache
def street_code() -> str:
    """Digest of the code that decides what streets are made of a seed and ranges."""
    return _digest("camera.py", "data/cityscapes.py", "data/synth/**/*.py")


def _digest(*patterns: str) -> str:
    core = Path(__file__).parent
    digest = hashlib.sha256()
    for pattern in patterns:
        for path in sorted(core.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _release() -> str:
    try:
        return version("depth_dpt_ros")
    except PackageNotFoundError:
        return "unknown"
