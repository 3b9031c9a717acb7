# SPDX-License-Identifier: Apache-2.0
"""Buildings and roadside: real dimensions, contact with the ground, room for traffic."""

from __future__ import annotations

import numpy as np
import pytest

from depth_dpt_core.data.synth.buildings.building import BUILDING_KINDS, building
from depth_dpt_core.data.synth.geometry.mesh import Material
from depth_dpt_core.data.synth.roadside import barriers, furniture, posts, road_works, structures
from depth_dpt_core.data.synth.surfaces.facade import Part, Style, facade, grid, pattern_of
from depth_dpt_core.data.synth.surfaces.noise import Hits

SEEDS = range(12)
LONG = 30.0
WIDTH = 14.0  # of the road under bridges
# largest reach (x, y, z) of a single thing in metres; least height
FURNITURE = {
    "litter_bin": ((0.7, 1.2, 0.7), 0.7),
    "wheeled_bins": ((1.8, 1.6, 4.5), 0.9),
    "bench": ((0.8, 1.0, 2.1), 0.4),
    "bus_shelter": ((2.3, 2.8, 7.0), 2.3),
    "post_box": ((0.7, 1.7, 0.7), 1.2),
    "hydrant": ((0.4, 0.9, 0.4), 0.5),
    "cabinet": ((0.7, 1.6, 1.9), 0.9),
    "kiosk": ((3.6, 3.3, 4.5), 2.5),
    "advertising_column": ((1.8, 3.8, 1.8), 2.4),
    "planter": ((1.3, 1.6, 2.5), 0.4),
    "bicycle_stands": ((1.0, 1.0, 6.2), 0.7),
}
WORKS = {
    "cones": ((1.5, 1.0, 17.0), 0.5),
    "works_barrier": ((0.8, 2.1, 14.5), 1.0),
    "skip": ((2.1, 2.2, 4.1), 1.1),
    "sea_container": ((2.6, 2.8, 12.4), 2.5),
    "trailer": ((2.7, 4.1, 13.8), 3.5),
}
POSTS = {
    "lamp_post": ((7.0, 12.5, 0.7), 3.2),
    "traffic_sign": ((3.3, 4.8, 1.3), 2.3),
    "traffic_light": ((9.5, 7.6, 1.0), 3.0),
    "bollard": ((0.3, 1.3, 0.3), 0.7),
}
THINGS = [
    (getattr(module, name), *row)
    for module, table in ((furniture, FURNITURE), (road_works, WORKS), (posts, POSTS))
    for name, row in table.items()
]
LONG_THINGS = [kind for kind, _ in [*barriers.FENCES.values(), *barriers.ROAD_BARRIERS.values()]]


def rng(seed):
    return np.random.default_rng(seed)


def fits(kind, limit):
    _, _, (low, high), least = BUILDING_KINDS[kind]
    return np.clip(18.0, low, high), max(limit, least)


def assert_sound(mesh):
    assert np.isfinite(mesh.vertices).all()
    assert mesh.faces.min() == 0
    assert mesh.faces.max() == len(mesh.vertices) - 1
    assert 0 <= mesh.color.min() <= mesh.color.max() <= 1
    assert set(np.unique(mesh.material)) <= set(Material)
    assert mesh.normals.shape == mesh.vertices.shape
    assert len(mesh.texture) == len(mesh.vertices)


def arrays(mesh):
    return [getattr(mesh, name) for name in mesh.__dataclass_fields__]


def lowest_over_the_road(mesh, half):
    """Least height of any triangle that reaches into |x| < half."""
    corners = mesh.vertices[mesh.faces]
    over = (corners[..., 0].min(1) < half) & (corners[..., 0].max(1) > -half)
    return float(corners[over][..., 1].min())


@pytest.mark.parametrize(("make", "reach", "least"), THINGS)
def test_things_stand_on_the_ground_in_real_size(make, reach, least):
    for seed in SEEDS:
        mesh = make(rng(seed))
        assert_sound(mesh)
        low, high = mesh.vertices.min(0), mesh.vertices.max(0)
        assert -0.35 <= low[1] <= 0.0
        assert high[1] >= least
        assert (high - [low[0], 0, low[2]] <= reach).all(), (seed, high - low)
        assert len(mesh.faces) <= 400


@pytest.mark.parametrize("make", LONG_THINGS)
def test_long_things_are_as_long_as_asked_and_never_hover(make):
    for seed, length in zip(SEEDS, [LONG] * 6 + [1.5, 4.0, 7.3, 12.0, 50.0, 2.2], strict=True):
        mesh = make(rng(seed), length)
        assert_sound(mesh)
        low, high = mesh.vertices.min(0), mesh.vertices.max(0)
        assert low[2] > -0.4
        assert high[2] < length + 0.4
        assert high[2] - low[2] > 0.9 * length - 0.3
        assert -0.35 <= low[1] < 0
        assert 0.7 < high[1] < 5.1
        assert len(mesh.faces) <= 1500 or length > LONG


def test_wires_run_on_to_the_next_pole_and_hang_clear_of_lorries():
    for seed in SEEDS:
        mesh = barriers.utility_line(rng(seed), 120.0)
        assert_sound(mesh)
        wires = mesh.vertices[np.unique(mesh.faces[(mesh.color < 0.031).all(1)])]
        assert wires[:, 2].min() < 0.1
        assert wires[:, 2].max() > 119.9
        assert 4.5 < wires[:, 1].min() < wires[:, 1].max() < 11.5
        assert len(mesh.faces) <= 2500


