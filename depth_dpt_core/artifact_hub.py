# SPDX-License-Identifier: Apache-2.0
"""Models on the Hugging Face Hub: `hf://owner/repo/file@revision`."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from depth_dpt_core.artifact import Artifact, ArtifactError, describes_itself, read

_HUB = re.compile(
    r"hf://(?P<repo>[^/@\s]+/[^/@\s]+)/(?P<file>[^@\s]+?)(?:@(?P<revision>[^@\s]+))?"
)


def from_hub(model: str) -> Artifact:
    """Fetch a model, unless it is in the cache, with what belongs beside it.

    Raises:
        ArtifactError: the address is malformed, or there is no such file to be had.
    """
    match = _HUB.fullmatch(model)
    if match is None:
        raise ArtifactError(f"{model}: write it as hf://owner/repo/file@revision")
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        raise ArtifactError(
            f"{model}: needs the package huggingface_hub: pip install 'depth_dpt_ros[hub]'"
        ) from error
    # the first of them: what the client's HTTP library raises (requests, httpx or httpx2)
    failures: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, OSError, ValueError)
    repo, file, revision = match["repo"], match["file"], match["revision"]
    try:
        path = Path(hf_hub_download(repo, file, revision=revision))
        if not describes_itself(path):
            # without it, `read` says what is missing
            with contextlib.suppress(EntryNotFoundError):
                hf_hub_download(repo, str(Path(file).with_suffix(".yaml")), revision=revision)
        artifact = read(path)
        if artifact.spec.sibling is not None:
            # without it, the runtime that wants it says what is missing
            with contextlib.suppress(EntryNotFoundError, LocalEntryNotFoundError):
                beside = Path(file).with_name(artifact.spec.sibling)
                hf_hub_download(repo, str(beside), revision=revision)
    except ArtifactError:
        raise
    except RepositoryNotFoundError as error:
        raise ArtifactError(f"{model}: no repository {repo}, or no access to it") from error
    except RevisionNotFoundError as error:
        raise ArtifactError(f"{model}: {repo} has no revision {revision!r}") from error
    except LocalEntryNotFoundError as error:
        raise ArtifactError(f"{model}: not in the cache, and the Hub cannot be reached") from error
    except EntryNotFoundError as error:
        raise ArtifactError(f"{model}: {repo} has no file {file!r} there") from error
    except failures as error:
        raise ArtifactError(f"{model}: {' '.join(str(error).split())}") from error
    return artifact
