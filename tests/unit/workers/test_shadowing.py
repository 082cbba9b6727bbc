"""A shadow's answers, put beside what they are about."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import pytest

from pipelines.items import CheckpointRef, Item, Line, Result, Scores
from pipelines.record import FrameObservation, Observations, TextObservation
from workers.shadowing import Shadowing, aligned_frames, aligned_texts

ONE, TWO = (CheckpointRef(id=name, digest=name[0] * 64, session="function") for name in ("active", "beside"))


class Models:
    """Both checkpoints score a text by its length, the shadow ten times as much."""

    def __init__(self, beside: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._beside = beside
        self.checkpoints: Mapping[str, CheckpointRef] = {"text.risk": ONE, "ocr": ONE}
        self.shadows: Mapping[str, CheckpointRef] = {"text.risk": TWO}

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        return scores(items, 1)

    def ask_shadow(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        return self._beside(items)


def scores(items: Sequence[Item], factor: float) -> Sequence[Result]:
    return [Scores(labels={"length": factor * len(item.text)}) for item in items if isinstance(item, Line)]


def text(written: str, unmasked: str | None = None) -> TextObservation:
    return TextObservation(source="chat", at_s=0, text=written, normalised=written, unmasked=unmasked)


def seen(*texts: TextObservation) -> Observations:
    return Observations(texts=texts, coverage={}, checkpoints={})


def test_a_shadow_is_asked_what_the_active_one_is_and_its_answer_stands_beside() -> None:
    shadowing = Shadowing(Models(lambda items: scores(items, 10)))
    assert shadowing.ask("text.risk", [Line("ab"), Line("abc")]) == scores([Line("ab"), Line("abc")], 1)
    shadowing.ask("ocr", [Line("nobody beside")])
    (block,) = shadowing.shadows(seen(text("abc"), text("ab")), 10).values()
    assert (block.checkpoint, block.texts, block.left_out) == (TWO, ({"length": 30}, {"length": 20}), 0)


def test_a_shadow_that_is_late_is_left_out_and_counted() -> None:
    release = threading.Event()

    def late(items: Sequence[Item]) -> Sequence[Result]:
        assert release.wait(10)
        return scores(items, 10)

    shadowing = Shadowing(Models(late))
    assert shadowing.ask("text.risk", [Line("ab")]) == scores([Line("ab")], 1)
    (block,) = shadowing.shadows(seen(text("ab")), 0).values()
    assert (block.texts, block.left_out) == ((), 1)
    release.set()
    shadowing.close()


def test_a_shadow_that_fails_is_left_out_and_counted() -> None:
    def fails(items: Sequence[Item]) -> Sequence[Result]:
        raise OSError

    shadowing = Shadowing(Models(fails))
    shadowing.ask("text.risk", [Line("ab"), Line("c")])
    (block,) = shadowing.shadows(seen(text("ab"), text("c")), 10).values()
    assert (block.texts, block.left_out) == ((), 2)


def test_of_two_views_of_a_text_the_higher_score_stands_and_none_without_both() -> None:
    said = {"a": {"risk": 0.1}, "b": {"risk": 0.7}, "c": {"risk": 0.4}, "d": None}
    texts = [text("a", "b"), text("c"), text("a", "d"), text("e")]
    assert aligned_texts(said, texts) == ({"risk": 0.7}, {"risk": 0.4}, None, None)


@pytest.mark.parametrize("said", [{}, {"a": None}])
def test_without_any_answer_nothing_is_aligned(said: dict[str, None]) -> None:
    assert aligned_texts(said, [text("a")]) == ()
    assert aligned_frames([None], [frame(0)]) == ()


def frame(at_s: float, *, repeats_s: float | None = None, decoded: bool = True) -> FrameObservation:
    return FrameObservation(at_s=at_s, reused_from_s=repeats_s, thumbnail_hash="0" * 16 if decoded else None)


def test_a_frame_that_repeats_another_has_its_answer_and_a_broken_one_has_none() -> None:
    frames = [frame(0), frame(2, decoded=False), frame(4, repeats_s=0), frame(6)]
    first, last = {"nsfw": 0.1}, {"nsfw": 0.9}
    assert aligned_frames([first, last], frames) == (first, None, first, last)
