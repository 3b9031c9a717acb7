# SPDX-License-Identifier: Apache-2.0
"""Metric depth from one camera, for ROS 2."""
