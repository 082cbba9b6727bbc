"""What fuzzing found once stays found, and a short, fixed run of it belongs to every run of the tests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.documents import opening
from tests.fuzz.judging import MAX_MESSAGE, Run, Target, judged
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).resolve().parents[1] / "fuzz" / "corpus"
SHORT = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
MUTATED = {"image": 60, "audio": 60, "video": 4}
WHOLE_CORPUS_BYTES, ONE_FILE_BYTES = 200_000, 8_000


@pytest.fixture(scope="module", params=sorted(TARGETS))
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[Target, Run]]:
    target = TARGETS[str(request.param)]
    with target.opened() as run:
        yield target, run


def wrong(target: Target, run: Run, data: bytes) -> str | None:
    outcome = judged(target, run, data)
    return f"{outcome.label} | {outcome.said} | {outcome.trace}" if outcome.kind == "finding" else None


def test_what_was_found_is_refused_by_name_or_taken(opened: tuple[Target, Run]) -> None:
    target, run = opened
    found = {path.name: wrong(target, run, path.read_bytes()) for path in sorted((CORPUS / target.name).glob("*"))}

    assert {name: words for name, words in found.items() if words} == {}


def test_valid_inputs_made_wrong_end_as_they_must(opened: tuple[Target, Run]) -> None:
    target, run = opened
    dice, seeds = random.Random(7), target.seeds()
    assert all(judged(target, run, seed).kind != "finding" for seed in seeds)
    for _ in range(MUTATED.get(target.name, 120)):
        data = mutated(dice, dice.choice(seeds), seeds)
        assert wrong(target, run, data) is None, data[:2000]


@pytest.mark.parametrize("target", [target for target in TARGETS.values() if target.shaped], ids=lambda one: one.name)
def test_nearly_valid_documents_end_as_they_must(target: Target) -> None:
    assert target.shaped is not None
    with target.opened() as run:

        @SHORT
        @given(target.shaped())
        def look(data: bytes) -> None:
            assert wrong(target, run, data) is None, data[:2000]

        look()


def test_the_corpus_is_small_and_of_known_targets() -> None:
    sizes = {path: path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()}

    assert {path.parent.name for path in sizes} <= set(TARGETS)
    assert sum(sizes.values()) <= WHOLE_CORPUS_BYTES
    assert max(sizes.values()) <= ONE_FILE_BYTES


@pytest.mark.parametrize(
    ("error", "label"),
    [
        (KeyError("x"), "unnamed KeyError"),
        (ValueError("two\nlines"), "ValueError is not one plain line"),
        (ValueError(""), "ValueError is not one plain line"),
        (ValueError("x" * (MAX_MESSAGE + 1)), f"ValueError of {MAX_MESSAGE + 1} characters"),
    ],
)
def test_an_error_that_is_not_named_or_not_a_short_line_is_a_finding(error: Exception, label: str) -> None:
    def run(data: bytes) -> str:
        raise error

    outcome = judged(Target("one", opening(run), list, (ValueError,)), run, b"")

    assert (outcome.kind, outcome.label) == ("finding", label)


def test_an_input_that_takes_too_long_is_a_finding() -> None:
    def run(data: bytes) -> str:
        return str(sum(range(100_000)))

    outcome = judged(Target("one", opening(run), list, (), limit_s=0.0), run, b"abc")

    assert outcome.kind == "finding"
    assert outcome.label.endswith("for 3 bytes")
