# SPDX-License-Identifier: Apache-2.0
"""The environment in which large images pass: middleware and memory settings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

# the first is read by Fast DDS 2.14 and later, the second before that
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
_USER_CHOICES = (*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS")
# glibc would give large buffers back to the kernel, to be faulted in anew for the next image; one
# of the two alone is worse than none, as it ends glibc's own adapting of both
_KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # bytes; the most that glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}
_MALLOC_CHOICES = (*_KEEP_MEMORY, "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


def process_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables with which to start the node: `large_image_settings`, and those of malloc.

    The C library reads the latter when a process starts. They too are left to a user who has set
    any.
    """
    settings = large_image_settings(environment)
    if not any(environment.get(name) for name in _MALLOC_CHOICES):
        settings |= _KEEP_MEMORY
    return settings


def large_image_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables to set for this project's Fast DDS profile; none where the user has set any."""
    if any(environment.get(name) for name in _USER_CHOICES):
        return {}
    profile = str(resources.files("depth_dpt_ros") / "fastdds.xml")
    return dict.fromkeys(PROFILE_VARIABLES, profile)
