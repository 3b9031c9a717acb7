# SPDX-License-Identifier: Apache-2.0
"""Starting a crashed process anew under launch, each time after a longer wait."""

from __future__ import annotations

import time
from collections.abc import Collection

from launch import LaunchContext, LaunchDescriptionEntity
from launch.actions import ExecuteLocal, ExecuteProcess, LogInfo, RegisterEventHandler, TimerAction
from launch.event_handlers import OnProcessExit, OnProcessStart
from launch.events.process import ProcessExited

FIRST_DELAY = 1.0  # s; a lost GPU or camera needs a moment
LONGEST_DELAY = 60.0  # s
HEALTHY = 60.0  # s of running after which the next wait is the first again


class Respawn:
    """Starts a process anew when it crashes: after 1 s, then 2, 4, ... 60 s.

    One that ends in good order, or with a status that says that it would only end again, stays
    ended, and so does one that ends because launch does. launch's own `respawn` has one fixed
    delay, and starts a process anew that ended well, too.
    """

    def __init__(self, final: Collection[int]) -> None:
        """Leave a process be that ends with a status in `final`."""
        self._final = final
        self._delay = FIRST_DELAY
        self._began = 0.0  # monotonic seconds

    def watched(self, process: ExecuteLocal) -> list[LaunchDescriptionEntity]:
        """What starts the process and watches over it."""
        started = OnProcessStart(target_action=process, on_start=self._on_start)
        ended = OnProcessExit(target_action=process, on_exit=self._on_exit, handle_once=True)
        return [RegisterEventHandler(started), RegisterEventHandler(ended), process]

    def _on_start(self, event: object, context: LaunchContext) -> None:  # noqa: ARG002
        self._began = time.monotonic()

    def _on_exit(
        self, event: ProcessExited, context: LaunchContext
    ) -> list[LaunchDescriptionEntity]:
        if event.returncode in self._final or context.is_shutdown:
            return []
        if time.monotonic() - self._began > HEALTHY:
            self._delay = FIRST_DELAY
        delay, self._delay = self._delay, min(2 * self._delay, LONGEST_DELAY)
        # the same command: by now the namespaces and variables of an including file may be gone
        again = ExecuteProcess(cmd=event.cmd, cwd=event.cwd, env=event.env, output="screen")
        what = f"{event.process_name} ended with status {event.returncode}"
        return [
            LogInfo(msg=f"{what}: starting it anew in {delay:g} s"),
            TimerAction(period=delay, actions=self.watched(again)),
        ]
