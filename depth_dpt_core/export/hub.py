# SPDX-License-Identifier: Apache-2.0
"""Publish the artifact on the Hugging Face Hub."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError

from depth_dpt_core.artifact import METADATA_KEY, ModelSpec, read
from depth_dpt_core.config import TrainingConfig
from depth_dpt_core.export.model_card import model_card
from depth_dpt_core.files import write_atomically

RECEIPT = "push.json"
_NAMED_DIGITS = 12  # of the content's hash, in the tag
# the first of them: what the client's HTTP library raises by itself (requests, httpx or httpx2)
_FAILURES: tuple[type[Exception], ...] = (
    *HfHubHTTPError.__bases__,
    OSError,
    ValueError,
    RuntimeError,
)


class HubError(RuntimeError):
    """The model is not published; says why and what would be right."""


def push(config: TrainingConfig) -> str:
    """Publish the exported model and its card in one commit, and tag it.

    The tag is named after the ONNX file's content, so that it can be pinned. What the repository
    already holds makes no new commit. Only after success is the receipt `push.json` written
    beside the configuration.

    Returns:
        URL of the commit.

    Raises:
        ArtifactError: the exported file is missing, or no model.
        HubError: it needs another file beside it; no repository or no token is given; the Hub
            cannot be reached or refuses.
    """
    repository = config.export.repository
    if repository.count("/") != 1:
        raise HubError(
            f"export.repository is {repository!r}, must be OWNER/NAME on the Hugging Face Hub"
        )
    model, folder = Path(config.export.file), Path(config.file).parent
    spec = _read_whole(model)
    files = [model]
    if spec.sibling:
        sibling = model.with_name(spec.sibling)
        if not sibling.is_file():
            raise HubError(f"{model} names {sibling.name}, which is not beside it: export again")
        _read_whole(sibling)
        files.append(sibling)
    if get_token() is None:
        raise HubError("no token for the Hugging Face Hub: run `hf auth login` or set HF_TOKEN")

    additions = [CommitOperationAdd(path.name, path) for path in files]
    tag = f"sha256-{additions[0].upload_info.sha256.hex()[:_NAMED_DIGITS]}"
    card = model_card(spec, repository=repository, file=model.name, revision=tag)
    additions.append(CommitOperationAdd("README.md", card.encode()))
    commit = _commit(repository, additions, tag, private=config.export.private)
    receipt = {
        "repository": repository,
        "revision": commit.oid,
        "tag": tag,
        "url": commit.commit_url,
        "files": {item.path_in_repo: item.upload_info.sha256.hex() for item in additions},
    }
    write_atomically(folder / RECEIPT, (json.dumps(receipt, indent=1) + "\n").encode())
    return commit.commit_url


def _read_whole(path: Path) -> ModelSpec:
    """The description of a model file that needs nothing beside it."""
    spec = read(path).spec
    model = onnx.load(path, load_external_data=False)
    if METADATA_KEY not in {entry.key for entry in model.metadata_props}:
        raise HubError(f"{path}: its description is not inside, so this program did not export it")
    if any(tensor.external_data for tensor in model.graph.initializer):
        raise HubError(f"{path}: its weights are in another file; put them inside")
    return spec


def _commit(
    repository: str, additions: list[CommitOperationAdd], tag: str, *, private: bool
) -> CommitInfo:
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        if private and api.model_info(repository).private is False:
            raise HubError(
                f"{repository} is public but export.private is true: "
                "make it private on the Hub, or set export.private to false"
            )
        commit = api.create_commit(repository, additions, commit_message=f"Publish {tag}")
        api.create_tag(repository, tag=tag, revision=commit.oid, exist_ok=True)
    except HubError:
        raise
    except _FAILURES as error:
        reason = _reason(error)
        raise HubError(f"{repository}: not published on {api.endpoint}: {reason}") from error
    return commit


def _reason(error: BaseException) -> str:
    if type(error) is RuntimeError and error.__cause__ is not None:
        error = error.__cause__  # the error itself only says which file
    if not isinstance(error, HfHubHTTPError):
        return " ".join(str(error).split()) or type(error).__name__
    said = " ".join(str(error.server_message or error).split())
    status = error.response.status_code
    hint = "; check the token (HF_TOKEN or `hf auth login`)" if status == 401 else ""
    return f"{status}, {said}{hint}"
