# SPDX-License-Identifier: Apache-2.0
"""Cars, vans, lorries and buses."""
