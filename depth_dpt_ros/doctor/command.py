# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt doctor`: gathers, judges, prints."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from depth_dpt_core.cli import add_model_argument
from depth_dpt_ros.doctor.finding import Finding, note

Report = dict[str, Sequence[Finding]]


def add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="why is it silent, slow or wrong here?",
        description="Look at everything between the camera and depth on this machine, and name "
        "what is in the way with its cure. Status 1 if anything is.",
    )
    add_model_argument(parser)
    parser.add_argument(
        "--image", help="image topic (default: those of running depth nodes, else all)"
    )
    parser.add_argument("--width", type=int, help="of the images, pixels (default: as seen)")
    parser.add_argument("--height", type=int, help="of the images, pixels (default: as seen)")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="to listen to each camera (default: 3)"
    )
    parser.add_argument("--json", type=Path, help="also write findings and facts to this file")
    parser.set_defaults(command=_doctor)


def _doctor(arguments: argparse.Namespace) -> None:
    if (arguments.width is None) != (arguments.height is None):
        raise ValueError("--width and --height go together")
    for name in ("width", "height", "seconds"):
        value = getattr(arguments, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{name} is {value}, must be more than 0")
    size = None if arguments.width is None else (arguments.width, arguments.height)
    report, facts = examine(arguments.model, arguments.image, size, arguments.seconds)
    print(screen(report, shutil.get_terminal_size((100, 24)).columns))
    if arguments.json:
        from depth_dpt_core.files import write_atomically

        content = {
            "findings": [
                {"about": about, **asdict(finding)}
                for about, findings in report.items()
                for finding in findings
            ],
            "facts": facts,
        }
        text = json.dumps(content, indent=1, default=_plain)
        write_atomically(arguments.json, text.encode())
        print(f"wrote {arguments.json}")
    count = sum(finding.level == "problem" for part in report.values() for finding in part)
    if count:
        raise RuntimeError(f"{count} problem{'s' * (count > 1)} found")


def examine(
    model: str, image: str | None, size: tuple[int, int] | None, seconds: float
) -> tuple[Report, dict[str, Any]]:
    """Gather facts and judge them.

    Args:
        model: as for `artifact.resolve`.
        image: image topic, or None for all that matter.
        size: (width, height) of the images, or None to take what is seen.
        seconds: to listen to each camera.

    Returns:
        Findings by part, and the facts that they rest on.
    """
    from depth_dpt_ros.doctor import cameras, gpu, nodes, ros, software, transport
    from depth_dpt_ros.doctor import model as models
    from depth_dpt_ros.doctor.graph import Graph

    environment = dict(os.environ)  # before anything of ours is added
    packages = software.gather()
    ros_facts = ros.gather(packages, environment)
    about_ros = ros.findings(ros_facts)
    # with some settings the middleware would end this process
    usable = not any(finding.level == "problem" for finding in about_ros)
    graph = Graph(error="not looked at")
    if usable:
        from depth_dpt_ros.doctor import look

        graph = look.gather(seconds, _resolved(image))
    seen = [(c.heard.width, c.heard.height) for c in graph.cameras if c.heard.width]
    size = size or max(seen, key=lambda pair: pair[0] * pair[1], default=None)
    way = transport.gather(environment)
    chips = gpu.gather(packages)
    network = models.gather(model, packages, size)
    report: Report = {
        "Packages": software.findings(packages),
        "ROS": about_ros,
        "Transport": transport.findings(way, ros_facts, size),
        "Hardware": gpu.findings(chips),
        # images may be lost on the way, CameraInfo are not
        "Model": models.findings(
            network, [max(c.heard.rate, c.heard.infos / c.heard.seconds) for c in graph.cameras]
        ),
        "Cameras": [note("not looked at: no node can run here, see ROS")],
    }
    if usable:
        report["Cameras"] = cameras.findings(graph, _resolved(image))
        report["Depth nodes"] = nodes.findings(graph)
    facts = {
        "software": packages, "ros": ros_facts, "transport": way, "gpu": chips,
        "model": network, "graph": graph,
    }  # fmt: skip
    return report, facts


def _resolved(image: str | None) -> str | None:
    return image if image is None else f"/{image.lstrip('/')}"


def screen(report: Report, width: int) -> str:
    """The findings for people; those that are well on one line of each part."""
    lines = []
    counts = {"problem": 0, "note": 0}
    for about, findings in report.items():
        fine = "; ".join(finding.text for finding in findings if finding.level == "ok")
        lines += [about, *(_wrapped("ok", fine, width) if fine else [])]
        for finding in findings:
            if finding.level == "ok":
                continue
            counts[finding.level] += 1
            label = {"note": "note", "problem": "PROBLEM"}[finding.level]
            lines += _wrapped(label, finding.text, width)
            if finding.cure:
                lines += _wrapped("", f"-> {finding.cure}", width)
    summary = ", ".join(f"{n} {level}{'s' * (n != 1)}" for level, n in counts.items())
    return "\n".join([*lines, "", summary])


def _wrapped(label: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=f"  {label:<8}",
        subsequent_indent=" " * 10,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _plain(value: Any) -> Any:
    """What JSON does not know."""
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
