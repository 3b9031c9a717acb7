# SPDX-License-Identifier: Apache-2.0
"""Domains that no two processes get at the same time."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import ExitStack

import pytest
from tiny_models import python

from depth_dpt_ros import own_domain as module
from depth_dpt_ros.own_domain import own_domain

HOLD = """
import sys
from depth_dpt_ros.own_domain import own_domain
with own_domain() as domain:
    print(domain, flush=True)
    sys.stdin.read()
"""


def begin_with(domain: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "getpid", lambda: domain - 1)


def comes_back(wanted: int) -> bool:
    """Whether it is ours within ten seconds; other tests may hold it for a while."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with own_domain() as domain:
            if domain == wanted:
                return True
        time.sleep(0.1)
    return False


def test_processes_get_different_domains_and_a_killed_one_gives_its_own_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = [
        subprocess.Popen(
            python("-c", HOLD), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    domains = [int(it.stdout.readline()) for it in others if it.stdout]
    begin_with(domains[0], monkeypatch)
    with ExitStack() as stack:
        domains += [stack.enter_context(own_domain()) for _ in range(20)]
    assert len(set(domains)) == 23
    assert all(1 <= domain <= 99 for domain in domains)
    for it in others:
        it.send_signal(signal.SIGKILL)
        it.communicate()
    assert comes_back(domains[0])


def test_when_all_are_in_use_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COUNT", 1)
    refused = pytest.raises(RuntimeError, match="all ROS domains from 1 to 1 are in use")
    with refused, own_domain(), own_domain():
        pass


def test_a_domain_in_which_somebody_takes_part_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rclpy = pytest.importorskip("rclpy", reason="needs rclpy: pip install '.[ros]'")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with own_domain() as taken:
        begin_with(taken, monkeypatch)
    context = rclpy.context.Context()
    rclpy.init(context=context, domain_id=taken)
    node = rclpy.create_node("somebody", context=context)
    with own_domain() as domain:
        assert domain != taken
    node.destroy_node()
    rclpy.shutdown(context=context)
    assert comes_back(taken)
