"""The installed models: loaded when first asked for, unloaded when others need their memory."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import torch
from diffusers.utils.logging import disable_progress_bar

from inference.engine.device import total_bytes
from inference.engine.errors import ModelFailed, UnknownModel
from inference.engine.loop import LOAD_SECONDS_MAX, Beside, Pulse
from inference.engine.material import Lora
from inference.engine.memory import split
from inference.engine.models import defaults, installed
from inference.engine.models.model import Model
from inference.engine.request import ImageRequest
from inference.engine.sampling.place import Installed, Place
from inference.engine.sampling.profile import measure
from inference.engine.status import ModelStatus

__all__ = ["Installed", "Registry", "bytes_max", "loader"]

log = logging.getLogger(__name__)

Background = Callable[[Callable[[], None]], None]


def bytes_max(device: torch.device) -> int:
    """How much memory models may take."""
    return split(total_bytes(device), device.type).models


def loader(device: torch.device, loading: Pulse | None = None) -> Callable[[Path], Installed]:
    """Returns what loads and warms a model on a device.

    Args:
        device: Where it will run.
        loading: Felt by whoever wonders whether the load goes on; every call of a model that is
            warmed up may take as long as its files may take to be read.
    """

    def beat() -> None:
        if loading is not None:
            loading.beat(LOAD_SECONDS_MAX)

    def load(path: Path) -> Installed:
        disable_progress_bar()
        model = Model(path.name, path, device)
        return Installed(model, measure(model, beat))

    return load


def on_a_thread(work: Callable[[], None]) -> None:
    """Does work beside the loop; a process that ends does not wait for it."""
    threading.Thread(target=work, name="loader", daemon=True).start()


class Registry:
    """All installed models by name.

    A model is loaded beside the loop, one at a time, by the first request that means it. Where
    memory is short those least recently used go first, never one with rows in flight. A load that
    fails is tried again when asked for after 10 s, doubling to 300.

    Args:
        root: Folder with one folder per model; looked at anew for every request.
        default: Which one is meant where a request names neither a model nor a quality.
        load: Loads and warms the model in a folder.
        size_bytes_max: How much memory all models together may take.
        clock: Seconds, monotonic.
        background: Has a load done beside the loop.
        number_bytes: Bytes of one number of a loaded model: 2 on a card, else 4.
        loading: Beaten by ``load`` between its parts; None: it has none.
    """

    def __init__(
        self,
        root: Path,
        default: str,
        load: Callable[[Path], Installed],
        size_bytes_max: int,
        clock: Callable[[], float] = time.monotonic,
        background: Background = on_a_thread,
        number_bytes: int = 4,
        loading: Pulse | None = None,
    ) -> None:
        self._root = root
        self._default = default
        self._load = load
        self._size_bytes_max = size_bytes_max
        self._clock = clock
        self._beside = Beside(background, clock)
        self._loading = loading
        self._number_bytes = number_bytes
        self._places: dict[str, Place] = {}
        self._lock = threading.Lock()  # of the places' names: the loop and whoever pings share them
        self._uses = 0
        self.changed: Callable[[], None] = lambda: None

    def preload(self) -> None:
        """Loads the default model on this thread; where it fails, requests will hear of it."""
        place = self._place(self._default)
        place.loading = True
        self._begin(self._default, place)
        self._begun(place)

    @property
    def stalled(self) -> bool:
        """Whether a load, a model's or an adapter's, will not end; from any thread.

        Nothing ends it, or gives back what it holds, but the end of the process.
        """
        return self._beside.stopped

    def resolve(self, request: ImageRequest) -> str:
        """Returns the name of the model that a request means.

        By name; else the first that serves the quality, the default one before others; else the
        default one.

        Raises:
            UnknownModel: It is not installed.
            ModelFailed: It could not be loaded, and it is too early to try again.
        """
        paths = {path.name: path for path in installed.find(self._root)}
        name = request.model or self._for_quality(request.quality, paths)
        if name not in paths:
            raise UnknownModel(f"no model {name!r} is installed", field="model")
        self._place(name).refuse_failed(name, self._clock())
        return name

    def ready(
        self, name: str, in_use: Mapping[str, Collection[str]], loras: Sequence[Lora] = ()
    ) -> Installed | None:
        """Returns a model with its adapters, or has them loaded; None: not yet.

        Args:
            name: As resolved.
            in_use: Models with rows in flight and the adapters that those wear, which must stay.
            loras: Adapters that the row wears.

        Raises:
            InvalidRequest: The model has no such adapter.
            ModelFailed: It or an adapter could not be loaded, or is too big.
        """
        place = self._place(name)
        place.crowded = False
        if place.loaded is None and not self._have_loaded(name, place, in_use):
            return None
        self._uses += 1
        place.used = self._uses
        found = place.loaded
        if found is None:
            place.refuse_failed(name, self._clock())
        elif loras and not self._dressed(name, loras, in_use):
            return None
        return found

    def crowded(self, name: str) -> bool:
        """Whether a model waits for others to be done rather than for its own loading."""
        return self._place(name).crowded

    def get(self, name: str) -> Installed:
        """Returns a model that is loaded, as one with rows in flight is."""
        found = self._place(name).loaded
        assert found is not None, name
        return found

    def seen(self, name: str) -> Installed | None:
        """Returns a model if it is loaded, without having it loaded."""
        return self._place(name).loaded

    def statuses(self, rows: Mapping[str, int]) -> dict[str, ModelStatus]:
        """How every installed model is, given how many rows of each are in flight.

        From any thread.
        """
        names = {path.name for path in installed.find(self._root)} | {self._default}
        return {name: self._place(name).status(rows.get(name, 0)) for name in sorted(names)}

    def _place(self, name: str) -> Place:
        with self._lock:
            return self._places.setdefault(name, Place())

    def _all(self) -> dict[str, Place]:
        with self._lock:
            return dict(self._places)

    def _for_quality(self, quality: str, paths: Mapping[str, Path]) -> str:
        if not quality:
            return self._default
        own_first = sorted(paths, key=lambda name: (name != self._default, name))
        serving = (name for name in own_first if quality in defaults.qualities(paths[name]))
        return next(serving, self._default)

    def _have_loaded(self, name: str, place: Place, in_use: Collection[str]) -> bool:
        """Has a model loaded beside the loop; False: not now."""
        place.refuse_failed(name, self._clock())
        if any(other.loading for other in self._all().values()):
            return False
        wanted = self._wanted(name)
        if wanted > self._size_bytes_max:
            wish = f"needs {wanted:,} bytes of {self._size_bytes_max:,}"
            place.fail(wish, self._clock())
            place.refuse_failed(name, self._clock())
        if not self._make_room(wanted, in_use):
            place.crowded = True
            return False
        place.loading = True
        self._beside.do(lambda: self._begin(name, place), lambda: self._begun(place), self._loading)
        return True

    def _dressed(
        self, name: str, loras: Sequence[Lora], in_use: Mapping[str, Collection[str]]
    ) -> bool:
        """Whether a loaded model has its adapters; else has them read beside the loop.

        Room is made at the cost of models that nobody uses, then of its own other adapters, but
        those that are worn; and only by one whose own can be read now, or two would take turns at
        undoing each other's.
        """
        wardrobe = self.get(name).model.wardrobe
        wanted = wardrobe.missing_bytes(loras)
        if wanted and wardrobe.busy:
            return False
        if wanted and not self._make_room_beside(name, loras, in_use):
            self._place(name).crowded = True
            return False
        return wardrobe.ready(loras, self._have_read, in_use.get(name, ()))

    def _make_room_beside(
        self, name: str, loras: Sequence[Lora], in_use: Mapping[str, Collection[str]]
    ) -> bool:
        """Makes room for adapters of a loaded model; False: what is in the way is in use."""
        model, worn = self.get(name).model, in_use.get(name, ())
        wardrobe = model.wardrobe
        all_bytes, staying = wardrobe.bytes_of(loras), {*in_use, name}
        if model.size_bytes - wardrobe.size_bytes + all_bytes > self._size_bytes_max:
            raise ModelFailed(f"there is no room for adapters of {all_bytes:,} bytes")
        wanted = wardrobe.missing_bytes(loras)
        if self._make_room(wanted, staying):
            return True
        if not self._make_room(wanted - wardrobe.spare_bytes(loras, worn), staying):
            return False
        wardrobe.keep_only(loras, worn)
        return True

    def _have_read(self, work: Callable[[], None]) -> None:
        """Has an adapter read beside the loop, which hears when that is done."""
        self._beside.do(work, self.changed)

    def _make_room(self, wanted: int, in_use: Collection[str]) -> bool:
        """Unloads what is needed for so many bytes to fit; False: what is in the way is in use."""
        places = self._all()
        models = {name: place.loaded.model for name, place in places.items() if place.loaded}
        held = {
            name: model.size_bytes + model.wardrobe.coming_bytes for name, model in models.items()
        }
        # What is being read for one lies in memory even where the model is let go.
        free = (name for name, model in models.items() if not model.wardrobe.busy)
        idle = sorted(set(free) - set(in_use), key=lambda name: places[name].used)
        excess = sum(held.values()) + self._coming_bytes + wanted - self._size_bytes_max
        if excess > sum(held[name] for name in idle):
            return False
        for name in idle:
            if excess <= 0:
                break
            excess -= held[name]
            self._unload(name)
        return True

    @property
    def _coming_bytes(self) -> int:
        """Of the model that is being loaded."""
        return sum(place.wanted for place in self._all().values() if place.loading)

    def _wanted(self, name: str) -> int:
        """How many bytes a model will take; looked up once."""
        place = self._place(name)
        if not place.wanted:
            try:
                place.wanted = installed.parameters(self._root / name) * self._number_bytes
            except (OSError, ValueError, TypeError, KeyError):
                return 0  # its loading will say what is wrong
        return place.wanted

    def _unload(self, name: str) -> None:
        log.info("%s is unloaded to make room", name)
        self._place(name).loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _begin(self, name: str, place: Place) -> None:
        try:
            place.succeed(self._load(self._root / name))
        except Exception as error:
            log.exception("the model %s could not be loaded", name)
            place.fail(type(error).__name__, self._clock())

    def _begun(self, place: Place) -> None:
        place.loading = False
        self.changed()
