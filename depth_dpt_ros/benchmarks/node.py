# SPDX-License-Identifier: Apache-2.0
"""What the node costs beside its engine, against the floor of a Python node.

The engine is a network that answers at once (`null_model`), images are 2048 x 1024 rgb8, depth is
32FC1 of that size, and colour is as large as the image. The floor (`floor_node`) receives such
images and publishes such arrays, and does nothing else. One camera process sends each subject an
image and waits for its answer, the subjects in turns, all with the settings that the launch file
gives; so that whatever else runs on the machine strikes all alike. Of each subject there is

CPU: seconds that its process spent on a frame on all cores, since a vehicle has other work for
    them. It decides how many cameras a computer carries.
latency: from publishing an image until the camera holds all that it is answered with.

Then one node answers 30 images per second on two cores for a minute, and the settings of the
transport and of malloc are taken away, one at a time.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from depth_dpt_ros.benchmarks.node_measures import Cost, measure_in_turns, measure_loss
from depth_dpt_ros.benchmarks.node_rig import Subject, in_fresh_process
from depth_dpt_ros.benchmarks.null_model import write_null_model
from depth_dpt_ros.own_domain import own_domain
from depth_dpt_ros.transport import PROFILE_VARIABLES, process_settings

T = TypeVar("T")

ROUNDS = 9
SETTING_ROUNDS = 5
SECONDS = 60.0
RATE = 30.0  # Hz
WANTED = {"depth": 1.5, "depth and colour": 2.0}
WANTED_LOSS = 0.01
OUTPUTS = {"depth": False, "depth and colour": True}  # whether colour is asked for
_MALLOC = "all of malloc"
_TRANSPORT = "the transport's profile, on both sides"


@dataclass(frozen=True)
class Overhead:
    """Of one kind of output; `cpu_ratio` and `latency_ratio` are medians of the rounds' ratios."""

    outputs: str
    floor: list[Cost]
    node: list[Cost]
    cpu_ratio: float
    latency_ratio: float
    wanted: float


@dataclass(frozen=True)
class Sustained:
    """Images at a steady rate; answered is what came back in full."""

    outputs: str
    rate: float  # Hz
    sent: int
    answered: int

    @property
    def lost(self) -> float:
        """Share that was not answered."""
        return 1 - self.answered / self.sent


@dataclass(frozen=True)
class Without:
    """The node without a setting, against the node with all: medians of the rounds' ratios."""

    setting: str
    cpu_ratio: float
    latency_ratio: float


@dataclass(frozen=True)
class Result:
    """What was measured, and on what; `load` is of the minute before (1.0: a busy core)."""

    machine: str
    cores: int
    load: float
    overhead: list[Overhead]
    sustained: list[Sustained]
    without: list[Without]

    def table(self) -> str:
        """The numbers to print."""
        lines = [
            f"2048 x 1024, null engine; {self.cores} cores, {self.machine}, load {self.load:.1f}",
            f"{'ms a frame, median (range)':28}{'floor':>20}{'node':>20}{'ratio':>7}{'wanted':>8}",
        ]
        for it in self.overhead:
            kinds = {"CPU": ("cpu", it.cpu_ratio), "latency": ("latency", it.latency_ratio)}
            lines += [
                f"{f'{it.outputs}, {kind}':28}{_spread(it.floor, of)}{_spread(it.node, of)}"
                f"{ratio:7.2f}{it.wanted:8.1f}"
                for kind, (of, ratio) in kinds.items()
            ]
        lines += [
            f"{it.rate:g} Hz on two cores, {it.outputs}: {it.sent - it.answered} of {it.sent} "
            f"lost, {it.lost:.2%}; at most {WANTED_LOSS:.0%} is wanted"
            for it in self.sustained
        ]
        lines += [
            f"without {it.setting}: {it.cpu_ratio:.2f} of the CPU, "
            f"{it.latency_ratio:.2f} of the latency"
            for it in self.without
        ]
        return "\n".join(lines)


def benchmark() -> Result:
    """Measure all; takes about five minutes.

    Raises:
        RuntimeError: a process under test ended or does not answer; its log is in the text.
    """
    load = os.getloadavg()[0]
    with own_domain() as domain, tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "null.onnx"
        write_null_model(model)
        bench = _Bench(model, Path(folder), domain)
        overhead = bench.overhead()
        sustained = [bench.sustained(outputs) for outputs in OUTPUTS]
        without = bench.without_settings()
    cores = len(os.sched_getaffinity(0))
    machine = platform.processor() or platform.machine()
    return Result(machine, cores, load, overhead, sustained, without)


