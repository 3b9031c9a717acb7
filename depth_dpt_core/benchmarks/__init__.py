# SPDX-License-Identifier: Apache-2.0
"""Measurements of speed, each against a named baseline in the same run."""
