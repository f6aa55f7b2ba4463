"""Files of low-rank adapters: in the format of diffusers, peft or kohya."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft
from safetensors import safe_open
from torch import nn
from torch.nn import functional

RANK_MAX = 512
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_OLD_ATTENTION = re.compile(r"\.to_(q|k|v|out)_lora\.")
_PEFT_PREFIX, _METADATA = "base_model.model.", "lora_adapter_metadata"

Weights = dict[str, torch.Tensor]
Read = Callable[[Weights], tuple[Weights, Mapping[str, float] | None]]


@dataclass(frozen=True, eq=False)
class Layer:
    """What an adapter adds to one layer: ``up(down(x)) * scale``."""

    down: torch.Tensor
    up: torch.Tensor
    scale: float

    def delta(self, module: nn.Module, given: torch.Tensor) -> torch.Tensor:
        """The part to add to what the layer makes of ``given``."""
        if isinstance(module, nn.Conv2d):
            low = functional.conv2d(given, self.down, None, module.stride, module.padding)
            return functional.conv2d(low, self.up) * self.scale
        return functional.linear(functional.linear(given, self.down), self.up) * self.scale


@dataclass(frozen=True, eq=False)
class Adapter:
    """One adapter, its layers by the module that they belong to."""

    name: str
    layers: Mapping[nn.Module, Layer]

    @property
    def size_bytes(self) -> int:
        """Memory of its weights."""
        parts = (part for layer in self.layers.values() for part in (layer.down, layer.up))
        return sum(part.numel() * part.element_size() for part in parts)


class Reader:
    """Reads adapters of one model.

    Args:
        roots: The modules that adapters may change, by the prefix that their weights have.
        read: Turns a file's weights into the keys of diffusers, with the alphas that it names.
    """

    def __init__(self, roots: Mapping[str, nn.Module], read: Read) -> None:
        self._roots = roots
        self._read = read

    def layers(self, path: Path) -> dict[nn.Module, Layer]:
        """Reads a file.

        Raises:
            Exception: Of any kind: it is no adapter for this model.
        """
        weights, alphas = self._weights(path)
        layers: dict[nn.Module, Layer] = {}
        for key in [key for key in weights if key.endswith(_DOWN)]:
            place = key.removesuffix(_DOWN)
            down, up = weights.pop(key), weights.pop(place + _UP)
            layers[self._module(place)] = self._layer(place, down, up, alphas.get(place))
        if weights or not layers:
            raise ValueError(f"weights without a place: {sorted(weights)[:3]}")
        return layers

    def _weights(self, path: Path) -> tuple[Weights, dict[str, float]]:
        """Reads a file: weights by peft's names below the roots' prefixes, alphas by place."""
        with safe_open(path, "pt") as file:
            given = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
            metadata = dict(file.metadata() or {})
        if any("dora_scale" in key for key in given):
            raise ValueError("DoRA")  # of which diffusers would drop the half that it does not know
        given = {self._rooted(key): value for key, value in given.items()}
        weights, named = self._read(given)
        alphas = _by_place(_peft_names(dict(named or {})))
        for key in [key for key in weights if key.endswith(".alpha")]:
            alphas |= _by_place({key: float(weights.pop(key))})
        weights = _peft_names(weights)
        places = [key.removesuffix(_DOWN) for key in weights if key.endswith(_DOWN)]
        return weights, _configured(path, metadata, places) | alphas

    def _rooted(self, key: str) -> str:
        """Peft saves the weights of one module, and says not which."""
        if not key.startswith(_PEFT_PREFIX):
            return key
        return f"{next(iter(self._roots))}.{key.removeprefix(_PEFT_PREFIX)}"

    def _module(self, place: str) -> nn.Module:
        root, _, path = place.partition(".")
        # transformers 5 dropped a level that files of its predecessors name.
        path = (
            path if hasattr(self._roots[root], "text_model") else path.removeprefix("text_model.")
        )
        module = self._roots[root].get_submodule(path)
        if not isinstance(module, nn.Linear | nn.Conv2d):
            raise TypeError(f"{place} is a {type(module).__name__}")
        return module

    def _layer(
        self, place: str, down: torch.Tensor, up: torch.Tensor, alpha: float | None
    ) -> Layer:
        module: Any = self._module(place)
        rank, wanted = down.shape[0], module.weight.shape
        fits = up.shape[:2] == (wanted[0], rank) and down.shape[1:] == wanted[1:]
        if not fits or rank > RANK_MAX:
            raise ValueError(f"{place}: {tuple(up.shape)} x {tuple(down.shape)}")
        if not (down.isfinite().all() and up.isfinite().all()):
            raise ValueError(f"{place}: numbers that are none")
        where = {"dtype": module.weight.dtype, "device": module.weight.device}
        scale = 1.0 if alpha is None else alpha / rank
        return Layer(down.to(**where), up.to(**where), scale)


def _peft_names(named: dict[str, Any]) -> dict[str, Any]:
    """Gives keys in any of diffusers' older spellings the names of peft."""
    words = {key: value for key, value in named.items() if key.startswith("text_encoder")}
    rest = {key: value for key, value in named.items() if key not in words}
    return convert_unet_state_dict_to_peft(rest) | {_word_name(key): words[key] for key in words}


def _word_name(key: str) -> str:
    key = _OLD_ATTENTION.sub(r".\1_proj.", key)
    key = key.replace(".lora_linear_layer.", ".").replace(".lora.", ".")
    return key.replace(".down.weight", _DOWN).replace(".up.weight", _UP)


def _by_place(alphas: Mapping[str, Any]) -> dict[str, float]:
    """Alphas by the layer that they belong to."""
    places = {key.removesuffix(".alpha").removesuffix(_DOWN): key for key in alphas}
    return {place: float(alphas[key]) for place, key in places.items()}


def _configured(path: Path, metadata: Mapping[str, str], places: Sequence[str]) -> dict[str, float]:
    """Alphas that stand beside the weights: peft's file, or the metadata of diffusers."""
    beside = path.with_name("adapter_config.json")
    if beside.exists():
        said = json.loads(beside.read_text())
        return dict.fromkeys(places, float(said["lora_alpha"])) if "lora_alpha" in said else {}
    said = json.loads(metadata.get(_METADATA, "{}"))
    found = {}
    for place in places:
        root = place.partition(".")[0]
        if f"{root}.lora_alpha" in said:
            found[place] = float(said[f"{root}.lora_alpha"])
    return found
