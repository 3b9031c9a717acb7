# SPDX-License-Identifier: Apache-2.0
"""A model on its way into an engine."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

from depth_dpt_core.artifact import Artifact
from depth_dpt_core.engines.choice import ChosenEngine, Runtime, RuntimeState, choose_engine
from depth_dpt_core.estimator import DepthEstimator


class EngineLoader:
    """Loads a model on a thread of its own: building and proving an engine takes minutes."""

    def __init__(
        self,
        artifact: Artifact,
        runtime: Runtime,
        num_threads: int,
        when_done: Callable[[], None],
    ) -> None:
        """Start loading.

        Args:
            artifact: the model.
            runtime: what may run it; see `choose_engine`.
            num_threads: CPU threads of one inference; 0 takes all cores.
            when_done: called on the loading thread once the model is loaded or has failed.
        """
        self.artifact = artifact
        self._runtime: Runtime = runtime
        self._num_threads = num_threads
        self._when_done = when_done
        self._news = Event()  # done, or known to take long
        self._cancelled = Event()
        self._progress = ("loading the model", 0.0)
        self._engine: ChosenEngine | None = None
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name="loader", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the model is loaded or has failed, but not for an engine to be built."""
        self._news.wait()

    def cancel(self) -> None:
        """Give up as soon as the build comes to its next step, and wait for that."""
        self._cancelled.set()
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
        return "" if self._error is None else f"{self.artifact.path} does not run: {self._error}"

    @property
    def state(self) -> RuntimeState | None:
        """What runs the model now, None until it is loaded."""
        return None if self._engine is None else self._engine.state

    @property
    def lost_gpu(self) -> bool:
        """Whether the GPU failed after the model had run on it."""
        return self._engine is not None and self._engine.lost_gpu

    def estimator(self) -> DepthEstimator:
        """The loaded model; raises what loading raised, see `choose_engine`."""
        if self._error is not None:
            raise self._error
        assert self._engine is not None, "asked for before it is done"
        return DepthEstimator(self.artifact.spec, self._engine)

    def _run(self) -> None:
        try:
            engine = choose_engine(
                self.artifact,
                self._runtime,
                num_threads=self._num_threads,
                progress=self._on_progress,
            )
            DepthEstimator(self.artifact.spec, engine).warm_up()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be seen
            self._error = error
        else:
            self._engine = engine
        self._news.set()
        self._when_done()

    def _on_progress(self, phase: str, share: float) -> bool:
        self._progress = (phase, share)
        self._news.set()
        return not self._cancelled.is_set()
