# SPDX-License-Identifier: Apache-2.0
"""What concerns all tests: ROS domains, Ctrl-C, their order, and launch_testing's plugin."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from depth_dpt_ros.own_domain import own_domain


@pytest.fixture
def domain() -> Iterator[int]:
    """A ROS domain that nobody else on this machine uses."""
    with own_domain() as domain:
        yield domain


def pytest_configure() -> None:
    """Let Ctrl-C, which tests send, be heeded also where a shell runs them in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> object:
    """Collect a test file; that plugin imports each, and one that skips takes its folder along."""
    if module_path.parent.name == "launch":
        return None
    return pytest.Module.from_parent(parent, path=module_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no process is left alone with them at the end."""
    items.sort(key=lambda item: item.path.parent.name != "training")
