# SPDX-License-Identifier: Apache-2.0
"""Reading bags of every kind without ROS, and the cameras in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

Message: TypeAlias = Any  # of any ROS type, with ROS 2 field names; its arrays are read-only

COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
IMAGES = ("sensor_msgs/msg/Image", COMPRESSED_IMAGE)

SUFFIXES = (".mcap", ".db3", ".bag")
_SQLITE = b"SQLite format 3\0"
_DEPTH_ENCODINGS = frozenset({"32FC1", "64FC1", "16UC1"})
_DEPTH_WORDS = frozenset({"depth", "disparity"})


class BagError(ValueError):
    """A bag, or something in it, is not what was asked for."""


@dataclass(frozen=True)
class Topic:
    """A recorded topic: its type as ROS 2 spells it, and its number of messages."""

    name: str
    msgtype: str
    count: int


class Bag:
    """A recording: rosbag2 directory, bare .mcap or .db3 file, or ROS 1 .bag.

    It is open inside a with statement, where `topics` holds its topics by name (save those
    recorded under two types). Messages come out as ROS 2 has them, whatever the bag.

    Raises:
        BagError: on entry, if the path is missing or no bag, or the bag is cut short or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.topics: tuple[Topic, ...] = ()
        self._types: dict[str, str] = {}

    def __enter__(self) -> Self:
        files = _storage(self.path)
        humble = get_typestore(Stores.ROS2_HUMBLE)
        for file in files:
            _check_sqlite(file)
        try:
            self._reader = reader = AnyReader(files, default_typestore=humble)
            reader.open()
            if reader.is2:
                self._store = _with_standard_types(reader.typestore, humble)
            else:
                self._store = _as_ros2(reader, humble)
        except Exception as error:  # damage surfaces as struct, type and assertion errors too
            raise BagError(
                f"{self.path} cannot be opened as a bag ({_reason(error)}); if the recording was "
                "cut short, repair it with `mcap recover` or `ros2 bag reindex`"
            ) from error
        self.topics = tuple(
            Topic(name, info.msgtype, info.msgcount)
            for name, info in sorted(reader.topics.items())
            if info.msgtype
        )
        self._types = {topic.name: topic.msgtype for topic in self.topics}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._reader.close()

    @property
    def start_ns(self) -> int:
        """Log time of the first message; 0 for an empty bag."""
        return self._reader.start_time if self._reader.message_count else 0

    @property
    def duration_ns(self) -> int:
        """Log time from the first message to the last; 0 for an empty bag."""
        return max(self._reader.duration - 1, 0)  # rosbags counts to just after the last

    def of_type(self, *msgtypes: str) -> list[str]:
        """Return the topics of some types that have messages, by name."""
        return [topic.name for topic in self.topics if topic.msgtype in msgtypes and topic.count]

    def messages(self, topics: Iterable[str]) -> Iterator[tuple[str, int, bytes]]:
        """Yield (topic, log time in ns, CDR bytes) of some topics, in order of log time.

        An unindexed .mcap has one read position: finish one iteration before the next, or open
        the bag twice.

        Raises:
            BagError: a topic is not in the bag, or the bag turns out to be damaged.
        """
        wanted = set(topics)
        if missing := sorted(wanted - self._types.keys()):
            raise BagError(
                f"{self.path} has no topic {missing[0]!r}; it has {listed(self._types)}"
            )
        return self._read([c for c in self._reader.connections if c.topic in wanted])

    def _read(self, connections: Sequence[Connection]) -> Iterator[tuple[str, int, bytes]]:
        if not connections:  # rosbags would take that for all of them
            return
        try:
            for connection, log_time, raw in self._reader.messages(connections):
                if not self._reader.is2:
                    raw = bytes(self._store.ros1_to_cdr(raw, connection.msgtype))
                yield connection.topic, log_time, raw
        except Exception as error:
            raise BagError(f"{self.path} is damaged ({_reason(error)})") from error

    def first(self, topic: str) -> Message:
        """Return the first message of a topic.

        Raises:
            BagError: there is none.
        """
        for _, _, raw in self.messages([topic]):
            return self.deserialize(raw, topic)
        raise BagError(f"{self.path} has no message on {topic!r}")

    def deserialize(self, raw: bytes, topic: str) -> Message:
        """Return the message in CDR bytes from `messages`.

        Raises:
            BagError: the bytes do not hold a message of the topic's type.
        """
        try:
            return self._store.deserialize_cdr(raw, self._types[topic])
        except Exception as error:
            raise BagError(
                f"{self.path} has {len(raw)} bytes on {topic!r} that are no "
                f"{self._types.get(topic, 'message')} ({_reason(error)})"
            ) from error


