# SPDX-License-Identifier: Apache-2.0
"""Buildings along the street."""
