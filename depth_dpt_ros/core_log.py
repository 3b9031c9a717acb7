# SPDX-License-Identifier: Apache-2.0
"""What the core says, in ROS's log."""

from __future__ import annotations

import logging
from typing import Any

_CORE = "depth_dpt_core"


class CoreLog(logging.Handler):
    """Hands messages of Python's logging on to a ROS logger."""

    def __init__(self, logger: Any) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Hand on one message; rclpy wants one line of code per severity."""
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)


def join_core_log(logger: Any) -> None:
    """Let the core speak through a ROS logger, whose own level decides what is heard."""
    core = logging.getLogger(_CORE)
    core.addHandler(CoreLog(logger))
    core.setLevel(logging.DEBUG)
