# SPDX-License-Identifier: Apache-2.0
"""The page of results, made for a handful of tiny streets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dgp_scene import write_scene

pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("embreex", reason="needs embreex: pip install '.[synth]'")

from depth_dpt_core.data.synth.dataset import SynthSettings, generate

REPOSITORY = Path(__file__).resolve().parents[2]


def make(folder: Path, *options: str) -> str:
    command = [sys.executable, str(folder / "results.py"), "--streets", "1", *options]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=env)
    assert done.returncode == 0, done.stderr
    return (folder / "RESULTS.md").read_text()


@pytest.mark.slow
def test_the_page_says_what_was_measured_and_counts_every_look(tmp_path):
    folder = tmp_path / "training"
    folder.mkdir()
    for script in ("results.py", "results_page.py", "runs.py"):
        shutil.copy(REPOSITORY / "training" / script, folder)
    settings = SynthSettings(seed=4, scenes=20, views_per_scene=1, width=96)
    generate(folder / "data" / "synth", settings, workers=2)
    road = [[x, y, -0.6] for x in np.linspace(3, 40, 60) for y in (-2.0, 0.0, 2.0)]
    write_scene(tmp_path / "scene", np.array(road))

    page = make(folder, "--dgp", str(tmp_path / "scene"))
    report = json.loads((folder / "results" / "results.json").read_text())
    assert set(report["synthetic"]) == {"model", "constant per row", "flat ground"}
    assert report["synthetic"]["model"]["images"] == 1
    assert set(report["focal"]) == {"0.5", "0.7", "1.0", "1.4", "2.0"}
    # the made scene is nothing but a level road, seen with pixels of several metres far away
    flat = report["real"]["all"]["flat ground"]
    assert flat["abs_rel"] == pytest.approx(0, abs=0.1)
    assert flat["scale"] == pytest.approx(1, abs=0.05)
    row = report["real"]["all"]["model"]
    assert f"| 1 | all | model | {row['abs_rel']:.3f} |" in page
    for name in ("best", "middle", "worst"):
        assert (folder / "results" / f"{name}.png").stat().st_size > 1000

    again = make(folder)  # no look: the figures on real frames stay as they were
    assert f"| 1 | all | model | {row['abs_rel']:.3f} |" in again
    assert len(json.loads((folder / "results" / "looks.json").read_text())) == 1
    numbers = folder / "results" / "results.json"
    report = json.loads(numbers.read_text())
    report["model"]["sha256"] = "of another model"
    numbers.write_text(json.dumps(report))
    assert "Not measured" in make(folder).partition("## Real frames")[2].partition("##")[0]
