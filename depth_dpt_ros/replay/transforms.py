# SPDX-License-Identifier: Apache-2.0
"""Where frames are to each other: chains of fixed and of moving transforms."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depth_dpt_ros.replay.bag import Bag, Message
from depth_dpt_ros.stamps import stamp_ns

Floats = NDArray[Any]

TF_MESSAGE = "tf2_msgs/msg/TFMessage"
_HELD_NS = 10_000_000_000  # how long a moving transform is remembered
_STAMP = itemgetter(0)


class _Pose(NamedTuple):
    stamp: int
    translation: Floats  # [3]
    quaternion: Floats  # [4] x, y, z, w of length 1


class _Link:
    """The transforms from one child frame to its parent, by time if they move."""

    def __init__(self, parent: str, child: str, *, fixed: bool) -> None:
        self.parent, self.child, self.fixed = parent, child, fixed
        self.poses: list[_Pose] = []

    def add(self, pose: _Pose) -> None:
        if self.fixed:
            self.poses = [pose]
            return
        insort(self.poses, pose, key=_STAMP)
        old = bisect_left(self.poses, self.poses[-1].stamp - _HELD_NS, key=_STAMP)
        del self.poses[:old]

    def reaches(self, stamp: int) -> bool:
        return self.fixed or self.poses[-1].stamp >= stamp

    def matrix(self, stamp: int | None) -> Floats:
        """Take points from child to parent at a time."""
        if self.fixed or stamp is None:
            return _matrix(self.poses[-1])
        after = bisect_left(self.poses, stamp, key=_STAMP)
        if after < len(self.poses) and self.poses[after].stamp == stamp:
            return _matrix(self.poses[after])
        if after in (0, len(self.poses)):
            raise LookupError(
                f"/tf has frame {self.child!r} in {self.parent!r} from {self.poses[0].stamp} to "
                f"{self.poses[-1].stamp} ns, not at {stamp} ns"
            )
        return _matrix(_between(self.poses[after - 1], self.poses[after], stamp))


class TransformTree:
    """Transforms between frames, as [4, 4] matrices; moving ones of the last ten seconds."""

    def __init__(self, fixed: Iterable[Message] = ()) -> None:
        """Take tf2_msgs/TFMessages of /tf_static; between two frames the last counts."""
        self._links: dict[str, dict[str, _Link]] = {}  # both ways
        self._refused: set[str] = set()
        for message in fixed:
            self._add(message, fixed=True)

    @classmethod
    def from_bag(cls, bag: Bag) -> TransformTree:
        """Read all of /tf_static, also where it is in a namespace."""
        topics = [t for t in bag.of_type(TF_MESSAGE) if t.endswith("/tf_static")]
        return cls(bag.deserialize(raw, topic) for topic, _, raw in bag.messages(topics))

    def add(self, message: Message) -> None:
        """Take a TFMessage of /tf; what /tf_static ties stays as it is."""
        self._add(message, fixed=False)

    def lookup(self, target: str, source: str, stamp: int | None = None) -> Floats:
        """Return the matrix that takes points from frame source to frame target.

        Args:
            target: a frame.
            source: another.
            stamp: ns; moving transforms are interpolated at this time, None takes the last.

        Raises:
            LookupError: no chain of transforms ties the two, or none at this time.
        """
        matrix = np.eye(4)
        for frame, link in self._chain(target, source):
            step = link.matrix(stamp)
            matrix = matrix @ (step if link.parent == frame else np.linalg.inv(step))
        return matrix

    def ties(self, target: str, source: str) -> bool:
        """Tell whether a chain of transforms ties two frames."""
        try:
            self._chain(target, source)
        except LookupError:
            return False
        return True

    def reaches(self, target: str, source: str, stamp: int) -> bool:
        """Tell whether all that `lookup` needs for a time has come."""
        try:
            return all(link.reaches(stamp) for _, link in self._chain(target, source))
        except LookupError:
            return False

    def apart(self, a: str, b: str) -> bool:
        """Tell whether the origins of two frames are fixed over a millimetre apart."""
        try:
            return bool(np.linalg.norm(self.lookup(a, b)[:3, 3]) > 1e-3)
        except LookupError:
            return False

    def _add(self, message: Message, *, fixed: bool) -> None:
        for transform in message.transforms:
            parent, child = frame_id(transform), transform.child_frame_id.lstrip("/")
            link = self._links.get(parent, {}).get(child)
            if link is not None and link.fixed and not fixed:
                continue
            pose = _pose(transform)
            if pose is None:
                self._refused.add(f"{child!r} in {parent!r} has a quaternion of length 0 or NaN")
                continue
            if link is None or link.parent != parent:
                link = _Link(parent, child, fixed=fixed)
                self._links.setdefault(parent, {})[child] = link
                self._links.setdefault(child, {})[parent] = link
            link.add(pose)

    def _chain(self, target: str, source: str) -> list[tuple[str, _Link]]:
        """Links from target to source, each with the frame on the target's side."""
        before: dict[str, str] = {target: target}
        border = deque([target])
        while border and source not in before:
            frame = border.popleft()
            for neighbour in sorted(self._links.get(frame, {}).keys() - before.keys()):
                before[neighbour] = frame
                border.append(neighbour)
        if source not in before:
            known = ", ".join(sorted(before))
            refused = f"; {'; '.join(sorted(self._refused))}" if self._refused else ""
            raise LookupError(f"no transforms tie frame {source!r} to any of {known}{refused}")
        chain = []
        while source != target:
            chain.append((before[source], self._links[before[source]][source]))
            source = before[source]
        return chain[::-1]


def moving_transforms(bag: Bag) -> list[str]:
    """Return the topics of transforms that are not static."""
    return [topic for topic in bag.of_type(TF_MESSAGE) if topic.endswith("/tf")]


def frame_id(message: Message) -> str:
    """Frame of a message with a header, without the slash that ROS 1 may begin it with."""
    return str(message.header.frame_id).lstrip("/")


def _pose(stamped: Message) -> _Pose | None:
    """Return a geometry_msgs/TransformStamped; None where there is no rotation or place."""
    rotation, translation = stamped.transform.rotation, stamped.transform.translation
    quaternion = np.array([rotation.x, rotation.y, rotation.z, rotation.w])
    place = np.array([translation.x, translation.y, translation.z])
    length = np.linalg.norm(quaternion)
    if not (0 < length < np.inf and np.isfinite(place).all()):
        return None
    return _Pose(stamp_ns(stamped), place, quaternion / length)


def _between(a: _Pose, b: _Pose, stamp: int) -> _Pose:
    """Interpolate: the place on a line, the rotation on a great circle."""
    share = (stamp - a.stamp) / (b.stamp - a.stamp)
    place = a.translation + share * (b.translation - a.translation)
    cosine = float(a.quaternion @ b.quaternion)
    end = b.quaternion if cosine >= 0 else -b.quaternion  # the shorter way round
    angle = np.arccos(min(abs(cosine), 1.0))
    if angle < 1e-6:
        quaternion = a.quaternion + share * (end - a.quaternion)
    else:
        quaternion = np.sin((1 - share) * angle) * a.quaternion + np.sin(share * angle) * end
    return _Pose(stamp, place, quaternion / np.linalg.norm(quaternion))


def _matrix(pose: _Pose) -> Floats:
    x, y, z, w = pose.quaternion
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += 2 * w * cross + 2 * cross @ cross
    matrix[:3, 3] = pose.translation
    return matrix
