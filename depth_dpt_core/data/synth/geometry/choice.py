# SPDX-License-Identifier: Apache-2.0
"""Draws from tables of kinds and colours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Kind = TypeVar("Kind")
Color = NDArray[np.float64]


def one_of(rng: np.random.Generator, kinds: Mapping[str, tuple[Kind, float]]) -> Kind:
    """One of the kinds, as often as their shares say."""
    shares = np.array([share for _, share in kinds.values()])
    return list(kinds.values())[int(rng.choice(len(shares), p=shares / shares.sum()))][0]


def tinted(rng: np.random.Generator, palette: list[list[float]]) -> Color:
    """One colour of a palette, a little off."""
    color = np.array(palette[int(rng.integers(len(palette)))])
    return np.asarray(np.clip(color * rng.uniform(0.8, 1.2) * rng.uniform(0.95, 1.05, 3), 0, 0.9))
