# SPDX-License-Identifier: Apache-2.0
"""Colours of surfaces and sky, computed for each ray."""
