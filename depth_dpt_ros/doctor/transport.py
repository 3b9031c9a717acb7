# SPDX-License-Identifier: Apache-2.0
"""Whether images of a certain size get from the camera's process to the node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from depth_dpt_ros.doctor import shared_memory
from depth_dpt_ros.doctor.finding import Finding, megabytes, note, ok, problem
from depth_dpt_ros.doctor.ros import FAST_DDS, Ros
from depth_dpt_ros.doctor.shared_memory import SharedMemory
from depth_dpt_ros.transport import PROFILE_VARIABLES, large_image_settings

BUILTIN_TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
DEFAULT_SEGMENT = 512 << 10  # bytes, of Fast DDS
OWN_SEGMENT = 64 << 20  # bytes, of this package's profile
ROOM = 2  # messages that a segment must hold for none to be lost
_OLD_FAST_DDS = ("humble", "iron")  # before 2.13
_LINUX_BUFFER = 212992  # bytes, default of net.core.rmem_max
_UNITS = {"": 1, "B": 1, "KB": 1000, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20,
          "GIB": 1 << 30}  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """What a Fast DDS profile file says of transports; `error` says why it cannot be read."""

    variable: str
    path: str
    segment: int = 0  # bytes of its largest shared-memory transport; 0 where it has none
    own_transports: bool = False  # it names its transports, rather than taking the built-in ones
    error: str = ""


@dataclass(frozen=True)
class Transport:
    """Settings of this shell and of the kernel.

    Attributes:
        builtin: value of FASTDDS_BUILTIN_TRANSPORTS.
        cyclone: value of CYCLONEDDS_URI.
        receive_buffer: net.core.rmem_max, bytes; None where the kernel does not say.
        container: whether this runs in a container.
    """

    profiles: tuple[Profile, ...]
    builtin: str
    cyclone: str
    memory: SharedMemory | None
    receive_buffer: int | None
    container: bool


def gather(environment: Mapping[str, str]) -> Transport:
    """Read the environment, the profiles it names, and the kernel's settings."""
    limit = Path("/proc/sys/net/core/rmem_max")
    return Transport(
        tuple(
            read_profile(name, environment[name])
            for name in PROFILE_VARIABLES
            if environment.get(name)
        ),
        environment.get(BUILTIN_TRANSPORTS, ""),
        environment.get("CYCLONEDDS_URI", ""),
        shared_memory.gather(),
        int(limit.read_text()) if limit.exists() else None,
        any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")),
    )


def read_profile(variable: str, path: str) -> Profile:
    """Read a Fast DDS profile file."""
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - the user's own file
        segments = [
            int(text) if (text := _text(transport, "segment_size")) else DEFAULT_SEGMENT
            for transport in _named(root, "transport_descriptor")
            if _text(transport, "type") == "SHM"
        ]
    except (OSError, ET.ParseError, ValueError) as error:
        return Profile(variable, path, error=str(error))
    own = any(e.text and e.text.strip() == "false" for e in _named(root, "useBuiltinTransports"))
    return Profile(variable, path, max(segments, default=0), own)


def _named(root: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in root.iter() if element.tag.rpartition("}")[2] == name]


def _text(parent: ET.Element, name: str) -> str:
    return next((e.text.strip() for e in _named(parent, name) if e.text), "")


def findings(transport: Transport, ros: Ros, image: tuple[int, int] | None) -> list[Finding]:
    """Whether images of (width, height) pixels fit through."""
    size = None if image is None else image[0] * image[1] * 4  # depth: four bytes a pixel
    what = "" if image is None else f"depth of {image[0]}x{image[1]} ({megabytes(size or 0)})"
    found = []
    if ros.middleware.value in (*FAST_DDS, None):
        found += _without_effect(transport, ros) or _segment(transport, size, what)
        found += _memory(transport.memory)
    elif ros.middleware.value == "rmw_zenoh_cpp":
        found.append(note("rmw_zenoh finds nobody without its router: ros2 run rmw_zenoh_cpp "
                          "rmw_zenohd"))  # fmt: skip
    found += _socket_buffer(transport, ros, size or 0)
    if transport.container:
        found.append(
            note(
                "this is a container: with --network host, processes outside it are taken for "
                "neighbours, but shared memory does not reach them",
                "start all containers with --ipc=host, or none with --network host",
            )
        )
    return found


def _without_effect(transport: Transport, ros: Ros) -> list[Finding]:
    """Settings that do nothing but keep the node from using its own profile."""
    found = [
        problem(
            f"{profile.variable} names {profile.path}, which cannot be used ({profile.error})",
            f"correct the path, or unset {profile.variable}: the node brings its own profile",
        )
        for profile in transport.profiles
        if profile.error
    ]
    if transport.builtin and ros.local_only:
        found.append(
            problem(
                f"{BUILTIN_TRANSPORTS}={transport.builtin} is without effect while discovery is "
                "limited to this machine, but keeps the node from using its own profile",
                f"unset {BUILTIN_TRANSPORTS}, or ROS_AUTOMATIC_DISCOVERY_RANGE",
            )
        )
    names = [profile.variable for profile in transport.profiles]
    names += [BUILTIN_TRANSPORTS] * bool(transport.builtin)
    read = PROFILE_VARIABLES[1]
    if names and read not in names and ros.variables.get("ROS_DISTRO") in _OLD_FAST_DDS:
        found.append(
            problem(
                f"{' and '.join(names)} mean nothing to the Fast DDS of this distribution, which "
                f"reads {read}, but keep the node from using its own profile",
                f"unset {' '.join(names)}, or set {read} too",
            )
        )
    return found


