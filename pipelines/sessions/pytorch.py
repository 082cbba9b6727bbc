"""The torch session: transformers checkpoints from a local folder, safetensors only, never remote code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import torch
from safetensors.torch import load_file
from transformers import AutoConfig
from transformers.models.auto.auto_factory import _get_model_class
from transformers.utils import logging as transformers_logging

from pipelines.cards import CardError
from pipelines.checkpoints.folder import relative, sha256_of
from pipelines.sessions.adapter import adapted, whole_modules

transformers_logging.disable_progress_bar()  # a bar for each checkpoint's weights has no place in a pool's log
transformers_logging.set_verbosity_error()  # nor have its tables of weights that are not there: gaps are refused here

WEIGHTS = "model.safetensors"
SHARDS = f"{WEIGHTS}.index.json"

_SETTINGS = {"dtype": torch.float32, "trust_remote_code": False, "output_loading_info": True, "local_files_only": True}
_loading = Lock()
"""transformers changes settings of the whole process while it builds a model: one at a time."""


def device_of(device: str) -> torch.device:
    """`auto` is the first CUDA device, or the CPU where there is none."""
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def load_module(loader: Any, folder: Path, *, device: str, threads: int, **options: object) -> Any:
    """A transformers model in float32, ready to infer; `loader` is an Auto class or a model class.

    A checkpoint that lacks some of the model's weights is refused: transformers would fill the gap with random
    numbers and score on. `threads` 0 leaves torch's pool alone; the pool is one for the whole process, so other
    values only ever lower it.
    """
    _lower_threads(threads)
    with _loading:
        module, report = loader.from_pretrained(folder, use_safetensors=True, **_SETTINGS, **options)
    _refuse_gaps(folder, report)
    return module.eval().to(device_of(device))


def load_shared(
    loader: Any,
    folder: Path,
    *,
    device: str,
    threads: int,
    adapter: Path | None = None,
    labels: Sequence[str] = (),
    **options: object,
) -> Any:
    """As `load_module`, for a model whose weights others may use too: of equal files on one device one copy is held.

    `adapter` is a folder with a LoRA adapter, which is put beside the shared layers and may bring the classifier that
    the base lacks; `labels` name the rows of a classifier where the checkpoint does not.
    """
    _lower_threads(threads)
    place = device_of(device)
    config = (getattr(loader, "config_class", None) or AutoConfig).from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {name: row for row, name in enumerate(labels)}
    kind = _class_of(loader, config, folder)
    with _loading:
        weights = _weights_of(folder, place)
        tensors = dict(weights.tensors)
        module, report = kind.from_pretrained(None, config=config, state_dict=tensors, **_SETTINGS, **options)
        weights.place(module)
    _refuse_gaps(folder, report, brought=whole_modules(adapter) if adapter else ())
    module.eval()
    module.weights_held = weights  # as long as this model lives, others find them
    return adapted(module, adapter) if adapter else module


def _class_of(loader: Any, config: Any, folder: Path) -> Any:
    """The model's class: an Auto class takes tensors from files only. `CardError` if transformers itself has none."""
    if not hasattr(loader, "_model_mapping"):
        return loader
    if type(config) not in loader._model_mapping:
        raise CardError(f"{folder.name}: transformers has no {loader.__name__} for {config.model_type}")
    return _get_model_class(config, loader._model_mapping)


class Weights:
    """The tensors of a checkpoint by name, in float32, and where they are on `device`.

    On the CPU those stored as float32 are pages of the file. On another device the file's pages stay mapped beside.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], device: torch.device) -> None:
        self.tensors = tensors
        self._device = device
        self._placed: dict[tuple[int, torch.Size], torch.Tensor | None] = {_key(one): None for one in tensors.values()}

    def place(self, module: Any) -> None:
        """Moves the model's parameters and buffers to the device, each of these tensors once for all models."""
        if self._device.type == "cpu":
            return
        for one in (*module.parameters(), *module.buffers()):
            one.data = self._there(one.data)

    def _there(self, tensor: torch.Tensor) -> torch.Tensor:
        key = _key(tensor)
        if key not in self._placed:  # none of the file's: a buffer, or put together while loading
            return tensor.to(self._device)
        there = self._placed[key]
        if there is None:
            there = self._placed[key] = tensor.to(self._device)
        return there


_held: WeakValueDictionary[tuple[str, str], Weights] = WeakValueDictionary()
"""By sha256 of the files and device; the last model that goes takes its weights along."""


def held_bases() -> frozenset[str]:
    """The sha256 of the files, one after the other, of every checkpoint whose weights a further model would share."""
    return frozenset(files for files, _ in list(_held))


def _weights_of(folder: Path, device: torch.device) -> Weights:
    paths = _weight_files(folder)
    key = ("".join(map(sha256_of, paths)), str(device))
    weights = _held.get(key)
    if weights is None:
        tensors = {name: tensor for path in paths for name, tensor in load_file(path).items()}
        whole = {name: one.float() if one.is_floating_point() else one for name, one in tensors.items()}
        weights = _held[key] = Weights(whole, device)
    return weights


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    try:
        shards = json.loads((folder / SHARDS).read_bytes())["weight_map"].values()
        return [folder / relative(name) for name in sorted(set(shards))]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CardError(f"{folder.name}: no {WEIGHTS}, and no usable {SHARDS} ({type(error).__name__})") from None


def _key(tensor: torch.Tensor) -> tuple[int, torch.Size]:
    return tensor.data_ptr(), tensor.shape


def _lower_threads(threads: int) -> None:
    if threads:
        torch.set_num_threads(min(threads, torch.get_num_threads()))


def _refuse_gaps(folder: Path, report: Mapping[str, Iterable[object]], brought: Sequence[str] = ()) -> None:
    missing = [str(key) for key in report["missing_keys"]]
    absent = [key for key in missing if not any(f".{name}." in f".{key}" for name in brought)]
    absent += [str(key) for key in report["mismatched_keys"]]
    if absent:
        raise CardError(f"{folder.name}: the checkpoint lacks {len(absent)} weights of the model, first {min(absent)}")
