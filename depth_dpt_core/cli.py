# SPDX-License-Identifier: Apache-2.0
"""The commands of `depth-dpt` that need no bag.

Heavy packages are imported by the command that needs them, so that `predict` starts without torch.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from depth_dpt_core.engine_cli import add_engine_commands

if TYPE_CHECKING:
    from depth_dpt_core.estimator import DepthEstimator

Command = Callable[[argparse.Namespace], None]


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Run the command named on the command line; returns the exit status.

    Errors that a user can mend end in one line on standard error and status 1.
    """
    arguments = parser.parse_args(argv)
    command: Command = arguments.command
    try:
        command(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except ImportError as error:
        print(f"depth-dpt: {error}; the README lists what each command needs", file=sys.stderr)
        return 1
    except (ValueError, OSError, RuntimeError) as error:
        # every error that this project raises on purpose is one of these
        print(f"depth-dpt: {error}", file=sys.stderr)
        return 1
    return 0


def add_core_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    benchmarks: Mapping[str, str],
) -> None:
    """Add synth, the training commands, bench, engine and predict.

    Args:
        commands: where to add them.
        benchmarks: module of each benchmark that is not the core's, by name.
    """
    synth = commands.add_parser("synth", help="render street scenes in the layout of Cityscapes")
    synth.add_argument("--out", type=Path, required=True, help="folder of the data set")
    synth.add_argument("--scenes", type=int, default=1000, help="streets; 18:1:1 train, val, test")
    synth.add_argument("--views", type=int, default=3, help="frames of each street")
    synth.add_argument("--width", type=int, default=512, help="pixels; heights are drawn")
    synth.add_argument(
        "--ranges", type=Path, help="YAML file of ranges other than in data/synth/ranges.py"
    )
    synth.add_argument("--seed", type=int, default=0)
    synth.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    synth.set_defaults(command=_synth)

    preprocess = commands.add_parser("preprocess", help="make training files of a data set")
    _add_config(preprocess)
    preprocess.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    preprocess.set_defaults(command=_preprocess)

    train = commands.add_parser("train", help="train a model")
    _add_config(train)
    train.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    train.set_defaults(command=_train)

    evaluate = commands.add_parser("evaluate", help="score a model on a data set")
    chosen = evaluate.add_mutually_exclusive_group()
    _add_config(chosen)
    chosen.add_argument("--data", type=Path, help="folder in Cityscapes layout; needs no --config")
    evaluate.add_argument(
        "--model",
        help="with --data: builtin, an ONNX or safetensors file, or hf://owner/repo/file@revision",
    )
    evaluate.add_argument("--split", choices=("train", "val", "test"), help="with --data")
    evaluate.add_argument(
        "--protocol", choices=("metric", "manydepth", "reference"), help="with --data"
    )
    evaluate.add_argument(
        "--baseline", action="store_true", help="with --data: beside the best guess per row"
    )
    evaluate.add_argument("--figure", type=Path, help="with --data: draw error against distance")
    evaluate.add_argument("--json", type=Path, help="also write the numbers to this file")
    evaluate.set_defaults(command=_evaluate)

    promote = commands.add_parser("promote", help="make the candidate champion if it is better")
    _add_config(promote)
    promote.set_defaults(command=_promote)

    export = commands.add_parser("export", help="write the ONNX artifact of the champion")
    source = export.add_mutually_exclusive_group()
    _add_config(source)
    source.add_argument("--checkpoint", type=Path, help="of these weights; needs no --config")
    export.add_argument("--out", type=Path, help="with --checkpoint: ONNX file")
    export.add_argument("--batch", type=int, help="with --checkpoint: images per inference (1)")
    export.add_argument(
        "--precision",
        choices=("fp32", "fp16"),
        help="with --checkpoint: fp16 writes OUT.fp16.onnx beside (fp32)",
    )
    export.set_defaults(command=_export)

    push = commands.add_parser("push", help="publish the exported model on the Hugging Face Hub")
    _add_config(push)
    push.set_defaults(command=_push)

    bench = commands.add_parser("bench", help="measure speed against named baselines")
    core = ("preprocess", "synth", "latency")
    modules = {name: f"depth_dpt_core.benchmarks.{name}" for name in core} | dict(benchmarks)
    bench.add_argument("what", choices=tuple(modules))
    measured = bench.add_mutually_exclusive_group()
    measured.add_argument(
        "--model",
        help="of latency: builtin, an ONNX or safetensors file, or hf://owner/repo/file@revision",
    )
    measured.add_argument("--encoder", help="of latency: any of timm's, with random weights")
    bench.add_argument("--json", type=Path, help="also write the numbers to this file")
    bench.set_defaults(command=_bench, modules=modules)

    add_engine_commands(commands)

    predict = commands.add_parser("predict", help="depth of image files")
    predict.add_argument("images", type=Path, nargs="+", help="PNG or JPEG files, rectified")
    add_model_argument(predict)
    predict.add_argument("--fx", type=float, help="focal length of the images in pixels")
    predict.add_argument("--fy", type=float, help="vertical focal length, if it differs")
    predict.add_argument("--out", type=Path, required=True, help="folder for depth and colour")
    predict.add_argument("--num-threads", type=int, default=0, help="0: all cores")
    predict.set_defaults(command=_predict)


