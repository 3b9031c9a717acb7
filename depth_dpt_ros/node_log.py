# SPDX-License-Identifier: Apache-2.0
"""The node's log for what may happen at every frame."""

from __future__ import annotations

import math
import time
import traceback
from typing import Any

_PERIOD = 5.0  # s between two lines of the same text
_KEPT = 50


class NodeLog:
    """Logs each text at most every few seconds."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._logged: dict[str, float] = {}  # text: when, monotonic s

    def warn(self, text: str) -> None:
        """Log a warning."""
        if self._is_due(text):
            self._logger.warning(text)

    def unexpected(self, text: str) -> None:
        """Log an error with the current traceback."""
        if self._is_due(text):
            self._logger.error(f"{text}\n{traceback.format_exc()}")

    def _is_due(self, text: str) -> bool:
        now = time.monotonic()
        if now - self._logged.get(text, -math.inf) < _PERIOD:
            return False
        if len(self._logged) > _KEPT:
            self._logged.clear()
        self._logged[text] = now
        return True
