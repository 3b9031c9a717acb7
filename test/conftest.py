# SPDX-License-Identifier: Apache-2.0
"""Keeps launch_testing's pytest plugin, where there is one, to its own folder."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> object:
    """Collect a test file; that plugin imports each, and one that skips takes its folder along."""
    if module_path.parent.name == "launch":
        return None
    return pytest.Module.from_parent(parent, path=module_path)
