# SPDX-License-Identifier: Apache-2.0
"""Synthetic streets: true depth, and the same settings give the same files."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("embreex", reason="needs embreex: pip install '.[synth]'")
pytest.importorskip("tqdm", reason="needs tqdm: pip install '.[synth]'")

from depth_dpt_core.camera import Intrinsics, Mounting
from depth_dpt_core.data.cityscapes import list_split, read_camera, read_frame
from depth_dpt_core.data.synth.dataset import SynthSettings, generate
from depth_dpt_core.data.synth.frame import draw_bonnet, draw_view, look, render_frame
from depth_dpt_core.data.synth.geometry.mesh import Material, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import box
from depth_dpt_core.data.synth.ranges import SynthRanges, load_ranges
from depth_dpt_core.data.synth.render import Renderer
from depth_dpt_core.data.synth.sensor import Sensor
from depth_dpt_core.data.synth.street.compose import build_street
from depth_dpt_core.evaluation.flat_ground import flat_ground_depth

WIDTH = 64
RANGES = SynthRanges()
SMALL = SynthSettings(scenes=2, views_per_scene=2, width=WIDTH)


def draw(seed):
    rng = np.random.default_rng(seed)
    street = build_street(rng, RANGES)
    renderer = Renderer(street)
    return street, renderer, draw_view(street, renderer, rng, RANGES.camera, WIDTH), rng


def sign(value) -> float:
    return float(np.sign(np.round(value, 3)))


def nearest_hit(corners, origin, direction):
    """Distance to the first of all triangles [F,3,3] (Moller & Trumbore, 1997), else infinite."""
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    p = np.cross(direction, edge2)
    determinant = np.einsum("ij,ij->i", edge1, p)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_origin = origin - corners[:, 0]
        u = np.einsum("ij,ij->i", to_origin, p) / determinant
        q = np.cross(to_origin, edge1)
        v = q @ direction / determinant
        t = np.einsum("ij,ij->i", edge2, q) / determinant
        inside = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (np.abs(determinant) > 1e-12)
    return float(np.min(t[inside], initial=np.inf))


@pytest.mark.parametrize("seed", [0, 1])
def test_depth_along_z_is_that_of_the_triangles(seed):
    street, renderer, view, rng = draw(seed)
    depth = renderer.depth(view)
    corners = street.mesh.vertices.astype(np.float64)[street.mesh.faces]
    k, axes, origin = (
        view.intrinsics,
        view.axes.astype(np.float64),
        view.position.astype(np.float64),
    )
    pixels = np.stack([rng.integers(0, WIDTH, 50), rng.integers(0, view.height, 50)], 1)
    wrong, ground = [], 0
    for x, y in pixels:
        # unscaled so that its third component is 1: the parameter of the hit is the depth
        ray = axes @ [(x - k.cx) / k.fx, (y - k.cy) / k.fy, 1.0]
        expected = nearest_hit(corners, origin, ray)
        ground += np.isfinite(expected)
        if not np.isclose(depth[y, x], expected, rtol=1e-4):
            wrong.append((x, y, depth[y, x], expected))
    assert ground > 20
    assert len(wrong) <= 1, wrong  # a ray along an edge may go either way in float32


@pytest.mark.parametrize(
    "angles", [{}, {"yaw": 0.3}, {"pitch": 0.1}, {"roll": 0.2}, {"yaw": -1, "pitch": 0.05}]
)
def test_a_view_looks_where_its_angles_say(angles):
    street, _, view, _ = draw(2)
    placed = look(
        street, 20.0, intrinsics=view.intrinsics, width=WIDTH, height=view.height, **angles
    )
    right, down, forward = placed.axes.astype(np.float64).T
    np.testing.assert_allclose(placed.axes.T @ placed.axes, np.eye(3), atol=1e-5)
    straight = look(street, 20.0, intrinsics=view.intrinsics, width=WIDTH, height=view.height)
    side, up, ahead = np.array([1, 0, 0]), np.array([0, 1, 0]), straight.axes[:, 2]
    assert down @ up < -0.9
    assert sign((forward - ahead) @ side) == np.sign(angles.get("yaw", 0))
    if "yaw" not in angles:
        assert sign((forward - ahead) @ up) == np.sign(angles.get("pitch", 0))
        assert sign(right @ up) == -np.sign(angles.get("roll", 0))


def test_truth_is_unknown_on_the_own_bonnet_and_in_the_sky_and_nowhere_else():
    for seed in range(3, 6):
        _, renderer, view, rng = draw(seed)
        exact = renderer.depth(view)
        ego = draw_bonnet(rng, WIDTH, view.height)
        frame = render_frame(renderer, view, Sensor.draw(rng, RANGES.sensor), rng, ego=ego)
        assert np.array_equal(frame.ego, ego)
        assert np.array_equal(frame.sky, np.isinf(exact) & ~ego)
        assert np.array_equal(np.isnan(frame.depth), frame.sky | frame.ego)
        known = ~np.isnan(frame.depth)
        assert np.array_equal(frame.depth[known], exact[known])
        assert (frame.image.shape, frame.image.dtype) == ((view.height, WIDTH, 3), np.uint8)
        assert frame.image.std() > 5


def test_an_empty_level_road_is_as_far_as_its_mounting_says():
    level = RANGES.changed({"road": {"slope": [0, 0], "curve": [0, 0]}})
    street = build_street(np.random.default_rng(3), level, clear_ahead=60)
    intrinsics = Intrinsics(64.0, 64.0, 31.5, 15.5)
    view = look(
        street, 0.0, intrinsics=intrinsics, width=64, height=32,
        camera_height=1.5, pitch=-0.05, roll=0.06,
    )  # fmt: skip
    depth = Renderer(street).depth(view)
    flat = flat_ground_depth(intrinsics, (32, 64), view.mounting, max_depth=100)
    np.testing.assert_allclose(depth[24:, 28:35], flat[24:, 28:35], rtol=1e-3)
    np.testing.assert_allclose(Mounting.of(1.5, view.mounting.down).pitch, -0.05)
    np.testing.assert_allclose(Mounting.of(1.5, view.mounting.down).roll, 0.06)


def test_inside_a_lorry_is_no_place_for_a_camera():
    street, renderer, view, _ = draw(2)
    assert not renderer.is_enclosed(view)
    builder = MeshBuilder()
    builder.add_mesh(street.mesh)
    builder.add(box(view.position - [0, 1.2, 0], [2.4, 3.0, 7.0]), Material.PLAIN, [0.2] * 3)
    assert Renderer(dataclasses.replace(street, mesh=builder.build())).is_enclosed(view)


@pytest.mark.parametrize("kind", list(RANGES.kinds))
def test_every_kind_of_street_can_be_drawn(kind):
    only = {name: {"share": float(name == kind)} for name in RANGES.kinds}
    for seed in range(2):
        street = build_street(np.random.default_rng(seed), RANGES.changed({"kinds": only}))
        mesh, layout = street.mesh, street.layout
        assert np.isfinite(mesh.vertices).all()
        assert mesh.faces.max() < len(mesh.vertices)
        assert {len(part) for part in (mesh.material, mesh.color, mesh.pattern)} == {
            len(mesh.faces)
        }
        assert ((mesh.color >= 0) & (mesh.color <= 1)).all()
        assert layout.borders[0] <= layout.edges[0] < layout.own_center < layout.edges[1]


def test_a_file_of_ranges_changes_those_and_no_others(tmp_path):
    file = tmp_path / "level.yaml"
    file.write_text("camera: {pitch: [0, 0]}\nkinds:\n  rural: {share: 0}\n")
    ranges = load_ranges(file)
    assert ranges.camera.pitch == (0.0, 0.0)
    assert ranges.kinds["rural"].share == 0
    assert ranges.camera.roll == RANGES.camera.roll
    assert ranges.kinds["urban"] == RANGES.kinds["urban"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("camera: {tilt: [0, 0]}", "camera: no range 'tilt'; there are focal_over_width"),
        ("camera: {pitch: 3}", "camera: pitch: 3 where \\[low, high\\] is expected"),
        ("camera: {pitch: [1, 0]}", "low must not be above high"),
        ("kinds: {village: {share: 1}}", "no range 'village'; there are urban"),
        ("camera: [1, 2]", "where names are expected"),
        ("light: {sun_share: often}", "'often' where a number is expected"),
        ("a: [b", "not YAML"),
    ],
)
def test_a_wrong_file_of_ranges_is_refused_by_name(tmp_path, text, message):
    file = tmp_path / "ranges.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"ranges.yaml: .*{message}"):
        load_ranges(file)


def content(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two streets of two views, by one worker."""
    root = tmp_path_factory.mktemp("small")
    assert generate(root, SMALL, workers=1) == 4
    return root