@pytest.mark.parametrize("make", [structures.gantry, structures.overpass])
def test_traffic_fits_under_what_spans_the_road(make):
    for seed in range(40):
        for width in (6.0, WIDTH, 28.0):
            mesh = make(rng(seed), width)
            assert_sound(mesh)
            assert lowest_over_the_road(mesh, width / 2) >= 4.5
            low, high = mesh.vertices.min(0), mesh.vertices.max(0)
            assert low[1] < 0
            assert 5.5 < high[1] < 15
            assert (low[0] < -width / 2) & (high[0] > width / 2)
            assert len(mesh.faces) <= 1500


def test_lights_on_an_arm_hang_over_lorries():
    for seed in range(40):
        mesh = posts.traffic_light(rng(seed))
        corners = mesh.vertices[mesh.faces]
        over = corners[..., 0].max(1) < -0.8
        assert not over.any() or corners[over][..., 1].min() >= 4.5


def test_scaffolding_stands_before_the_front():
    for seed in SEEDS:
        mesh = structures.scaffolding(rng(seed), 12.0)
        assert_sound(mesh)
        low, high = mesh.vertices.min(0), mesh.vertices.max(0)
        assert -1.6 < low[0] < high[0] <= -0.2
        assert low[1] < 0
        assert 4 < high[1] < 12


def test_one_clutter_in_four_floats():
    floating = [road_works.clutter(rng(seed)).vertices[:, 1].min() > 0.01 for seed in range(200)]
    assert 0.15 < np.mean(floating) < 0.35


@pytest.mark.parametrize("kind", BUILDING_KINDS)
def test_buildings_keep_to_their_ground_and_below_the_limit(kind):
    count = []
    for seed in range(30):
        front, limit = fits(kind, [7.0, 12.0, 26.0][seed % 3])
        mesh = building(rng(seed), front, limit, kind=kind)
        assert_sound(mesh)
        low, high = mesh.vertices.min(0), mesh.vertices.max(0)
        assert low[1] == pytest.approx(-0.5, abs=0.02)
        assert low[0] >= -2.3  # awnings, balconies, colonnades
        assert low[2] > -0.8
        assert high[2] < front + 0.8
        walls = np.unique(mesh.faces[mesh.material == Material.FACADE])
        if kind != "landmark":
            assert mesh.vertices[walls, 1].max() <= limit + 0.5
        assert high[1] > 2.8
        count.append(len(mesh.faces))
    assert np.median(count) <= 1200
    assert max(count) <= 2500


def test_any_building_fits_any_front_and_limit():
    draw = rng(5)
    for _ in range(60):
        front, limit = draw.uniform(4, 40), draw.uniform(7, 90)
        mesh = building(draw, front, limit)
        assert mesh.vertices[:, 2].min() > -0.8
        assert mesh.vertices[:, 2].max() < front + 0.8


def test_the_other_side_of_the_road_is_a_half_turn():
    mesh = building(rng(3), 12.0, 20.0, kind="old_stone")
    turned = mesh.placed([0, 0, 12.0], yaw=np.pi)
    np.testing.assert_allclose(turned.vertices[:, 0], -mesh.vertices[:, 0], atol=1e-4)
    np.testing.assert_allclose(turned.vertices[:, 2], 12 - mesh.vertices[:, 2], atol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: building(rng(seed), 17.0),
        lambda seed: posts.post(rng(seed)),
        lambda seed: furniture.furniture(rng(seed)),
        lambda seed: road_works.road_works(rng(seed)),
        lambda seed: barriers.fence(rng(seed), 9.0),
        lambda seed: barriers.road_barrier(rng(seed), 9.0),
    ],
)
def test_the_same_seed_gives_the_same_arrays(make):
    for seed in SEEDS:
        one, other = arrays(make(seed)), arrays(make(seed))
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert len({len(make(seed).faces) for seed in SEEDS}) > 3


def wall(pattern, *, footprint=0.01):
    """What a wall 12 m wide and 9 m high looks like."""
    u, v = (g.ravel().astype(np.float32) for g in np.meshgrid(np.arange(0, 12, 0.05),
                                                              np.arange(0, 9, 0.05)))  # fmt: skip
    color = np.full((len(u), 3), 0.4, np.float32)
    size = np.full_like(u, footprint)
    hits = Hits(u, v, size, color, np.full(len(u), pattern, np.int32))
    return u, v, facade(hits)


@pytest.mark.parametrize("style", Style)
def test_windows_are_where_the_grid_says_and_nowhere_on_blank_walls(style):
    pattern = pattern_of(77, style, Part.SAME)
    cells = grid(np.array([pattern]))
    bay, storey, ground, half, sill, head = (
        float(getattr(cells, name)[0])
        for name in ("bay", "storey", "ground", "half", "sill", "head")
    )
    assert 1 < bay < 8
    assert 2.4 < storey < 6.1
    assert ground >= 2.5
    assert 0 < sill < head < storey
    assert 2 * half < bay
    u, v, seen = wall(pattern)
    _, _, blank = wall(pattern_of(77, style, Part.BLANK))
    x = u - (np.floor(u / bay) + 0.5) * bay
    y = (v - ground) % storey
    inside = (np.abs(x) < half) & (y > sill) & (y < head) & (v > ground)
    outside = (np.abs(x) > half * 2 + 0.2) & (v > ground)
    changed = np.abs(seen - blank).max(1) > 0.05
    assert changed[inside].mean() > 0.8
    assert not outside.any() or changed[outside].mean() < 0.1
    assert np.isfinite(seen).all()
    assert seen.min() >= 0


def test_walls_fade_to_their_mean_with_distance():
    near = wall(pattern_of(5, Style.BRICK, Part.SAME))
    far = wall(pattern_of(5, Style.BRICK, Part.SAME), footprint=12.0)
    assert far[2].std() < 0.3 * near[2].std()
    assert far[2].mean() == pytest.approx(near[2].mean(), rel=0.25)
