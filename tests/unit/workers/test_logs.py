"""Lines of the log, for people and for whoever collects them."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from workers.logs import JsonLines


def line(text: str, *arguments: object, error: BaseException | None = None) -> dict[str, object]:
    raised = (type(error), error, None) if error is not None else None
    record = logging.LogRecord("workers.classify", logging.INFO, __file__, 1, text, arguments, raised)
    said: dict[str, object] = json.loads(JsonLines().format(record))
    return said


def test_a_line_tells_time_level_logger_and_event() -> None:
    said = line("engine ends: no worker for %.0f s", 15.0)
    assert (said["level"], said["logger"]) == ("INFO", "workers.classify")
    assert said["event"] == "engine ends: no worker for 15 s"
    assert str(said["time"]).endswith("+00:00")


def test_what_a_line_names_is_a_field_and_a_number_where_it_is_measured() -> None:
    said = line("segment done segment=%s lane=%s latency_s=%.2f", "room/1/live", "live", 0.414)
    assert said["event"] == "segment done"
    assert (said["segment"], said["lane"], said["latency_s"]) == ("room/1/live", "live", 0.41)


def test_a_value_of_several_words_stays_whole() -> None:
    said = line("run not carried on run=%s error=%s", "rescan-1", "no records there")
    assert (said["run"], said["error"]) == ("rescan-1", "no records there")


@pytest.mark.parametrize("text", ["level=DEBUG time=never event=nothing", "two\nlines", "\x00 \ud800"])
def test_nothing_in_a_line_takes_the_place_of_its_own_fields_or_ends_it(text: str) -> None:
    said = line("%s", text)
    assert said["level"] == "INFO"
    assert "never" not in str(said["time"])


def test_an_error_comes_along_in_the_same_line() -> None:
    assert "ValueError: x" in str(line("registry not taken in", error=ValueError("x"))["traceback"])


@pytest.mark.parametrize(("form", "start"), [("json", '{"slot": "ocr", "time": "'), ("text", "20")])
def test_a_process_writes_the_form_that_is_set(form: str, start: str) -> None:
    program = (
        "import logging\n"
        "from workers.logs import set_up_logging\n"
        f"set_up_logging('INFO', {form!r})\n"
        "logging.getLogger('workers').info('slot filled slot=ocr')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.startswith(start)
    assert done.stderr.count("\n") == 1
