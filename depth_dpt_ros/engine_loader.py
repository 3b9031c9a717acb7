# SPDX-License-Identifier: Apache-2.0
"""A model on its way into an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock, Thread

from depth_dpt_core.artifact import ArtifactError, resolve
from depth_dpt_core.engines.choice import (
    ChosenEngine,
    NoRuntimeError,
    Runtime,
    RuntimeState,
    choose_engine,
)
from depth_dpt_core.estimator import DepthEstimator

# what a user can mend; anything else is worth a traceback
USER_ERRORS = (ArtifactError, NoRuntimeError)
_PATIENCE = 5.0  # s that a transition waits; a model may have to be downloaded


@dataclass(frozen=True)
class ModelChoice:
    """What to load: the model as `artifact.resolve` takes it, and the rest as `choose_engine`."""

    model: str
    runtime: Runtime
    num_threads: int


class EngineLoader:
    """Loads a model on a thread of its own: building and proving an engine takes minutes."""

    def __init__(self, choice: ModelChoice, when_done: Callable[[], None]) -> None:
        """Start loading; `when_done` is called on that thread at the end, good or bad."""
        self.choice = choice
        self.model = choice.model  # its path, once that is known
        self._when_done = when_done
        self._news = Event()  # done, or known to take long
        self._lock = Lock()
        self._cancelled = False
        self._found = False  # from then on the thread may hold the GPU
        first = "downloading" if choice.model.startswith("hf://") else "loading"
        self._progress = (f"{first} the model", 0.0)
        self._loaded: DepthEstimator | None = None
        self._engine: ChosenEngine | None = None
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name="loader", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the model is loaded or has failed, but not for what takes long."""
        self._news.wait(_PATIENCE)

    def cancel(self) -> None:
        """Give up as soon as the build comes to its next step, and wait for that.

        A download is not waited for: nothing comes of it.
        """
        with self._lock:
            self._cancelled = True
        if self._found:
            self._thread.join()

    @property
    def done(self) -> bool:
        """Whether the model is loaded or has failed."""
        return self._engine is not None or self._error is not None

    @property
    def progress(self) -> str:
        """What is being done, with its share, for people; empty once done."""
        phase, share = self._progress
        return "" if self.done else f"{phase}, {share:.0%}"

    @property
    def failure(self) -> str:
        """Why there is no engine; empty while there may be one."""
        return "" if self._error is None else f"{self.model} does not run: {self._error}"

    @property
    def state(self) -> RuntimeState | None:
        """What runs the model now, None until it is loaded."""
        return None if self._engine is None else self._engine.state

    @property
    def lost_gpu(self) -> bool:
        """Whether the GPU failed after the model had run on it."""
        return self._engine is not None and self._engine.lost_gpu

    def estimator(self) -> DepthEstimator:
        """The loaded model; raises what loading raised, see `resolve` and `choose_engine`."""
        if self._error is not None:
            raise self._error
        assert self._loaded is not None, "asked for before it is done"
        return self._loaded

    def _run(self) -> None:
        try:
            self._load()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be seen
            self._error = error
        self._news.set()
        if not self._cancelled:
            self._when_done()

    def _load(self) -> None:
        artifact = resolve(self.choice.model)
        self.model = str(artifact.path)
        with self._lock:
            if self._cancelled:
                return
            self._found = True
        engine = choose_engine(
            artifact,
            self.choice.runtime,
            num_threads=self.choice.num_threads,
            progress=self._on_progress,
        )
        self._loaded = DepthEstimator(artifact.spec, engine)
        self._loaded.warm_up()
        self._engine = engine

    def _on_progress(self, phase: str, share: float) -> bool:
        self._progress = (phase, share)
        self._news.set()
        return not self._cancelled
