# SPDX-License-Identifier: Apache-2.0
"""The demo: the real node on a bag, its answers recorded, scored and drawn."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_dpt_core.artifact import resolve
from depth_dpt_core.metrics import MAX_DEPTH, MIN_DEPTH, MetricsAccumulator
from depth_dpt_ros.image_codec import to_depth, to_rgb
from depth_dpt_ros.replay.bag import Bag, Camera, cameras, find_camera
from depth_dpt_ros.replay.feeds import Route
from depth_dpt_ros.replay.ground_truth import GroundTruth, find_ground_truth
from depth_dpt_ros.replay.matching import Frame, iter_frames
from depth_dpt_ros.replay.node_process import kept_apart, running_node
from depth_dpt_ros.replay.picture import side_by_side, write_picture
from depth_dpt_ros.replay.player import ANSWERS, COLOR, Playback, play
from depth_dpt_ros.stamps import stamp_ns

_PICTURES = 3
_NODE_LOG = "depth_node.log"


def run_demo(out: Path, *, bag: Path | None, image: str | None, model: str) -> None:
    """Run the node on a bag; leave metrics.json, depth.mcap and pictures in `out`.

    Args:
        out: folder for the results; earlier results in it are replaced.
        bag: any bag with a camera, or None for the bundled drive.
        image: image topic, or None for the first camera by name.
        model: as for `artifact.resolve`.

    Raises:
        BagError: the bag cannot be read, or has no such camera.
        ArtifactError: the model cannot be used.
        RuntimeError: the node did not start or ended early; its log is named.
    """
    resolve(model)  # before anything is started
    path = bag or Path(str(resources.files("depth_dpt_ros") / "demo_drive"))
    with kept_apart(), Bag(path) as opened, _fresh_results(out) as folder:
        camera = find_camera(opened, image)
        if image is None:
            others = [c.image_topic for c in cameras(opened) if c != camera]
            print(
                f"camera {camera.image_topic}" + (f" (also: {', '.join(others)})" * bool(others))
            )
        if camera.camera_info_topic is None:
            print("no CameraInfo in the bag: depth is right only up to a constant factor")
        log = folder / _NODE_LOG
        with running_node(_parameters(camera, model), {}, log) as node:
            try:
                playback = play(
                    opened, camera, Route("/image", "/camera_info", camera.compressed),
                    folder / "depth", record={**ANSWERS, **COLOR}, with_images=True,
                    alive=lambda: node.poll() is None,
                )  # fmt: skip
            except RuntimeError as error:
                raise RuntimeError(f"{error}; it said:\n{log.read_text()}") from error
        for file in ("depth.mcap", "metadata.yaml"):
            (folder / "depth" / file).replace(folder / file)
        (folder / "depth").rmdir()
        truth = find_ground_truth(opened, camera)
        report = _score(opened, camera, truth, folder, playback)
        report = {"bag": str(bag or "bundled drive"), "model": model, **report}
        (folder / "metrics.json").write_text(json.dumps(report, indent=1) + "\n")
    _print_table(report)
    if not report["images"]["used"]:
        raise RuntimeError(f"no image was answered: {out / _NODE_LOG} says why")
    print(f"look at {out}/: metrics.json, depth.mcap and "
          f"{', '.join(sorted(p.name for p in out.glob('frame_*.png')))}")  # fmt: skip


@contextmanager
def _fresh_results(out: Path) -> Iterator[Path]:
    """A folder beside `out` whose files replace those in `out` when all went well."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield folder
        out.mkdir(exist_ok=True)
        for old in out.glob("frame_*.png"):
            old.unlink()
        for file in folder.iterdir():
            file.replace(out / file.name)
    finally:
        shutil.rmtree(folder)


def _parameters(camera: Camera, model: str) -> dict[str, object]:
    parameters: dict[str, object] = {
        "model": model,
        "runtime": "onnxruntime",  # nobody waits for an engine to be built
        "image_transport": "compressed" if camera.compressed else "raw",
    }
    if camera.camera_info_topic is None:
        parameters["camera_info_timeout"] = 0.0  # none will come
    return parameters


