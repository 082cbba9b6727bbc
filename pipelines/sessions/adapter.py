"""LoRA adapters: small changes to a checkpoint's matrices that lie beside a card.

After Hu et al. 2021 (arXiv:2106.09685), in the two files that PEFT writes: a JSON configuration and safetensors.
An adapter is data like any weights; nothing is fetched and no code comes with it. One base serves as many cards as
there are adapters for it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.cards import Card, CardError

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
ADAPTER_FILES = (CONFIG_FILE, WEIGHTS_FILE)

HEADS = ("classifier", "score")
"""What PEFT stores whole, as well as what the configuration names, with an adapter for sequence classification."""
PLAIN_BEGINNINGS = (True, False, "gaussian")
"""Other ways to begin (PiSSA, OLoRA, LoftQ, ...) change the base itself, which other models may be using."""


def adapter_of(card: Card) -> Path | None:
    """The folder of the card's adapter; None where its artefacts name none. `CardError` where they name half of it."""
    named = [name for name in ADAPTER_FILES if name in card.fields.artefacts]
    if named and len(named) < len(ADAPTER_FILES):
        raise CardError(f"{card.id}: artefacts name {named[0]} alone; an adapter is {' and '.join(ADAPTER_FILES)}")
    return card.folder if named else None


def whole_modules(folder: Path) -> tuple[str, ...]:
    """The modules that the adapter in `folder` brings whole, a new classifier for instance; the base may lack them."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_bytes())
        named = tuple(str(name) for name in config.get("modules_to_save") or ())
        return (*named, *HEADS) if config.get("task_type") == "SEQ_CLS" else named
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise CardError(f"{folder.name}: {CONFIG_FILE} unusable ({type(error).__name__})") from None


def adapted(module: Any, folder: Path) -> Any:
    """The transformers model with the adapter in `folder` beside its layers: its own weights stay as they are.

    For models whose weights others share. Each adapted layer computes two thin products more: with rank 8 in an encoder
    of e5-small's shape, one thread, up to a sixth more CPU for queries and values, a fifth to a third for all layers.
    """
    return _with_adapter(module, folder).get_base_model().eval()


def merged(module: Any, folder: Path) -> Any:
    """The transformers model with the adapter in `folder` added to its weights, so that it costs nothing afterwards.

    The matrices that the adapter changes become the model's own; a base that others use keeps its own.
    """
    return _with_adapter(module, folder).merge_and_unload(safe_merge=True).eval()


def _with_adapter(module: Any, folder: Path) -> Any:
    """PEFT's model. The adapter must fit exactly: PEFT would leave out what it misses and score on.

    `CardError` in one line.
    """
    from peft import LoraConfig, PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    absent = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
    if absent:  # PEFT would ask the hub for it
        raise CardError(f"{folder.name}: no {absent[0]} beside the card")
    try:
        config = LoraConfig.from_pretrained(str(folder))
        if config.init_lora_weights not in PLAIN_BEGINNINGS:
            raise CardError(
                f"{folder.name}: the adapter needs a base changed by {config.init_lora_weights}; convert it"
            )
        with safe_open(str(folder / WEIGHTS_FILE), framework="numpy") as tensors:
            stored = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118  # no mapping
        with peft_said():
            model = PeftModel.from_pretrained(module, str(folder), config=config, torch_device=str(module.device))
    except CardError:
        raise
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise CardError(f"{folder.name}: the adapter does not load ({type(error).__name__})") from None
    expected = get_peft_model_state_dict(model, save_embedding_layers=False)  # else it asks the hub about them
    needed = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    if stored != needed:
        odd = min(stored.items() ^ needed.items())[0]
        raise CardError(f"{folder.name}: {WEIGHTS_FILE} does not fit {CONFIG_FILE} and its base, first {odd}")
    return model


@contextmanager
def peft_said() -> Iterator[None]:
    """Silences what transformers 5 says of a name that PEFT 0.21 uses, and what is found out here more strictly."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Found missing adapter keys")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        yield
