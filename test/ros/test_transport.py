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

from depth_dpt_ros.transport import MALLOC_SETTINGS, PROFILE_VARIABLES, large_image_settings


def test_both_generations_of_fast_dds_get_the_profile() -> None:
    settings = large_image_settings({"HOME": "/root"})
    assert set(settings) == {*PROFILE_VARIABLES, *MALLOC_SETTINGS}
    assert PROFILE_VARIABLES == ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
    (profile,) = {Path(settings[name]) for name in PROFILE_VARIABLES}
    sizes = [
        int(element.text or "")
        for element in ET.parse(profile).iter()
        if element.tag.endswith(("}segment_size", "}maxMessageSize"))
    ]
    assert len(sizes) == 2
    assert min(sizes) > 2048 * 1024 * 4 * 2  # two depth images of Cityscapes' size


@pytest.mark.parametrize("name", [*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS"])
def test_a_users_transport_is_kept(name: str) -> None:
    assert large_image_settings({name: "the user's"}) == MALLOC_SETTINGS
    assert large_image_settings({name: ""}).keys() >= set(PROFILE_VARIABLES)  # as good as unset


@pytest.mark.parametrize("name", MALLOC_SETTINGS)
def test_a_users_malloc_is_kept(name: str) -> None:
    assert set(large_image_settings({name: "1000"})) == set(PROFILE_VARIABLES)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are of glibc")
def test_buffers_of_images_stay_with_the_process() -> None:
    """Page faults of filling and freeing image-sized memory again and again."""
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
    environment = {**os.environ, **large_image_settings({})}
    faults = subprocess.check_output([sys.executable, "-c", program], env=environment)
    assert int(faults) < 200  # of 5 * 3 * 2048
