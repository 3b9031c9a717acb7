# SPDX-License-Identifier: Apache-2.0
"""What people wear: colours as seen in real streets, and cuts of garments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Color = NDArray[np.float64]

# linear reflectance; share among upper and among lower garments
_CLOTH = {
    "black": ([0.022, 0.022, 0.025], 0.27, 0.36),
    "navy": ([0.030, 0.040, 0.085], 0.13, 0.12),
    "dark grey": ([0.075, 0.077, 0.082], 0.12, 0.12),
    "grey": ([0.23, 0.23, 0.235], 0.10, 0.06),
    "denim": ([0.070, 0.105, 0.175], 0.04, 0.19),
    "white": ([0.68, 0.67, 0.65], 0.09, 0.03),
    "beige": ([0.42, 0.34, 0.24], 0.06, 0.06),
    "brown": ([0.105, 0.065, 0.042], 0.04, 0.03),
    "olive": ([0.095, 0.095, 0.052], 0.04, 0.02),
    "red": ([0.36, 0.03, 0.04], 0.03, 0.003),
    "blue": ([0.055, 0.15, 0.42], 0.03, 0.003),
    "green": ([0.04, 0.19, 0.10], 0.015, 0.001),
    "pink": ([0.60, 0.27, 0.33], 0.015, 0.001),
    "yellow": ([0.65, 0.45, 0.06], 0.01, 0.001),
    "safety": ([0.55, 0.75, 0.08], 0.01, 0.001),
}
_SKINS = [[0.53, 0.35, 0.26], [0.42, 0.26, 0.18], [0.25, 0.145, 0.09], [0.11, 0.06, 0.04]]
_HAIRS = [[0.02, 0.017, 0.015], [0.06, 0.038, 0.024], [0.15, 0.09, 0.045], [0.38, 0.27, 0.14],
          [0.42, 0.41, 0.40], [0.18, 0.06, 0.02]]  # fmt: skip


@dataclass(frozen=True)
class Outfit:
    """Garments: colours, and cuts as counts of limb pieces or metres."""

    top: Color
    legs: Color  # trousers or skirt
    stockings: Color  # or bare legs
    shoes: Color
    skin: Color
    hands: Color  # gloves or skin
    hair: Color
    cover: Color  # what the head is seen to wear: hat, helmet or its hair
    sleeve: int  # pieces of the arm covered, of 5
    trousers: int  # pieces of the leg covered, of 4
    waist: int  # rings of the trunk that trousers cover, of 7
    bulk: float  # m that clothes stand off the body
    hose: float  # m that trousers are wider
    hem: float  # length of a skirt or coat tails: 1 = to the knees, 2 = to the ankles, 0 = none
    flare: float  # m that it widens on the way to the knees
    coat: bool
    hat: bool
    long_hair: bool
    helmet: str  # "", "open" or "full"


def cloth_color(rng: np.random.Generator, *, lower: bool = False) -> Color:
    """Colour of a garment, as frequent as in real streets."""
    shares = np.array([row[2 if lower else 1] for row in _CLOTH.values()])
    color = list(_CLOTH.values())[rng.choice(len(shares), p=shares / shares.sum())][0]
    return np.asarray(np.array(color) * rng.uniform(0.75, 1.3) * rng.uniform(0.92, 1.08, 3))


def outfit(
    rng: np.random.Generator, *, female: bool, long: bool = True, helmet: str = ""
) -> Outfit:
    """Draw what somebody wears; `long` if skirts and coats are among it."""
    warm = rng.random()  # 0 = winter
    coat = long and warm < 0.28
    skirt = female and long and not coat and rng.random() < 0.3
    shorts = not skirt and warm > 0.75 and rng.random() < 0.6
    skin = np.array(_SKINS[rng.choice(4, p=[0.55, 0.2, 0.15, 0.1])]) * rng.uniform(0.85, 1.1)
    hair = np.array(_HAIRS[rng.choice(6, p=[0.3, 0.27, 0.17, 0.1, 0.12, 0.04])])
    hat = not helmet and rng.random() < 0.18
    legs = cloth_color(rng, lower=True)
    bare = warm > 0.5 or not skirt
    return Outfit(
        top=cloth_color(rng),
        legs=legs,
        stockings=skin if bare else np.full(3, 0.03),
        shoes=np.array([[0.02, 0.02, 0.02], [0.6, 0.6, 0.58], [0.09, 0.055, 0.035]])[
            rng.choice(3, p=[0.55, 0.25, 0.2])
        ],
        skin=skin,
        hands=np.full(3, 0.03) if warm < 0.15 or helmet == "full" else skin,
        hair=hair,
        cover=cloth_color(rng) if hat or helmet else hair,
        sleeve=int(rng.integers(2, 4)) if warm > 0.65 and helmet != "full" else 5,
        trousers=0 if skirt else 2 if shorts else 4,
        waist=0 if coat else int(rng.integers(1, 3)),
        bulk=(0.022 if coat else 0.015 if warm < 0.5 else 0.007) * rng.uniform(0.8, 1.3),
        hose=rng.uniform(0.0, 0.018),
        hem=rng.uniform(0.5, 1.35) if coat or skirt else 0.0,
        flare=rng.uniform(0.0, 0.03) if coat else rng.uniform(0.0, 0.08),
        coat=coat,
        hat=hat,
        long_hair=not helmet and bool(rng.random() < (0.6 if female else 0.05)),
        helmet=helmet,
    )
