# SPDX-License-Identifier: Apache-2.0
"""Write synthetic streets as a data set in the layout of Cityscapes.

leftImg8bit/SPLIT/CITY/CITY_SCENE_VIEW_leftImg8bit.png   RGB
disparity/SPLIT/CITY/..._disparity.png                   uint16, d = (p - 1) / 256, 0 invalid
camera/SPLIT/CITY/..._camera.json                        baseline, fx, fy, u0, v0; z, pitch, roll
                                                         above the road
gtFine/SPLIT/CITY/..._gtFine_labelIds.png                1 ego vehicle, 23 sky, else 0
depth/SPLIT/CITY/..._depth.tiff                          exact float32 metres, NaN unknown
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from depth_dpt_core.data.cityscapes import LABEL_EGO_VEHICLE, LABEL_SKY, encode_disparity
from depth_dpt_core.data.synth.frame import Frame, draw_bonnet, draw_view, render_frame
from depth_dpt_core.data.synth.ranges import SynthRanges
from depth_dpt_core.data.synth.render import Renderer, View, ray_caster
from depth_dpt_core.data.synth.sensor import Sensor
from depth_dpt_core.data.synth.street.compose import build_street
from depth_dpt_core.data.workers import worker_processes
from depth_dpt_core.files import write_atomically
from depth_dpt_core.revision import street_code

_SETTINGS_FILE = "synth.json"
_DEFLATE = [cv2.IMWRITE_TIFF_COMPRESSION, 8]  # of TIFF's own numbering; lossless


@dataclass(frozen=True)
class SynthSettings:
    """What a synthetic data set is made from; the same settings give the same files."""

    seed: int = 0
    scenes: int = 1000
    views_per_scene: int = 3
    width: int = 512  # pixels; heights follow from the drawn aspect ratios
    ranges: SynthRanges = field(default_factory=SynthRanges)

    def split(self, scene: int) -> str:
        """Scenes are dealt to train, val and test as 18 : 1 : 1."""
        return {18: "val", 19: "test"}.get(scene % 20, "train")


def generate(out: Path, settings: SynthSettings, *, workers: int) -> int:
    """Render what is missing of a data set; returns the number of frames that it now has.

    Interrupted runs go on where they stopped: a frame counts as done when its camera file is
    there, which is written last.

    Raises:
        ValueError: `out` holds something else, or a data set made from other settings or by
            another revision of this code, or more streets than asked for.
        RendererMissingError: the ray caster is not installed.
    """
    ray_caster()  # before anything is written
    out.mkdir(parents=True, exist_ok=True)
    record = out / _SETTINGS_FILE
    wanted = {**json.loads(json.dumps(asdict(settings))), "code": street_code()}
    _check_folder(out, record, wanted)
    write_atomically(record, json.dumps(wanted, indent=1).encode())
    with worker_processes(workers) as pool:
        jobs = [pool.submit(_render_scene, out, settings, i) for i in range(settings.scenes)]
        return sum(job.result() for job in tqdm(jobs, unit="scene", desc=str(out)))


def _check_folder(out: Path, record: Path, wanted: dict[str, Any]) -> None:
    """Refuse a folder whose content would be mixed with other frames."""
    if not record.exists():
        if any(not item.name.startswith(".") for item in out.iterdir()):
            raise ValueError(f"{out} holds something else than streets: choose an empty folder")
        return
    held = json.loads(record.read_text())
    if held.pop("scenes") > wanted["scenes"]:
        raise ValueError(
            f"{out} holds more than {wanted['scenes']} streets: choose an empty folder"
        )
    different = {name for name in wanted if name != "scenes" and held.get(name) != wanted[name]}
    if different == {"code"}:
        raise ValueError(
            f"{out} holds frames made by another revision of depth-dpt: choose an empty folder"
        )
    if different:
        raise ValueError(f"{out} holds frames made from other settings: choose an empty folder")


def _render_scene(out: Path, settings: SynthSettings, scene: int) -> int:
    views = range(settings.views_per_scene)
    missing = [view for view in views if not _path(out, settings, scene, view, "camera").exists()]
    if missing:
        rng = np.random.default_rng([settings.seed, scene])
        street = build_street(rng, settings.ranges)
        renderer = Renderer(street)
        for view in missing:
            rng = np.random.default_rng([settings.seed, scene, view + 1])
            camera = draw_view(street, renderer, rng, settings.ranges.camera, settings.width)
            ego = None
            if rng.random() < settings.ranges.camera.bonnet_share:
                ego = draw_bonnet(rng, settings.ranges.camera, camera.width, camera.height)
            sensor = Sensor.draw(rng, settings.ranges.sensor)
            frame = render_frame(renderer, camera, sensor, rng, ego=ego)
            baseline = rng.uniform(*settings.ranges.camera.stereo_baseline)
            _write(out, settings, scene, view, frame, _camera_file(camera, baseline))
    return len(views)


def _path(out: Path, settings: SynthSettings, scene: int, view: int, kind: str) -> Path:
    ending = {
        "leftImg8bit": "leftImg8bit.png",
        "disparity": "disparity.png",
        "gtFine": "gtFine_labelIds.png",
        "depth": "depth.tiff",
        "camera": "camera.json",
    }[kind]
    city = f"synth{scene // 1000:03d}"
    return out / kind / settings.split(scene) / city / f"{city}_{scene:06d}_{view:06d}_{ending}"


def _camera_file(view: View, baseline: float) -> dict[str, dict[str, float]]:
    """Content of a camera file; as in Cityscapes' own, positive pitch looks down."""
    k, mounting = view.intrinsics, view.mounting
    pose = {"z": mounting.height, "pitch": -mounting.pitch, "roll": mounting.roll}
    return {
        "extrinsic": {"baseline": baseline, **pose},
        "intrinsic": {"fx": k.fx, "fy": k.fy, "u0": k.cx, "v0": k.cy},
    }


def _write(
    out: Path,
    settings: SynthSettings,
    scene: int,
    view: int,
    frame: Frame,
    camera: dict[str, dict[str, float]],
) -> None:
    labels = np.zeros(frame.depth.shape, np.uint8)
    labels[frame.sky], labels[frame.ego] = LABEL_SKY, LABEL_EGO_VEHICLE
    disparity = encode_disparity(
        frame.depth, camera["extrinsic"]["baseline"] * camera["intrinsic"]["fx"]
    )
    pictures: dict[str, NDArray[Any]] = {
        "leftImg8bit": frame.image[..., ::-1],
        "disparity": disparity,
        "gtFine": labels,
        "depth": frame.depth,
    }
    for kind, picture in pictures.items():
        path = _path(out, settings, scene, view, kind)
        options = _DEFLATE if path.suffix == ".tiff" else []
        packed = cv2.imencode(path.suffix, picture, options)[1]
        write_atomically(path, packed.tobytes())
    # last: its presence says that the frame is whole
    path = _path(out, settings, scene, view, "camera")
    write_atomically(path, json.dumps(camera, indent=1).encode())