@dataclass(frozen=True)
class Camera:
    """A topic of pictures, and the CameraInfo topic beside it where the bag has one."""

    image_topic: str
    compressed: bool
    camera_info_topic: str | None

    @property
    def base_topic(self) -> str:
        """The image topic as image_transport knows it: without a final `/compressed`."""
        return base_topic(self.image_topic)


def cameras(bag: Bag) -> list[Camera]:
    """Return the cameras of a bag by image topic; images of depth or disparity are none."""
    infos = bag.of_type("sensor_msgs/msg/CameraInfo")
    compressed = bag.of_type(COMPRESSED_IMAGE)
    found = []
    for topic in bag.of_type(*IMAGES):
        if not _is_depth(topic, bag.first(topic)):
            info = base_topic(topic).rpartition("/")[0] + "/camera_info"
            found.append(Camera(topic, topic in compressed, info if info in infos else None))
    return found


def find_camera(bag: Bag, image_topic: str | None) -> Camera:
    """Return the camera on image_topic (`X` finds `X/compressed` too), or the first if None.

    Raises:
        BagError: the bag has no such camera, or none at all.
    """
    found = cameras(bag)
    if not found:
        raise BagError(f"{bag.path} has no pictures: no sensor_msgs Image or CompressedImage")
    if image_topic is None:
        return found[0]
    by_name = {camera.base_topic: camera for camera in found}
    by_name |= {camera.image_topic: camera for camera in found}
    if image_topic not in by_name:
        names = listed(camera.image_topic for camera in found)
        raise BagError(f"{bag.path} has no camera on {image_topic!r}; its cameras are {names}")
    return by_name[image_topic]


def base_topic(topic: str) -> str:
    """Return a topic as image_transport knows it, without the transport's name at its end."""
    return topic.removesuffix("/compressed").removesuffix("/compressedDepth")


def _is_depth(topic: str, image: Message) -> bool:
    """Tell depth from pictures by the encoding of an Image or the format of a CompressedImage."""
    pixels = image.encoding if hasattr(image, "encoding") else image.format
    encoding = pixels.partition(";")[0].strip()
    return (
        encoding in _DEPTH_ENCODINGS
        or "compressedDepth" in pixels
        or _has_depth_word(topic)  # such as depth/color/image: depth, painted
        or (encoding == "mono16" and _has_depth_word(topic.replace("_", "/")))
    )


def _has_depth_word(topic: str) -> bool:
    return not _DEPTH_WORDS.isdisjoint(topic.split("/"))


def _storage(path: Path) -> list[Path]:
    """Return what rosbags is to open; a directory that lost its metadata.yaml gives its files."""
    if not path.exists():
        raise BagError(
            f"{path} does not exist; give a rosbag2 directory or a .mcap, .db3 or .bag file"
        )
    if not path.is_dir() or (path / "metadata.yaml").exists():
        return [path]
    for suffix in SUFFIXES:
        if files := sorted(path.glob(f"*{suffix}")):
            return files
    raise BagError(f"{path} is no bag: it has no metadata.yaml, and no .mcap, .db3 or .bag file")


def _check_sqlite(path: Path) -> None:
    """Raise BagError for database files that are cut short: SQLite reads zeros past the end."""
    for file in path.glob("*.db3") if path.is_dir() else [path]:
        with file.open("rb") as opened:
            header = opened.read(100)
        size = int.from_bytes(header[16:18], "big")
        pages = int.from_bytes(header[28:32], "big")
        # the count is good only if the last writer knew of it
        if not header.startswith(_SQLITE) or header[24:28] != header[92:96]:
            continue
        whole, there = pages * (65536 if size == 1 else size), file.stat().st_size
        if there < whole:
            raise BagError(f"{file} is cut short: it has {there} bytes of {whole}")


def _with_standard_types(store: Typestore, humble: Typestore) -> Typestore:
    """Return the bag's own types plus ROS's, for topics whose schema it lacks."""
    missing = humble.fielddefs.keys() - store.fielddefs
    store.register({name: humble.fielddefs[name] for name in missing})
    return store


def _as_ros2(reader: AnyReader, humble: Typestore) -> Typestore:
    """Return ROS 2's types plus those that only the ROS 1 bag defines."""
    definitions = reader.typestore.fielddefs
    humble.register({name: definitions[name] for name in definitions.keys() - humble.fielddefs})
    return humble


def listed(names: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(names) or "nothing"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
