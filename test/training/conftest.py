# SPDX-License-Identifier: Apache-2.0
"""What several tests of training need; each imports what it needs, and skips without."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def roads(tmp_path_factory) -> Path:
    """A processed data set of 9 and 3 frames."""
    import processed_data
    from street_data import write_roads

    root = tmp_path_factory.mktemp("roads")
    write_roads(root / "raw", {"train": 9, "val": 3})
    processed_data.run(root / "raw", root / "processed")
    return root / "processed"


@pytest.fixture
def one_thread():
    """Sums in another order differ in their last bits; and forget the last Accelerator."""
    import torch
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
