# SPDX-License-Identifier: Apache-2.0
"""A ROS domain that nobody else on this machine uses."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

# Port numbers of a domain: DDSI-RTPS 2.5, section 9.6.2.3.
_BASE, _GAIN, _FIRST_PARTICIPANT = 7400, 250, 10
_COUNT = 99  # ports of domains over 101 are among those that Linux gives to anyone


@contextmanager
def own_domain() -> Iterator[int]:
    """Hold a domain, 1 to 99, until the context or the process ends, however that comes about.

    The claim is a bound socket: the last UDP port of the domain's range, which no participant
    reaches. A domain in which somebody takes part already is passed over.

    Raises:
        RuntimeError: all are in use.
    """
    for turn in range(_COUNT):
        domain = 1 + (os.getpid() + turn) % _COUNT
        first = _BASE + _GAIN * domain
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as claim:
            if _bind(claim, first + _GAIN - 1) and _is_free(first + _FIRST_PARTICIPANT):
                yield domain
                return
    raise RuntimeError(f"all ROS domains from 1 to {_COUNT} are in use on this machine")


def _bind(it: socket.socket, port: int) -> bool:
    try:
        it.bind(("", port))
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        return _bind(probe, port)
