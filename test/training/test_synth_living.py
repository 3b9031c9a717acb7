# SPDX-License-Identifier: Apache-2.0
"""Trees, bushes, people and cycles of synthetic streets: true sizes, whole and on the ground."""

from __future__ import annotations

import numpy as np
import pytest

from depth_dpt_core.data.synth.cycles.bicycle import bicycle
from depth_dpt_core.data.synth.cycles.motorcycle import motorcycle
from depth_dpt_core.data.synth.cycles.riding import Mount, seated
from depth_dpt_core.data.synth.geometry.limbs import blades, chains
from depth_dpt_core.data.synth.geometry.mesh import Material
from depth_dpt_core.data.synth.people.body import body
from depth_dpt_core.data.synth.people.figure import figure
from depth_dpt_core.data.synth.people.outfit import outfit
from depth_dpt_core.data.synth.people.person import person, stand, walk
from depth_dpt_core.data.synth.plants.vegetation import bush, grass_tuft, hedge, tree, tree_of

SEEDS = range(12)
HABITS = ["round", "spreading", "young", "birch", "poplar", "cypress", "pine", "spruce", "palm"]
# maker: most triangles, lowest and highest top (m), deepest foot (m)
MAKERS = {
    "tree": (tree, 3500, 3.2, 20.3, -0.35),
    "bush": (bush, 600, 0.35, 2.7, -0.35),
    "hedge": (lambda rng: hedge(rng, 6.0), 600, 0.5, 2.6, -0.3),
    "grass": (grass_tuft, 600, 0.1, 0.85, -0.05),
    "person": (person, 900, 0.95, 2.4, -0.02),
    "bicycle": (bicycle, 1500, 0.8, 1.3, -0.03),
    "cyclist": (lambda rng: bicycle(rng, ridden=True), 1500, 1.4, 2.2, -0.03),
    "motorcycle": (motorcycle, 1500, 1.0, 1.7, -0.03),
    "motorcyclist": (lambda rng: motorcycle(rng, ridden=True), 1500, 1.35, 2.0, -0.03),
}


def extent(mesh):
    return np.ptp(mesh.vertices, axis=0)


@pytest.mark.parametrize("name", MAKERS)
def test_is_sound_of_true_height_and_stands_on_the_ground(name):
    make, triangles, low, high, deepest = MAKERS[name]
    for seed in SEEDS:
        mesh = make(np.random.default_rng(seed))
        assert len(mesh.faces) <= triangles
        assert mesh.faces.min() >= 0
        assert mesh.faces.max() < len(mesh.vertices)
        assert len(mesh.color) == len(mesh.material) == len(mesh.faces)
        assert np.isfinite(mesh.vertices).all()
        assert np.isfinite(mesh.normals).all()
        assert ((mesh.color >= 0) & (mesh.color <= 1)).all()
        assert deepest <= mesh.vertices[:, 1].min() <= 0.005
        assert low <= mesh.vertices[:, 1].max() <= high


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_seed_gives_the_same_arrays(name):
    first, second = (MAKERS[name][0](np.random.default_rng(5)) for _ in range(2))
    for field in ("vertices", "normals", "texture", "faces", "material", "color", "pattern"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))


@pytest.mark.parametrize("habit", HABITS)
def test_trunk_goes_into_the_ground_and_crown_is_about_it(habit):
    mesh = tree_of(habit, np.random.default_rng(3))
    height = mesh.vertices[:, 1].max()
    wood = mesh.vertices[mesh.faces[mesh.material == Material.BARK]].reshape(-1, 3)
    foot = wood[wood[:, 1] < 0.02 * height]
    assert foot[:, 1].min() < 0
    assert np.abs(foot[:, [0, 2]]).max() < 0.05 * height + 0.4
    middle = mesh.vertices[mesh.vertices[:, 1] > 0.3 * height].mean(0)
    assert np.abs(middle[[0, 2]]).max() < 0.15 * height


def test_hedge_is_as_long_as_asked():
    assert extent(hedge(np.random.default_rng(0), 9.0))[2] == pytest.approx(9.0, abs=0.4)