@pytest.mark.slow
def test_files_agree_with_each_other(small):
    samples = list_split(small, "train").samples
    assert len(samples) == 4
    for sample in samples:
        exact = cv2.imread(
            str(sample.camera).replace("camera", "depth").replace("json", "tiff"),
            cv2.IMREAD_UNCHANGED,
        )
        labels = cv2.imread(str(sample.labels), cv2.IMREAD_UNCHANGED)
        frame = read_frame(sample)
        intrinsics, baseline = read_camera(sample.camera)
        assert exact.dtype == np.float32
        assert set(np.unique(labels)) <= {0, 1, 23}
        assert np.array_equal(np.isnan(exact), labels != 0)
        assert np.array_equal(frame.sky, labels == 23)
        reach = baseline * intrinsics.fx * 256 / exact
        encodable = (reach >= 0.5) & (reach < 65534)  # not NaN, and not code 0 or 1
        assert np.array_equal(~np.isnan(frame.depth), encodable)
        steps = np.abs(1 / frame.depth - 1 / exact)[encodable] * baseline * intrinsics.fx * 256
        assert steps.max() < 0.51
        low, high = RANGES.camera.focal_over_width
        assert low * WIDTH <= intrinsics.fx <= high * WIDTH
        assert RANGES.camera.stereo_baseline[0] <= baseline <= RANGES.camera.stereo_baseline[1]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files_with_any_number_of_workers(small, tmp_path):
    generate(tmp_path, SMALL, workers=2)
    assert content(tmp_path) == content(small)


