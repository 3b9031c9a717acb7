# SPDX-License-Identifier: Apache-2.0
"""Bicycles and motorcycles, parked and ridden."""
