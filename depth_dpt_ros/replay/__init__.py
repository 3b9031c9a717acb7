# SPDX-License-Identifier: Apache-2.0
"""Reading, replaying and scoring recorded drives."""
