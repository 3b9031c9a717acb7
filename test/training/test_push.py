# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt push`, as a user runs it, against a Hub on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shlex
import subprocess
import threading

import cv2
import numpy as np
import pytest

pytest.importorskip("huggingface_hub", reason="needs huggingface_hub: pip install '.[hub]'")
onnx = pytest.importorskip("onnx", reason="needs onnx: pip install '.[train]'")

from hub_server import HubServer  # noqa: E402
from huggingface_hub import ModelCard  # noqa: E402
from tiny_models import (  # noqa: E402
    describe,
    process_environment,
    python,
    write_own,
    write_third_party,
)

from depth_dpt_core.artifact import ModelSpec  # noqa: E402

pytestmark = pytest.mark.slow

NAME = "owner/street-depth"
SPEC = ModelSpec(
    width=48,
    height=32,
    canonical_focal_length=52.5,
    min_depth=0.5,
    max_depth=75.0,
    encoder="vit_base_patch16_224",
    dataset="Cityscapes, fine | coarse",
    training_run="first, epoch 7, run f00d",
    source_revision="abc123",
    metrics={"abs_rel": 0.0875, "rmse": 4.25, "delta_1": 0.92},
)


class Project:
    """A folder as the stages before leave it, and the command."""

    def __init__(self, folder, hub):
        self.folder, self.hub = folder, hub
        self.model = folder / "models" / "car.onnx"
        self.model.parent.mkdir(parents=True)
        self.receipt = folder / "push.json"
        self.export(SPEC)
        self.configure()

    def export(self, spec):
        write_own(self.model, spec)

    def configure(self, **settings):
        export = {"file": "models/car.onnx", "repository": NAME, **settings}
        (self.folder / "params.yaml").write_text(json.dumps({"export": export}))

    def command(self, *arguments, token=None, **environment):
        return {
            "args": python("-m", "depth_dpt_ros.cli", *arguments),
            "env": process_environment(
                # the client leaves a bar open where an upload fails, and writes into the message
                HF_HUB_DISABLE_PROGRESS_BARS="1",
                **self.hub.environment(self.folder / "home", token),
                **environment,
            ),
            "cwd": self.folder,
        }

    def push(self, **environment):
        command = self.command("push", **environment)
        return subprocess.run(**command, capture_output=True, text=True, timeout=120)

    def publish(self):
        done = self.push()
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(self.receipt.read_text())

    def fail(self, **environment):
        """What is said when nothing is published."""
        done = self.push(**environment)
        assert (done.returncode, done.stdout) == (1, "")
        assert not self.receipt.exists()
        (line,) = done.stderr.splitlines()
        assert line.startswith("depth-dpt: ")
        return line

    @property
    def published(self):
        return self.hub.repositories[NAME]


@pytest.fixture
def hub():
    with HubServer() as hub:
        yield hub


@pytest.fixture
def project(tmp_path, hub):
    return Project(tmp_path / "training", hub)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_one_commit_holds_model_and_card(project):
    receipt = project.publish()
    files = project.published.files
    assert files["car.onnx"] == project.model.read_bytes()
    assert set(files) == {".gitattributes", "car.onnx", "README.md"}
    assert project.published.private
    _, commit = project.published.commits  # the first one is the Hub's own
    tag = f"sha256-{sha256(files['car.onnx'])[:12]}"
    assert project.published.tags == {tag: commit.oid}
    assert receipt == {
        "repository": NAME,
        "revision": commit.oid,
        "tag": tag,
        "url": f"{project.hub.url}/{NAME}/commit/{commit.oid}",
        "files": {name: sha256(files[name]) for name in ("car.onnx", "README.md")},
    }


def test_card_says_what_the_model_is(project):
    project.publish()
    card = ModelCard(project.published.files["README.md"].decode())
    about = card.data.to_dict()
    assert (about["license"], about["pipeline_tag"]) == ("apache-2.0", "depth-estimation")
    results = card.data.eval_results
    assert {item.metric_type: item.metric_value for item in results} == SPEC.metrics
    assert {(item.dataset_name, item.dataset_split) for item in results} == {
        (SPEC.dataset, "test")
    }
    for fact in ("48x32", "52.5 pixels", "0.5 to 75 m", SPEC.encoder, SPEC.dataset, "abc123"):
        assert fact in card.text
    assert f"Training run: {SPEC.training_run}" in card.text


def test_published_model_answers_as_its_card_says(project):
    rng = np.random.default_rng(0)
    street = rng.integers(0, 256, (64, 96, 3), np.uint8)
    cv2.imwrite(str(project.folder / "street.jpg"), street)
    project.publish()
    card = project.published.files["README.md"].decode()
    (line,) = re.findall(r"^depth-dpt (predict .*)$", card, re.MULTILINE)
    local = ["--model", str(project.model), "--out", "local"]
    for arguments in (shlex.split(line), [*shlex.split(line), *local]):
        subprocess.run(**project.command(*arguments), check=True)
    there, here = (sorted((project.folder / name).iterdir()) for name in ("depth", "local"))
    assert [path.name for path in there] == [path.name for path in here]
    assert any(path.suffix == ".npy" for path in there)
    assert [path.read_bytes() for path in there] == [path.read_bytes() for path in here]
    assert f"model:=hf://{NAME}/car.onnx@{project.publish()['tag']}" in card


