# SPDX-License-Identifier: Apache-2.0
"""People of all ages, walking and standing."""
