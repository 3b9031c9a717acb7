# SPDX-License-Identifier: Apache-2.0
"""Scoring models on a split of a data set in the Cityscapes layout."""