def _score(
    bag: Bag, camera: Camera, truth: GroundTruth | None, folder: Path, playback: Playback
) -> dict[str, Any]:
    """Compare the recorded depth with the truth, image by image, and draw some of them."""
    totals = MetricsAccumulator()
    frames = iter(()) if truth is None else iter_frames(bag, camera, truth)
    upcoming = next(frames, None)
    answered = len(playback.answered)
    drawn = {round(i) for i in np.linspace(0, answered - 1, _PICTURES)} if answered else set()
    images: dict[int, Any] = {}
    seen = 0
    with Bag(folder / "depth.mcap") as recorded:
        image_topic = "/image/compressed" if camera.compressed else "/image"
        topics = [image_topic, "/depth/image"] if answered else []
        scored: set[int] = set()
        for topic, _, raw in recorded.messages(topics):
            message = recorded.deserialize(raw, topic)
            stamp = stamp_ns(message)
            if topic == image_topic:
                images[stamp] = message
                continue
            if stamp in scored:
                continue  # a second image of the same stamp cannot be told from the first
            scored.add(stamp)
            while upcoming is not None and upcoming.stamp < stamp:
                upcoming = next(frames, None)
            known = None
            if truth is not None and upcoming is not None and upcoming.stamp == stamp:
                known = _true_depth(truth, upcoming)
            depth = to_depth(message)
            if known is not None:
                totals.add(depth, known)
            if seen in drawn:
                picture = side_by_side(to_rgb(images[stamp]), depth, known)
                write_picture(folder / f"frame_{seen:04d}.png", picture)
            seen += 1
            images = {s: m for s, m in images.items() if s > stamp}
    latencies = np.array(playback.latencies()) * 1e3
    p50, p95 = np.percentile(latencies, [50, 95]).tolist() if len(latencies) else (None, None)
    played = playback.played.total()
    return {
        "image_topic": camera.image_topic,
        "camera_info_topic": camera.camera_info_topic,
        "truth_topic": None if truth is None else truth.topic,
        "truth_kind": None if truth is None else truth.kind,
        "min_depth": MIN_DEPTH,
        "max_depth": MAX_DEPTH,
        "metrics": totals.mean().to_dict() if totals.images else None,
        "images": {
            "played": played,
            "used": answered,
            "dropped": played - answered,
            "repeated_stamps": played - len(playback.sent),
            "scored": totals.images,
        },
        "pixels": {"scored": totals.valid, "missing": totals.missing},
        "latency_ms": {"p50": p50, "p95": p95},
    }


def _true_depth(truth: GroundTruth, frame: Frame) -> NDArray[np.float32] | None:
    """A frame's truth [H,W], NaN unknown; None where there is none that can be read."""
    if frame.truth is None:
        return None
    try:
        return truth.read(frame.truth, frame.camera_info, frame.cloud_to_camera).depth
    except ValueError as error:
        print(f"passing over what {truth.topic} says at {frame.stamp} ns: {error}")
        return None


def _print_table(report: dict[str, Any]) -> None:
    images, latency = report["images"], report["latency_ms"]
    print(f"{'images':12}{images['used']} of {images['played']} answered")
    if images["repeated_stamps"]:
        print(f"{'':12}{images['repeated_stamps']} have the stamp of another and do not count")
    if latency["p50"] is not None:
        print(f"{'latency':12}p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms")
    if report["metrics"] is None:
        print(f"{'truth':12}none in the bag, so no metrics")
        return
    print(f"{'truth':12}{report['truth_topic']} ({report['truth_kind']}), "
          f"{images['scored']} images, up to {report['max_depth']:g} m")  # fmt: skip
    for name, value in report["metrics"].items():
        unit = " m" if name in ("rmse", "sq_rel") else ""
        print(f"{name:12}{value:.4f}{unit}")
    pixels = report["pixels"]
    if pixels["missing"]:
        print(f"{'missing':12}{pixels['missing'] / pixels['scored']:.1%} of the truth unanswered, "
              f"scored as {report['max_depth']:g} m")  # fmt: skip
