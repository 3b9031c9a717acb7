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
from depth_dpt_core.data.synth.street.ground import draw_layout
from depth_dpt_core.data.synth.street.street import BEHIND, LENGTH
from depth_dpt_core.data.synth.street.traffic import Fleet, add_parked, add_traffic
from depth_dpt_core.evaluation.flat_ground import flat_ground_depth

WIDTH = 64
RANGES = SynthRanges()
SMALL = SynthSettings(scenes=2, views_per_scene=2, width=WIDTH)


def draw(seed):
    rng = np.random.default_rng(seed)
    street = build_street(rng, RANGES)
    renderer = Renderer(street)
    return street, renderer, draw_view(street, renderer, rng, RANGES.camera, WIDTH), rng


class Counted(MeshBuilder):
    """Counts meshes in place of keeping them."""

    count = 0

    def add_mesh(self, mesh):
        self.count += 1


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
        ego = draw_bonnet(rng, RANGES.camera, WIDTH, view.height)
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


@pytest.mark.parametrize("yaw", [0.0, 0.7, 1.57, 3.14])
def test_inside_a_lorry_is_no_place_for_a_camera(yaw):
    street, renderer, view, _ = draw(2)
    size = {"intrinsics": view.intrinsics, "width": WIDTH, "height": view.height}
    view = look(street, 20.0, **size, yaw=yaw - float(street.terrain.heading(np.array(20.0))))
    assert not renderer.is_enclosed(view)
    builder = MeshBuilder()
    builder.add_mesh(street.mesh)
    builder.add(box(view.position - [0, 1.2, 0], [2.4, 3.0, 7.0]), Material.PLAIN, [0.2] * 3)
    assert Renderer(dataclasses.replace(street, mesh=builder.build())).is_enclosed(view)


@pytest.mark.parametrize("yaw", [0.0, 0.8, 1.57])
def test_a_camera_on_a_slope_stands_as_its_mounting_says(yaw):
    """The road beneath it is a plane, seen at right angles to the mounting's `down`."""
    hilly = RANGES.changed({"road": {"slope": [0.05, 0.05], "curve": [0.004, 0.004]}})
    street = build_street(np.random.default_rng(4), hilly)
    place = street.terrain.place
    x = street.layout.own_center
    steps = np.array([x, x, x + 0.1]), np.array([30.0, 30.1, 30.0])
    origin, along, across = np.stack(place(*steps), 1)
    view = look(
        street, 30.0, intrinsics=Intrinsics(64.0, 64.0, 31.5, 15.5), width=64, height=32,
        pitch=0.03, roll=-0.02, yaw=yaw,
    )  # fmt: skip
    for direction in (along - origin, across - origin):
        seen = view.axes.T @ direction / np.linalg.norm(direction)
        assert seen @ view.mounting.down == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("z", [5.0, 60.0, 150.0, 290.0, 330.0])
def test_a_bend_keeps_the_size_of_things_and_their_right_angles(z):
    bent = RANGES.changed({"road": {"slope": [0, 0], "curve": [0.004, 0.004]}})
    terrain = build_street(np.random.default_rng(1), bent).terrain
    builder = MeshBuilder()
    builder.add(box([1.7, 0, z], [1.8, 1.5, 4.5]), Material.PLAIN, [0.2] * 3)
    car = builder.build()
    corners = [
        int(np.argmin(np.linalg.norm(car.vertices - [1.7 + dx, 0, z + dz], axis=1)))
        for dx, dz in ((-0.9, -2.25), (0.9, -2.25), (-0.9, 2.25))
    ]
    here, aside, ahead = terrain.bend(car).vertices[corners].astype(np.float64)
    width, length = aside - here, ahead - here
    assert np.linalg.norm(width) == pytest.approx(1.8, rel=0.01)
    assert np.linalg.norm(length) == pytest.approx(4.5, rel=0.01)
    assert width @ length / 1.8 / 4.5 == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("rise", [-0.25, 0.0, 0.35])
