# SPDX-License-Identifier: Apache-2.0
"""Bags of every kind, hostile ones, and the cameras in them; real recordings where present."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from depth_dpt_ros.replay.bag import Bag, BagError, Camera, Topic, cameras, find_camera
from depth_dpt_ros.stamps import stamp_ns

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
DGP = DATA / "bags" / "dgp_scene_01_mcap"
UDACITY = DATA / "bags" / "udacity_highway_db3"
RERUN = DATA / "rerun_ros2_allmsgs_mcap"

HUMBLE = get_typestore(Stores.ROS2_HUMBLE)
NOETIC = get_typestore(Stores.ROS1_NOETIC)
NO_BYTES = np.zeros(0, np.uint8)

Messages = Iterable[tuple[str, int, Any]]  # topic, log time in ns, message


def ros(name: str, *values: Any) -> Any:
    package, _, kind = name.partition("/")
    return HUMBLE.types[f"{package}/msg/{kind}"](*values)


def header(stamp: int = 0, frame: str = "front") -> Any:
    time = ros("builtin_interfaces/Time", stamp // 10**9, stamp % 10**9)
    return ros("std_msgs/Header", time, frame)


def text(value: str) -> Any:
    return ros("std_msgs/String", value)


def image(encoding: str) -> Any:
    return ros("sensor_msgs/Image", header(), 0, 0, encoding, 0, 0, NO_BYTES)


def compressed(pixels: str) -> Any:
    return ros("sensor_msgs/CompressedImage", header(), pixels, NO_BYTES)


def camera_info() -> Any:
    roi = ros("sensor_msgs/RegionOfInterest", 0, 0, 0, 0, False)
    k, p = np.arange(9.0), np.arange(12.0)
    matrices = (np.zeros(5), k, np.eye(3).ravel(), p)
    return ros("sensor_msgs/CameraInfo", header(), 4, 6, "plumb_bob", *matrices, 0, 0, roi)


def write(path: Path, messages: Messages, plugin: StoragePlugin = StoragePlugin.MCAP) -> Path:
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        fill(writer, messages)
    return path


def fill(writer: Writer, messages: Messages) -> None:
    connections: dict[str, Any] = {}
    for topic, log_time, message in messages:
        kind = message.__msgtype__
        if topic not in connections:
            connections[topic] = writer.add_connection(topic, kind, typestore=HUMBLE)
        writer.write(connections[topic], log_time, HUMBLE.serialize_cdr(message, kind))


def heard(bag: Bag, *topics: str) -> list[tuple[str, int, str]]:
    return [(t, time, bag.deserialize(raw, t).data) for t, time, raw in bag.messages(topics)]


TALK = [("/b", 30, text("two")), ("/a", 10, text("one")), ("/c", 20, text("not asked for"))]
PLUGINS = pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])


@PLUGINS
@pytest.mark.parametrize("form", ["directory", "file", "directory without metadata"])
def test_ros2_bag_in_any_form(tmp_path: Path, plugin: StoragePlugin, form: str) -> None:
    path = write(tmp_path / "talk", TALK, plugin)
    if form == "file":
        path = next(file for file in path.iterdir() if file.suffix != ".yaml")
    elif form == "directory without metadata":
        (path / "metadata.yaml").unlink()
    with Bag(path) as bag:
        assert bag.topics == tuple(
            Topic(name, "std_msgs/msg/String", 1) for name in ("/a", "/b", "/c")
        )
        assert bag.duration_ns == 20
        assert heard(bag, "/b", "/a") == [("/a", 10, "one"), ("/b", 30, "two")]


def test_parts_of_a_recording_that_lost_its_metadata_are_joined_by_time(tmp_path: Path) -> None:
    for name, times in (("late", (3, 5)), ("early", (1, 4))):
        part = write(tmp_path / name, [("/a", time, text(name)) for time in times])
        shutil.copy(part / f"{name}.mcap", tmp_path)
    with Bag(tmp_path) as bag:
        words = [(time, word) for _, time, word in heard(bag, "/a")]
    assert words == [(1, "early"), (3, "late"), (4, "early"), (5, "late")]


def test_topic_of_two_types_is_left_out(tmp_path: Path) -> None:
    for name, message in (("one", text("a word")), ("two", image("rgb8"))):
        part = write(tmp_path / name, [("/a", 0, message), (f"/{name}", 0, message)])
        shutil.copy(part / f"{name}.mcap", tmp_path)
    with Bag(tmp_path) as bag:
        assert [topic.name for topic in bag.topics] == ["/one", "/two"]


def test_empty_bag_has_no_topics_and_no_duration(tmp_path: Path) -> None:
    with Bag(write(tmp_path / "empty", [])) as bag:
        assert (bag.topics, bag.duration_ns, cameras(bag)) == ((), 0, [])


def write_ros1(path: Path) -> Path:
    NOETIC.register(get_types_from_msg("Header header\nuint8 gear", "car_msgs/msg/Gear"))
    ros2 = camera_info()
    named = NOETIC.types
    stamp = named["builtin_interfaces/msg/Time"](7, 8)
    head = named["std_msgs/msg/Header"](seq=99, stamp=stamp, frame_id="front")
    matrices = {name: getattr(ros2, name.lower()) for name in "DKRP"}
    info = named["sensor_msgs/msg/CameraInfo"](
        head, 4, 6, "plumb_bob", **matrices, binning_x=0, binning_y=0, roi=ros2.roi
    )
    with Ros1Writer(path) as writer:
        for topic, message in (("/info", info), ("/gear", named["car_msgs/msg/Gear"](head, 3))):
            kind = message.__msgtype__
            connection = writer.add_connection(topic, kind, typestore=NOETIC)
            writer.write(connection, 10, NOETIC.serialize_ros1(message, kind))
    return path


def test_ros1_messages_come_out_as_ros2_has_them(tmp_path: Path) -> None:
    with Bag(write_ros1(tmp_path / "old.bag")) as bag:
        assert bag.topics == (
            Topic("/gear", "car_msgs/msg/Gear", 1),
            Topic("/info", "sensor_msgs/msg/CameraInfo", 1),
        )
        assert (bag.first("/gear").gear, stamp_ns(bag.first("/gear"))) == (3, 7_000_000_008)
        ((topic, time, raw),) = bag.messages(["/info"])
        republished: Any = HUMBLE.deserialize_cdr(raw, "sensor_msgs/msg/CameraInfo")
    assert (topic, time, type(raw)) == ("/info", 10, bytes)
    assert stamp_ns(republished) == 7_000_000_008
    assert (republished.height, republished.header.frame_id) == (4, "front")
    np.testing.assert_array_equal(republished.p, np.arange(12.0))


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def cut(path: Path, share: float = 0.6) -> Path:
    whole = path.read_bytes()
    return put(path, whole[: int(len(whole) * share)])


def talk(path: Path, file: str, plugin: StoragePlugin = StoragePlugin.MCAP) -> Path:
    return write(path / "bag", TALK, plugin) / file


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path / "nowhere", "does not exist; give a rosbag2 directory"),
        (lambda path: path, "no metadata.yaml"),
        (lambda path: put(path / "drive.mp4", b"a video"), "'.mp4'"),
        (lambda path: put(path / "drive.mcap", b"a video"), "cannot be opened as a bag"),
        (lambda path: put(path / "drive.db3", b""), "cannot be opened as a bag"),
        (lambda path: put(talk(path, "metadata.yaml"), b"version: 9").parent, "metadata"),
        (lambda path: talk(path, "bag.mcap").rename(path / "moved").parent / "bag", "missing"),
        (lambda path: cut(talk(path, "bag.mcap")), "`mcap recover`"),
        (lambda path: cut(talk(path, "bag.mcap")).parent, "`mcap recover`"),
        (lambda path: cut(talk(path, "bag.mcap"), 0.01), "`mcap recover`"),
        (lambda path: cut(talk(path, "bag.db3", StoragePlugin.SQLITE3)).parent, "is cut short"),
        (lambda path: cut(write_ros1(path / "old.bag")), "cannot be opened as a bag"),
    ],
)
def test_what_is_no_whole_bag_is_refused_by_name(
    tmp_path: Path, make: Callable[[Path], Path], reason: str
) -> None:
    path = make(tmp_path)
    with pytest.raises(BagError, match=reason) as refusal, Bag(path):
        pass
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_damage_inside_a_bag_is_reported_where_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bag"
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        fill(writer, TALK)
    damaged = bytearray((path / "bag.mcap").read_bytes())
    chunk = damaged.index(b"\x28\xb5\x2f\xfd")  # where zstd data begins
    damaged[chunk + 20 : chunk + 60] = bytes(40)
    (path / "bag.mcap").write_bytes(damaged)
    with Bag(path) as bag, pytest.raises(BagError, match="bag is damaged"):
        list(bag.messages(["/a"]))


def test_absent_topic_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with Bag(write(tmp_path / "bag", TALK)) as bag:
        with pytest.raises(BagError, match="no topic '/d'; it has /a, /b, /c"):
            bag.messages(["/a", "/d"])
        assert list(bag.messages([])) == []


@pytest.mark.parametrize("raw", [b"", b"\x00\x01\x00\x00", b"\x00\x01\x00\x00\xff\xff\xff\xff"])
def test_bytes_that_are_no_message_are_refused(tmp_path: Path, raw: bytes) -> None:
    with Bag(write(tmp_path / "bag", TALK)) as bag, pytest.raises(BagError, match=r"'/a'.*String"):
        bag.deserialize(raw, "/a")


@pytest.mark.parametrize(
    ("topic", "message", "is_camera"),
    [
        ("/cam/image_raw", image("rgb8"), True),
        ("/cam/image_raw", image("bayer_rggb8"), True),
        ("/cam/image_raw", image("mono16"), True),
        ("/depthfinder/image", image("mono16"), True),
        ("/rgb_to_depth/image", image("rgb8"), True),
        ("/cam/image_raw/compressed", compressed("rgb8; jpeg compressed bgr8"), True),
        ("/cam/image_raw/compressed", compressed("jpeg"), True),
        ("/cam/image_raw", image("32FC1"), False),
        ("/cam/image_raw", image("16UC1"), False),
        ("/cam/image_raw", image("64FC1"), False),
        ("/cam/depth_raw", image("mono16"), False),
        ("/cam/disparity/image", image("mono16"), False),
        ("/cam/depth/color/image", image("rgb8"), False),
        ("/cam/image/compressed", compressed("16UC1; png compressed "), False),
        ("/cam/image/compressedDepth", compressed("32FC1; compressedDepth png"), False),
        ("/cam/image/coded", compressed("mono16; compressedDepth png"), False),
        ("/cam/image_raw", text("rgb8"), False),
    ],
)
def test_pictures_are_cameras_and_depth_is_not(
    tmp_path: Path, topic: str, message: Any, is_camera: bool
) -> None:
    with Bag(write(tmp_path / "bag", [(topic, 0, message)])) as bag:
        assert [camera.image_topic for camera in cameras(bag)] == [topic] * is_camera


RIG = [
    ("/right/image_raw/compressed", 0, compressed("jpeg")),
    ("/right/camera_info", 0, camera_info()),
    ("/left/image_raw", 0, image("rgb8")),
    ("/left/image_raw/compressed", 0, compressed("jpeg")),
    ("/left/camera_info", 0, text("of another type")),
    ("/image", 0, image("mono8")),
    ("/camera_info", 0, camera_info()),
]
IMAGE = Camera("/image", False, "/camera_info")
LEFT = Camera("/left/image_raw", False, None)
RIGHT = Camera("/right/image_raw/compressed", True, "/right/camera_info")


@PLUGINS
def test_camera_info_is_the_sibling_of_the_base_topic(
    tmp_path: Path, plugin: StoragePlugin
) -> None:
    with Bag(write(tmp_path / "rig", RIG, plugin)) as bag:
        assert cameras(bag) == [
            IMAGE,
            LEFT,
            Camera("/left/image_raw/compressed", True, None),
            RIGHT,
        ]


@PLUGINS
def test_topic_without_messages_is_no_camera(tmp_path: Path, plugin: StoragePlugin) -> None:
    with Writer(tmp_path / "bag", version=9, storage_plugin=plugin) as writer:
        writer.add_connection("/image", "sensor_msgs/msg/Image", typestore=HUMBLE)
        fill(writer, [("/camera_info", 0, camera_info())])
    with Bag(tmp_path / "bag") as bag:
        assert Topic("/image", "sensor_msgs/msg/Image", 0) in bag.topics
        assert cameras(bag) == []
        with pytest.raises(BagError, match="no message on '/image'"):
            bag.first("/image")


@pytest.mark.parametrize(
    ("name", "camera"),
    [
        (None, IMAGE),
        ("/left/image_raw", LEFT),
        ("/right/image_raw", RIGHT),
        ("/right/image_raw/compressed", RIGHT),
    ],
)
def test_camera_by_name_base_name_or_none(
    tmp_path: Path, name: str | None, camera: Camera
) -> None:
    with Bag(write(tmp_path / "rig", RIG)) as bag:
        assert find_camera(bag, name) == camera


@pytest.mark.parametrize(
    ("messages", "name", "reason"),
    [
        (RIG, "/rear/image", "no camera on '/rear/image'; its cameras are /image, /left"),
        (RIG, "/camera_info", "no camera on '/camera_info'"),
        (TALK, None, "no pictures"),
        ([("/depth", 0, image("32FC1"))], None, "no pictures"),
    ],
)
def test_no_such_camera(tmp_path: Path, messages: Messages, name: str | None, reason: str) -> None:
    with Bag(write(tmp_path / "rig", messages)) as bag, pytest.raises(BagError, match=reason):
        find_camera(bag, name)


def real(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"the real recording {path} is not on this computer")
    return path


def test_driving_scene_in_mcap() -> None:
    with Bag(real(DGP)) as bag:
        assert bag.duration_ns == 221_149_000
        assert sum(topic.count for topic in bag.topics) == 22
        assert cameras(bag) == [
            Camera(f"/camera_{n}/image_raw/compressed", True, f"/camera_{n}/camera_info")
            for n in ("01", "05", "06")
        ]


@pytest.mark.parametrize("file", ["", "udacity_highway_db3.db3"])
def test_highway_in_sqlite3_with_and_without_metadata(file: str) -> None:
    with Bag(real(UDACITY / file)) as bag:
        camera = find_camera(bag, "/front_camera/image_raw")
        assert camera == Camera("/front_camera/image_raw/compressed", True, None)
        stamps = [
            (time, stamp_ns(bag.deserialize(raw, topic)))
            for topic, time, raw in bag.messages([camera.image_topic])
        ]
    assert stamps == [(1_500_000_000 * 10**9 + n * 200_000_000,) * 2 for n in range(36)]


@pytest.mark.parametrize("file", ["", "rosbag2_2025_09_10-13_03_56_0.mcap"])
def test_bare_mcap_by_the_real_recorder(file: str) -> None:
    with Bag(real(RERUN / file)) as bag:
        assert cameras(bag) == [
            Camera("/compressed_image", True, "/camera_info"),
            Camera("/image", False, "/camera_info"),
        ]
        times = [time for _, time, _ in bag.messages(topic.name for topic in bag.topics)]
        picture = bag.first("/image")
    assert len(times) == 194
    assert times == sorted(times)
    assert (picture.encoding, picture.step, picture.data.size) == ("rgb8", 1920, 480 * 1920)


def test_bags_need_no_ros(tmp_path: Path) -> None:
    path = write(tmp_path / "rig", RIG)
    program = f"""
import sys
for name in ('rclpy', 'sensor_msgs', 'std_msgs', 'cv_bridge'):
    sys.modules[name] = None  # importing it fails
from depth_dpt_ros.replay import bag, ground_truth
with bag.Bag({str(path)!r}) as rig:
    print(ground_truth.find_ground_truth(rig, bag.find_camera(rig, None)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("None\n", "")
