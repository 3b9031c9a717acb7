# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt engine`: TensorRT engines of this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_engine_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add engine build, check and list."""
    from depth_dpt_core.cli import add_model_argument

    engine = commands.add_parser("engine", help="build, check or list TensorRT engines")
    actions = engine.add_subparsers(required=True, metavar="ACTION")
    for name, rebuild, text in (
        ("build", True, "build an engine of a model anew and prove it"),
        ("check", False, "prove the engine of a model, building it if there is none"),
    ):
        parser = actions.add_parser(name, help=text)
        add_model_argument(parser)
        parser.add_argument("--json", type=Path, help="also write the outcome to this file")
        parser.set_defaults(command=_prove, rebuild=rebuild)
    listing = actions.add_parser("list", help="show the engines of this machine")
    listing.set_defaults(command=_list)


def _prove(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from depth_dpt_core.artifact import resolve
    from depth_dpt_core.engines.choice import NoRuntimeError, choose_engine

    artifact = resolve(arguments.model)
    look = "{desc} {percentage:3.0f} % {elapsed}"
    with tqdm(total=1.0, bar_format=look, leave=False, delay=1) as bar:

        def show(phase: str, share: float) -> bool:
            bar.set_description_str(phase, refresh=False)
            bar.update(share - bar.n)
            return True

        try:
            engine = choose_engine(artifact, "tensorrt", progress=show, rebuild=arguments.rebuild)
        except NoRuntimeError as error:
            _write(arguments.json, {"runtime": None, "reasons": list(error.reasons)})
            raise
    state = engine.state
    _write(arguments.json, state.to_dict())
    for reason in state.reasons:
        print(f"not used: {reason}")
    assert state.check is not None, "TensorRT runs only what was proven"
    print(f"{state.model}: {state.check.verdict}")


def _write(path: Path | None, outcome: dict[str, Any]) -> None:
    import json

    from depth_dpt_core.files import write_atomically

    if path is not None:
        write_atomically(path, json.dumps(outcome, indent=1).encode())
        print(f"wrote {path}")


def _list(arguments: argparse.Namespace) -> None:  # noqa: ARG001 - a Command
    from depth_dpt_core.engines.tensorrt.cache import EngineCache, default_folder

    cache = EngineCache(default_folder())
    entries = cache.entries()
    if not entries:
        print(f"{cache.folder}: no engines; depth-dpt engine build makes one")
    for entry in entries:
        print(f"{entry.path} ({entry.size / 1e6:.1f} MB): {describe(entry.fields)}")
        print(f"  {entry.refused or entry.checked or 'not proven yet'}")


def describe(fields: dict[str, Any]) -> str:
    """What an engine in the cache is bound to, for people."""
    gpu = fields["gpu"]
    return (
        f"{fields['model']}, {fields['precision']}, {fields['input']}, TensorRT "
        f"{fields['tensorrt']}, {gpu['name']} (sm {gpu['compute_capability']}), CUDA "
        f"{gpu['cuda']}, driver for {gpu['driver']}"
    )
