# SPDX-License-Identifier: Apache-2.0
"""From what was seen on the ROS graph to findings: one row for each thing that goes wrong."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from doctor_findings import assert_only

from depth_dpt_ros.doctor import cameras, nodes
from depth_dpt_ros.doctor.graph import Camera, DepthNode, Endpoint, Graph, Heard, Topic
from depth_dpt_ros.doctor.shared_memory import Process

PROCESS = Process(42, "camera_driver", 70_000_000)
ROOMY = Endpoint("/driver", reliable=True, same_host=True, process=PROCESS)
TIGHT = dataclasses.replace(ROOMY, process=Process(42, "camera_driver", 549_408))
ELSEWHERE = dataclasses.replace(ROOMY, same_host=False, process=None)
UNSEEN = dataclasses.replace(ROOMY, process=None)
IMAGE = Topic("/front/image_rect", ("sensor_msgs/msg/Image",), (ROOMY,))
INFO = Topic("/front/camera_info", ("sensor_msgs/msg/CameraInfo",), (ROOMY,))
HEARD = Heard(
    3.0, 90, 30.0, 2048, 1024, "rgb8", 6_291_456, frame_id="front", infos=90,
    info_size=(2048, 1024), focal_length=1800.0, age=0.01,
)  # fmt: skip


@pytest.mark.parametrize(
    ("heard", "image", "info", "level", "text", "cure"),
    [
        ({}, {}, {}, "ok", "", ""),
        ({"unpaired": 60}, {}, {}, "problem", "40% of the images do not arrive", "transport"),
        (
            {"unpaired": 810, "images": 90}, {"publishers": (TIGHT,)}, {}, "problem",
            "segments of 0.5 MB for images of 6.3 MB, and 90% of them are lost",
            "before starting process 42 again: export FASTDDS",
        ),
        ({"refusal": "encoding 'x'"}, {}, {}, "problem", "encoding 'x'", "rgb8"),
        ({"unstamped": True}, {}, {}, "problem", "stamps are zero", "stamp its images"),
        ({"age": 3600.0}, {}, {}, "note", "3600.0 s behind", "--clock"),
        ({"age": -5.0}, {}, {}, "note", "5.0 s ahead of", "chrony"),
        ({"backwards": 2}, {}, {}, "note", "went backwards", ""),
        ({"frame_id": ""}, {}, {}, "note", "frame_id is empty", ""),
        ({"infos": 0}, {}, {"publishers": ()}, "problem", "nobody publishes the CameraInfo",
         "focal_length"),
        ({"infos": 0}, {}, {}, "problem", "camera_info: published, and nothing", "calibration"),
        ({"focal_length": 0.0}, {}, {}, "problem", "holds no focal length", "calibrate"),
        ({"info_size": (1024, 512)}, {}, {}, "problem", "for 1024x512 pixels", "camera_info:="),
        ({"distorted": True}, {}, {}, "ok", "", ""),
        ({"distorted": True}, {"name": "/front/image_raw"}, {}, "note", "distorts", "rectif"),
        (
            {}, {"subscriptions": (Endpoint("/rviz", reliable=True),),
                 "publishers": (dataclasses.replace(ROOMY, reliable=False),)}, {},
            "problem", "/rviz wants reliable messages, which /driver does not offer", "/rviz",
        ),
        (
            {}, {"subscriptions": (Endpoint("/log", reliable=True, transient_local=True),)}, {},
            "problem", "wants transient local", "QoS",
        ),
        ({}, {"subscriptions": (Endpoint("/rviz", reliable=False),)}, {}, "ok", "", ""),
    ],
)  # fmt: skip
def test_cameras(
    heard: dict[str, Any], image: dict[str, Any], info: dict[str, Any],
    level: str, text: str, cure: str,
) -> None:  # fmt: skip
    camera = Camera(
        dataclasses.replace(IMAGE, **image), dataclasses.replace(INFO, **info),
        dataclasses.replace(HEARD, **heard),
    )  # fmt: skip
    assert_only(cameras.findings(Graph((camera,)), None), level, text, cure)


@pytest.mark.parametrize(
    ("publisher", "heard", "text", "cure"),
    [
        (ROOMY, HEARD, "nothing came in 3 s", "whether /driver gets images"),
        (TIGHT, HEARD, "segments of 0.5 MB", "before starting process 42"),
        (UNSEEN, HEARD, "another user's or in another container", "--ipc=host"),
        (ELSEWHERE, HEARD, "another machine", "multicast"),
    ],
)
def test_a_camera_that_is_published_and_silent(
    publisher: Endpoint, heard: Heard, text: str, cure: str
) -> None:
    image = dataclasses.replace(IMAGE, publishers=(publisher,))
    camera = Camera(image, INFO, dataclasses.replace(heard, images=0, width=0, height=0))
    assert_only(cameras.findings(Graph((camera,)), None), "problem", text, cure)


def test_topics_that_nobody_publishes() -> None:
    assert_only(cameras.findings(Graph(), None), "problem", "no camera is seen", "ROS_DOMAIN_ID")
    graph = Graph(images=("/front/image_raw", "/left/image_raw"))
    found = cameras.findings(graph, "/image")
    assert_only(
        found, "problem", "images are on /front/image_raw, /left", "image:=/front/image_raw"
    )


def test_a_camera_that_another_input_has_is_not_offered() -> None:
    node = dataclasses.replace(NODE, inputs=("/front/image_raw", "/left/image_raw"))
    found = nodes.findings(Graph(nodes=(node,), images=("/front/image_raw",)))
    assert_only(found, "problem", "nobody publishes images on /left/image_raw", "camera driver")


NODE = DepthNode("/depth_node", "active", inputs=("/front/image_raw",))
GRAPH = Graph(images=("/front/image_raw",))


@pytest.mark.parametrize(
    ("change", "graph", "level", "text", "cure"),
    [
        ({}, {}, "ok", "", ""),
        ({"state": ""}, {}, "problem", "does not answer", "anew"),
        ({"state": "inactive"}, {}, "problem", "is inactive", "set /depth_node activate"),
        ({"state": "unconfigured", "inputs": ()}, {}, "problem", "unconfigured", "configure"),
        ({"inputs": ("/image",)}, {}, "problem", "nobody publishes images on /image",
         "image:=/front/image_raw"),
        ({}, {"images": ("/front/image_raw/compressed",)}, "problem",
         "only /front/image_raw/compressed", "image_transport:=compressed"),
        ({"compressed": True, "inputs": ("/front/image_raw/compressed",)}, {}, "problem",
         "only /front/image_raw is", "image_transport:=raw"),
        ({"namesakes": 1}, {}, "note", "2 nodes are called /depth_node", "name:="),
        ({"use_sim_time": True}, {}, "note", "nobody publishes /clock", "--clock"),
        ({"use_sim_time": True}, {"clock": True}, "ok", "", ""),
        ({"outputs": (Topic("/depth/image"),)}, {}, "note", "nobody subscribes to /depth/image",
         ""),
        ({"statuses": ((2, "depth_node: depth", "the GPU is lost"),)}, {}, "problem",
         "the GPU is lost", "log"),
        ({"statuses": ((1, "depth_node: depth", "no CameraInfo"),)}, {}, "note", "no CameraInfo",
         ""),
        ({"statuses": ((0, "depth_node: depth", "active"),)}, {}, "ok", "", ""),
    ],
)  # fmt: skip
def test_depth_nodes(
    change: dict[str, Any], graph: dict[str, Any], level: str, text: str, cure: str
) -> None:
    seen = dataclasses.replace(GRAPH, nodes=(dataclasses.replace(NODE, **change),), **graph)
    assert_only(nodes.findings(seen), level, text, cure)
