"""Hypothesis strategies: documents that are nearly right, and text that is nearly a document."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.mutations import NUMBERS, TEXTS, as_json, changed_tree

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.integers(),
    st.floats(),
    st.sampled_from(TEXTS),
    st.text(st.characters(), max_size=40),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
)


def documents(trees: Sequence[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """JSON, which is YAML too: one of the good trees with some fields set to what does not belong there."""

    @st.composite
    def nearly(draw: st.DrawFn) -> bytes:
        tree = copy.deepcopy(draw(st.sampled_from(trees)))
        for _ in range(draw(st.integers(1, 3))):
            if draw(st.booleans()):
                tree = changed_tree(random.Random(draw(st.integers(0, 2**32))), tree)
            elif isinstance(tree, dict):
                _set(draw, tree)
        return as_json(tree)

    return nearly()


def _set(draw: st.DrawFn, tree: dict[str, Any]) -> None:
    """A value at some depth of the tree."""
    node: Any = tree
    for _ in range(4):
        places: list[Any] = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        if not places:
            return
        place = draw(st.sampled_from(places))
        if not isinstance(node[place], dict | list) or not node[place] or draw(st.booleans()):
            node[place] = draw(VALUES)
            return
        node = node[place]


def lines(one: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """JSON Lines of such documents, some of the lines anything at all."""
    return st.lists(one | st.binary(max_size=60), max_size=8).map(b"\n".join)


def texts(alphabet: str = "") -> st.SearchStrategy[bytes]:
    """Text of any characters, often of these and of what joins, combines and reverses."""
    special = st.sampled_from((*alphabet, "\u200d", "\ufe0f", "\u202e", "\u0301", "\u3099", "\U0001f3fb", " ", "0"))
    return st.text(st.one_of(special, st.characters(exclude_categories=["Cs"])), max_size=400).map(str.encode)
