# SPDX-License-Identifier: Apache-2.0
"""`depth_node` as its own process, apart from other robots."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from depth_dpt_ros.own_domain import own_domain
from depth_dpt_ros.transport import process_settings

_STOP_TIMEOUT = 15  # s


@contextmanager
def kept_apart() -> Iterator[None]:
    """This process and those it starts have a ROS domain of their own on this machine.

    Raises:
        RuntimeError: all domains are in use.
    """
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if os.environ.get("ROS_DISTRO") == "humble":  # it knows only this one
        os.environ["ROS_LOCALHOST_ONLY"] = "1"
    os.environ.update(process_settings(os.environ))
    with own_domain() as domain:
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        yield


@contextmanager
def running_node(
    parameters: Mapping[str, object], remappings: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the node; what it says goes to `log`."""
    command = [sys.executable, "-m", "depth_dpt_ros.depth_node", "--ros-args"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    for name, topic in remappings.items():
        command += ["-r", f"{name}:={topic}"]
    with log.open("wb") as output:
        node = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C ends the playing first
        )
        try:
            yield node
        finally:
            node.terminate()
            try:
                node.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()