@pytest.mark.slow
def test_another_seed_gives_other_pictures_and_cameras(small, tmp_path):
    settings = SynthSettings(seed=1, scenes=1, views_per_scene=1, width=WIDTH)
    generate(tmp_path, settings, workers=1)
    new, old = content(tmp_path), content(small)
    for name in set(new) - {"synth.json"}:
        # a label picture may be equal by chance
        assert "gtFine" in name or new[name] != old[name]
    assert len(new) == 6


@pytest.mark.slow
def test_a_run_that_was_interrupted_goes_on_to_the_same_files(small, tmp_path):
    generate(tmp_path, SMALL, workers=1)
    cameras = sorted(tmp_path.glob("camera/*/*/*.json"))
    cameras[1].rename(tmp_path / "set_aside")  # written last: this frame counts as missing
    image = tmp_path / "leftImg8bit" / cameras[1].relative_to(tmp_path / "camera")
    image = image.with_name(image.name.replace("camera.json", "leftImg8bit.png"))
    image.write_bytes(b"half a picture")
    image.with_name(f".{image.stem}.x1y2.png").write_bytes(b"left behind by a kill")
    untouched = cameras[0].stat().st_mtime_ns
    assert generate(tmp_path, SMALL, workers=1) == 4
    again = content(tmp_path)
    again.pop("set_aside")
    assert again == content(small)
    assert cameras[0].stat().st_mtime_ns == untouched  # a whole frame is not made again
    assert len(list_split(tmp_path, "train").samples) == 4


@pytest.mark.parametrize(
    "changed",
    [{"seed": 1}, {"width": 128}, {"ranges": RANGES.changed({"road": {"slope": [0, 0]}})}],
)
def test_a_folder_of_other_settings_is_refused_and_left_as_it_was(tmp_path, changed):
    first = {"scenes": 0, "width": WIDTH}
    generate(tmp_path, SynthSettings(**first), workers=1)
    before = content(tmp_path)
    with pytest.raises(ValueError, match="other settings"):
        generate(tmp_path, SynthSettings(**{**first, **changed}), workers=1)
    assert content(tmp_path) == before


@pytest.mark.slow
def test_command_deals_twenty_streets_eighteen_to_one_to_one(tmp_path):
    command = [
        sys.executable, "-m", "depth_dpt_ros.cli", "synth", "--out", str(tmp_path / "set"),
        "--scenes", "20", "--views", "1", "--width", str(WIDTH),
        "--workers", "2",
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=200, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    assert "20 frames of 20 streets" in done.stdout
    counts = {
        split: len(list_split(tmp_path / "set", split).samples)
        for split in ("train", "val", "test")
    }
    assert counts == {"train": 18, "val": 1, "test": 1}
    assert json.loads((tmp_path / "set" / "synth.json").read_text())["scenes"] == 20
    again = subprocess.run(
        [*command, "--seed", "3"], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert again.returncode == 1
    assert again.stderr.count("\n") == 1
    assert "other settings" in again.stderr