def segment_of(transport: Transport) -> int | None:
    """Bytes of the segment that processes started from this shell have; 0: none.

    None where it cannot be told from the settings.
    """
    if transport.profiles:
        profile = transport.profiles[0]
        return profile.segment if profile.own_transports else max(profile.segment, DEFAULT_SEGMENT)
    kind = transport.builtin.partition("?")[0].upper()
    return {"": DEFAULT_SEGMENT, "DEFAULT": DEFAULT_SEGMENT, "DEFAULTV6": DEFAULT_SEGMENT,
            "SHM": DEFAULT_SEGMENT, "UDPV4": 0, "UDPV6": 0}.get(kind)  # fmt: skip


def _segment(transport: Transport, size: int | None, what: str) -> list[Finding]:
    chosen = transport.profiles[0].path if transport.profiles else transport.builtin
    source = f" ({chosen})" if chosen else ""
    segment = segment_of(transport)
    if segment is None:
        return [*_sockets(transport), ok(f"{BUILTIN_TRANSPORTS}={transport.builtin}")]
    held = f"shared-memory segments of {megabytes(segment)}" if segment else "no shared memory"
    if not chosen:
        if size is not None and size * ROOM <= segment:
            return [ok(f"{held}, enough for {what}")]
        return [
            ok(f"the node brings its own profile: segments of {megabytes(OWN_SEGMENT)}"),
            note(
                f"processes started from this shell otherwise have {held}; through these most "
                f"images larger than {megabytes(segment / ROOM)} are lost",
                "set the profile for the camera driver and for whoever takes depth: "
                f"{profile_exports()}",
            ),
        ]
    if size is not None and size * ROOM > segment:
        return [
            problem(
                f"{held}{source}: too little for {what}, most of which will be lost",
                f"unset {' '.join((*PROFILE_VARIABLES, BUILTIN_TRANSPORTS))}, or "
                f"take segments of {megabytes(size * ROOM)} or more",
            )
        ]
    if size is None:
        return [ok(f"{held}{source}: for messages of up to {megabytes(segment / ROOM)}")]
    return [ok(f"{held}{source}, enough for {what}")]


def profile_exports() -> str:
    """The shell command that sets this package's profile."""
    (profile,) = set(large_image_settings({}).values())
    return f"export {' '.join(f'{name}={profile}' for name in PROFILE_VARIABLES)}"


def _sockets(transport: Transport) -> list[Finding]:
    """FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA?sockets_size=16MB fails outright on a small limit."""
    wanted = re.search(r"SOCKETS_SIZE=(\d+)([A-Z]*)", transport.builtin.upper())
    limit = transport.receive_buffer
    if wanted is None or limit is None or wanted[2] not in _UNITS:
        return []
    size = int(wanted[1]) * _UNITS[wanted[2]]
    if size <= limit:
        return []
    return [
        problem(
            f"{BUILTIN_TRANSPORTS} asks for socket buffers of {megabytes(size)}, the kernel "
            f"gives {megabytes(limit)} at most: the node will not start",
            f"sudo sysctl -w net.core.rmem_max={size} net.core.wmem_max={size}",
        )
    ]


def _memory(memory: SharedMemory | None) -> list[Finding]:
    if memory is None:
        return [note("no /dev/shm: Fast DDS falls back to UDP, which loses large images")]
    place = shared_memory.FOLDER
    text = f"{place}: {megabytes(memory.free)} of {megabytes(memory.total)} free"
    found = []
    if memory.free < OWN_SEGMENT:
        found.append(
            problem(
                f"{text}, less than the {megabytes(OWN_SEGMENT)} of one process",
                "fastdds shm clean" if memory.stale else
                "give it more: docker run --shm-size=1g, or sudo mount -o remount,size=1g "
                f"{place}",
            )
        )  # fmt: skip
    else:
        found.append(ok(f"{text}, {memory.live} processes of Fast DDS in it"))
    if memory.stale:
        found.append(
            note(
                f"{memory.stale} segments of ended processes hold {megabytes(memory.stale_size)} "
                f"of {place}",
                "fastdds shm clean",
            )
        )
    if memory.others:
        users = ", ".join(map(str, memory.others))
        found.append(
            note(
                f"user {users} has Fast DDS segments here too; processes of different users "
                "cannot write into each other's, and their messages are lost",
                "run the camera driver and the node as one user",
            )
        )
    return found


def _socket_buffer(transport: Transport, ros: Ros, size: int) -> list[Finding]:
    limit = transport.receive_buffer
    if limit is None:
        return []
    text = f"net.core.rmem_max is {megabytes(limit)}"
    if limit > max(size, _LINUX_BUFFER):
        return [ok(text)]
    means = "images from other machines are lost"
    if ros.middleware.value == "rmw_cyclonedds_cpp":
        means = "images are lost, since Cyclone DDS sends them through sockets"
        if transport.cyclone:
            means += " (CYCLONEDDS_URI may ask for more, and gets this)"
    return [
        note(
            f"{text}, less than an image: {means}",
            "sudo sysctl -w net.core.rmem_max=2147483647 net.ipv4.ipfrag_time=3 "
            "net.ipv4.ipfrag_high_thresh=134217728",
        )
    ]
