"""XLM-R's tokenizer as the `tokenizers` library reads it, from pieces, scores and a character map.

Written as plain data rather than through the library, so that its bytes do not depend on the version.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

SPECIAL = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 250001}
METASPACE: dict[str, object] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
CONFIG: dict[str, object] = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "mask_token": "<mask>",
    "model_max_length": 512,
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "tokenizer_class": "PreTrainedTokenizerFast",
    "unk_token": "<unk>",
}


def tokenizer(vocabulary: Sequence[tuple[str, float]], charsmap: bytes) -> dict[str, object]:
    """The content of tokenizer.json; `charsmap` is sentencepiece's nmt_nfkc, which its package ships."""
    pieces = [list(entry) for entry in vocabulary]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(piece, number) for piece, number in SPECIAL.items()],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, METASPACE]},
        "post_processor": _template(),
        "decoder": METASPACE,
        "model": {"type": "Unigram", "unk_id": SPECIAL["<unk>"], "vocab": pieces, "byte_fallback": False},
    }


def _added(piece: str, number: int) -> dict[str, object]:
    return {
        "id": number,
        "content": piece,
        "single_word": False,
        "lstrip": piece == "<mask>",
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def _template() -> dict[str, object]:
    """`<s> A </s>`, and `<s> A </s> </s> B </s>` for pairs."""
    start, end = ({"SpecialToken": {"id": piece, "type_id": 0}} for piece in ("<s>", "</s>"))
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B"))
    return {
        "type": "TemplateProcessing",
        "single": [start, first, end],
        "pair": [start, first, end, end, second, end],
        "special_tokens": {
            piece: {"id": piece, "ids": [SPECIAL[piece]], "tokens": [piece]} for piece in ("<s>", "</s>")
        },
    }
