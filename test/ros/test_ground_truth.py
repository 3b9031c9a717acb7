# SPDX-License-Identifier: Apache-2.0
"""True depth from bags: numbers worked out by hand, hostile bags, and a real driving scene."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from depth_dpt_core.camera import Intrinsics
from depth_dpt_ros.camera_info import intrinsics_of
from depth_dpt_ros.replay.bag import Bag, BagError, Camera, find_camera
from depth_dpt_ros.replay.ground_truth import DepthImages, GroundTruth, find_ground_truth
from depth_dpt_ros.replay.matching import iter_frames
from depth_dpt_ros.replay.projection import cloud_points, project_points
from depth_dpt_ros.replay.transforms import TransformTree
from depth_dpt_ros.stamps import stamp_ns

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
HUMBLE = get_typestore(Stores.ROS2_HUMBLE)
NAN = np.nan
MS = 1_000_000

Messages = Iterable[tuple[str, int, Any]]  # topic, log time in ns, message


def ros(name: str, *values: Any) -> Any:
    package, _, kind = name.partition("/")
    return HUMBLE.types[f"{package}/msg/{kind}"](*values)


def header(stamp: int, frame: str) -> Any:
    time = ros("builtin_interfaces/Time", stamp // 10**9, stamp % 10**9)
    return ros("std_msgs/Header", time, frame)


def picture(stamp: int = 0, frame: str = "optical") -> Any:
    return ros(
        "sensor_msgs/Image", header(stamp, frame), 1, 1, "mono8", 0, 1, np.ones(1, np.uint8)
    )


def depth(stamp: int = 0, metres: float = 5.0, frame: str = "optical", side: int = 1) -> Any:
    data = np.full(side * side, metres, "<f4").view(np.uint8)
    return ros("sensor_msgs/Image", header(stamp, frame), side, side, "32FC1", 0, 4 * side, data)


def compressed_depth(coder: str) -> Any:
    _, png = cv2.imencode(".png", np.full((2, 3), 1500, np.uint16))
    data = np.concatenate([np.zeros(12, np.uint8), png.ravel()])
    pixels = f"16UC1; compressedDepth {coder}"
    return ros("sensor_msgs/CompressedImage", header(0, "optical"), pixels, data)


def camera_info(focal_length: float = 64.0, frame: str = "optical") -> Any:
    k = np.array([focal_length, 0, 2, 0, focal_length, 1, 0, 0, 1])
    roi = ros("sensor_msgs/RegionOfInterest", 0, 0, 0, 0, False)
    matrices = (np.zeros(5), k, np.eye(3).ravel(), np.zeros(12))
    return ros("sensor_msgs/CameraInfo", header(0, frame), 3, 5, "plumb_bob", *matrices, 0, 0, roi)


def cloud(xyz: Any, stamp: int = 0, frame: str = "lidar", names: str = "xyz") -> Any:
    points = np.asarray(xyz, "<f4").reshape(-1, 3)
    fields = [ros("sensor_msgs/PointField", name, 4 * i, 7, 1) for i, name in enumerate(names)]
    size = (1, len(points), fields, False, 12, points.nbytes)
    return ros(
        "sensor_msgs/PointCloud2", header(stamp, frame), *size, points.view("u1").ravel(), True
    )


def transform(
    parent: str, child: str, xyz: tuple[float, ...], xyzw: tuple[float, ...] = (0, 0, 0, 1)
) -> Any:
    pose = ros(
        "geometry_msgs/Transform",
        ros("geometry_msgs/Vector3", *xyz),
        ros("geometry_msgs/Quaternion", *xyzw),
    )
    return ros("geometry_msgs/TransformStamped", header(0, parent), child, pose)


def tf(*transforms: Any) -> Any:
    return ros("tf2_msgs/TFMessage", list(transforms))


def write(path: Path, messages: Messages) -> Path:
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Any] = {}
        for topic, log_time, message in messages:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=HUMBLE)
            writer.write(connections[topic], log_time, HUMBLE.serialize_cdr(message, kind))
    return path


# Transforms

MAST = transform("base", "mast", (1, 0, 2))
CAMERA = transform("mast", "camera", (0, 1, 0), (0, 0, np.sqrt(0.5), np.sqrt(0.5)))  # yaw 90 deg
OPTICAL = transform("camera", "optical", (0, 0, 0), (-0.5, 0.5, -0.5, 0.5))  # REP 103
LIDAR = transform("base", "lidar", (0, 0, 3))


@pytest.mark.parametrize(
    "messages", [[tf(MAST, CAMERA, OPTICAL, LIDAR)], [tf(LIDAR), tf(OPTICAL), tf(CAMERA, MAST)]]
)
def test_a_point_goes_up_and_down_a_chain(messages: list[Any]) -> None:
    tree = TransformTree(messages)
    # (5, 1, 0) in lidar is (5, 1, 3) in base, (4, 1, 1) in mast, (0, -4, 1) in camera, which
    # looks along the mast's y; optical has x = -y, y = -z, z = x of that.
    lidar, optical = np.array([5, 1, 0, 1]), np.array([4, -1, 0, 1])
    np.testing.assert_allclose(tree.lookup("optical", "lidar") @ lidar, optical, atol=1e-12)
    np.testing.assert_allclose(tree.lookup("lidar", "optical") @ optical, lidar, atol=1e-12)


def test_a_frame_is_where_it_is_itself_and_slashes_do_not_matter() -> None:
    np.testing.assert_array_equal(TransformTree([]).lookup("any", "any"), np.eye(4))
    tree = TransformTree([tf(transform("/base", "/lidar", (0, 0, 3)))])
    assert tree.lookup("base", "lidar")[2, 3] == 3


def test_the_last_transform_counts() -> None:
    tree = TransformTree([tf(LIDAR), tf(transform("base", "lidar", (0, 0, 4)))])
    assert tree.lookup("base", "lidar")[2, 3] == 4


def test_a_quaternion_is_normalised() -> None:
    tree = TransformTree([tf(transform("a", "b", (0, 0, 0), (0, 0, 2, 2)))])
    np.testing.assert_allclose(tree.lookup("a", "b")[:3, 0], (0, 1, 0), atol=1e-12)


def test_frames_without_a_chain_are_named() -> None:
    tree = TransformTree([tf(MAST, CAMERA), tf(transform("truck", "lidar", (0, 0, 3)))])
    with pytest.raises(LookupError, match="'lidar' to any of base, camera, mast"):
        tree.lookup("camera", "lidar")


# Points

FOCAL_64 = Intrinsics(64.0, 32.0, 2.0, 1.0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("points", "seen"),
    [
        ([(0, 0, 8)], {(1, 2): 8}),
        ([(0, 0, 8), (0, 0, 4), (0, 0, 6)], {(1, 2): 4}),  # nearest wins
        ([(0.125, 0.25, 8)], {(2, 3): 8}),  # u 3, v 2: each focal length for its own axis
        ([(0.0625, 0, 8)], {(1, 3): 8}),  # u 2.5 rounds up, not to even
        ([(0.0615, 0, 8)], {(1, 2): 8}),  # u 2.492
        ([(-0.3125, 0, 8)], {(1, 0): 8}),  # u -0.5: the first pixel's edge
        ([(-0.3135, 0, 8)], {}),
        ([(0.3115, 0, 8)], {(1, 4): 8}),  # u 4.492
        ([(0.3125, 0, 8)], {}),  # u 4.5: past the last pixel's edge
        ([(0, 0.3745, 8)], {(2, 2): 8}),  # v 2.498
        ([(0, 0.375, 8)], {}),  # v 2.5
        ([(0, 0, -8)], {}),
        ([(0, 0, 0)], {}),
        ([(NAN, 0, 8), (0, 0, np.inf), (0, -np.inf, 8), (0, 0, NAN)], {}),
        ([(1e30, 0, 1e-30)], {}),
        (np.empty((0, 3)), {}),
    ],
)
def test_projection_by_hand(points: Any, seen: dict[tuple[int, int], float]) -> None:
    expected = np.full((3, 5), NAN, np.float32)
    for pixel, metres in seen.items():
        expected[pixel] = metres
    answer = project_points(np.array(points, float), np.eye(4), FOCAL_64, (3, 5))
    np.testing.assert_array_equal(answer, expected)
    assert answer.dtype == np.float32


def test_points_are_taken_into_the_camera_first() -> None:
    forward_is_x = np.array([(0, -1, 0, 0), (0, 0, -1, 0), (1, 0, 0, -2), (0, 0, 0, 1)], float)
    answer = project_points(np.array([(10.0, 0, 0)]), forward_is_x, FOCAL_64, (3, 5))
    assert answer[1, 2] == 8


@pytest.mark.parametrize(
    ("p", "k", "expected"),
    [
        ((7, 0, 3, 0, 0, 8, 2, 0), (9, 0, 5, 0, 9, 5), Intrinsics(7, 8, 3, 2)),
        ((0,) * 8, (9, 0, 5, 0, 8, 4), Intrinsics(9, 8, 5, 4)),
    ],
)
def test_intrinsics_are_p_or_else_k(p: Any, k: Any, expected: Intrinsics) -> None:
    info = camera_info()
    info.p, info.k = np.array(p, float), np.array(k, float)
    assert intrinsics_of(info, 5, 3) == expected


def test_uncalibrated_camera_is_refused() -> None:
    with pytest.raises(ValueError, match="focal length"):
        intrinsics_of(camera_info(focal_length=0.0), 5, 3)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("code", "datatype"), [("f", 7), ("d", 8)])
@pytest.mark.parametrize("row_padding", [0, 5])
def test_clouds_of_any_layout(order: str, code: str, datatype: int, row_padding: int) -> None:
    offsets = {"z": 3, "x": 12, "y": 20}  # not in order, not aligned, with gaps
    rows = [bytearray(3 * 31 + row_padding) for _ in range(2)]
    for index in range(6):
        for axis, value in zip("xyz", (index, index + 0.25, index + 0.5), strict=True):
            at = index % 3 * 31 + offsets[axis]
            struct.pack_into(order + code, rows[index // 3], at, value)
    message = cloud([])
    message.height, message.width, message.is_bigendian = 2, 3, order == ">"
    message.point_step, message.row_step = 31, len(rows[0])
    message.data = np.frombuffer(rows[0] + rows[1], np.uint8)
    message.fields = [ros("sensor_msgs/PointField", "ring", 0, 4, 1)] + [
        ros("sensor_msgs/PointField", axis, at, datatype, 1) for axis, at in offsets.items()
    ]
    expected = np.arange(6)[:, None] + (0, 0.25, 0.5)
    np.testing.assert_array_equal(cloud_points(message), expected)


def test_row_step_left_at_zero_means_rows_without_padding() -> None:
    message = cloud([(0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 0, 4)])
    message.height, message.width, message.row_step = 2, 2, 0
    np.testing.assert_array_equal(cloud_points(message)[:, 2], (1, 2, 3, 4))


def test_empty_cloud_has_no_points() -> None:
    assert cloud_points(cloud([])).shape == (0, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"fields": []},
        {"fields": cloud([(0, 0, 1)], names="xyi").fields},
        {"fields": [ros("sensor_msgs/PointField", axis, 0, 4, 1) for axis in "xyz"]},
        {"fields": [ros("sensor_msgs/PointField", axis, 9, 7, 1) for axis in "xyz"]},
        {"point_step": 0},
        {"point_step": 24},
        {"width": 3},
        {"height": 2},
    ],
)
def test_cloud_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    message = cloud([(0, 0, 1), (0, 0, 2)])
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(BagError, match="float x, y and z"):
        cloud_points(message)


# Finding

EYE = [("/front/image", 0, picture()), ("/front/camera_info", 0, camera_info())]
LIDAR_TF = ("/tf_static", 0, tf(transform("optical", "lidar", (0, 0, 0))))
POINTS = ("/lidar/points", 0, cloud([(0, 0, 8)]))


def found(tmp_path: Path, *messages: tuple[str, int, Any]) -> GroundTruth | None:
    with Bag(write(tmp_path / "bag", messages)) as bag:
        return find_ground_truth(bag, find_camera(bag, "/front/image"))


@pytest.mark.parametrize(
    ("others", "topic"),
    [
        ([("/front/depth/image_rect", 0, depth())], "/front/depth/image_rect"),
        ([("/depth", 0, depth()), ("/front/depth", 0, depth())], "/front/depth"),
        ([("/front/depth", 0, depth(frame="left")), ("/d", 0, depth())], "/d"),  # same frame
        ([("/depth", 0, depth(frame="unknown"))], "/depth"),
        ([POINTS, LIDAR_TF, ("/depth", 0, depth())], "/depth"),
        ([("/d/compressedDepth", 0, compressed_depth("png"))], "/d/compressedDepth"),
    ],
)
def test_depth_image_of_the_camera(
    tmp_path: Path, others: list[tuple[str, int, Any]], topic: str
) -> None:
    truth = found(tmp_path, *EYE, *others)
    assert truth is not None
    assert (truth.topic, truth.kind) == (topic, "depth_image")


@pytest.mark.parametrize(
    "others",
    [
        [],
        [("/d/compressedDepth", 0, compressed_depth("rvl"))],
        [("/rear/image", 0, picture(frame="rear")), ("/rear/depth", 0, depth(frame="rear"))],
        [("/rear/image", 0, picture(frame="r")), ("/rear/depth", 0, depth(frame="none"))],
        [
            ("/front/depth", 0, depth(frame="depth")),
            ("/tf_static", 0, tf(transform("optical", "depth", (0.015, 0, 0)))),
        ],
        [POINTS],
        [LIDAR_TF],
        [POINTS, ("/tf_static", 0, tf(transform("truck", "lidar", (0, 0, 0))))],
        [("/lidar/points", 0, cloud([(0, 0, 8)], names="xyi")), LIDAR_TF],
    ],
    ids=[
        "nothing",
        "coding that cannot be read",
        "depth in another camera's frame",
        "depth in another camera's namespace",
        "depth seen from elsewhere",
        "cloud without transforms",
        "transforms without cloud",
        "no chain",
        "cloud without z",
    ],
)
def test_no_truth_rather_than_a_wrong_one(
    tmp_path: Path, others: list[tuple[str, int, Any]]
) -> None:
    assert found(tmp_path, *EYE, *others) is None


@pytest.mark.parametrize("info", [[], [("/front/camera_info", 0, camera_info(0.0))]])
def test_points_need_a_calibrated_camera(tmp_path: Path, info: list[tuple[str, int, Any]]) -> None:
    assert found(tmp_path, EYE[0], *info, POINTS, LIDAR_TF) is None


@pytest.mark.parametrize("tf_topic", ["/tf_static", "/car/tf_static"])
def test_points_through_a_chain(tmp_path: Path, tf_topic: str) -> None:
    chain = tf(MAST, CAMERA, OPTICAL, LIDAR)
    # (1, 10, -1) in lidar is (1, 10, 2) in base, (0, 10, 0) in mast, (9, 0, 0) in camera.
    rear = ("/a/points", 0, cloud([(1, -10, -1)]))
    front = ("/b/points", 0, cloud([(1, 10, -1), (1, -10, -1)]))
    path = write(tmp_path / "bag", [*EYE, rear, front, (tf_topic, 0, chain)])
    with Bag(path) as bag:
        camera = find_camera(bag, None)
        truth = find_ground_truth(bag, camera)
        assert truth is not None
        assert (truth.topic, truth.kind) == ("/b/points", "points")
        ((stamp, answer),) = iter_truth(bag, camera, truth)
    expected = np.full((3, 5), NAN)
    expected[1, 2] = 9
    assert stamp == 0
    np.testing.assert_allclose(answer, expected, rtol=1e-6)


# Matching


def iter_truth(
    bag: Bag, camera: Camera, truth: GroundTruth, **tolerance: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Stamp and true depth, hidden points included, of the images that have truth."""
    for frame in iter_frames(bag, camera, truth, **tolerance):
        if frame.truth is not None:
            known = truth.read(frame.truth, frame.camera_info, frame.cloud_to_camera)
            yield frame.stamp, known.depth if known.with_hidden is None else known.with_hidden