@pytest.mark.parametrize("pose", [stand, walk])
@pytest.mark.parametrize("adult", [True, False])
def test_figure_is_as_tall_as_its_body_and_of_one_piece(pose, adult):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        who = body(rng, adult=adult)
        assert (1.5 <= who.stature <= 1.95) if adult else (1.0 <= who.stature <= 1.5)
        limbs = pose(who, rng)
        mesh = figure(limbs, who, outfit(rng, female=who.female), rng)
        assert -0.01 <= mesh.vertices[:, 1].min() <= 0.005
        assert mesh.vertices[:, 1].max() == pytest.approx(who.stature, abs=0.09)
        check_limbs(limbs, who)
        assert 0.25 * who.stature**1.0 - 0.06 < shoulder_width(mesh, limbs) < 0.62


def shoulder_width(mesh, limbs):
    level = limbs.shoulders[:, 1].mean()
    slab = mesh.vertices[np.abs(mesh.vertices[:, 1] - level) < 0.08]
    return np.ptp(slab[:, 0])


def check_limbs(limbs, who):
    """Bones keep their length, a stretched limb excepted."""
    for start, end, length in (
        (limbs.hips, limbs.knees, who.thigh),
        (limbs.knees, limbs.ankles, who.shank),
        (limbs.shoulders, limbs.elbows, who.upper_arm),
        (limbs.elbows, limbs.wrists, who.forearm),
    ):
        bones = np.linalg.norm(end - start, axis=1)
        assert (bones > 0.9 * length).all()
        assert (bones < 1.12 * length).all()


def test_walking_legs_step_in_turn():
    who = body(np.random.default_rng(0))
    steps = [walk(who, np.random.default_rng(seed)) for seed in range(30)]
    stride = np.array([step.ankles[1, 2] - step.ankles[0, 2] for step in steps])
    assert stride.max() > 0.35
    assert stride.min() < -0.35


def test_riders_hold_the_grips_and_stand_on_the_rests():
    mount = Mount(
        np.array([0, 0.95, -0.25]),
        np.array([[-0.28, 1.08, 0.2], [0.28, 1.08, 0.2]]),
        np.array([[-0.14, 0.12, 0.0], [0.14, 0.45, 0.05]]),
        0.1,
    )
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        who = body(rng)
        pose = seated(who, mount)
        mesh = figure(pose, who, outfit(rng, female=who.female, long=False), rng)
        for point, near in ((mount.grips, 0.09), (mount.rests, 0.09)):
            gap = np.linalg.norm(mesh.vertices[:, None] - point, axis=2).min(0)
            assert (gap < near).all()


@pytest.mark.parametrize(
    ("make", "shortest", "longest"), [(bicycle, 1.6, 2.0), (motorcycle, 1.6, 2.3)]
)
@pytest.mark.parametrize("ridden", [True, False])
def test_cycles_have_true_lengths_and_both_wheels_on_the_ground(make, shortest, longest, ridden):
    for seed in SEEDS:
        mesh = make(np.random.default_rng(seed), ridden=ridden)
        assert shortest <= extent(mesh)[2] <= longest
        touching = mesh.vertices[mesh.vertices[:, 1] < 0.012]
        assert touching[:, 2].min() < -0.4
        assert touching[:, 2].max() > 0.4


def test_chains_and_blades_follow_their_points():
    points = np.array([[[0, 0, 0], [0, 1, 0], [0, 2, 0.5]], [[1, 0, 0], [2, 0, 0], [3, 0, 0]]])
    bars = chains(points, [0.1, 0.1, 0.05], sides=6)
    assert bars.faces.shape == (2 * 2 * 12, 3)
    assert np.linalg.norm(bars.normals, axis=1) == pytest.approx(1, abs=1e-5)
    rings = bars.vertices.reshape(2, 3, 7, 3)
    np.testing.assert_allclose(rings[:, :, :-1].mean(2), points, atol=1e-6)
    grass = blades(points, 0.02, [[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]])
    assert grass.faces.shape == (2 * 3, 3)
    np.testing.assert_allclose(grass.vertices.reshape(2, 5, 3)[:, -1], points[:, -1])
