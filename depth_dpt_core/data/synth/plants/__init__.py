# SPDX-License-Identifier: Apache-2.0
"""Trees, bushes, hedges and grass."""
