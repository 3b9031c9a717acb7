# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch FILE NAME:=VALUE ...` as a process, without ros2cli."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tiny_models import python

_PROGRAM = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
given = [argument.split(":=", 1) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService(noninteractive=True)
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=given)])
)
sys.exit(service.run())
"""


def launch(
    file: Path, domain: int, arguments: dict[str, object], **environment: str
) -> subprocess.Popen[bytes]:
    """Start it; all that is said comes on its standard output."""
    return subprocess.Popen(
        python("-c", _PROGRAM, file, *(f"{name}:={value}" for name, value in arguments.items())),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "ROS_DOMAIN_ID": str(domain), **environment},
    )
