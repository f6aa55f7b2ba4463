"""What is known of one installed model: loaded, loading, or failed and when to try again."""

from __future__ import annotations

from dataclasses import dataclass

from inference.engine import status
from inference.engine.errors import ModelFailed
from inference.engine.models.model import Model
from inference.engine.sampling.profile import Profile
from inference.engine.status import ModelStatus

RETRY_SECONDS, RETRY_SECONDS_MAX = 10.0, 300.0


@dataclass(frozen=True)
class Installed:
    """A model that is loaded and warm."""

    model: Model
    profile: Profile


@dataclass
class Place:
    """What is known of one installed model.

    Attributes:
        loaded: The model.
        loading: Whether it is being loaded beside the loop.
        crowded: Whether it, or an adapter, waits for others to be done rather than for its loading.
        failures: Loads that failed, one after the other.
        retry_at: When the next one makes sense.
        failure: Why the last one failed.
        used: When it was last asked for, by the registry's count.
        wanted: How many bytes its weights take; 0: not known yet.
        loads: How often it was loaded.
    """

    loaded: Installed | None = None
    loading: bool = False
    crowded: bool = False
    failures: int = 0
    retry_at: float = 0.0
    failure: str = ""
    used: int = 0
    wanted: int = 0
    loads: int = 0

    def succeed(self, loaded: Installed) -> None:
        """Notes that it is loaded."""
        self.loaded = loaded
        self.failures, self.failure = 0, ""
        self.loads += 1

    def fail(self, why: str, now: float) -> None:
        """Notes that it could not be loaded."""
        self.failures += 1
        self.failure = why
        pause = min(RETRY_SECONDS * 2 ** (self.failures - 1), RETRY_SECONDS_MAX)
        self.retry_at = now + pause

    def refuse_failed(self, name: str, now: float) -> None:
        """Refuses a model that could not be loaded, while it is too early to try again.

        Raises:
            ModelFailed: Says when to come back.
        """
        if not self.failures or self.loaded or self.loading:
            return
        wait = self.retry_at - now
        if wait > 0:
            message = f"the model {name!r} could not be loaded: {self.failure}"
            raise ModelFailed(message, retry_after_seconds=wait)

    def status(self, rows: int) -> ModelStatus:
        """How it is, with so many rows in flight; from any thread."""
        loaded = self.loaded  # once: the loop may unload it meanwhile
        if loaded is not None:
            state = status.BUSY if rows else status.READY
            return ModelStatus(state, rows, loaded.model.size_bytes, loads=self.loads)
        if self.loading:
            return ModelStatus(status.STARTING, loads=self.loads)
        if self.failures:
            return ModelStatus(status.FAILED, failure=self.failure, loads=self.loads)
        return ModelStatus(status.UNLOADED, loads=self.loads)
