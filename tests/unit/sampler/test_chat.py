from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from workers.sampler.chat import ChatFile, ChatFileError


def line(at_s: float, text: str, **more: object) -> str:
    return json.dumps({"at_s": at_s, "user": "u", "text": text, **more}, ensure_ascii=False) + "\n"


def texts(chat: ChatFile, from_s: float, to_s: float) -> list[tuple[float, str]]:
    return [(said.at_s, said.text) for said in chat.cut(from_s, to_s).lines]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "chat.jsonl"


def test_lines_fall_into_the_window_of_their_time(file: Path) -> None:
    file.write_text(line(1, "a") + line(9.9996, "b") + line(10, "c") + line(12.25, "d"), encoding="utf-8")
    chat = ChatFile(file, follow=False)
    assert texts(chat, 0, 10) == [(1, "a"), (10.0, "b")]
    assert texts(chat, 10, 20) == [(0, "c"), (2.25, "d")]


def test_lines_need_not_be_in_order(file: Path) -> None:
    file.write_text(line(15, "c") + line(2, "a") + line(2, "b"), encoding="utf-8")
    chat = ChatFile(file, follow=False)
    assert [text for _, text in texts(chat, 0, 20)] == ["a", "b", "c"]


@pytest.mark.parametrize("text", ["\x00", "\u202eabc", "🎉👩‍👩‍👧", "一\u2028二", "\x85"])
def test_unusual_characters_stay_as_they_are(file: Path, text: str) -> None:
    file.write_text(line(1, text), encoding="utf-8")
    assert texts(ChatFile(file, follow=False), 0, 10) == [(1, text)]


@pytest.mark.parametrize(
    "bad",
    [
        "{",
        "[1]",
        '{"at_s": 1, "user": "u"}',
        line(-1, "x"),
        line(1, "x" * 5000),
        '{"at_s":1,"user":"u","text":"\\ud800"}',
    ],
)
def test_a_line_that_cannot_be_used_is_told_by_number(file: Path, bad: str) -> None:
    file.write_text(line(1, "a") + "\n" + bad.strip() + "\n" + line(2, "b"), encoding="utf-8")
    cut = ChatFile(file, follow=False).cut(0, 10)
    assert (cut.bad, [said.text for said in cut.lines]) == ((3,), ["a", "b"])


def test_the_log_tells_numbers_and_no_content(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text('{"secret', encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        ChatFile(file, follow=False).cut(0, 10)
    assert [record.getMessage() for record in caplog.records] == ["chat lines that cannot be used: 1"]


def test_bytes_that_are_no_text_are_one_bad_line(file: Path) -> None:
    file.write_bytes(line(1, "a").encode() + b'{"at_s":1,"user":"u","text":"\xff"}\n')
    assert ChatFile(file, follow=False).cut(0, 10).bad == (2,)


def test_a_byte_order_mark_is_no_part_of_the_first_line(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + line(1, "a").encode())
    assert texts(ChatFile(file, follow=False), 0, 10) == [(1, "a")]


def test_fields_of_an_export_that_mean_nothing_here_are_passed_over(file: Path) -> None:
    file.write_text(line(1, "a", badge="gold"), encoding="utf-8")
    assert texts(ChatFile(file, follow=False), 0, 10) == [(1, "a")]


def test_a_followed_file_is_read_on_from_where_it_ended(file: Path) -> None:
    file.write_text(line(1, "a"), encoding="utf-8")
    chat = ChatFile(file, follow=True)
    assert texts(chat, 0, 10) == [(1, "a")]
    with file.open("a", encoding="utf-8") as more:
        more.write(line(11, "b"))
    assert texts(chat, 10, 20) == [(1, "b")]


def test_half_a_line_waits_for_its_other_half(file: Path) -> None:
    whole = line(1, "中文")
    file.write_bytes(whole.encode()[:30])
    chat = ChatFile(file, follow=True)
    assert chat.cut(0, 1).lines == ()
    file.write_bytes(whole.encode())
    assert texts(chat, 1, 10) == [(0, "中文")]


def test_a_line_after_its_window_goes_into_the_next_and_is_counted(file: Path) -> None:
    file.write_text("", encoding="utf-8")
    chat = ChatFile(file, follow=True)
    chat.cut(0, 10)
    file.write_text(line(5, "late"), encoding="utf-8")
    cut = chat.cut(10, 20)
    assert ([(said.at_s, said.text) for said in cut.lines], chat.late_total) == ([(0, "late")], 1)


def test_a_followed_file_that_begins_anew_is_read_from_its_start(file: Path) -> None:
    file.write_text(line(1, "first") + line(2, "second"), encoding="utf-8")
    chat = ChatFile(file, follow=True)
    chat.cut(0, 10)
    file.write_text(line(11, "anew"), encoding="utf-8")
    assert texts(chat, 10, 20) == [(1, "anew")]


def test_lines_after_the_end_of_the_source_are_counted(file: Path) -> None:
    file.write_text(line(1, "a") + line(99, "b"), encoding="utf-8")
    chat = ChatFile(file, follow=False)
    chat.cut(0, 10)
    assert chat.outside == 1


def test_no_chat_file_is_an_error_before_anything_is_sampled(file: Path) -> None:
    with pytest.raises(ChatFileError, match="unreadable chat"):
        ChatFile(file, follow=False)
