# SPDX-License-Identifier: Apache-2.0
"""Vehicles of the synthetic streets: real sizes, on their wheels, lamps at the right ends."""

from __future__ import annotations

import numpy as np
import pytest

from depth_dpt_core.data.synth.geometry.mesh import Material
from depth_dpt_core.data.synth.vehicles.cars import CARS
from depth_dpt_core.data.synth.vehicles.parts import RUBBER
from depth_dpt_core.data.synth.vehicles.vehicle import SHARES, vehicle

KINDS = list(SHARES["europe"])
SEEDS = range(12)
# length, width, height in metres: what real ones of a kind may measure, with a little play
SIZES = {
    "hatchback": ((3.5, 4.4), (1.6, 1.85), (1.4, 1.6)),
    "saloon": ((4.4, 5.1), (1.7, 1.92), (1.4, 1.5)),
    "estate": ((4.4, 5.0), (1.7, 1.92), (1.4, 1.6)),
    "suv": ((4.1, 5.1), (1.75, 2.05), (1.5, 1.9)),
    "carrier": ((4.3, 5.2), (1.8, 2.05), (1.6, 1.9)),
    "pickup": ((5.2, 6.0), (1.8, 2.1), (1.75, 2.0)),
    "van": ((4.4, 7.0), (1.8, 2.1), (1.8, 2.8)),
    "box_truck": ((5.5, 12.0), (2.1, 2.6), (2.8, 4.0)),
    "tipper": ((7.0, 9.5), (2.4, 2.55), (2.9, 3.6)),
    "articulated": ((15.0, 16.6), (2.5, 2.6), (3.6, 4.0)),
    "tanker": ((15.0, 16.6), (2.5, 2.6), (3.2, 4.0)),
    "semitrailer": ((21.0, 23.0), (2.55, 2.6), (3.9, 4.12)),
    "city_bus": ((10.0, 12.3), (2.45, 2.55), (2.9, 3.4)),
    "coach": ((11.5, 13.6), (2.45, 2.55), (3.3, 3.9)),
}


def drawn(kind, **options):
    return [vehicle(np.random.default_rng(seed), kind, **options) for seed in SEEDS]


def middles(mesh):
    return mesh.vertices[mesh.faces].mean(1)


def reddish(color):
    return color[:, 0] > 6 * color[:, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_is_as_large_as_a_real_one(kind):
    for one in drawn(kind):
        extent = one.mesh.vertices.max(0) - one.mesh.vertices.min(0)
        for stated, (low, high) in zip(
            (one.length, one.width, one.height), SIZES[kind], strict=True
        ):
            assert low <= stated <= high
        assert extent[2] == pytest.approx(one.length, abs=0.06)
        assert one.width - 0.01 <= extent[0] <= one.width + 0.45  # mirrors
        assert one.height - 0.03 <= extent[1] <= one.height + 0.35  # a taxi's sign, cooling


@pytest.mark.parametrize("kind", KINDS)
def test_stands_on_its_wheels(kind):
    for one in drawn(kind):
        mesh = one.mesh
        rubber = (np.abs(mesh.color - np.float32(RUBBER)) < 1e-6).all(1)
        tyres = mesh.vertices[mesh.faces[rubber]].reshape(-1, 3)
        assert abs(mesh.vertices[:, 1].min()) < 0.004
        on_ground = tyres[tyres[:, 1] < 0.004]
        for side in (on_ground[:, 0] < 0, on_ground[:, 0] > 0):
            assert np.ptp(on_ground[side, 2]) > 0.4 * one.length  # both axles
        others = mesh.vertices[mesh.faces[~rubber]].reshape(-1, 3)
        assert others[:, 1].min() > 0.07  # rims
        body = mesh.vertices[mesh.faces[mesh.material == Material.PAINT]]
        assert body[..., 1].min() > 0.11


@pytest.mark.parametrize("kind", KINDS)
def test_lamps_are_white_ahead_and_red_behind(kind):
    lit = 0
    for one in drawn(kind):
        lamps = one.mesh.material == Material.LAMP
        lit += lamps.any()
        red = reddish(one.mesh.color)
        at = middles(one.mesh)[:, 2]
        assert (at[lamps & ~red] > 0.4 * one.length).all()
        assert (at[lamps & red] < -0.4 * one.length).all()
    assert lit


def test_lamps_of_parked_vehicles_are_off():
    for kind in KINDS:
        for one in drawn(kind, parked=True):
            assert not (one.mesh.material == Material.LAMP).any()


@pytest.mark.parametrize("kind", KINDS)
def test_is_cheap_and_well_formed(kind):
    for one in drawn(kind):
        mesh = one.mesh
        assert len(mesh.faces) <= (2000 if kind in CARS else 2500)
        assert np.isfinite(mesh.vertices).all()
        length = np.linalg.norm(mesh.normals, axis=1)
        assert ((np.abs(length - 1) < 1e-3) | (length < 1e-6)).all()
        assert (mesh.material == Material.GLASS).any()


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_the_same_arrays(kind):
    first, second = (vehicle(np.random.default_rng(5), kind).mesh for _ in range(2))
    for name in ("vertices", "normals", "texture", "faces", "material", "color", "pattern"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("region", SHARES)
@pytest.mark.parametrize("parked", [False, True])
def test_kinds_come_in_their_shares(region, parked):
    rng = np.random.default_rng(0)
    kinds = [vehicle(rng, parked=parked, region=region).kind for _ in range(600)]
    total = sum(pair[parked] for pair in SHARES[region].values())
    for kind, pair in SHARES[region].items():
        assert kinds.count(kind) / 600 == pytest.approx(pair[parked] / total, abs=0.06)
        assert pair[parked] or kind not in kinds
