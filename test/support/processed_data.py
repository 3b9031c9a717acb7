# SPDX-License-Identifier: Apache-2.0
"""Making and looking at processed data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from depth_dpt_core.config import DataConfig
from depth_dpt_core.data.preprocessing import PreprocessReport, preprocess

KINDS = ("image", "depth", "camera")


def run(source: Path, out: Path, workers: int = 1, **settings: Any) -> PreprocessReport:
    """Preprocess with these settings of section `data`."""
    config = DataConfig(root=str(source), processed=str(out), **settings)
    return preprocess(config, workers=workers)


def write_config(tmp_path: Path, **data: Any) -> Path:
    """A configuration file for `tmp_path`/in and `tmp_path`/out."""
    path = tmp_path / "params.yaml"
    path.write_text(json.dumps({"data": {"root": "in", "processed": "out", **data}}))
    return path


def tree(out: Path) -> dict[str, bytes]:
    """Content of all files but the lock."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != ".preprocess.lock")
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def times(out: Path) -> dict[str, int]:
    """When each frame's files were written."""
    files = (path for kind in KINDS for path in (out / kind).rglob("*.*"))
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in files}
