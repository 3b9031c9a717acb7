# SPDX-License-Identifier: Apache-2.0
"""The recipe as a stranger runs it: `dvc repro` from raw frames to a published model."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
pytest.importorskip("dvc", reason="needs dvc: pip install '.[train]'")
pytest.importorskip("embreex", reason="needs embreex: pip install '.[train]'")

from hub_server import HubServer

from depth_dpt_core import revision
from depth_dpt_core.config import load_config

REPOSITORY = Path(__file__).resolve().parents[2]
CORE = "depth_dpt_core"
ENTRIES = {
    "preprocess": ["data.preprocessing"],
    "train": ["training.trainer"],
    "evaluate": ["evaluation.candidate", "evaluation.report"],
    "promote": ["training.promotion"],
    "export": ["export.onnx"],
    "push": ["export.hub"],
}
STAGES = list(ENTRIES)
# imported by stages, and changing no result of theirs
BYSTANDERS = {
    "colorize", "config", "data.workers", "files", "locking", "revision", "interruption",
    "ready_descriptions", "training.pictures", "training.run_state", "training.tracking",
}  # fmt: skip


class Pipeline:
    """A copy of the recipe with a few small rendered frames."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.training = folder / "training"
        self.environment = {
            **os.environ,
            **environment,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
        }
        self.training.mkdir()
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(REPOSITORY / "training" / name, self.training)
        shutil.copytree(
            REPOSITORY / "depth_dpt_core",
            folder / "depth_dpt_core",
            ignore=shutil.ignore_patterns("__pycache__", "models"),
        )
        self.run("dvc", "init", "--no-scm", "-q", cwd=folder)
        shutil.copy(REPOSITORY / ".dvcignore", folder)
        synth = "depth-dpt synth --out data/cityscapes --scenes 20 --views 1 --width 128"
        self.run(*synth.split())
        self.set(
            labels={"canonical_focal_length": 75.0},
            model={"encoder": "regnetx_002", "height": 64, "width": 128, "features": 16},
            optimization={"epochs": 2, "batch_size": 4, "encoder_lr": 1e-3, "decoder_lr": 1e-3,
                          "warmup_steps": 1, "pretrained": False, "workers": 0},
            export={"repository": "owner/street-depth"},
        )  # fmt: skip

    def set(self, **sections: dict[str, object]) -> None:
        path = self.training / "params.yaml"
        content = yaml.safe_load(path.read_text())
        for name, values in sections.items():
            content[name].update(values)
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    def run(self, *command: str, cwd: Path | None = None, **environment: str):
        return subprocess.run(
            [sys.executable, "-m", *command] if command[0] == "dvc" else command,
            cwd=cwd or self.training,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def repro(self, *targets: str, **environment: str) -> list[str]:
        """Run it, and return the stages that ran."""
        done = self.run("dvc", "repro", *targets, **environment)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return re.findall(r"Running stage '(\w+)'", done.stdout)

    def file(self, name: str) -> bytes:
        return (self.training / name).read_bytes()


@pytest.mark.slow
def test_the_recipe_from_frames_to_a_published_model(tmp_path):
    with HubServer() as hub:
        folder = tmp_path / "a folder"  # with a space
        folder.mkdir()
        pipeline = Pipeline(folder, hub.environment(tmp_path / "home"))
        assert pipeline.repro("export") == STAGES[:-1]
        assert json.loads(pipeline.file("metrics.json"))["test"]["abs_rel"] > 0
        assert json.loads(pipeline.file("promotion.json"))["promoted"] is True

        refused = pipeline.run("dvc", "repro", HF_TOKEN="")
        assert refused.returncode != 0
        said = [line for line in refused.stderr.splitlines() if line.startswith("depth-dpt:")]
        assert len(said) == 1
        assert "no token" in said[0]
        assert not (pipeline.training / "push.json").exists()
        assert hub.repositories == {}

        assert pipeline.repro() == ["push"]
        published = hub.repositories["owner/street-depth"].files
        assert published["depth_dpt.onnx"] == pipeline.file("models/depth_dpt.onnx")

        assert pipeline.repro() == []

        pipeline.set(export={"batch": 2})
        assert pipeline.repro() == ["export", "push"]

        champion = pipeline.file("models/champion.safetensors")
        pipeline.set(loss={"far_weight": 1000.0})  # everything is sky
        assert pipeline.repro() == ["train", "evaluate", "promote"]  # the champion stays
        decision = json.loads(pipeline.file("promotion.json"))
        assert decision["promoted"] is False
        assert decision["candidate"] > decision["champion"]
        assert pipeline.file("models/champion.safetensors") == champion

        pipeline.set(data={"max_depth": 60.0})
        assert pipeline.repro() == STAGES
        record = json.loads(pipeline.file("data/processed/dataset.json"))
        assert record["settings"]["max_depth"] == 60.0


def test_every_setting_that_decides_the_weights_is_a_parameter_of_train():
    declared = yaml.safe_load((REPOSITORY / "training/dvc.yaml").read_text())
    parameters = declared["stages"]["train"]["params"]
    recipe = load_config(REPOSITORY / "training/params.yaml").recipe()
    of_preprocess = {"width", "baseline", "focal_length"}  # they reach training as data
    for section, values in recipe.items():
        missing = {name for name in values if f"{section}.{name}" not in parameters}
        assert section in parameters or missing <= of_preprocess, section


def test_the_code_that_dvc_watches_for_train_is_that_which_begins_a_new_run():
    declared = yaml.safe_load((REPOSITORY / "training/dvc.yaml").read_text())["stages"]["train"]
    named = [name.removeprefix("../depth_dpt_core/") for name in declared["deps"][1:]]
    assert sorted(revision.TRAINING_CODE) == sorted(
        name if name.endswith(".py") else f"{name}/*.py" for name in named
    )


def module_file(module: str) -> Path:
    path = REPOSITORY / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(module: str, found: set[str]) -> set[str]:
    """The module and all of this package that it imports, directly or not."""
    if module in found or not module_file(module).exists():
        return found
    found.add(module)
    for node in ast.walk(ast.parse(module_file(module).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(CORE):
            for name in ("", *(f".{alias.name}" for alias in node.names)):
                imported(f"{node.module}{name}", found)
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_all_code_that_decides_a_stage_is_a_dependency_of_it(stage):
    declared = yaml.safe_load((REPOSITORY / "training/dvc.yaml").read_text())["stages"][stage]
    code = [REPOSITORY / "training" / name for name in declared["deps"] if name.startswith("..")]
    code = [path.resolve() for path in code]
    assert all(path.exists() for path in code)
    modules: set[str] = set()
    for entry in ENTRIES[stage]:
        imported(f"{CORE}.{entry}", modules)
    allowed = {f"{CORE}.{name}" for name in BYSTANDERS} | {CORE}
    if stage == "train":
        # what exports say of themselves
        allowed |= {f"{CORE}.artifact", f"{CORE}.artifact_hub"}
    undeclared = {
        module
        for module in modules - allowed
        if module_file(module).name != "__init__.py"
        and not any(module_file(module).is_relative_to(path) for path in code)
    }
    assert undeclared == set()
