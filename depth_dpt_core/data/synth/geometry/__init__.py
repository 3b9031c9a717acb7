# SPDX-License-Identifier: Apache-2.0
"""Triangle meshes and the solids they are put together from."""
