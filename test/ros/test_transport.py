# SPDX-License-Identifier: Apache-2.0
"""The middleware setting for large images, and who may overrule it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
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


@pytest.mark.parametrize(
    "name", ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_"]
)
def test_a_users_malloc_is_kept(name: str) -> None:
    assert set(process_settings({name: "1000"})) == set(PROFILE_VARIABLES)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are of glibc")
def test_memory_of_images_stays_with_the_process() -> None:
    """Page faults of filling and freeing three images of 8 MiB five times, after a first time."""
    program = (
        "import resource\n"
        "def work():\n"
        "    kept = [bytearray(8 << 20) for _ in range(3)]\n"
        "    for page in range(0, 8 << 20, 4096):\n"
        "        for it in kept: it[page] = 1\n"
        "work()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(5): work()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    environment = {**os.environ, **process_settings({})}
    faults = subprocess.check_output([sys.executable, "-c", program], env=environment)
    assert int(faults) < 200  # 30 000 without the settings
