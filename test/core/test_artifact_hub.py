# SPDX-License-Identifier: Apache-2.0
"""`hf://` against a Hub on this machine."""

import json
import subprocess
from pathlib import Path

import pytest
from hub_server import HubServer
from tiny_models import describe, process_environment, python, write_own, write_third_party

from depth_dpt_core.artifact import ModelSpec, read

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.slow

SPEC = ModelSpec(width=8, height=4, encoder="from the hub")
# one process resolves all models it is given: the Hub's settings are read at import
PAIR = ModelSpec(width=8, height=4, sibling="pair.fp16.onnx")
HALF = ModelSpec(width=8, height=4, precision="fp16", sibling="pair.onnx")
LONE = ModelSpec(width=8, height=4, sibling="../own.onnx")
SCRIPT = """
import json, sys
from depth_dpt_core.artifact import ArtifactError, resolve
for model in sys.argv[1:]:
    try:
        artifact = resolve(model)
        print(json.dumps({"path": str(artifact.path), "spec": artifact.spec.to_json()}))
    except ArtifactError as error:
        print(json.dumps({"error": str(error)}))
"""


@pytest.fixture
def hub(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    own = write_own(made / "own.onnx", SPEC)
    third = write_third_party(made / "third.onnx", size=(8, 4), weights=(1, 1, 1), bias=0)
    beside = describe(third, width=8, height=4, encoder="described beside")
    with HubServer() as hub:
        hub.add("owner/repo", {
            "own.onnx": own.read_bytes(),
            "onnx/third.onnx": third.read_bytes(),
            "onnx/third.yaml": beside.read_bytes(),
            "pair/pair.onnx": write_own(made / "pair.onnx", PAIR).read_bytes(),
            "pair/pair.fp16.onnx": write_own(made / "pair.fp16.onnx", HALF).read_bytes(),
            "lone.onnx": write_own(made / "lone.onnx", LONE).read_bytes(),
            "bare.onnx": third.read_bytes(),
            "README.onnx": b"Not a model.",
        })  # fmt: skip
        yield hub


@pytest.fixture
def resolve_all(hub, tmp_path):
    def resolve_all(*models, **environment):
        done = subprocess.run(
            python("-c", SCRIPT, *models),
            env=process_environment(**hub.environment(tmp_path / "hf"), **environment),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return [json.loads(line) for line in done.stdout.splitlines()]

    return resolve_all


def test_downloads_once_and_then_needs_no_hub(hub, resolve_all):
    models = [
        "hf://owner/repo/own.onnx",
        f"hf://owner/repo/own.onnx@{hub.repositories['owner/repo'].commits[0].oid}",
        "hf://owner/repo/onnx/third.onnx@main",
    ]
    online = resolve_all(*models)
    assert [json.loads(found["spec"])["encoder"] for found in online] == [
        "from the hub", "from the hub", "described beside",
    ]  # fmt: skip
    assert ModelSpec.from_dict(json.loads(online[0]["spec"]), "") == SPEC
    assert sum(request == "GET /owner/repo/resolve/main/own.onnx" for request in hub.requests) == 1

    hub.stop()
    assert resolve_all(*models) == online
    assert resolve_all(*models, HF_HUB_OFFLINE="1") == online
    (missing,) = resolve_all("hf://owner/repo/bare.onnx", HF_HUB_OFFLINE="1")
    assert missing["error"].endswith("not in the cache, and the Hub cannot be reached")


def test_the_other_precision_comes_along(resolve_all):
    found, astray = resolve_all("hf://owner/repo/pair/pair.onnx", "hf://owner/repo/lone.onnx")
    path = Path(found["path"])
    assert read(path.with_name("pair.fp16.onnx")).spec == HALF
    assert "../own.onnx" in astray["error"]


def test_what_the_hub_does_not_have_is_one_clear_line(resolve_all):
    wanted = {
        "hf://owner/repo/own.onnx@v9": "owner/repo has no revision 'v9'",
        "hf://owner/repo/absent.onnx@main": "owner/repo has no file 'absent.onnx' there",
        "hf://owner/other/own.onnx": "no repository owner/other, or no access to it",
    }
    for (model, reason), answer in zip(wanted.items(), resolve_all(*wanted), strict=True):
        assert answer == {"error": f"{model}: {reason}"}


def test_files_from_the_hub_are_checked_like_others(resolve_all):
    no_model, no_description = resolve_all(
        "hf://owner/repo/README.onnx", "hf://owner/repo/bare.onnx"
    )
    assert "README.onnx: not a model that ONNX Runtime can load" in no_model["error"]
    assert "bare.yaml is not beside it" in no_description["error"]
    assert "\n" not in no_model["error"] + no_description["error"]
