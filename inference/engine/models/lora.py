"""Low-rank adapters (arXiv:2106.09685) beside a model, worn by single rows of a batch.

A model's folder may hold ``loras/<name>.safetensors`` or ``loras/<name>/`` with one such file, in
the format of diffusers, peft or kohya. diffusers reads all three but applies them only through
peft, which changes the model's weights or modules for everybody; here a hook adds each row's own
part to what a layer says, so that rows with different adapters share a step.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from inference.engine.errors import InvalidRequest, ModelFailed
from inference.engine.material import Lora
from inference.engine.models.adapter import Adapter, Layer, Read, Reader
from inference.engine.models.installed import ADAPTERS, numbers

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 2 << 30
LOADED_MAX = 16
Beside = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class Worn:
    """An adapter and how much it weighs for one row."""

    adapter: Adapter
    weight: float


@dataclass(frozen=True, eq=False)
class _Active:
    """An adapter at work: on which lanes (None: all), and how much on each."""

    layers: Mapping[nn.Module, Layer]
    lanes: torch.Tensor | None
    weights: torch.Tensor


class Wardrobe:
    """The adapters of one model.

    Args:
        directory: The model's folder.
        roots: The modules that adapters may change, by the prefix that their weights have.
        read: Turns a file's weights into the keys of diffusers, with the alphas that it names.
    """

    def __init__(self, directory: Path, roots: Mapping[str, nn.Module], read: Read) -> None:
        self._folder = directory / ADAPTERS
        self._reader = Reader(roots, read)
        parts = (part for root in roots.values() for part in root.parameters())
        self._number_bytes = max((part.element_size() for part in parts), default=4)
        self._loaded: OrderedDict[str, Adapter] = OrderedDict()
        self._reading: tuple[str, Future[Adapter]] | None = None
        self._hooked: set[nn.Module] = set()
        self._active: list[_Active] = []
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Memory of all loaded adapters; from any thread."""
        return self._size_bytes

    @property
    def busy(self) -> bool:
        """Whether an adapter is being read."""
        return self._reading is not None and not self._reading[1].done()

    @property
    def coming_bytes(self) -> int:
        """Memory of what is being read, until it counts as loaded."""
        if self._reading is None:
            return 0
        name, coming = self._reading
        return 0 if coming.done() and coming.exception() else self._wanted(name)

    def missing_bytes(self, loras: Sequence[Lora]) -> int:
        """Memory of those that are neither loaded nor being read.

        Raises:
            InvalidRequest: The model has no such adapter.
            ModelFailed: Its file is too big.
        """
        here = {*self._loaded, *([self._reading[0]] if self._reading else [])}
        return sum(self._wanted(lora.name) for lora in loras if lora.name not in here)

    def bytes_of(self, loras: Sequence[Lora]) -> int:
        """Memory of adapters, wherever they are.

        Raises:
            InvalidRequest: The model has no such adapter.
            ModelFailed: Its file is too big.
        """
        return sum(
            self._loaded[lora.name].size_bytes
            if lora.name in self._loaded
            else self._wanted(lora.name)
            for lora in loras
        )

    def spare_bytes(self, loras: Sequence[Lora], worn: Collection[str]) -> int:
        """What :meth:`keep_only` would give back."""
        return sum(self._loaded[name].size_bytes for name in self._spare(loras, worn))

    def ready(self, loras: Sequence[Lora], beside: Beside, worn: Collection[str] = ()) -> bool:
        """Whether all of them are loaded; has the next one read that is not, one at a time.

        Args:
            loras: What a row wears.
            beside: Has work done beside the loop, which looks again when it is done.
            worn: Adapters of rows in flight, which stay.

        Raises:
            InvalidRequest: The model has no such adapter.
            ModelFailed: Its file is no adapter for this model.
        """
        here = [self._is_here(lora.name, beside) for lora in loras]
        for name in self._spare(loras, worn)[: max(len(self._loaded) - LOADED_MAX, 0)]:
            self._forget(name)
        return all(here)

    def wear(self, loras: Sequence[Lora]) -> list[Worn]:
        """Returns adapters by name, all of which :meth:`ready` has called ready."""
        return [Worn(self._loaded[lora.name], lora.weight) for lora in loras]

    def keep_only(self, loras: Sequence[Lora], worn: Collection[str] = ()) -> None:
        """Forgets all others but those of rows in flight, whose memory would not be given back."""
        for name in self._spare(loras, worn):
            self._forget(name)

    def _spare(self, loras: Sequence[Lora], worn: Collection[str]) -> list[str]:
        """What is loaded, or has just been read, and neither named nor worn; the oldest first."""
        if self._reading is not None and self._reading[1].done():
            read, coming = self._reading
            if not coming.exception():  # that is for one who wants it
                self._collect(read)
        kept = {*worn, *(lora.name for lora in loras)}
        return [name for name in self._loaded if name not in kept]

    def _wanted(self, name: str) -> int:
        """How much memory an adapter will take; one that cannot be read says so when it is."""
        path = self._find(name)
        try:
            return numbers(path) * self._number_bytes
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return path.stat().st_size

    @contextmanager
    def on(self, rows: Sequence[tuple[int, Sequence[Worn]]]) -> Iterator[None]:
        """Has every row's adapters act on its own lanes.

        Args:
            rows: For every row of a step how many lanes it has and what it wears.
        """
        self._active = list(_active(rows))
        try:
            yield
        finally:
            self._active = []

    def _is_here(self, name: str, beside: Beside) -> bool:
        self._collect(name)
        if name not in self._loaded and self._reading is None:
            path, coming = self._find(name), Future[Adapter]()
            self._reading = name, coming
            beside(lambda: self._read_into(coming, name, path))
            self._collect(name)
        if name not in self._loaded:
            return False
        self._loaded.move_to_end(name)
        return True

    def _collect(self, name: str) -> None:
        """Takes what has been read, whoever wanted it; a failure is for one who wants that one."""
        if self._reading is None or not self._reading[1].done():
            return
        read, coming = self._reading
        self._reading = None
        error = coming.exception()
        if error is None:
            self._take(coming.result())
        elif read == name:
            raise error

    def _take(self, adapter: Adapter) -> None:
        """Hangs up what was read; on the loop's thread, for hooks change what is called."""
        for module in adapter.layers:
            if module not in self._hooked:
                self._hooked.add(module)
                module.register_forward_hook(self._hook)
        self._loaded[adapter.name] = adapter
        self._size_bytes += adapter.size_bytes
        log.info("%s: %d layers, %d bytes", adapter.name, len(adapter.layers), adapter.size_bytes)

    def _forget(self, name: str) -> None:
        self._size_bytes -= self._loaded.pop(name).size_bytes

    def _read_into(self, coming: Future[Adapter], name: str, path: Path) -> None:
        try:
            coming.set_result(Adapter(name, self._reader.layers(path)))
        except Exception as error:
            log.exception("the adapter %s could not be loaded", name)
            failed = ModelFailed(f"the adapter {name!r} is none for this model")
            failed.__cause__ = error
            coming.set_exception(failed)

    def _find(self, name: str) -> Path:
        whole = self._folder / f"{name}.safetensors"
        found = [whole] if whole.is_file() else sorted((self._folder / name).glob("*.safetensors"))
        if not found:
            raise InvalidRequest(f"loras.name: this model has no {name!r}", field="loras.name")
        if found[0].stat().st_size > FILE_BYTES_MAX:
            raise ModelFailed(f"the adapter {name!r} is too big")
        return found[0]

    def _hook(
        self, module: nn.Module, given: tuple[torch.Tensor, ...], made: torch.Tensor
    ) -> torch.Tensor:
        for active in self._active:
            layer = active.layers.get(module)
            if layer is None:
                continue
            x = given[0] if active.lanes is None else given[0][active.lanes]
            weights = active.weights.to(x.dtype).view(-1, *[1] * (made.ndim - 1))
            delta = layer.delta(module, x) * weights
            made = made + delta if active.lanes is None else made.index_add(0, active.lanes, delta)
        return made


def _active(rows: Sequence[tuple[int, Sequence[Worn]]]) -> Iterator[_Active]:
    """Gathers, for every adapter that is worn, its lanes and weights."""
    by_adapter: dict[Adapter, tuple[list[int], list[float]]] = {}
    count = 0
    for lanes, worn in rows:
        for one in worn:
            chosen, weights = by_adapter.setdefault(one.adapter, ([], []))
            chosen += range(count, count + lanes)
            weights += [one.weight] * lanes
        count += lanes
    for adapter, (chosen, weights) in by_adapter.items():
        device = next(iter(adapter.layers.values())).down.device
        lanes = None if len(chosen) == count else torch.tensor(chosen, device=device)
        shares = torch.tensor(weights, dtype=torch.float32, device=device)
        yield _Active(adapter.layers, lanes, shares)
