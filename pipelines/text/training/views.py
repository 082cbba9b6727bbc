"""The second view of a text, disguises undone: the model is taught it as it will be asked about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from pipelines.text.training.datasets import PHRASES, Example

Unmask = Callable[[str], str | None]
"""The text with its disguises undone; None when that is the text as `pipelines.text.normalise` leaves it."""


def unmask_by(lexicons: Path) -> Unmask:
    """As the pool does it, by the lexicons in this folder; terms that have expired still count here.

    So 菠菜炒鸡蛋 is read as 博彩炒鸡蛋 too, and stays benign. The date does not matter: training is repeatable.
    """
    from pipelines.text.lexicon import read_lexicons

    lexicon = read_lexicons(lexicons, today=date.min)
    return lambda text: lexicon.read(text).unmasked


def with_views(examples: Sequence[Example], unmask: Unmask) -> tuple[Example, ...]:
    """Each example, and after it its second view where that differs.

    Of what is learned from, only phrases get one: comments under posts are hardly ever disguised.
    """
    return tuple(view for example in examples for view in _views(example, unmask))


def _views(example: Example, unmask: Unmask) -> Iterator[Example]:
    yield example
    if example.split in ("train", "tune") and example.source != PHRASES:
        return
    second = unmask(example.text)
    if second is not None:
        yield replace(example, text=second, written=example.text)
