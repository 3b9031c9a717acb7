from collections.abc import Callable, Sequence

from launch import LaunchContext, LaunchDescriptionEntity
from launch.actions import ExecuteLocal
from launch.events.process import ProcessExited

class OnProcessStart:
    def __init__(
        self,
        *,
        target_action: ExecuteLocal,
        on_start: Callable[[object, LaunchContext], None],
    ) -> None: ...

class OnProcessExit:
    def __init__(
        self,
        *,
        target_action: ExecuteLocal,
        on_exit: Callable[[ProcessExited, LaunchContext], Sequence[LaunchDescriptionEntity]],
        handle_once: bool = ...,
    ) -> None: ...
