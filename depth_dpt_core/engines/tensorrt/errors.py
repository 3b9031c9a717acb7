# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between a model file and an engine that may be used."""

from __future__ import annotations


class EngineError(RuntimeError):
    """TensorRT gives no usable engine of a model here; says why. Another runtime can take over."""


class BuildCancelledError(RuntimeError):
    """Whoever waited for the engine no longer wants it."""
