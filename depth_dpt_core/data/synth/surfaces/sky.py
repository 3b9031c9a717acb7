# SPDX-License-Identifier: Apache-2.0
"""The sky that is seen and mirrored."""

from __future__ import annotations

import numpy as np

from depth_dpt_core.data.synth.geometry.mesh import Floats
from depth_dpt_core.data.synth.street.street import Light
from depth_dpt_core.data.synth.surfaces.noise import fractal


def sky(directions: Floats, light: Light) -> Floats:
    """Linear sky colour [N,3] for unit view directions [N,3]."""
    up = np.clip(directions[:, 1], 0, 1)
    blend = (up**0.45)[:, None]
    clear = light.horizon_color * (1 - blend) + light.zenith_color * blend
    height = np.maximum(directions[:, 1], 0.03)
    u = directions[:, 0] / height + light.cloud_seed % 97
    v = directions[:, 2] / height + light.cloud_seed % 89
    fine = np.full_like(u, 0.02)
    clouds = fractal(u, v, (3.0, 1.1, 0.4, 0.15), fine)
    cover = np.clip((clouds + 4 * light.cloud_cover - 2.2) * 0.6, 0, 1)[:, None] * blend**0.5
    grey = np.array([0.86, 0.87, 0.89], np.float32) * (1 - 0.12 * clouds[:, None])
    glow = np.clip(directions @ light.sun_direction, 0, 1)[:, None] ** 60 * light.sun_color * 0.6
    return np.asarray(clear * (1 - cover) + grey * cover + glow, np.float32)