def _add_config(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--config", type=Path, default=Path("params.yaml"), help="default: params.yaml"
    )


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """Add --model as all commands understand it."""
    parser.add_argument(
        "--model",
        default="builtin",
        help="builtin, an ONNX file, or hf://owner/repo/file@revision (default: builtin)",
    )


def _synth(arguments: argparse.Namespace) -> None:
    from depth_dpt_core.data.synth.dataset import SynthSettings, generate
    from depth_dpt_core.data.synth.ranges import SynthRanges, load_ranges

    settings = SynthSettings(
        seed=arguments.seed,
        scenes=arguments.scenes,
        views_per_scene=arguments.views,
        width=arguments.width,
        ranges=load_ranges(arguments.ranges) if arguments.ranges else SynthRanges(),
    )
    frames = generate(arguments.out, settings, workers=arguments.workers)
    print(f"{arguments.out}: {frames} frames of {arguments.scenes} streets")
    if arguments.scenes < 20:
        print("fewer than 20 streets leave the val or the test split empty", file=sys.stderr)


def _preprocess(arguments: argparse.Namespace) -> None:
    from depth_dpt_core.config import load_config
    from depth_dpt_core.data.preprocessing import preprocess

    report = preprocess(load_config(arguments.config).data, workers=arguments.workers)
    print(report.summary())


def _train(arguments: argparse.Namespace) -> None:
    from depth_dpt_core.config import load_config
    from depth_dpt_core.training.trainer import train

    train(load_config(arguments.config), resume=arguments.resume)


def _evaluate(arguments: argparse.Namespace) -> None:
    if arguments.data is not None:
        _evaluate_model(arguments)
        return
    for option in ("model", "split", "protocol", "baseline", "figure"):
        if getattr(arguments, option):
            raise ValueError(f"--{option} needs --data")
    _evaluate_candidate(arguments.config, arguments.json)


def _evaluate_model(arguments: argparse.Namespace) -> None:
    from depth_dpt_core.config import DataConfig
    from depth_dpt_core.data.cityscapes import StereoRig
    from depth_dpt_core.evaluation.report import table, to_json
    from depth_dpt_core.evaluation.score import score_split
    from depth_dpt_core.files import write_atomically

    if arguments.figure:  # matplotlib may be missing: better known before the work
        from depth_dpt_core.evaluation.figure import draw_error_by_distance

    model, split = arguments.model or "builtin", arguments.split or "test"
    protocol = arguments.protocol or "metric"
    result = score_split(
        _estimator(model),
        arguments.data,
        split,
        [protocol],
        rig=StereoRig(DataConfig.baseline, DataConfig.focal_length),
        baseline=arguments.baseline,
    )
    print(table(result))
    if arguments.json:
        write_atomically(arguments.json, to_json(result.to_dict()))
        print(f"wrote {arguments.json}")
    if arguments.figure:
        curves = {"model": result.scores[protocol]}
        if arguments.baseline:
            curves["best guess per row"] = result.baseline[protocol]
        title = f"{Path(model).name} on {arguments.data.name}/{split}, {protocol}"
        draw_error_by_distance(curves, title, arguments.figure)
        print(f"wrote {arguments.figure}")


