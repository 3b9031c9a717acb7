# SPDX-License-Identifier: Apache-2.0
"""`depth-dpt doctor`: why is it silent, slow or wrong here?

Each module gathers facts about one thing, which may be broken, and has a pure function from those
facts to findings.
"""
