# SPDX-License-Identifier: Apache-2.0
"""The commands of `depth-dpt` that need no bag.

Heavy packages are imported by the command that needs them, so that `predict` starts without torch.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

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


def add_core_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add synth, train, evaluate, export and predict."""
    synth = commands.add_parser("synth", help="render street scenes in the layout of Cityscapes")
    synth.add_argument("--out", type=Path, required=True, help="folder of the data set")
    synth.add_argument("--scenes", type=int, default=1000, help="streets; 18:1:1 train, val, test")
    synth.add_argument("--views", type=int, default=2, help="frames of each street")
    synth.add_argument("--width", type=int, default=512, help="pixels")
    synth.add_argument("--height", type=int, default=256, help="pixels")
    synth.add_argument("--seed", type=int, default=0)
    synth.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    synth.set_defaults(command=_synth)

    train = commands.add_parser("train", help="train a model")
    train.add_argument("--config", type=Path, default=Path("params.yaml"))
    train.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    train.set_defaults(command=_train)

    evaluate = commands.add_parser("evaluate", help="score a model on a split of a data set")
    add_model_argument(evaluate)
    evaluate.add_argument("--data", type=Path, required=True, help="folder in Cityscapes layout")
    evaluate.add_argument("--split", default="test", choices=("train", "val", "test"))
    evaluate.add_argument("--json", type=Path, help="also write the numbers to this file")
    evaluate.set_defaults(command=_evaluate)

    export = commands.add_parser("export", help="write the ONNX artifact of a trained model")
    export.add_argument("checkpoint", type=Path, help="model.safetensors of a training run")
    export.add_argument("--out", type=Path, required=True, help="ONNX file")
    export.add_argument("--batch", type=int, default=1, help="images per inference, fixed")
    export.add_argument("--dataset", default="", help="what it was trained on, for the record")
    export.add_argument("--revision", default="", help="source revision, for the record")
    export.add_argument("--test-data", type=Path, help="score it on this folder's test split")
    export.set_defaults(command=_export)

    predict = commands.add_parser("predict", help="depth of image files")
    predict.add_argument("images", type=Path, nargs="+", help="PNG or JPEG files, rectified")
    add_model_argument(predict)
    predict.add_argument("--fx", type=float, help="focal length of the images in pixels")
    predict.add_argument("--fy", type=float, help="vertical focal length, if it differs")
    predict.add_argument("--out", type=Path, required=True, help="folder for depth and colour")
    predict.add_argument("--num-threads", type=int, default=0, help="0: all cores")
    predict.set_defaults(command=_predict)


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """Add --model as all commands understand it."""
    parser.add_argument(
        "--model",
        default="builtin",
        help="builtin, an ONNX file, or hf://owner/repo/file@revision (default: builtin)",
    )


def _synth(arguments: argparse.Namespace) -> None:
    from depth_dpt_core.data.synth.dataset import SynthSettings, generate

    settings = SynthSettings(
        seed=arguments.seed,
        scenes=arguments.scenes,
        views_per_scene=arguments.views,
        width=arguments.width,
        height=arguments.height,
    )
    frames = generate(arguments.out, settings, workers=arguments.workers)
    print(f"{arguments.out}: {frames} frames of {arguments.scenes} streets")
    if arguments.scenes < 20:
        print("fewer than 20 streets leave the val or the test split empty", file=sys.stderr)


def _train(arguments: argparse.Namespace) -> None:
    from depth_dpt_core.training.config import load_config
    from depth_dpt_core.training.trainer import train

    weights = train(load_config(arguments.config), resume=arguments.resume)
    print(f"wrote {weights}")


def _evaluate(arguments: argparse.Namespace) -> None:
    from depth_dpt_core.estimator import DepthEstimator
    from depth_dpt_core.evaluation import evaluate
    from depth_dpt_core.files import write_atomically

    estimator = DepthEstimator.load(arguments.model)
    result = evaluate(estimator, arguments.data, arguments.split)
    print(f"{'':10}{'model':>10}{'per row':>10}")
    for name, value in result.model.to_dict().items():
        print(f"{name:10}{value:10.4f}{result.row_predictor.to_dict()[name]:10.4f}")
    print(f"{result.images} images, {result.images_without_truth} without truth, "
          f"{result.missing_share:.2%} of the truth unanswered (scored as 80 m)")  # fmt: skip
    if arguments.json:
        write_atomically(arguments.json, json.dumps(result.to_dict(), indent=1).encode())
        print(f"wrote {arguments.json}")


def _export(arguments: argparse.Namespace) -> None:
    from depth_dpt_core.export.onnx import export

    artifact = export(
        arguments.checkpoint,
        arguments.out,
        batch=arguments.batch,
        source_revision=arguments.revision,
        dataset=arguments.dataset,
        test_data=arguments.test_data,
    )
    print(f"wrote {artifact.path} ({artifact.path.stat().st_size / 1e6:.1f} MB), verified")


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