def _estimator(model: str) -> DepthEstimator:
    if model.endswith(".safetensors"):
        from depth_dpt_core.evaluation.checkpoint import estimator_of

        return estimator_of(Path(model).expanduser())
    from depth_dpt_core.estimator import DepthEstimator

    return DepthEstimator.load(model)


def _evaluate_candidate(config_file: Path, json_file: Path | None) -> None:
    from depth_dpt_core.config import load_config

    config = load_config(config_file)

    from depth_dpt_core.evaluation.candidate import evaluate_candidate
    from depth_dpt_core.evaluation.report import table, to_json
    from depth_dpt_core.files import write_atomically

    result = evaluate_candidate(config)
    for score in result.scores.values():
        print(table(score))
    print(f"wrote {result.metrics_file}")
    print(f"wrote {result.figure}")
    if json_file:
        write_atomically(json_file, to_json(result.metrics))
        print(f"wrote {json_file}")
    if result.record.run_id:
        from depth_dpt_core.training.tracking import log_evaluation

        log_evaluation(config, result.record, result.metrics, result.figure)
        print(f"logged to MLflow run {result.record.run_id}")
    else:
        print("the candidate names no MLflow run: nothing was logged", file=sys.stderr)


def _export(arguments: argparse.Namespace) -> None:
    from depth_dpt_core.config import load_config
    from depth_dpt_core.export.onnx import export

    checkpoint, out = arguments.checkpoint, arguments.out
    given = {name: getattr(arguments, name) for name in ("batch", "precision")}
    options = {name: value for name, value in given.items() if value is not None}
    if checkpoint is None:
        if out is not None or options:
            raise ValueError(
                "--out, --batch and --precision go with --checkpoint; else --config has them"
            )
        config = load_config(arguments.config)
        checkpoint, out = config.champion, Path(config.export.file)
        options = {"batch": config.export.batch, "precision": config.export.precision}
        if not checkpoint.exists():
            raise ValueError(f"{checkpoint}: no champion yet, run depth-dpt promote first")
    elif out is None:
        raise ValueError("--checkpoint needs --out")
    artifact = export(checkpoint, out, **options)
    sibling = artifact.spec.sibling
    for path in (artifact.path, *([artifact.path.with_name(sibling)] if sibling else [])):
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB), verified")


def _bench(arguments: argparse.Namespace) -> None:
    import importlib
    import json
    from dataclasses import asdict

    from depth_dpt_core.files import write_atomically

    chosen = {name: getattr(arguments, name) for name in ("model", "encoder")}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if chosen and arguments.what != "latency":
        raise ValueError(f"--{next(iter(chosen))} goes with latency, not with {arguments.what}")
    module = importlib.import_module(arguments.modules[arguments.what])
    result = module.benchmark(**chosen)
    print(result.table())
    if arguments.json:
        write_atomically(arguments.json, json.dumps(asdict(result), indent=1).encode())
        print(f"wrote {arguments.json}")


def _promote(arguments: argparse.Namespace) -> None:
    from depth_dpt_core.config import load_config
    from depth_dpt_core.training.promotion import promote

    print(promote(load_config(arguments.config)))


def _push(arguments: argparse.Namespace) -> None:
    from depth_dpt_core.config import load_config
    from depth_dpt_core.export.hub import push

    print(f"published {push(load_config(arguments.config))}")


def _predict(arguments: argparse.Namespace) -> None:
    from depth_dpt_core.camera import Intrinsics
    from depth_dpt_core.estimator import DepthEstimator
    from depth_dpt_core.predict import predict_file

    first: dict[str, Path] = {}
    for image in arguments.images:
        if first.setdefault(image.stem, image) is not image:
            raise ValueError(f"{image}: would be written over the result of {first[image.stem]}")
    intrinsics = None
    if arguments.fx is not None:
        fy = arguments.fx if arguments.fy is None else arguments.fy
        # the principal point does not matter for depth along z
        intrinsics = Intrinsics(arguments.fx, fy, 0.0, 0.0)
    elif arguments.fy is not None:
        raise ValueError("--fy needs --fx")
    estimator = DepthEstimator.load(arguments.model, num_threads=arguments.num_threads)
    if intrinsics is None:
        print("no --fx: assuming the camera that the model was trained for", file=sys.stderr)
    for image in arguments.images:
        for path in predict_file(estimator, image, intrinsics, arguments.out):
            print(f"wrote {path}")
