# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face Hub on this machine: what its own client asks for, over real HTTP.

Repositories, commits, tags, uploads as Git LFS and downloads, with the Hub's answers and errors.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_REPOSITORY = r"(?P<repository>[^/]+/[^/]+)"
_ATTRIBUTES = {".gitattributes": b"*.onnx filter=lfs diff=lfs merge=lfs -text\n"}


@dataclass(frozen=True)
class Commit:
    oid: str
    message: str
    files: dict[str, bytes]


@dataclass
class Repository:
    private: bool
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        """Content of the branch `main`."""
        return self.commits[-1].files

    def commit(self, message: str, changes: dict[str, bytes]) -> Commit:
        files = {**(self.files if self.commits else _ATTRIBUTES), **changes}
        seed = f"{len(self.commits)} {message} {sorted(files)}"
        self.commits.append(Commit(hashlib.sha1(seed.encode()).hexdigest(), message, files))
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        """The commit of a branch, tag or oid."""
        if revision == "main":
            return self.commits[-1]
        oid = self.tags.get(revision, revision)
        return next((commit for commit in self.commits if commit.oid == oid), None)


class HubServer(ThreadingHTTPServer):
    """Listens while its `with` block runs.

    Attributes:
        token: what may write to `owner`'s repositories and read private ones.
        repositories: by OWNER/NAME.
        objects: content uploaded as Git LFS, by SHA-256.
        requests: "METHOD /path" of everything asked.
        intercept: called with "METHOD /path" before the answer; may return an HTTP status and an
            error message to refuse with, or raise ConnectionError to hang up.
        slow: while set, downloads stop halfway; `stuck` is set once one did.
    """

    daemon_threads = True

    def __init__(self, token: str = "hf_right", owner: str = "owner") -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.token, self.owner = token, owner
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.slow, self.stuck = threading.Event(), threading.Event()
        self.intercept: Callable[[str], tuple[int, str] | None] = lambda request: None
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Be out of reach from now on."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
            self.server_close()

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False) -> Repository:
        """Make a repository with one commit."""
        repository = self.repositories[name] = Repository(private)
        repository.commit("initial commit", files)
        return repository

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """What the client needs to come here, and to keep nothing outside `home`."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.token if token is None else token,
            "HUGGING_FACE_HUB_TOKEN": "",
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }


class _RefusalError(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class _Answer(BaseHTTPRequestHandler):
    server: HubServer

    def respond(self):
        path = unquote(urlsplit(self.path).path)
        request = f"{self.command} {path}"
        self.server.requests.append(request)
        try:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if refusal := self.server.intercept(request):
                raise _RefusalError(*refusal)
            for pattern, answer in _ROUTES.items():
                if match := re.fullmatch(pattern, request):
                    answer(self, body, **match.groupdict())
                    return
            raise _RefusalError(404, f"no such page: {request}")
        except _RefusalError as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": str(refusal)}
            self.send_json({"error": str(refusal)}, refusal.status, headers)
        except ConnectionError:
            self.close_connection = True

    do_HEAD = do_GET = do_POST = do_PUT = respond  # noqa: N815

    def create(self, body):
        self.check_token()
        wanted = json.loads(body)
        name = f"{wanted['organization'] or self.server.owner}/{wanted['name']}"
        if not name.startswith(f"{self.server.owner}/"):
            raise _RefusalError(403, f"You don't have the rights to create a model under {name!r}")
        url = {"url": f"{self.server.url}/{name}"}
        if name in self.server.repositories:
            self.send_json({"error": "You already created this model repo", **url}, 409)
            return
        private = wanted.get("visibility") == "private" or wanted.get("private", False)
        self.server.add(name, {}, private=private)
        self.send_json(url)

    def describe(self, body, repository, revision=None):
        commit = self.commit_at(repository, revision or "main")
        self.send_json({
            "id": repository,
            "sha": commit.oid,
            "private": self.server.repositories[repository].private,
        })  # fmt: skip

    def validate(self, body):
        self.send_json({"errors": [], "warnings": []})

    def plan(self, body, repository):
        there = self.writable(repository).files
        self.send_json({
            "files": [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if _is_large(file["path"]) else "regular",
                    "shouldIgnore": False,
                    "oid": _oid(file["path"], there),
                }
                for file in json.loads(body)["files"]
            ]
        })  # fmt: skip

    def batch(self, body, repository):
        self.writable(repository)
        objects = json.loads(body)["objects"]
        for item in objects:
            if item["oid"] not in self.server.objects:
                upload = {"href": f"{self.server.url}/storage/{item['oid']}"}
                item["actions"] = {"upload": upload}
        self.send_json({"transfer": "basic", "objects": objects})

    def store(self, body, oid):
        if hashlib.sha256(body).hexdigest() != oid:
            raise _RefusalError(400, "the content is not what was announced")
        self.server.objects[oid] = body
        self.send_json({})

    def commit(self, body, repository):
        target = self.writable(repository)
        header, *entries = map(json.loads, body.splitlines())
        changes = {}
        for entry in entries:
            value = entry["value"]
            if entry["key"] == "lfsFile":
                if value["oid"] not in self.server.objects:
                    raise _RefusalError(400, f"{value['path']}: its content was not uploaded")
                changes[value["path"]] = self.server.objects[value["oid"]]
            else:
                changes[value["path"]] = base64.b64decode(value["content"])
        oid = target.commit(header["value"]["summary"], changes).oid
        url = f"{self.server.url}/{repository}/commit/{oid}"
        self.send_json({"success": True, "commitOid": oid, "commitUrl": url})

    def tag(self, body, repository, revision):
        tags = self.writable(repository).tags
        name = json.loads(body)["tag"]
        if name in tags:
            raise _RefusalError(409, f"Tag {name!r} already exists")
        tags[name] = self.commit_at(repository, revision).oid
        self.send_json({})

    def download(self, body, repository, revision, file):
        commit = self.commit_at(repository, revision)
        if file not in commit.files:
            raise _RefusalError(404, "Entry not found", "EntryNotFound")
        content = commit.files[file]
        self.send(content, {
            "X-Repo-Commit": commit.oid,
            "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
            "Accept-Ranges": "bytes",
        })  # fmt: skip

    def send_half(self, body):
        """And nothing more until the client has gone or the server is not slow any more."""
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        self.server.stuck.set()
        while self.server.slow.is_set():
            time.sleep(0.05)
        raise ConnectionError

    def check_token(self):
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            raise _RefusalError(401, "Invalid credentials in Authorization header")

    def writable(self, name):
        self.check_token()
        if name not in self.server.repositories:
            raise _RefusalError(404, "Repository not found", "RepoNotFound")
        if not name.startswith(f"{self.server.owner}/"):
            raise _RefusalError(403, f"You are not allowed to write to {name}")
        return self.server.repositories[name]

    def commit_at(self, name, revision):
        if name not in self.server.repositories:
            raise _RefusalError(404, "Repository not found", "RepoNotFound")
        repository = self.server.repositories[name]
        if repository.private:
            self.check_token()
        commit = repository.at(revision)
        if commit is None:
            raise _RefusalError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def send_json(self, content, status=200, headers=None):
        self.send(json.dumps(content).encode(), headers or {}, status)

    def send(self, body, headers, status=200):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            if self.server.slow.is_set() and "X-Repo-Commit" in headers:
                self.send_half(body)
            self.wfile.write(body)

    def log_message(self, *_):
        pass


_ROUTES = {
    "POST /api/repos/create": _Answer.create,
    "POST /api/validate-yaml": _Answer.validate,
    f"GET /api/models/{_REPOSITORY}(/revision/(?P<revision>.+))?": _Answer.describe,
    f"POST /api/models/{_REPOSITORY}/preupload/main": _Answer.plan,
    f"POST /{_REPOSITORY}\\.git/info/lfs/objects/batch": _Answer.batch,
    "PUT /storage/(?P<oid>.+)": _Answer.store,
    f"POST /api/models/{_REPOSITORY}/commit/main": _Answer.commit,
    f"POST /api/models/{_REPOSITORY}/tag/(?P<revision>.+)": _Answer.tag,
    f"(GET|HEAD) /{_REPOSITORY}/resolve/(?P<revision>[^/]+)/(?P<file>.+)": _Answer.download,
}


def _is_large(path: str) -> bool:
    return path.endswith(".onnx")  # as .gitattributes says


def _oid(path: str, files: dict[str, bytes]) -> str | None:
    """A file's identity on the Hub: SHA-256 as Git LFS, else Git's own."""
    content = files.get(path)
    if content is None:
        return None
    if _is_large(path):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
