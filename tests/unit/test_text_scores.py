"""Texts are read with the lexicon, and text models are asked about both views of them."""

from __future__ import annotations

from pipelines import coverage as why
from pipelines.items import Failure, Item, Line, Result, Scores
from pipelines.record import TextObservation
from pipelines.text.lexicon import Lexicon
from pipelines.text.lexicon_file import Entries, Entry
from pipelines.text_scores import read_texts, score_texts
from tests.functions import Functions

ADD_ME = Entry(policy="scam", language="zh", term="加微信", variants=("vx",), strength=0.6)
LEXICON = Lexicon(Entries(entries=(ADD_ME,)))


def text(words: str) -> TextObservation:
    return TextObservation(source="chat", at_s=0, text=words, normalised=words)


def read(*words: str) -> tuple[TextObservation, ...]:
    return read_texts([text(one) for one in words], LEXICON)


def knows(item: Item) -> Result:
    """A model that knows the term as it is spelt, and another one for `vx`."""
    assert isinstance(item, Line)
    return Scores(labels={"scam": 0.9 if "加微信" in item.text else 0.1, "hate": 0.4 if "vx" in item.text else 0.2})


def test_a_text_has_its_hits_and_its_second_view() -> None:
    disguised, plain = read("来 vx", "来")
    assert ([hit.term for hit in disguised.hits], disguised.unmasked) == (["加微信"], "来 加微信")
    assert (plain.hits, plain.unmasked) == ((), None)


def test_without_a_lexicon_there_are_no_hits_and_disguises_are_undone_all_the_same() -> None:
    (found,) = read_texts([text("来 vx k.y.s").model_copy(update={"hits": read("vx")[0].hits})], None)
    assert (found.hits, found.unmasked) == ((), "来 vx kys")


def test_of_both_views_each_label_has_the_higher_score() -> None:
    models = Functions(text__risk=knows)
    scored, _ = score_texts(read("来 vx", "好"), models)
    assert [one.scores["text.risk"] for one in scored] == [{"scam": 0.9, "hate": 0.4}, {"scam": 0.1, "hate": 0.2}]
    assert models.asked["text.risk"] == [Line("来 vx"), Line("好"), Line("来 加微信")]


def test_a_text_fails_when_the_model_fails_on_either_view() -> None:
    for bad in ("vx", "加微信"):

        def fails(item: Item, bad: str = bad) -> Result:
            assert isinstance(item, Line)
            return Failure(error="ModelBroke") if bad in item.text else knows(item)

        scored, losses = score_texts(read("来 vx", "好"), Functions(text__risk=fails))
        assert [(one.error, set(one.scores)) for one in scored] == [("ModelBroke", set()), (None, {"text.risk"})]
        assert [(loss.reason, loss.texts) for loss in losses] == [(why.MODEL_FAILED, frozenset({0}))]
