# SPDX-License-Identifier: Apache-2.0
"""From facts to findings: one row for each thing that goes wrong in software and settings."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from doctor_findings import assert_only

from depth_dpt_ros.doctor import ros, software, transport
from depth_dpt_ros.doctor.command import screen
from depth_dpt_ros.doctor.finding import megabytes, note, ok, problem
from depth_dpt_ros.doctor.ros import Ros
from depth_dpt_ros.doctor.shared_memory import SharedMemory
from depth_dpt_ros.doctor.software import CV_BRIDGE, Answer, Software
from depth_dpt_ros.doctor.transport import Profile, Transport

ABSENT = Answer(error="ModuleNotFoundError: No module named 'x'")
FAST_DDS = Answer("rmw_fastrtps_cpp")
GIB = 1 << 30


SOFTWARE = Software(
    "3.10.12",
    "/usr/bin/python3",
    {
        "numpy": Answer("1.26.4"),
        "cv2": Answer("4.11.0"),
        "yaml": Answer("6.0"),
        "onnxruntime": Answer(["1.20.0", ["CPUExecutionProvider"]]),
        CV_BRIDGE: Answer(""),
    },
    {},
)


@pytest.mark.parametrize(
    ("answers", "distributions", "level", "text", "cure"),
    [
        ({}, {}, "ok", "", ""),
        ({CV_BRIDGE: ABSENT}, {}, "ok", "", ""),
        ({"cv2": ABSENT}, {}, "problem", "OpenCV is not installed", "opencv-python-headless<5"),
        (
            {"cv2": Answer(error="ImportError: numpy.core.multiarray failed to import")},
            {}, "problem", "built for another numpy", "numpy<2",
        ),
        (
            {"onnxruntime": Answer(error="ImportError: libcudart.so.12: cannot open")},
            {}, "problem", "cannot be imported", "/usr/bin/python3",
        ),
        (
            {CV_BRIDGE: Answer(error="AttributeError: _ARRAY_API not found")},
            {}, "note", "cv_bridge cannot be imported", "numpy<2",
        ),
        ({"cv2": Answer("5.0.0")}, {}, "note", "renumbered", "opencv-python-headless<5"),
        ({}, {"cv-bridge": "1.13.0"}, "note", "16UC1", "uninstall cv-bridge"),
        (
            {}, {"onnxruntime": "1.20", "onnxruntime-gpu": "1.20"},
            "note", "over each other", "pip uninstall onnxruntime onnxruntime-gpu",
        ),
        ({}, {"opencv-python": "4", "opencv-contrib-python": "4"}, "note", "over each other", ""),
    ],
)  # fmt: skip
def test_packages(
    answers: dict[str, Answer], distributions: dict[str, str], level: str, text: str, cure: str
) -> None:
    facts = dataclasses.replace(
        SOFTWARE, answers=SOFTWARE.answers | answers, distributions=distributions
    )
    assert_only(software.findings(facts), level, text, cure)


def test_a_package_that_ends_its_process_is_told_not_suffered() -> None:
    assert software.ask("json", "json.__name__") == Answer("json")
    assert software.ask("no_such_package_here", "''").missing
    killed = software.ask("os", "os.kill(os.getpid(), 11)")
    assert killed.error == "ended with status -11"
    assert not killed.missing


ROS = Ros("3.10", {"ROS_DISTRO": "humble"}, FAST_DDS, {"sensor_msgs": ""}, ("3.10",), ())


@pytest.mark.parametrize(
    ("change", "level", "text", "cure"),
    [
        ({}, "ok", "", ""),
        ({"variables": {}}, "ok", "", ""),
        ({"variables": {"ROS_DISTRO": "foxy"}}, "note", "ROS foxy", ""),
        (
            {"middleware": ABSENT, "python": "3.12"},
            "problem", "this Python is 3.12, the sourced ROS is for 3.10", "python3.10",
        ),
        (
            {"middleware": ABSENT, "sourced_for": (),
             "installed": ("/opt/ros/jazzy/setup.bash",)},
            "problem", "no node runs here", "source /opt/ros/jazzy/setup.bash",
        ),
        (
            {"middleware": ABSENT, "sourced_for": ()},
            "problem", "no node runs here", "depth_dpt_ros[ros]",
        ),
        (
            {"middleware": Answer(error="RMWError: libx.so"), "variables": {
                "ROS_DISTRO": "jazzy", "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}},
            "problem", "RMW_IMPLEMENTATION=rmw_cyclonedds_cpp", "ros-jazzy-rmw-cyclonedds-cpp",
        ),
        (
            {"messages": {"diagnostic_msgs": "ModuleNotFoundError"}},
            "problem", "diagnostic_msgs cannot", "sudo apt install ros-humble-diagnostic-msgs",
        ),
        ({"variables": {"ROS_DOMAIN_ID": "233"}}, "problem", "'233'", "0 to 101"),
        ({"variables": {"ROS_DOMAIN_ID": "x"}}, "problem", "'x'", ""),
        ({"variables": {"ROS_DOMAIN_ID": "120"}}, "note", "ports", ""),
        ({"variables": {"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}}, "problem", "OFF", "unset"),
        ({"variables": {"ROS_LOCALHOST_ONLY": "1"}}, "note", "this machine", ""),
        ({"variables": {"ROS_AUTOMATIC_DISCOVERY_RANGE": "localhost"}}, "note", "limited", ""),
        ({"variables": {"ROS_DISCOVERY_SERVER": "10.0.0.1:11811"}}, "note", "10.0.0.1", ""),
    ],
)  # fmt: skip
def test_ros(change: dict[str, Any], level: str, text: str, cure: str) -> None:
    assert_only(ros.findings(dataclasses.replace(ROS, **change)), level, text, cure)


LARGE, SMALL = (2048, 1024), (160, 120)
MEMORY = SharedMemory(8 * GIB, 7 * GIB, live=3)
OURS = Profile("FASTDDS_DEFAULT_PROFILES_FILE", "/x.xml", 64 << 20, own_transports=True)
OURS_TOO = dataclasses.replace(OURS, variable="FASTRTPS_DEFAULT_PROFILES_FILE")
WAY = Transport((OURS, OURS_TOO), "", "", MEMORY, 1 << 30, container=False)
BARE = {"profiles": ()}


@pytest.mark.parametrize(
    ("change", "image", "level", "text", "cure"),
    [
        ({}, LARGE, "ok", "", ""),
        ({}, None, "ok", "", ""),
        (BARE, SMALL, "ok", "", ""),
        (BARE, LARGE, "note", "larger than 0.3 MB are lost", "fastdds.xml"),
        (BARE, None, "note", "larger than 0.3 MB are lost", "fastdds.xml"),
        (
            {"profiles": (dataclasses.replace(OURS, segment=4 << 20), OURS_TOO)},
            LARGE, "problem", "too little for depth of 2048x1024 (8.4 MB)", "16.8 MB",
        ),
        (
            {"profiles": (dataclasses.replace(OURS, segment=0), OURS_TOO)},
            LARGE, "problem", "no shared memory", "unset",
        ),
        ({**BARE, "builtin": "UDPv4"}, LARGE, "problem", "no shared memory", "unset"),
        ({**BARE, "builtin": "DEFAULT"}, LARGE, "problem", "0.5 MB", "unset"),
        ({**BARE, "builtin": "LARGE_DATA"}, LARGE, "ok", "", ""),
        (
            {**BARE, "builtin": "LARGE_DATA?sockets_size=16MB", "receive_buffer": 9_000_000},
            LARGE, "problem", "16.0 MB, the kernel gives 9.0 MB", "rmem_max=16000000",
        ),
        (
            {"profiles": (dataclasses.replace(OURS, error="no such file"), OURS_TOO)},
            None, "problem", "names /x.xml, which cannot be used (no such file)", "the path",
        ),
        ({"profiles": (OURS,)}, None, "problem", "mean nothing", "set FASTRTPS"),
        ({"receive_buffer": 212992}, LARGE, "note", "0.2 MB", "sysctl -w net.core.rmem_max="),
        ({"container": True}, None, "note", "container", "--ipc=host"),
        (
            {"memory": dataclasses.replace(MEMORY, total=64 << 20, free=60 << 20)},
            None, "problem", "62.9 MB of 67.1 MB free", "--shm-size=1g",
        ),
        (
            {"memory": dataclasses.replace(MEMORY, stale=4, stale_size=3 * 10**8)},
            None, "note", "4 segments of ended processes hold 300.0 MB", "fastdds shm clean",
        ),
        (
            {"memory": dataclasses.replace(MEMORY, others=(0, 1001))},
            None, "note", "user 0, 1001", "as one user",
        ),
        ({"memory": None}, None, "note", "UDP", ""),
    ],
)  # fmt: skip
def test_transport(
    change: dict[str, Any], image: tuple[int, int] | None, level: str, text: str, cure: str
) -> None:
    found = transport.findings(dataclasses.replace(WAY, **change), ROS, image)
    if change.get("builtin"):  # which Humble does not know
        assert [f.level for f in found if "mean nothing" in f.text] == ["problem"]
        jazzy = dataclasses.replace(ROS, variables={"ROS_DISTRO": "jazzy"})
        found = transport.findings(dataclasses.replace(WAY, **change), jazzy, image)
    assert_only(found, level, text, cure)


def test_built_in_transports_are_without_effect_on_local_discovery() -> None:
    local = dataclasses.replace(ROS, variables={"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"})
    way = dataclasses.replace(WAY, profiles=(), builtin="LARGE_DATA")
    assert_only(transport.findings(way, local, LARGE), "problem", "without effect", "unset")


@pytest.mark.parametrize(
    ("middleware", "change", "level", "text"),
    [
        ("rmw_cyclonedds_cpp", {}, "ok", ""),
        ("rmw_cyclonedds_cpp", {"receive_buffer": 212992}, "note", "through sockets"),
        ("rmw_zenoh_cpp", {}, "note", "rmw_zenohd"),
    ],
)
def test_other_middleware(middleware: str, change: dict[str, Any], level: str, text: str) -> None:
    other = dataclasses.replace(ROS, middleware=Answer(middleware))
    way = dataclasses.replace(WAY, profiles=(), **change)
    assert_only(transport.findings(way, other, LARGE), level, text)


def test_the_screen_has_problems_with_their_cures_and_fits() -> None:
    report = {
        "Packages": [ok("Python 3.11"), ok("numpy 2")],
        "Cameras": [problem("long " * 40, "do this"), note("well")],
    }
    lines = screen(report, 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "  ok      Python 3.11; numpy 2" in lines
    assert "          -> do this" in lines
    assert lines[-1] == "1 problem, 1 note"
    assert megabytes(6_291_456) == "6.3 MB"
    assert megabytes(6144) == "6 kB"
