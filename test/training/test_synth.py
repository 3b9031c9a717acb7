# SPDX-License-Identifier: Apache-2.0
"""Synthetic streets: true depth, true sizes, and cameras where they say they are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("embreex", reason="needs embreex: pip install '.[synth]'")
pytest.importorskip("tqdm", reason="needs tqdm: pip install '.[synth]'")

from depth_dpt_core.camera import Intrinsics, Mounting
from depth_dpt_core.data.synth.frame import draw_bonnet, draw_view, look, render_frame
from depth_dpt_core.data.synth.geometry.mesh import Material, MeshBuilder
from depth_dpt_core.data.synth.geometry.solids import box
from depth_dpt_core.data.synth.ranges import SynthRanges
from depth_dpt_core.data.synth.render import Renderer
from depth_dpt_core.data.synth.sensor import Sensor
from depth_dpt_core.data.synth.street.compose import build_street
from depth_dpt_core.data.synth.street.ground import draw_layout
from depth_dpt_core.data.synth.street.street import BEHIND, LENGTH
from depth_dpt_core.data.synth.street.traffic import Fleet, add_parked, add_traffic
from depth_dpt_core.evaluation.flat_ground import flat_ground_depth

WIDTH = 64
RANGES = SynthRanges()


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
