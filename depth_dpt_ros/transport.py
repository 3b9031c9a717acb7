# SPDX-License-Identifier: Apache-2.0
"""The settings of middleware and memory that large images want; `depth-dpt bench node` measures."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

# the first is read by Fast DDS 2.14 and later, the second before that
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
_TRANSPORT_CHOICES = (*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS")
# glibc otherwise returns the memory of images to the kernel, and fetches it anew with each frame.
# Either alone is worse than none: it ends glibc's own adapting of both.
MALLOC_SETTINGS = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # bytes; the most that glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}


def large_image_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables to start a process with: this project's Fast DDS profile, and those of malloc.

    Of either kind there are none where the user has set any. The profile works on a process that
    has started but not yet joined ROS, too; malloc reads its variables at the start only.
    """
    settings = {}
    if not any(environment.get(name) for name in _TRANSPORT_CHOICES):
        profile = str(resources.files("depth_dpt_ros") / "fastdds.xml")
        settings |= dict.fromkeys(PROFILE_VARIABLES, profile)
    if not any(environment.get(name) for name in MALLOC_SETTINGS):
        settings |= MALLOC_SETTINGS
    return settings
