# SPDX-License-Identifier: Apache-2.0
"""What TensorRT says: to this project's log, and into the errors that it explains.

Importing this needs TensorRT.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import deque

import tensorrt as trt

_log = logging.getLogger(__name__)


class CollectingLogger(trt.ILogger):
    """TensorRT calls it from threads of its own."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)  # the binding refuses subclasses that leave this out
        self._lock = threading.Lock()
        self._errors: deque[str] = deque(maxlen=3)

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Take over one message; the method's name and arguments are TensorRT's."""
        levels = trt.ILogger.Severity
        if int(severity) <= int(levels.ERROR):
            with self._lock:
                self._errors.append(" ".join(msg.split()))
            _log.error("TensorRT: %s", msg)
        elif int(severity) == int(levels.WARNING):
            _log.warning("TensorRT: %s", msg)
        else:
            _log.debug("TensorRT: %s", msg)

    def take_errors(self) -> str:
        """The last errors since they were last taken, as one line."""
        with self._lock:
            said = "; ".join(self._errors)
            self._errors.clear()
        return said or "TensorRT gives no reason"


@functools.cache
def process_logger() -> CollectingLogger:
    """The one logger: TensorRT keeps the first that it is given for the whole process."""
    return CollectingLogger()
