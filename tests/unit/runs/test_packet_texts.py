"""How a deep review's texts are held against live's, and which items count as hits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipelines.items import CheckpointRef
from pipelines.policies import read_policies
from pipelines.record import Record
from pipelines.text.normalise import normalise
from tests import records
from workers.runs.claims import claims_of, hits_of
from workers.runs.rereading import Earlier, Heard, Reading


def heard(text: str, at_s: float = 0.0) -> Heard:
    return Heard(records.START + timedelta(seconds=at_s), "speech", text, normalise(text).text, {})


@pytest.mark.parametrize(
    ("live", "deep", "reading"),
    [
        (["welcome back everybody"], "Welcome back, everybody!", "same"),
        (["welcome back", "everybody how are you"], "welcome back everybody", "same"),
        (["welcome back and have a seat"], "welcome back everybody take a seat", "changed"),
        (["welcome back everybody"], "send ten coins to my second account", "new"),
        ([], "send ten coins", "new"),
        (["欢迎大家来到直播间"], "歡迎大家來到直播間", "same"),
        (["欢迎大家来到直播间"], "欢迎大家来到直播", "same"),
        (["欢迎大家来到直播间"], "加我微信领红包", "new"),
        (["hello"], "…", "same"),
    ],
)
def test_a_text_is_new_only_when_live_had_read_nothing_like_it(live: list[str], deep: str, reading: Reading) -> None:
    assert Earlier([heard(text) for text in live]).match(heard(deep, 3)).reading == reading


def test_a_text_of_another_minute_does_not_count() -> None:
    assert Earlier([heard("send ten coins", 60)]).match(heard("send ten coins")).reading == "new"


def test_what_live_read_instead_is_the_text_most_like_it() -> None:
    match = Earlier([heard("good evening"), heard("send me tin coins now")]).match(heard("send me ten coins"))

    assert match.reading == "changed"
    assert match.live is not None
    assert match.live.text == "send me tin coins now"


def one(scam: float, *, flagged: bool = False) -> Record:
    evidence = [records.chat_evidence("add me", probability=scam)]
    verdicts = [records.verdict("scam", "medium", evidence=evidence)] if flagged else []
    return records.record(0, *verdicts, texts=[records.chat_line("add me", scam=scam)])


PLACE = ("chat", 4.0, "add me")


def hits(record: Record) -> list[str]:
    policies = read_policies()
    return list(hits_of(record, claims_of(record, {}, policies), policies).get(PLACE, {}))


def test_an_item_that_reaches_watch_is_a_hit() -> None:
    assert hits(one(0.9, flagged=True)) == ["scam"]


def test_what_a_finding_shows_as_evidence_is_a_hit_below_watch_too() -> None:
    assert hits(one(0.1, flagged=True)) == ["scam"]
    assert hits(one(0.1)) == []


def test_scores_of_a_checkpoint_without_a_card_leave_the_evidence_of_the_verdicts() -> None:
    record = one(0.9, flagged=True)
    unknown = CheckpointRef(id="long-gone", digest="d" * 64, session="torch")
    observed = record.observations.model_copy(update={"checkpoints": {"text.risk": unknown}})

    assert list(claims_of(record.model_copy(update={"observations": observed}), {}, read_policies())) == [PLACE]
