# SPDX-License-Identifier: Apache-2.0
"""The middleware setting for large images, and who may overrule it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from depth_dpt_ros.transport import PROFILE_VARIABLES, large_image_settings, process_settings


def test_both_generations_of_fast_dds_get_the_profile() -> None:
    settings = large_image_settings({"HOME": "/root"})
    assert set(settings) == {"FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"}
    (profile,) = {Path(file) for file in settings.values()}
    sizes = [
        int(element.text or "")
        for element in ET.parse(profile).iter()
        if element.tag.endswith(("}segment_size", "}maxMessageSize"))
    ]
    assert len(sizes) == 2
    assert min(sizes) > 2048 * 1024 * 4 * 2  # two depth images of Cityscapes' size


@pytest.mark.parametrize("name", [*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS"])
def test_a_users_choice_is_kept(name: str) -> None:
    assert large_image_settings({name: "the user's"}) == {}
    assert large_image_settings({name: ""})  # as good as unset


def test_a_process_is_started_with_memory_settings_too() -> None:
    settings = process_settings({})
    memory = settings.keys() - large_image_settings({}).keys()
    assert memory == {"MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"}
    for choice in (*memory, "GLIBC_TUNABLES"):
        assert process_settings({choice: "7"}) == large_image_settings({})
    assert process_settings({PROFILE_VARIABLES[0]: "mine"}).keys() == memory
