# SPDX-License-Identifier: Apache-2.0
"""What tests expect of the doctor's findings."""

from __future__ import annotations

from depth_dpt_ros.doctor.finding import Finding


def assert_only(found: list[Finding], level: str, text: str, cure: str = "") -> None:
    """Exactly one finding is not well, and it is this one."""
    others = [finding for finding in found if finding.level != "ok"]
    assert len(others) == (level != "ok"), others
    for finding in others:
        assert finding.level == level
        assert text in finding.text, finding.text
        assert cure in finding.cure, finding.cure
        assert finding.cure or level == "note"