class _Bench:
    def __init__(self, model: Path, folder: Path, domain: int) -> None:
        self._folder = folder
        self._parameters = {"model": model, "runtime": "onnxruntime", "num_threads": 1}
        self._base = {
            **{name: value for name, value in os.environ.items() if not _is_setting(name)},
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        }
        self._settings = process_settings({})

    def overhead(self) -> list[Overhead]:
        """Floor and node, without colour and with."""
        pairs = {
            outputs: (self._floor(f"floor_{i}", color), self._node(f"node_{i}", color))
            for i, (outputs, color) in enumerate(OUTPUTS.items())
        }
        subjects = [subject for pair in pairs.values() for subject in pair]
        costs = self._run(self._settings, measure_in_turns, subjects, ROUNDS)
        return [
            Overhead(outputs, costs[floor.name], costs[node.name],
                     *_ratios(costs[node.name], costs[floor.name]), WANTED[outputs])
            for outputs, (floor, node) in pairs.items()
        ]  # fmt: skip

    def sustained(self, outputs: str) -> Sustained:
        """A camera at its own pace."""
        node = self._node("node", OUTPUTS[outputs])
        sent, answered = self._run(self._settings, measure_loss, node, RATE, SECONDS)
        return Sustained(outputs, RATE, sent, answered)

    def without_settings(self) -> list[Without]:
        """The node with colour, each setting taken away from it; the transport's from all."""
        malloc = sorted(name for name in self._settings if name not in PROFILE_VARIABLES)
        taken = {"nothing": [], _MALLOC: malloc, **{name: [name] for name in malloc}}
        subjects = {
            what: self._node(f"node_{i}", True, names)
            for i, (what, names) in enumerate(taken.items())
        }
        floor, bare = self._floor("floor", False), self._floor("bare_floor", False, malloc)
        in_turns = [*subjects.values(), floor, bare]
        costs = self._run(self._settings, measure_in_turns, in_turns, SETTING_ROUNDS)
        all_set = costs[subjects.pop("nothing").name]
        found = [Without(what, *_ratios(costs[it.name], all_set)) for what, it in subjects.items()]
        # what the settings are for: a process that has new memory for each frame
        of_floor = _ratios(costs[bare.name], costs[floor.name])
        found.append(Without(f"{_MALLOC}, the floor", *of_floor))
        only_malloc = {name: self._settings[name] for name in malloc}
        node, with_it, without_it = self._node("node", True), list[Cost](), list[Cost]()
        for _ in range(SETTING_ROUNDS):
            with_it += self._run(self._settings, measure_in_turns, [node], 1)["node"]
            without_it += self._run(only_malloc, measure_in_turns, [node], 1)["node"]
        return [Without(_TRANSPORT, *_ratios(without_it, with_it)), *found]

    def _run(self, settings: Mapping[str, str], measure: Callable[..., T], *args: object) -> T:
        return in_fresh_process({**self._base, **settings}, measure, self._folder, *args)

    def _floor(self, name: str, color: bool, without: Sequence[str] = ()) -> Subject:
        module = "depth_dpt_ros.benchmarks.floor_node"
        parameters = {"color": "true" if color else "false"}
        return Subject(name, module, color, parameters, tuple(without))

    def _node(self, name: str, color: bool, without: Sequence[str] = ()) -> Subject:
        module = "depth_dpt_ros.depth_node"
        return Subject(name, module, color, self._parameters, tuple(without))


def _is_setting(name: str) -> bool:
    """Whether a variable of the user's own would be measured in place of ours."""
    return name.startswith(("MALLOC_", "FASTDDS_", "FASTRTPS_")) or name == "GLIBC_TUNABLES"


def _ratios(costs: list[Cost], baseline: list[Cost]) -> tuple[float, float]:
    """Medians of CPU's and of latency's ratios."""
    pairs = list(zip(costs, baseline, strict=True))
    return (
        statistics.median(it.cpu / base.cpu for it, base in pairs),
        statistics.median(it.latency / base.latency for it, base in pairs),
    )


def _spread(costs: list[Cost], of: str) -> str:
    values = [getattr(it, of) for it in costs]
    text = f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
    return f"{text:>20}"
