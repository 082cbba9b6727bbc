"""LoRA adapters: small changes to an encoder's matrices that lie beside a card, merged into them when it is loaded.

After Hu et al. 2021 (arXiv:2106.09685), in the two files that PEFT writes: a JSON configuration and safetensors.
An adapter is data like any weights; nothing is fetched and no code comes with it. One encoder folder serves as many
cards as there are adapters for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.cards import Card, CardError

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
ADAPTER_FILES = (CONFIG_FILE, WEIGHTS_FILE)


def adapter_of(card: Card) -> Path | None:
    """The folder of the card's adapter; None where its artefacts name none. `CardError` where they name half of it."""
    named = [name for name in ADAPTER_FILES if name in card.fields.artefacts]
    if named and len(named) < len(ADAPTER_FILES):
        raise CardError(f"{card.id}: artefacts name {named[0]} alone; an adapter is {' and '.join(ADAPTER_FILES)}")
    return card.folder if named else None


def merged(encoder: Any, folder: Path) -> Any:
    """The encoder, a transformers model, with the adapter in `folder` added to its weights.

    The adapter must fit exactly: PEFT would leave out what it misses and score on. `CardError` in one line.
    """
    from peft import LoraConfig, PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    absent = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
    if absent:  # PEFT would ask the hub for it
        raise CardError(f"{folder.name}: no {absent[0]} beside the card")
    try:
        config = LoraConfig.from_pretrained(str(folder))
        with safe_open(str(folder / WEIGHTS_FILE), framework="numpy") as tensors:
            stored = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118  # no mapping
        with peft_said():
            adapted = PeftModel.from_pretrained(encoder, str(folder), config=config, torch_device=str(encoder.device))
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise CardError(f"{folder.name}: the adapter does not load ({type(error).__name__})") from None
    expected = get_peft_model_state_dict(adapted, save_embedding_layers=False)  # else it asks the hub about them
    needed = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    if stored != needed:
        odd = min(stored.items() ^ needed.items())[0]
        raise CardError(f"{folder.name}: {WEIGHTS_FILE} does not fit {CONFIG_FILE} and encoder, first {odd}")
    return adapted.merge_and_unload().eval()


@contextmanager
def peft_said() -> Iterator[None]:
    """Silences what transformers 5 says of a name that PEFT 0.21 uses, and what `merged` finds out more strictly."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Found missing adapter keys")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        yield
