# SPDX-License-Identifier: Apache-2.0
"""`hf://` against a real HTTP server that speaks the Hub's resolve protocol."""

import hashlib
import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest
from tiny_models import describe, process_environment, python, write_own, write_third_party

from depth_dpt_core.artifact import ModelSpec

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.slow

COMMIT = "1234567890abcdef1234567890abcdef12345678"
SPEC = ModelSpec(width=8, height=4, encoder="from the hub")
# one process resolves all models it is given: the Hub's settings are read at import
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


class _Hub(ThreadingHTTPServer):
    """A Hub with one repository, owner/repo, whose branch `main` is at COMMIT."""

    daemon_threads = True

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files = files
        self.requests = []


class _Answer(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        owner, repository, kind, revision, file = (path.lstrip("/") + "////").split("/", 4)
        if (owner, repository, kind) != ("owner", "repo", "resolve"):
            self.refuse("RepoNotFound", 404)
        elif revision not in ("main", COMMIT):
            self.refuse("RevisionNotFound", 404)
        elif file.rstrip("/") not in self.server.files:
            self.refuse("EntryNotFound", 404)
        else:
            content = self.server.files[file.rstrip("/")]
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            if body:
                self.wfile.write(content)

    def refuse(self, code, status):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    own = write_own(made / "own.onnx", SPEC)
    third = write_third_party(made / "third.onnx", size=(8, 4), weights=(1, 1, 1), bias=0)
    beside = describe(third, width=8, height=4, encoder="described beside")
    server = _Hub({
        "own.onnx": own.read_bytes(),
        "onnx/third.onnx": third.read_bytes(),
        "onnx/third.yaml": beside.read_bytes(),
        "bare.onnx": third.read_bytes(),
        "README.onnx": b"Not a model.",
    })  # fmt: skip
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    if thread.is_alive():
        server.shutdown()
        thread.join()
    server.server_close()


@pytest.fixture
def resolve_all(hub, tmp_path):
    def resolve_all(*models, **environment):
        done = subprocess.run(
            python("-c", SCRIPT, *models),
            env=process_environment(
                HF_ENDPOINT=f"http://127.0.0.1:{hub.server_port}",
                HF_HOME=str(tmp_path / "hf"),
                HF_HUB_CACHE=str(tmp_path / "hf" / "hub"),
                HF_HUB_DISABLE_TELEMETRY="1",
                NO_PROXY="127.0.0.1",
                no_proxy="127.0.0.1",
                **environment,
            ),
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
        f"hf://owner/repo/own.onnx@{COMMIT}",
        "hf://owner/repo/onnx/third.onnx@main",
    ]
    online = resolve_all(*models)
    assert [json.loads(found["spec"])["encoder"] for found in online] == [
        "from the hub", "from the hub", "described beside",
    ]  # fmt: skip
    assert ModelSpec.from_dict(json.loads(online[0]["spec"]), "") == SPEC
    assert sum(request == "GET /owner/repo/resolve/main/own.onnx" for request in hub.requests) == 1

    hub.shutdown()
    hub.server_close()
    assert resolve_all(*models) == online
    assert resolve_all(*models, HF_HUB_OFFLINE="1") == online
    (missing,) = resolve_all("hf://owner/repo/bare.onnx", HF_HUB_OFFLINE="1")
    assert missing["error"].endswith("not in the cache, and the Hub cannot be reached")


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
