# SPDX-License-Identifier: Apache-2.0
"""The middleware setting that lets large images through."""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib import resources

# the first is read by Fast DDS 2.14 and later, the second before that
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
_USER_CHOICES = (*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS")


def large_image_settings(environment: MutableMapping[str, str]) -> dict[str, str]:
    """Variables to set for this project's Fast DDS profile; none where the user has set any."""
    if any(environment.get(name) for name in _USER_CHOICES):
        return {}
    profile = str(resources.files("depth_dpt_ros") / "fastdds.xml")
    return dict.fromkeys(PROFILE_VARIABLES, profile)
