# SPDX-License-Identifier: Apache-2.0
"""The ROS that this shell has."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from depth_dpt_ros.doctor.finding import Finding, note, ok, problem
from depth_dpt_ros.doctor.software import Answer, Software

_VARIABLES = (
    "ROS_DISTRO",
    "RMW_IMPLEMENTATION",
    "ROS_DOMAIN_ID",
    "ROS_LOCALHOST_ONLY",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "ROS_STATIC_PEERS",
    "ROS_DISCOVERY_SERVER",
)
_SUPPORTED = ("humble", "iron", "jazzy", "kilted")
_MESSAGES = ("sensor_msgs.msg", "lifecycle_msgs.srv", "diagnostic_msgs.msg")
_MAX_DOMAIN = 232  # ports of higher ones do not exist
_EPHEMERAL_DOMAIN = 101  # above it, Linux may have given the ports to somebody else
FAST_DDS = ("rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp")


@dataclass(frozen=True)
class Ros:
    """What the environment and rclpy say.

    Attributes:
        variables: those that are set.
        middleware: the RMW in use, as rclpy names it.
        messages: by package, why it cannot be imported; empty where it can.
        sourced_for: Python versions of the ROS folders on PYTHONPATH, such as 3.10.
        installed: setup files under /opt/ros.
    """

    python: str
    variables: dict[str, str]
    middleware: Answer
    messages: dict[str, str]
    sourced_for: tuple[str, ...]
    installed: tuple[str, ...]

    @property
    def local_only(self) -> bool:
        """Whether discovery is limited to this machine."""
        reach = self.variables.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper()
        return reach == "LOCALHOST" or self.variables.get("ROS_LOCALHOST_ONLY") == "1"


def gather(software: Software, environment: Mapping[str, str]) -> Ros:
    """Read the environment."""
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    versions = {
        found[1]
        for path in paths
        if (found := re.search(r"/python(3\.\d+)/(?:site|dist)-packages", path))
    }
    return Ros(
        ".".join(software.python.split(".")[:2]),
        {name: environment[name] for name in _VARIABLES if environment.get(name)},
        software.answers["rclpy"],
        {name.split(".")[0]: software.answers[name].error for name in _MESSAGES},
        tuple(sorted(versions)),
        tuple(sorted(map(str, Path("/opt/ros").glob("*/setup.bash")))),
    )


def findings(ros: Ros) -> list[Finding]:
    """Whether nodes can run and see each other."""
    if ros.middleware.error:
        return [_no_rclpy(ros)]
    found = []
    distribution = ros.variables.get("ROS_DISTRO", "")
    name = f"ROS {distribution}" if distribution else "rclpy without a sourced ROS distribution"
    found.append(ok(f"{name}, {ros.middleware.value}"))
    if distribution and distribution not in _SUPPORTED:
        found.append(note(f"ROS {distribution} is not one that this package is tested with"))
    missing = [package for package, error in ros.messages.items() if error]
    if missing:
        packages = " ".join(
            f"ros-{distribution}-{name.replace('_', '-')}" if distribution
            else f"ros-{name.replace('_', '-')}" for name in missing
        )  # fmt: skip
        tool = "sudo apt install" if distribution else "pip install"
        found.append(
            problem(
                f"{', '.join(missing)} cannot be imported; the node does not start without",
                f"{tool} {packages}",
            )
        )
    return [*found, *_discovery(ros)]


def _no_rclpy(ros: Ros) -> Finding:
    answer = ros.middleware
    chosen = ros.variables.get("RMW_IMPLEMENTATION")
    if not answer.missing and chosen:
        distribution = ros.variables.get("ROS_DISTRO", "DISTRO")
        package = f"ros-{distribution}-{chosen.replace('_', '-')}"
        return problem(
            f"rclpy does not start with RMW_IMPLEMENTATION={chosen} ({answer.error})",
            f"unset RMW_IMPLEMENTATION, or sudo apt install {package}",
        )
    text = f"rclpy cannot be imported, so no node runs here ({answer.error})"
    if ros.sourced_for and ros.python not in ros.sourced_for:
        version = ros.sourced_for[0]
        return problem(
            f"{text}: this Python is {ros.python}, the sourced ROS is for {version}",
            f"install this package for python{version}, with which that ROS was built",
        )
    if ros.installed and not ros.sourced_for:
        return problem(text, f"source {ros.installed[0]}")
    return problem(
        f"{text}; predict, bag-eval and training need none",
        "install ROS 2 and source its setup.bash, or on x86_64: pip install 'depth_dpt_ros[ros]'",
    )


def _discovery(ros: Ros) -> list[Finding]:
    """Who can be seen."""
    found, variables = list[Finding](), ros.variables
    domain = variables.get("ROS_DOMAIN_ID", "0")
    if not domain.isdecimal() or int(domain) > _MAX_DOMAIN:
        found.append(
            problem(
                f"ROS_DOMAIN_ID is {domain!r}, no node starts with that",
                f"set it to a number from 0 to {_EPHEMERAL_DOMAIN}, the same for all processes",
            )
        )
    elif int(domain) > _EPHEMERAL_DOMAIN:
        found.append(
            note(
                f"ROS_DOMAIN_ID {domain} uses ports that Linux also gives to others",
                f"take one up to {_EPHEMERAL_DOMAIN}",
            )
        )
    else:
        found.append(ok(f"domain {domain}"))
    if variables.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper() == "OFF":
        found.append(
            problem(
                "ROS_AUTOMATIC_DISCOVERY_RANGE=OFF: no other process is found",
                "unset it, or set it to LOCALHOST or SUBNET",
            )
        )
    elif ros.local_only:
        found.append(note("discovery is limited to this machine: cameras on others are not seen"))
    if server := variables.get("ROS_DISCOVERY_SERVER"):
        found.append(
            note(f"discovery goes through the server {server}; without it nothing is found")
        )
    return found
