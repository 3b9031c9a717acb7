# SPDX-License-Identifier: Apache-2.0
"""Faults in turn, for hours if wanted, with the node's memory, threads and files watched.

    python test/soak.py --minutes 120

One line for each round of all faults; after each fault, depth must come again under a new stamp.
Ends with status 1 if it does not, or if memory (by more than 5 %), threads or open files are more
in the last quarter of the rounds than in the first; `--only` finds which fault it comes from. At
the end the node is killed and started again.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "support")]

from camera_process import CameraProcess  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from ros_harness import Camera, NodeProcess, camera_in  # noqa: E402

from depth_dpt_ros.own_domain import own_domain  # noqa: E402
from depth_dpt_ros.stamps import stamp_ns  # noqa: E402

RECOVERY = 60.0  # s
# last quarter over the first; segments of peers are touched bit by bit
ALLOWED = {"memory (MB)": 1.05, "shared (MB)": 1.5, "threads": 1.0, "files": 1.0}
TOPICS = ("-r", "image:=/front/image_raw", "-r", "camera_info:=/front/camera_info")


@dataclass(frozen=True)
class Use:
    """What a process holds."""

    memory: float  # MB, resident and its own
    shared: float  # MB, resident in segments of Fast DDS, its own and its peers'
    threads: int
    files: int

    @classmethod
    def of(cls, pid: int) -> Use:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        own, shared = (int(status[name].split()[0]) / 1024 for name in ("RssAnon", "RssShmem"))
        return cls(own, shared, int(status["Threads"]), files)


class Soak:
    """One node, one camera at a time, one listener."""

    def __init__(self, domain: int, node: NodeProcess, listener: Camera) -> None:
        self.domain, self.node, self.listener = domain, node, listener
        self.driver = CameraProcess(domain)

    def recovers(self) -> float:
        """Seconds until depth of an image that was taken after this call; fails if none comes."""
        begun = time.time()
        self.listener.depth.clear()

        def answered() -> bool:
            return any(stamp_ns(message) > begun * 1e9 for message in self.listener.depth)

        self.listener.wait_for(answered, RECOVERY)
        return time.time() - begun

    @contextmanager
    def another_driver(self, **options: object) -> Iterator[None]:
        """The driver crashes and comes back otherwise, then as it was."""
        self.driver.kill()
        self.driver = CameraProcess(self.domain, **options)
        yield
        self.driver.kill()
        self.driver = CameraProcess(self.domain)

    def transitions(self, *names: str) -> None:
        for name in names:
            self.listener.change_state(getattr(Transition, f"TRANSITION_{name}"))

    # the faults

    def driver_killed(self) -> None:
        with self.another_driver():
            self.recovers()

    def other_resolution(self) -> None:
        with self.another_driver(width=320, height=240):
            self.recovers()

    def best_effort(self) -> None:
        with self.another_driver(best_effort=True):
            self.recovers()

    def broken_images(self) -> None:
        with self.another_driver(broken=True):
            self.listener.spin(3.0)

    def wrong_camera_info(self) -> None:
        with self.another_driver(info_width=99):
            self.listener.spin(3.0)

    def no_camera_info(self) -> None:
        with self.another_driver(no_info=True):
            self.recovers()

    def silence(self) -> None:
        with self.another_driver(silent=True):
            self.listener.spin(4.0)

    def network_gone(self) -> None:
        """The camera's process stands still, as if its network were cut, and goes on."""
        self.driver.process.send_signal(signal.SIGSTOP)
        self.listener.spin(4.0)
        self.driver.process.send_signal(signal.SIGCONT)

    def participants_killed(self) -> None:
        """Others join the domain and die without a word."""
        others = [CameraProcess(self.domain, image=f"/other{i}/image_raw") for i in range(2)]
        self.listener.spin(3.0)
        for other in others:
            other.kill()

    def deactivated(self) -> None:
        self.transitions("DEACTIVATE", "ACTIVATE")

    def cleaned_up(self) -> None:
        self.transitions("DEACTIVATE", "CLEANUP", "CONFIGURE", "ACTIVATE")

    def faults(self) -> list[Callable[[], None]]:
        return [
            self.driver_killed, self.other_resolution, self.best_effort, self.broken_images,
            self.wrong_camera_info, self.no_camera_info, self.silence, self.network_gone,
            self.participants_killed, self.deactivated, self.cleaned_up,
        ]  # fmt: skip


def run(minutes: float, model: str, only: str | None, log: Path) -> list[str]:
    """Rounds of faults (or of `only` one) until the time is over; returns what is wrong."""
    end = time.monotonic() + minutes * 60
    uses: list[Use] = []
    with (
        own_domain() as domain,
        camera_in(domain) as listener,
        NodeProcess(domain, log, *TOPICS, model=model, runtime="onnxruntime") as node,
    ):
        listener.listen("depth", "info", "color")
        soak = Soak(domain, node, listener)
        try:
            soak.recovers()
            while time.monotonic() < end or not uses:
                slowest = (0.0, "")
                for fault in [getattr(soak, only)] if only else soak.faults():
                    fault()
                    slowest = max(slowest, (soak.recovers(), fault.__name__))
                    listener.diagnostics.clear()
                    listener.info.clear()
                    listener.color.clear()
                if node.process.poll() is not None:
                    return [f"the node ended with status {node.process.returncode}"]
                uses.append(Use.of(node.process.pid))
                use = uses[-1]
                print(
                    f"round {len(uses)}: {use.memory:.1f} MB and {use.shared:.1f} MB shared, "
                    f"{use.threads} threads, {use.files} files; "
                    f"slowest back after {slowest[1]}, {slowest[0]:.1f} s",
                    flush=True,
                )
            node.stop(signal.SIGKILL)
            with NodeProcess(
                domain, log.with_suffix(".2"), *TOPICS, model=model, runtime="onnxruntime"
            ):
                print(f"killed and started again: depth after {soak.recovers():.1f} s")
        finally:
            soak.driver.kill()
    return grown(uses)


def grown(uses: list[Use]) -> list[str]:
    """What is usually more in the last quarter of the rounds than it ever was in the first."""
    part = max(1, len(uses) // 4)
    wrong = []
    columns = zip(*map(astuple, uses), strict=True)
    for (name, allowed), values in zip(ALLOWED.items(), columns, strict=True):
        first, last = max(values[:part]), statistics.median(values[-part:])
        print(f"{name}: {first:.1f} -> {last:.1f}")
        if last > first * allowed:
            wrong.append(f"{name} grew from {first:.1f} to {last:.1f}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--only", help="name of one fault, such as driver_killed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wrong = run(asked.minutes, asked.model, asked.only, Path(folder) / "node.log")
    for text in wrong:
        print(f"WRONG: {text}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
