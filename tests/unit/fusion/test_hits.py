"""Which of a lexicon's hits count as evidence, and how they stand beside what a model says."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipelines.cards import Calibration, Label
from pipelines.fusion import counted_hits, evidence_of
from pipelines.fusion.log_odds import logit, sigmoid
from pipelines.items import CheckpointRef
from pipelines.policies import POLICIES_FILE, Fusion, read_policies
from pipelines.record import Evidence, Hit, Observations, TextObservation, TextSource

LABELS = {"risk": {"scam": Label(policies=("scam",), by_language={"es": Calibration(intercept=-2.0)})}}
CHECKPOINTS = {"text.risk": CheckpointRef(id="risk", digest="c" * 64, session="torch")}
FUSION = Fusion(hit_context=0.15, hit_neighbours_s=30, hit_corroboration=0.3)
POLICIES = read_policies(POLICIES_FILE).model_copy(update={"fusion": FUSION})


def hit(term: str = "加微信", *chain: str, doubtful: bool = False, policy: str = "scam", strength: float = 0.6) -> Hit:
    return Hit(
        term=term, policy=policy, surface="v", start=0, end=1, chain=chain, strength=strength, needs_context=doubtful
    )


def text(
    *hits: Hit,
    scam: float | None = 0.05,
    at_s: float = 0,
    source: TextSource = "chat",
    users: tuple[str, ...] = ("ann",),
    joined: int = 0,
    language: str | None = "zh",
) -> TextObservation:
    return TextObservation(
        source=source,
        at_s=at_s,
        text="v",
        normalised="v",
        language=language,
        scores={} if scam is None else {"text.risk": {"scam": scam}},
        hits=hits,
        users=users,
        joined=joined,
    )


def observed(*texts: TextObservation) -> Observations:
    return Observations(texts=texts, coverage={}, checkpoints=CHECKPOINTS)


def evidence(*texts: TextObservation) -> Mapping[str, tuple[Evidence, ...]]:
    return evidence_of(observed(*texts), LABELS, POLICIES)


def counted(*texts: TextObservation) -> list[list[str]]:
    """Of each text the terms that count."""
    return [[one.term for one in hits] for hits in counted_hits(observed(*texts), LABELS, FUSION)]


def test_a_hit_is_evidence_of_its_strength_with_its_term_surface_and_chain() -> None:
    (item,) = evidence(text(hit("加微信", "variant")))["scam"]
    assert (item.label, item.probability, item.surface, item.chain) == ("lexicon/加微信", 0.6, "v", ("variant",))
    assert (item.modality, item.text, item.users) == ("chat", "v", 1)


def test_where_model_and_hit_agree_the_weaker_adds_to_the_stronger() -> None:
    prior = POLICIES.policies["scam"].prior
    for scam, label in ((0.9, "text.risk/scam"), (0.5, "lexicon/加微信")):
        (item,) = evidence(text(hit("加微信", "variant", strength=0.6), scam=scam))["scam"]
        assert (item.label, item.surface, item.chain) == (label, "v", ("variant",))
        stronger, weaker = max(scam, 0.6), min(scam, 0.6)
        by = logit(stronger) - logit(prior) + 0.3 * (logit(weaker) - logit(prior))
        assert item.probability == pytest.approx(sigmoid(logit(prior) + by), abs=1e-3)


def test_a_model_that_finds_a_policy_unlikely_adds_nothing_to_a_hit() -> None:
    (item,) = evidence(text(hit(strength=0.6), scam=0.14))["scam"]
    assert item.probability == 0.6


def test_a_term_that_says_little_adds_nothing_to_a_model() -> None:
    (item,) = evidence(text(hit(strength=0.14), scam=0.7))["scam"]
    assert (item.label, item.probability, item.surface) == ("text.risk/scam", 0.7, None)


def test_of_several_hits_the_strongest_speaks() -> None:
    (item,) = evidence(text(hit("加微信", strength=0.3), hit("刷单返利", strength=0.8)))["scam"]
    assert (item.label, item.probability) == ("lexicon/刷单返利", 0.8)


def test_a_hit_speaks_for_a_policy_that_no_model_knows() -> None:
    assert evidence(text(hit(policy="gambling")))["gambling"][0].probability == 0.6


def test_a_hit_speaks_in_a_text_that_a_model_failed_on() -> None:
    assert evidence(text(hit(), scam=None))["scam"][0].probability == 0.6


@pytest.mark.parametrize(("scam", "terms"), [(0.14, []), (0.15, ["加微信"]), (None, [])])
def test_a_doubtful_hit_counts_where_a_model_finds_its_policy_likely_enough(
    scam: float | None, terms: list[str]
) -> None:
    assert counted(text(hit(doubtful=True), scam=scam)) == [terms]


def test_the_models_probability_that_gives_context_is_calibrated_for_the_texts_language() -> None:
    assert counted(text(hit(doubtful=True), scam=0.3, language="zh")) == [["加微信"]]
    assert counted(text(hit(doubtful=True), scam=0.3, language="es")) == [[]]


def test_a_doubtful_hit_without_context_leaves_the_models_own_claim() -> None:
    (item,) = evidence(text(hit(doubtful=True)))["scam"]
    assert (item.label, item.probability) == ("text.risk/scam", 0.05)


def test_another_term_in_the_same_text_is_context_also_by_its_sound() -> None:
    assert counted(text(hit("博彩", "sound", doubtful=True), hit("上分", "sound", doubtful=True))) == [["博彩", "上分"]]


def test_the_same_term_twice_and_a_term_of_another_policy_are_no_context() -> None:
    assert counted(text(hit(doubtful=True), hit(doubtful=True))) == [[]]
    assert counted(text(hit(doubtful=True), hit("自杀", policy="self_harm"))) == [["自杀"]]


@pytest.mark.parametrize(
    ("other", "terms"),
    [
        (text(hit("上分", doubtful=True), at_s=30), ["加微信"]),
        (text(hit("上分", doubtful=True), at_s=30.5), []),
        (text(hit("上分", doubtful=True), source="screen"), []),
        (text(hit("上分", "sound", doubtful=True)), []),
        (text(hit("上分", "pinyin", doubtful=True)), []),
    ],
)
def test_a_neighbouring_text_of_the_same_source_is_context_unless_it_only_sounds_so(
    other: TextObservation, terms: list[str]
) -> None:
    assert counted(text(hit(doubtful=True)), other)[0] == terms


def test_a_text_that_was_repeated_is_near_until_its_last_time() -> None:
    lasting = text(hit("上分"), at_s=0).model_copy(update={"end_s": 50.0})
    assert counted(lasting, text(hit(doubtful=True), at_s=70)) == [["上分"], ["加微信"]]


def test_lines_read_as_one_give_no_context_to_the_lines_they_are_made_of() -> None:
    joined = text(hit("加微信号", doubtful=True), joined=2)
    assert counted(text(hit(doubtful=True)), joined) == [[], []]
    assert counted(text(hit(doubtful=True), users=("bob",)), joined)[0] == ["加微信"]


def test_a_hit_in_doubtful_speech_weighs_less() -> None:
    unsure = text(hit(), source="speech").model_copy(update={"confidence": 0.4})
    assert evidence(unsure)["scam"][0].weight == 0.4
