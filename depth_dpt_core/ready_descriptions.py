# SPDX-License-Identifier: Apache-2.0
"""Where the descriptions of other people's models are."""

from __future__ import annotations

from pathlib import Path

_INSTALLED = Path("share/depth_dpt_ros/config/models")


def ready_descriptions() -> Path:
    """The folder of descriptions for known networks, of the source tree or the installation.

    Where none is found, the name that it has in every installation.
    """
    here = Path(__file__).resolve()
    places = [here.parents[1] / "config/models", *(p / _INSTALLED for p in here.parents)]
    return next((place for place in places if place.is_dir()), _INSTALLED)
