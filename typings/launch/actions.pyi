from collections.abc import Mapping, Sequence

from launch import LaunchDescriptionEntity
from launch.event_handlers import OnProcessExit, OnProcessStart

class ExecuteLocal(LaunchDescriptionEntity): ...

class ExecuteProcess(ExecuteLocal):
    def __init__(
        self,
        *,
        cmd: Sequence[str],
        cwd: str | None = ...,
        env: Mapping[str, str] | None = ...,
        output: str = ...,
    ) -> None: ...

class LogInfo(LaunchDescriptionEntity):
    def __init__(self, *, msg: str) -> None: ...

class RegisterEventHandler(LaunchDescriptionEntity):
    def __init__(self, event_handler: OnProcessStart | OnProcessExit) -> None: ...

class TimerAction(LaunchDescriptionEntity):
    def __init__(self, *, period: float, actions: Sequence[LaunchDescriptionEntity]) -> None: ...
