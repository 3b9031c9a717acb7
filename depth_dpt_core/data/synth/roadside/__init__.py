# SPDX-License-Identifier: Apache-2.0
"""What stands along a road and across it."""
