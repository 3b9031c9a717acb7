# SPDX-License-Identifier: Apache-2.0
"""Measurements of speed of what needs ROS's types, each against a named baseline."""
