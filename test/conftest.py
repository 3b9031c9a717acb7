# SPDX-License-Identifier: Apache-2.0
"""What concerns all tests: the order of their files, and launch_testing's pytest plugin."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> object:
    """Collect a test file; that plugin imports each, and one that skips takes its folder along."""
    if module_path.parent.name == "launch":
        return None
    return pytest.Module.from_parent(parent, path=module_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no process is left alone with them at the end."""
    items.sort(key=lambda item: item.path.parent.name != "training")