def test_again_commits_only_what_changed_and_a_tag_keeps_its_model(project):
    first = project.publish()
    content = project.model.read_bytes()
    assert project.publish() == first
    assert len(project.published.commits) == 2

    project.export(dataclasses.replace(SPEC, metrics={"abs_rel": 0.07}))
    second = project.publish()
    assert len(project.published.commits) == 3
    assert project.published.files["car.onnx"] == project.model.read_bytes() != content
    assert second["tag"] != first["tag"]
    assert project.published.tags[first["tag"]] == first["revision"]
    assert project.published.at(first["tag"]).files["car.onnx"] == content


def test_other_precision_goes_along(project):
    project.export(dataclasses.replace(SPEC, sibling="car.fp16.onnx"))
    other = project.model.with_name("car.fp16.onnx")
    write_own(other, dataclasses.replace(SPEC, precision="fp16"))
    project.publish()
    assert project.published.files["car.fp16.onnx"] == other.read_bytes()
    other.write_bytes(b"half")
    project.receipt.unlink()
    assert "car.fp16.onnx: not a model" in project.fail()
    other.unlink()
    assert "names car.fp16.onnx, which is not beside it" in project.fail()


def test_model_that_was_never_scored_is_published_without_numbers(project):
    project.export(dataclasses.replace(SPEC, metrics={}, canonical_focal_length=None))
    project.publish()
    card = ModelCard(project.published.files["README.md"].decode())
    assert card.data.eval_results is None
    assert "not been scored" in card.text


def make_missing(model):
    model.unlink()


def make_foreign(model):
    model.write_bytes(b"<html>")


def make_weightless(model):
    graph = onnx.load(model)
    onnx.save(graph, model, save_as_external_data=True, location="car.bin", size_threshold=0)


def make_described_beside(model):
    write_third_party(model, size=(8, 4), weights=(1, 1, 1), bias=0)
    describe(model, width=8, height=4)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_missing, "car.onnx: no such model file"),
        (make_foreign, "car.onnx: not a model that ONNX Runtime can load"),
        (make_weightless, "car.onnx: its weights are in another file"),
        (make_described_beside, "car.onnx: its description is not inside"),
    ],
)
def test_file_that_is_no_whole_artifact_is_refused_unasked(project, make, reason):
    make(project.model)
    assert reason in project.fail()
    assert project.hub.requests == []


@pytest.mark.parametrize("repository", ["", "street-depth", "owner/street/depth"])
def test_repository_must_be_named(project, repository):
    project.configure(repository=repository)
    assert "export.repository" in project.fail()
    assert project.hub.requests == []


def test_no_token_or_a_wrong_one_is_told(project):
    assert "no token" in project.fail(token="")
    assert project.hub.requests == []
    assert "401" in (line := project.fail(token="hf_wrong"))
    assert "hf auth login" in line
    assert project.hub.repositories == {}


def test_token_of_a_login_is_found(project):
    home = project.folder / "home"
    home.mkdir()
    (home / "token").write_text(project.hub.token)
    assert project.push(token="").returncode == 0


def test_repository_of_somebody_else_is_refused(project):
    project.configure(repository="other/street-depth")
    assert "403, You don't have the rights" in project.fail()


def test_private_model_does_not_go_to_a_public_repository(project):
    before = project.hub.add(NAME, {})
    assert f"{NAME} is public but export.private is true" in project.fail()
    assert len(before.commits) == 1
    project.configure(private=False)
    project.publish()


def test_hub_out_of_reach_is_told(project):
    assert "offline mode is enabled" in project.fail(HF_HUB_OFFLINE="1")
    project.hub.stop()
    assert f"{NAME}: not published on {project.hub.url}: " in project.fail()


QUOTA = (403, "Private repository storage limit reached, please upgrade your plan")


@pytest.mark.parametrize(
    ("step", "refusal"),
    [
        ("/objects/batch", QUOTA),
        ("PUT /storage/", QUOTA),
        ("/commit/", QUOTA),
        ("/commit/", None),
        ("/tag/", (500, "Internal Error")),
    ],
)
def test_upload_that_breaks_off_is_told_and_goes_on_next_time(project, step, refusal):
    def intercept(request):
        if step not in request:
            return None
        if refusal is None:
            raise ConnectionError  # hangs up
        return refusal

    project.hub.intercept = intercept
    line = project.fail()
    assert f"{NAME}: not published on {project.hub.url}: " in line
    assert ("disconnected" if refusal is None else "{}, {}".format(*refusal)) in line
    project.hub.intercept = lambda request: None
    tag = project.publish()["tag"]
    assert len(project.published.commits) == 2
    assert project.published.at(tag).files["car.onnx"] == project.model.read_bytes()


def test_kill_amid_the_upload_leaves_nothing_half(project):
    uploading, go_on = threading.Event(), threading.Event()

    def intercept(request):
        if request.startswith("PUT"):
            uploading.set()
            go_on.wait(60)

    project.hub.intercept = intercept
    process = subprocess.Popen(**project.command("push"), stderr=subprocess.DEVNULL)
    assert uploading.wait(60)
    process.kill()
    process.wait()
    go_on.set()
    assert not project.receipt.exists()
    assert len(project.published.commits) == 1
    project.publish()
    assert len(project.published.commits) == 2
