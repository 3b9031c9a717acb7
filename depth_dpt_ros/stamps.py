# SPDX-License-Identifier: Apache-2.0
"""Header stamps in nanoseconds, of messages and of their serialized form."""

from __future__ import annotations

import struct
from typing import Any


def stamp_ns(message: Any) -> int:
    """Header stamp of a ROS or rosbags message."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def serialized_stamp_ns(raw: bytes) -> int:
    """Header stamp of a CDR message that begins with a std_msgs/Header.

    The encapsulation's second byte tells the byte order (OMG DDSI-RTPS 10.2: CDR_LE is 1).
    """
    order = "<" if raw[1] & 1 else ">"
    sec, nanosec = struct.unpack_from(f"{order}iI", raw, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)
