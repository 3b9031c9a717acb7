from collections.abc import Mapping, Sequence

class ProcessExited:
    returncode: int
    process_name: str
    cmd: Sequence[str]
    cwd: str | None
    env: Mapping[str, str] | None
