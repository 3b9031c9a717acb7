# SPDX-License-Identifier: Apache-2.0
"""Metric depth from one camera: models, training and inference, without ROS."""
