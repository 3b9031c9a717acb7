# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt`: the core's commands and those that need a bag."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from depth_dpt_core.cli import add_core_commands, add_model_argument, run
from depth_dpt_ros.doctor.command import add_doctor
from depth_dpt_ros.replay.bag_eval_cli import add_bag_eval, add_replay

BENCHES = ("bag-eval", "node")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `depth-dpt`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="depth-dpt", description="Metric depth from one camera: train, export, run, measure."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_core_commands(
        commands, {what: f"depth_dpt_ros.benchmarks.{what.replace('-', '_')}" for what in BENCHES}
    )
    _add_bag_commands(commands)
    add_bag_eval(commands)
    add_replay(commands)
    add_doctor(commands)
    return run(parser, argv)


def _add_bag_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser("demo", help="run the node on a bag and look at what it publishes")
    demo.add_argument("--bag", type=Path, help="any bag with a camera (default: a bundled drive)")
    demo.add_argument("--image", help="image topic (default: the first camera by name)")
    demo.add_argument("--out", type=Path, default=Path("demo_output"), help="folder for results")
    add_model_argument(demo)
    demo.set_defaults(command=_demo)

    drive = commands.add_parser("synth-drive", help="render a drive through a street into a bag")
    drive.add_argument("out", type=Path, help="folder of the new bag")
    drive.add_argument("--frames", type=int, default=60, help="at 10 Hz")
    drive.add_argument("--seed", type=int, default=5)
    drive.set_defaults(command=_synth_drive)


def _demo(arguments: argparse.Namespace) -> None:
    from depth_dpt_ros.replay.demo import run_demo

    run_demo(arguments.out, bag=arguments.bag, image=arguments.image, model=arguments.model)


def _synth_drive(arguments: argparse.Namespace) -> None:
    from depth_dpt_ros.replay.synth_drive import write_drive

    write_drive(arguments.out, frames=arguments.frames, seed=arguments.seed)
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    sys.exit(main())