def matched(
    tmp_path: Path, images: dict[int, int], truths: dict[int, int], **tolerance: int
) -> list[tuple[int, float]]:
    """Return (image stamp, stamp of its truth) in ms, given stamp -> log time in ms of each."""
    messages = [("/image", log * MS, picture(stamp * MS)) for stamp, log in images.items()]
    messages += [
        ("/depth", log * MS, depth(stamp * MS, metres=stamp)) for stamp, log in truths.items()
    ]
    with Bag(write(tmp_path / "bag", messages)) as bag:
        camera = find_camera(bag, None)
        pairs = iter_truth(bag, camera, DepthImages("/depth"), **tolerance)
        return [(stamp // MS, float(metres[0, 0])) for stamp, metres in pairs]


def now(*stamps: int) -> dict[int, int]:
    return {stamp: stamp for stamp in stamps}


def late(delay: int, *stamps: int) -> dict[int, int]:
    return {stamp: stamp + delay for stamp in stamps}


@pytest.mark.parametrize(
    ("images", "truths", "pairs"),
    [
        (now(100, 200, 300), now(100, 200, 300), [(100, 100), (200, 200), (300, 300)]),
        (now(100, 133, 167), now(90, 100, 140), [(100, 100), (133, 140), (167, 140)]),
        (now(100, 200), now(50, 251), [(100, 50)]),  # 50 ms is near enough, 51 is not
        (now(100), now(70, 110), [(100, 110)]),
        (now(100), now(90, 130), [(100, 90)]),
        (now(100, 200, 300), now(200), [(200, 200)]),
        (now(100, 200), late(950, 100, 200), [(100, 100), (200, 200)]),
        (late(950, 100, 200), now(100, 200), [(100, 100), (200, 200)]),
        (now(100, 200, 1300), late(1500, 100, 200), []),  # recorded too long after
        (late(300, 100, 200, 300), now(100, 200, 300), [(100, 100), (200, 200), (300, 300)]),
        (now(100, 9000), now(100, 9000), [(100, 100), (9000, 9000)]),
        (now(100), {}, []),
    ],
)
def test_images_join_their_nearest_truth(
    tmp_path: Path, images: dict[int, int], truths: dict[int, int], pairs: list[tuple[int, float]]
) -> None:
    truths = truths or now(60_000)
    assert matched(tmp_path, images, truths) == pairs


def test_tolerance_can_be_chosen(tmp_path: Path) -> None:
    assert matched(tmp_path, now(100), now(103), tolerance_ns=2 * MS) == []


def test_points_are_projected_with_the_camera_info_of_their_time(tmp_path: Path) -> None:
    seconds = {0: 64.0, 1: 128.0}
    messages = [LIDAR_TF]
    for second, focal_length in seconds.items():
        time = second * 10**9
        messages += [
            ("/front/camera_info", time, camera_info(focal_length)),
            ("/front/image", time, picture(time)),
            ("/lidar/points", time + MS, cloud([(0.125, 0, 8)], time)),
        ]
    with Bag(write(tmp_path / "bag", messages)) as bag:
        camera = find_camera(bag, None)
        truth = find_ground_truth(bag, camera)
        assert truth is not None
        columns = [int(np.nanargmin(answer[1])) for _, answer in iter_truth(bag, camera, truth)]
    assert columns == [3, 4]


def test_damaged_truth_is_refused_with_the_reason(tmp_path: Path) -> None:
    messages = [("/image", n, picture(n * 10**9)) for n in range(3)]
    messages += [("/depth", n, depth(n * 10**9)) for n in range(3)]
    messages[4][2].data = messages[4][2].data[:3]
    with Bag(write(tmp_path / "bag", messages)) as bag:
        truth = DepthImages("/depth")
        _, second, third = iter_frames(bag, find_camera(bag, None), truth)
        with pytest.raises(ValueError, match="data is too short"):
            truth.read(second.truth)
        assert truth.read(third.truth).depth[0, 0] == 5


@pytest.mark.parametrize(("images", "held"), [(range(200), 40), (range(20), 60)])
def test_memory_does_not_grow_with_the_bag(tmp_path: Path, images: range, held: int) -> None:
    side = 200  # 160 kB of depth a message, ten a second
    messages = [("/depth", n * 10**8, depth(n * 10**8, side=side)) for n in range(200)]
    messages += [("/image", n * 10**8, picture(n * 10**8)) for n in images]
    with Bag(write(tmp_path / "bag", messages)) as bag:
        truths = iter_truth(bag, find_camera(bag, None), DepthImages("/depth"))
        tracemalloc.start()
        assert sum(1 for _ in truths) == len(images)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < held * 4 * side**2  # rosbags' own buffers take some 30 messages


# Real recordings


def real(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the real recording {path} is not on this computer")
    return path


@pytest.mark.parametrize(
    ("camera", "pixels", "median", "farthest"),
    [
        ("01", (4814, 4779, 4813), 11.42, 224.92),
        ("05", (10828, 10718, 10497), 21.32, 148.66),
        ("06", (10310, 10165, 9989), 7.11, 159.75),
    ],
)
def test_driving_scene_has_the_depth_its_lidar_saw(
    camera: str, pixels: tuple[int, ...], median: float, farthest: float
) -> None:
    with Bag(real("bags/dgp_scene_01_mcap")) as bag:
        front = find_camera(bag, f"/camera_{camera}/image_raw")
        truth = find_ground_truth(bag, front)
        assert truth is not None
        assert (truth.topic, truth.kind) == ("/lidar/points", "points")
        stamps, depths = zip(*iter_truth(bag, front, truth), strict=True)
        images = [
            stamp_ns(bag.deserialize(raw, topic))
            for topic, _, raw in bag.messages([front.image_topic])
        ]
    assert list(stamps) == images
    assert {answer.shape for answer in depths} == {(1216, 1936)}
    assert tuple(np.isfinite(answer).sum() for answer in depths) == pixels
    assert np.nanmedian(depths[1]) == pytest.approx(median, abs=0.01)
    assert np.nanmax(depths[1]) == pytest.approx(farthest, abs=0.01)


def test_driving_scene_agrees_with_its_published_point_count() -> None:
    """SOURCE.md counts the points at 0 <= u < W - 1, 0 <= v < H - 1 of the second sample."""
    with Bag(real("bags/dgp_scene_01_mcap")) as bag:
        front = find_camera(bag, "/camera_01/image_raw")
        truth = find_ground_truth(bag, front)
        assert truth is not None
        _, frame, _ = iter_frames(bag, front, truth)
        assert frame.cloud_to_camera is not None
        second = frame.truth
        camera = intrinsics_of(bag.first("/camera_01/camera_info"), 1936, 1216)
    points = cloud_points(second)
    x, y, z = frame.cloud_to_camera[:3] @ np.vstack([points.T, np.ones(len(points))])
    u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
    published = (z > 0) & (u >= 0) & (u < 1935) & (v >= 0) & (v < 1215)
    inside = (z > 0) & (u >= -0.5) & (u < 1935.5) & (v >= -0.5) & (v < 1215.5)
    assert (published.sum(), inside.sum()) == (4779, 4782)  # three of these share a pixel


def test_highway_has_no_truth() -> None:
    with Bag(real("bags/udacity_highway_db3")) as bag:
        assert find_ground_truth(bag, find_camera(bag, None)) is None


def test_cloud_that_lies_beside_the_view_is_no_truth() -> None:
    with Bag(real("rerun_ros2_allmsgs_mcap")) as bag:
        assert cloud_points(bag.first("/point_cloud2")).shape == (200, 3)
        assert find_ground_truth(bag, find_camera(bag, "/image")) is None
