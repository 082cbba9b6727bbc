from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines.policies import POLICY_IDS
from pipelines.record import MODALITIES, FrameObservation
from tests.records import chat_evidence, chat_line, frame_evidence, record, unexamined, verdict
from workers.verdicts.rows import TABLES, TableShape

WHOLE = record(
    0,
    verdict("scam", "high", evidence=[frame_evidence(probability=0.5), chat_evidence("hello", probability=0.8)]),
    coverage={"speech": unexamined("deadline", 10)},
    texts=[chat_line("hello")],
    frames=[FrameObservation(at_s=1.0, scores={"vision.nudity": {"nsfw": 0.1}}, reused_from_s=-1.0)],
)


@pytest.mark.parametrize("shape", TABLES, ids=lambda shape: shape.name)
def test_every_value_of_a_row_has_its_column(shape: TableShape) -> None:
    columns = set(shape.schema.names)

    assert len(columns) == len(shape.schema.names)
    for row in shape.rows(WHOLE):
        assert set(row) <= columns


@pytest.mark.parametrize("shape", TABLES, ids=lambda shape: shape.name)
def test_a_table_of_no_records_still_has_its_columns(shape: TableShape) -> None:
    table = shape.table([])

    assert (table.num_rows, table.schema) == (0, shape.schema)


@pytest.mark.parametrize("shape", TABLES, ids=lambda shape: shape.name)
def test_every_column_is_in_the_documentation(shape: TableShape) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "reading-verdicts.md").read_text(encoding="utf-8")
    per_modality = re.compile(rf"({'|'.join(MODALITIES)})_(?=status|reason|detail|examined|total|skipped)")

    assert [name for name in shape.schema.names if f"`{per_modality.sub('', name)}`" not in page] == []


def test_a_record_gives_a_row_per_policy_one_per_segment_and_one_per_frame_and_text() -> None:
    counts = {shape.name: shape.table([WHOLE]).num_rows for shape in TABLES}

    assert counts == {"verdicts": len(POLICY_IDS), "segments": 1, "observations": 2}


def test_a_frame_has_no_text_and_a_line_of_chat_its_users() -> None:
    frame, line = TABLES[2].table([WHOLE]).to_pylist()

    assert (frame["source"], frame["text"], frame["reused_from_s"]) == ("frame", None, -1.0)
    assert (line["source"], line["text"], line["users"]) == ("chat", "hello", 2)


def test_the_top_evidence_is_the_likeliest() -> None:
    rows = TABLES[0].table([WHOLE]).to_pylist()
    (scam,) = (row for row in rows if row["policy"] == "scam")

    assert (scam["top_evidence"]["modality"], scam["modalities"]) == ("chat", ["frames", "chat"])
    assert (scam["severity_rank"], scam["action_rank"], scam["flagged"]) == (3, 3, True)


def test_a_segment_row_says_what_was_not_examined() -> None:
    (row,) = TABLES[1].table([WHOLE]).to_pylist()

    assert (row["examined"], row["lacking"]) == ("partly", [("speech", "deadline")])
    assert (row["speech_status"], row["speech_reason"], row["speech_total"]) == ("not", "deadline", 10.0)