def test_the_land_is_where_things_are_put_on_it(rise):
    kinds = {name: {"share": float(name == "highway")} for name in RANGES.kinds}
    kinds["highway"] |= {
        "embankment": [rise, rise], "trees_per_100m": [0, 0], "bushes_per_100m": [0, 0],
        "building_share": [0, 0], "fence_share": [0, 0],
    }  # fmt: skip
    road = {"slope": [0, 0], "curve": [0, 0], "clutter_per_100m": [0, 0]}
    street = build_street(np.random.default_rng(6), RANGES.changed({"kinds": kinds, "road": road}))
    ground = street.mesh.faces[street.mesh.material == Material.GROUND]
    corners = street.mesh.vertices.astype(np.float64)[ground]
    for beyond in (3.0, 10.0, 20.0, 40.0):
        x = street.layout.borders[1] + beyond
        below = nearest_hit(corners, np.array([x, 50.0, 31.3]), np.array([0.0, -1.0, 0.0]))
        assert 50 - below == pytest.approx(street.layout.ground(x), abs=0.02)


@pytest.mark.parametrize("rate", [0.0, 2.0, 6.0])
def test_as_many_vehicles_as_were_asked_for(rate):
    kind = dataclasses.replace(
        RANGES.kinds["urban"], traffic_per_100m=(rate, rate), parked_per_100m=(rate, rate),
        jam_share=0.0, parking_share=1.0, crossing_share=0.0,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    fleet = Fleet(rng)
    driving, parked = Counted(), Counted()
    lanes = strips = 0
    for _ in range(30):
        layout = draw_layout(rng, kind, RANGES.road)
        add_traffic(driving, layout, kind, fleet, rng, clear_ahead=0.0)
        add_parked(parked, layout, kind, fleet, rng)
        lanes += sum(layout.lanes)
        strips += 2
    metres = LENGTH + BEHIND
    assert driving.count / lanes / metres * 100 == pytest.approx(rate, rel=0.1)
    # less, for some are too long to stand at right angles to the kerb
    assert 0.8 * rate <= parked.count / strips / metres * 100 <= 1.1 * rate


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
        ("camera: {height: [.nan, 2]}", "\\[low, high\\] is expected"),
        ("camera: {height: [-1, 2]}", "camera: height: -1: must not be below 0"),
        ("camera: {aspect: [0, 2]}", "camera: aspect: 0: must be above 0"),
        ("camera: {bonnet_share: 7}", "bonnet_share: 7: a share is 1 at most"),
        (
            "kinds:\n" + "".join(f" {kind}: {{share: 0}}\n" for kind in RANGES.kinds),
            "kinds: one share at least must be above 0",
        ),
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


def test_frames_of_another_revision_and_other_files_are_not_mixed_with(tmp_path):
    (tmp_path / "leftImg8bit").mkdir()
    with pytest.raises(ValueError, match="something else than streets: choose an empty folder"):
        generate(tmp_path, SynthSettings(scenes=0), workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["leftImg8bit"]

    streets = tmp_path / "streets"
    generate(streets, SynthSettings(scenes=0), workers=1)
    record = streets / "synth.json"
    held = json.loads(record.read_text())
    record.write_text(json.dumps({**held, "code": "0" * 64}))
    with pytest.raises(ValueError, match="another revision of depth-dpt"):
        generate(streets, SynthSettings(scenes=0), workers=1)
    record.write_text(json.dumps({**held, "scenes": 3}))
    with pytest.raises(ValueError, match="more than 2 streets"):
        generate(streets, SynthSettings(scenes=2), workers=1)


@pytest.mark.slow
def test_a_set_can_be_extended(small, tmp_path):
    generate(tmp_path, dataclasses.replace(SMALL, scenes=1), workers=1)
    assert generate(tmp_path, SMALL, workers=1) == 4
    assert content(tmp_path) == content(small)


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
