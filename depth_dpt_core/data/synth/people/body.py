# SPDX-License-Identifier: Apache-2.0
"""Human bodies: their proportions, and where their joints are in a pose.

A body faces +z; pairs are (left, right), that is (-x, +x).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from depth_dpt_core.data.synth.geometry.limbs import unit_rows

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Body:
    """Proportions in metres, after Drillis & Contini (1966) for adults."""

    stature: float
    shoulder: float  # half the distance of the shoulder joints
    hip: float  # half the distance of the hip joints
    thigh: float
    shank: float
    ankle: float  # height of the ankle above the ground, shoe included
    trunk: float  # hips to shoulders
    upper_arm: float
    forearm: float
    head: float  # chin to crown
    girth: float  # 1 = slim adult, of trunk and limbs
    female: bool

    @property
    def size(self) -> float:
        """Thickness of limbs, 1 for a slim adult of 1.75 m; children are slender."""
        return self.stature / 1.75 * self.girth

    @property
    def leg(self) -> float:
        """Hip to ankle."""
        return self.thigh + self.shank

    @property
    def arm(self) -> float:
        """Shoulder to wrist."""
        return self.upper_arm + self.forearm


@dataclass(frozen=True)
class Joints:
    """Where the joints of a body are, metres; [2,3] are pairs, [3] single points."""

    pelvis: Points  # between the hips
    spine: Points  # unit vector from the pelvis to between the shoulders
    head: Points  # its middle
    hips: Points
    knees: Points
    ankles: Points
    toes: Points  # unit vectors along the feet
    shoulders: Points
    elbows: Points
    wrists: Points


def body(rng: np.random.Generator, *, adult: bool = True) -> Body:
    """Draw an adult of 1.5 to 1.95 m or a child of 1.0 to 1.5 m."""
    female = bool(rng.random() < 0.5)
    usual = 1.65 if female else 1.78
    stature = np.clip(rng.normal(usual, 0.07), 1.5, 1.95) if adult else rng.uniform(1.0, 1.5)
    grown = np.clip((stature - 0.6) / 1.0, 0, 1)
    hip_height = (0.49 + 0.035 * grown) * stature
    ankle = 0.039 * stature + 0.02
    leg = hip_height - 0.039 * stature
    head = 0.125 + 0.062 * stature
    return Body(
        stature=float(stature),
        shoulder=stature * (0.089 if female else 0.098) * rng.uniform(0.95, 1.05),
        hip=stature * 0.052,
        thigh=leg * 0.5,
        shank=leg * 0.5,
        ankle=ankle,
        trunk=0.818 * stature - hip_height,
        upper_arm=0.180 * stature,
        forearm=0.146 * stature,
        head=head,
        girth=rng.uniform(0.92, 1.12) + 0.25 * rng.random() ** 3,
        female=female,
    )


def joints(
    person: Body,
    pelvis: ArrayLike,
    *,
    lean: float,
    ankles: ArrayLike,
    toes: ArrayLike,
    wrists: ArrayLike,
    knees: ArrayLike | None = None,
    nod: float = 0.0,
) -> Joints:
    """Complete a pose: trunk bent forward by `lean`, head by `nod` (radians), limbs by reach.

    A limb that is too short to reach is stretched straight.
    """
    middle, end = np.asarray(pelvis, np.float64), np.asarray(ankles, np.float64)
    spine = np.array([0.0, np.cos(lean), np.sin(lean)])
    sides = np.array([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    hips = middle + sides * person.hip
    shoulders = middle + spine * person.trunk + sides * person.shoulder
    looking = 0.35 * lean + nod
    neck = np.array([0.0, np.cos(looking), np.sin(looking)])
    above = 0.182 * person.stature + 0.02 - person.head / 2
    if knees is None:
        bent = reach(hips, end, person.thigh, person.shank, np.array([0.0, 0.3, 1.0]))
    else:
        bent = np.asarray(knees, np.float64)
    hands = np.asarray(wrists, np.float64)
    outward = sides * 0.55 + [0, -0.5, -0.6]
    elbows = reach(shoulders, hands, person.upper_arm, person.forearm, outward)
    head = middle + spine * person.trunk + (0.45 * spine + 0.55 * neck) * above
    return Joints(
        middle, spine, head, hips, bent, end, unit_rows(toes), shoulders, elbows, hands
    )  # fmt: skip


def reach(root: Points, tip: Points, upper: float, lower: float, toward: Points) -> Points:
    """Middle joints [2,3] of limbs from `root` to `tip`, bent `toward` some direction."""
    way = tip - root
    length = np.maximum(np.sqrt((way**2).sum(1, keepdims=True)), 1e-6)
    along = way / length
    share = np.where(
        length < upper + lower,
        (upper**2 - lower**2 + length**2) / (2 * length),
        length * upper / (upper + lower),
    )
    out = np.sqrt(np.maximum(upper**2 - share**2, 0.0)) * (length < upper + lower)
    aside = toward - (toward * along).sum(1, keepdims=True) * along
    return np.asarray(root + along * share + unit_rows(aside) * out)
