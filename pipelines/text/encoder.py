"""The sentence encoder: a BERT checkpoint and its tokenizer, from text to unit vectors.

Used by the risk head and by its training, so that both see text in exactly the same way: normalised,
special tokens of the tokenizer made harmless, prefixed, mean-pooled, of length one. An adapter, where there is
one, is merged into the weights, so that it costs nothing afterwards. torch and tokenizers are imported when an
`Embedder` is made, not before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.cards import Session
from pipelines.text.normalise import normalise
from pipelines.text.tokens import length_buckets

if TYPE_CHECKING:
    import torch

    from pipelines.sessions.onnx_runtime import NamedGraph

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""Of a graph, as transformers exports it; it may lack the last."""
PREFIX = "query:"
"""What the E5 models expect before every text that is compared with others (Wang et al. 2022, section 4)."""
MAX_TOKENS = 128
BATCH = 32
"""Larger batches were not faster on a CPU: 87 lines a second at 32, 78 at 128, one thread."""

_SPECIAL = re.compile(r"<(/?s|pad|unk|mask)>", re.IGNORECASE)

Window = tuple[int, ...]
"""Token ids of one stretch of text, special tokens and prefix included."""


class Embedder:
    """One encoder in memory; not thread-safe. Weights stored as float16 are computed in float32.

    `folder` holds config.json, model.safetensors and tokenizer.json; weights that no adapter changes are shared with
    every other model over the same file. `adapter` is a folder that `pipelines.sessions.adapter` can merge. `threads` 0
    leaves torch's setting, which is one for the whole process, alone. `session` onnx or onnx-int8 runs a graph of the
    encoder in torch's place, without an adapter; `module` is torch's alone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "auto",
        threads: int = 0,
        max_tokens: int = MAX_TOKENS,
        adapter: Path | None = None,
        session: Session = "torch",
    ) -> None:
        from tokenizers import Tokenizer

        self._graph: NamedGraph | None = None
        if session == "torch":
            self._open_module(folder, adapter, device=device, threads=threads)
        else:
            self._open_graph(folder, session, device=device, threads=threads)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._start: Window = (self._special("<s>"), *self._ids(PREFIX))
        self._end, self._padding = self._special("</s>"), self._special("<pad>")
        self._body_length = max_tokens - len(self._start) - 1
        if self._body_length < 1:
            raise ValueError(f"max_tokens {max_tokens} leaves no room for text")

    def _open_module(self, folder: Path, adapter: Path | None, *, device: str, threads: int) -> None:
        from transformers import BertModel

        from pipelines.sessions.pytorch import device_of, load_shared

        self._device = device_of(device)
        self.module: Any = load_shared(BertModel, folder, device=device, threads=threads, add_pooling_layer=False)
        if adapter is not None:
            from pipelines.sessions.adapter import merged

            self.module = merged(self.module, adapter)
        self.dimensions = int(self.module.config.hidden_size)

    def _open_graph(self, folder: Path, session: Session, *, device: str, threads: int) -> None:
        from pipelines.sessions.onnx_runtime import GRAPH_FILES, graph_file, open_named_graph

        path = graph_file(folder, GRAPH_FILES[session])
        self._graph = open_named_graph(path, INPUTS, ("last_hidden_state",), device=device, threads=threads)
        self.dimensions = int(json.loads((folder / "config.json").read_bytes())["hidden_size"])

    def windows(self, text: str) -> tuple[Window, ...]:
        """The text as token windows: at least one, and as many as it takes, so that no tail goes unseen."""
        ids = self._ids(_SPECIAL.sub(r" \1 ", normalise(text).text))
        length = self._body_length
        parts = [ids[at : at + length] for at in range(0, len(ids), length)] or [()]
        return tuple((*self._start, *part, self._end) for part in parts)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Shape [texts, dimensions]; of a longer text only its first window."""
        return self.embed_windows([self.windows(text)[0] for text in texts])

    def embed_windows(self, windows: Sequence[Window]) -> NDArray[np.float32]:
        """Shape [windows, dimensions], rows of length one; batched by length so that little is padding."""
        vectors = np.zeros((len(windows), self.dimensions), dtype=np.float32)
        for batch in length_buckets([len(window) for window in windows], BATCH):
            vectors[batch] = self._embed_batch([windows[index] for index in batch])
        return vectors

    def padded(self, windows: Sequence[Window]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids and mask (1 where there is a token), both [windows, longest], on the encoder's device."""
        import torch

        ids, mask = self._padded(windows)
        return torch.from_numpy(ids).to(self._device), torch.from_numpy(mask).to(self._device)

    def _padded(self, windows: Sequence[Window]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        longest = max(map(len, windows))
        ids = np.full((len(windows), longest), self._padding, dtype=np.int64)
        mask = np.zeros((len(windows), longest), dtype=np.float32)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = window
            mask[row, : len(window)] = 1
        return ids, mask

    def _embed_batch(self, windows: Sequence[Window]) -> NDArray[np.float32]:
        if self._graph is not None:
            rows, used = self._padded(windows)
            states = self._graph(dict(zip(INPUTS, (rows, used.astype(np.int64), np.zeros_like(rows)), strict=True)))
            mean = (states * used[:, :, None]).sum(1) / used.sum(1, keepdims=True)
            return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True), dtype=np.float32)
        import torch

        ids, mask = self.padded(windows)
        with torch.inference_mode():
            states = self.module(input_ids=ids, attention_mask=mask).last_hidden_state
            vectors: NDArray[np.float32] = pooled(states, mask).cpu().numpy()
        return vectors

    def _special(self, token: str) -> int:
        known = self._tokenizer.token_to_id(token)
        if known is None:
            raise ValueError(f"the tokenizer has no {token}")
        return int(known)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)


def pooled(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Unit vectors [texts, dimensions]: the mean of the states [texts, tokens, dimensions] where `mask` is 1."""
    from torch.nn.functional import normalize

    mean = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    return normalize(mean, dim=1)
