# SPDX-License-Identifier: Apache-2.0
"""Vehicles in real proportions: cars, vans, lorries and buses, as they drive and as they park."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_dpt_core.data.synth.geometry.mesh import Mesh, MeshBuilder
from depth_dpt_core.data.synth.vehicles.buses import add_bus
from depth_dpt_core.data.synth.vehicles.cars import CARS, add_car
from depth_dpt_core.data.synth.vehicles.lorries import add_articulated, add_rigid

# Share of each kind, percent: (moving, parked) in European and in American streets; estimates.
SHARES: dict[str, dict[str, tuple[float, float]]] = {
    "europe": {
        "hatchback": (30, 38), "saloon": (12, 12), "estate": (11, 12), "suv": (22, 23),
        "carrier": (4, 5), "pickup": (1, 0.8), "van": (11, 8), "box_truck": (3, 0.8),
        "articulated": (2, 0.1), "semitrailer": (0, 0), "tipper": (0.9, 0.2),
        "tanker": (0.4, 0), "city_bus": (2, 0), "coach": (0.7, 0.1),
    },
    "america": {
        "hatchback": (8, 9), "saloon": (26, 30), "estate": (2, 2), "suv": (37, 36),
        "carrier": (4, 4), "pickup": (14, 14), "van": (4, 3.5), "box_truck": (1.6, 1),
        "articulated": (0, 0), "semitrailer": (1.6, 0.1), "tipper": (0.5, 0.1),
        "tanker": (0.3, 0), "city_bus": (0.8, 0), "coach": (0.2, 0.1),
    },
}  # fmt: skip

_LARGE = {
    "box_truck": add_rigid, "tipper": add_rigid, "articulated": add_articulated,
    "semitrailer": add_articulated, "tanker": add_articulated, "city_bus": add_bus,
    "coach": add_bus,
}  # fmt: skip


@dataclass(frozen=True)
class Vehicle:
    """A vehicle on y = 0, its middle over the origin, its front towards +z.

    Metres; without mirrors and number plates, and without what stands on the roof.
    """

    mesh: Mesh
    kind: str
    length: float
    width: float
    height: float


def vehicle(
    rng: np.random.Generator,
    kind: str | None = None,
    *,
    parked: bool = False,
    region: str = "europe",
) -> Vehicle:
    """Draw a vehicle of a kind of `SHARES`, or of any; parked ones are others, with lamps off."""
    if kind is None:
        shares = np.cumsum([pair[parked] for pair in SHARES[region].values()])
        row = int(np.searchsorted(shares, rng.random() * shares[-1], side="right"))
        kind = list(SHARES[region])[row]
    builder = MeshBuilder()
    if kind in CARS:
        extent = add_car(builder, rng, kind, parked=parked, region=region)
    else:
        extent = _LARGE[kind](builder, rng, kind, parked=parked)
    return Vehicle(builder.build(), kind, *extent)
