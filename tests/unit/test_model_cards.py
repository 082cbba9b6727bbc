"""Every card in the repository: complete, valid on the hub, and honest about what nobody could check."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from huggingface_hub import ModelCard

from pipelines.cards import CARDS_DIRECTORY, Card, HubSource, WheelSource, read_cards
from pipelines.checkpoints.verification import SECTIONS, slot_findings
from workers.cli.main import cli
from workers.config import load_config

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = "Cross-validation"
MEASURED = ("Evaluation", "Latency and memory")
COMMAND = re.compile(r"`((?:python -m|pytest|liverisk) [^`]+)`")
CARDS = read_cards()
EMBEDDED = {
    name: card for name, card in CARDS.items() if any(isinstance(each, WheelSource) for each in card.fields.sources)
}
every_card = pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())
every_embedded_card = pytest.mark.parametrize("card", EMBEDDED.values(), ids=EMBEDDED.keys())


def sections(card: Card) -> Mapping[str, str]:
    """Title -> text."""
    _, *parts = re.split(r"^## (.+)$", card.body, flags=re.MULTILINE)
    return {title: text.strip() for title, text in zip(parts[::2], parts[1::2], strict=True)}


def is_there(command: str) -> bool:
    """Whether this repository has what the command names: a benchmark, a test file, a command of `liverisk`."""
    program, *words = command.split()
    if program == "pytest":
        return (ROOT / words[0]).is_file()
    if program == "python":
        return (ROOT / words[1].replace(".", "/")).with_suffix(".py").is_file()
    found: click.Command | None = cli
    for word in words:
        if not isinstance(found, click.Group):
            break
        found = found.get_command(click.Context(found), word)
    return found is not None


@every_card
def test_a_card_has_its_sections_in_order(card: Card) -> None:
    assert [title for title in sections(card) if title != OPTIONAL] == [*SECTIONS]


@every_card
def test_no_section_of_a_card_is_empty(card: Card) -> None:
    assert [title for title, text in sections(card).items() if len(text.split()) < 3] == []


@every_card
def test_figures_stand_beside_the_command_that_gave_them_or_are_said_to_be_missing(card: Card) -> None:
    for title in MEASURED:
        text = sections(card)[title]
        assert COMMAND.search(text) or text.startswith("Not measured here"), title


@every_card
def test_every_command_that_a_card_names_exists(card: Card) -> None:
    assert [command for command in COMMAND.findall(card.body) if not is_there(command)] == []


@every_card
def test_a_card_says_what_the_weights_were_trained_on(card: Card) -> None:
    assert re.search(r"[Tt]rained|source", sections(card)["Data"])


@every_card
def test_a_card_names_what_still_gets_past_the_checkpoint(card: Card) -> None:
    kind = "Known" if card.id in EMBEDDED else "(?:Known|Expected)"
    assert re.search(
        rf"^(?:- )?{kind} to get through\b", sections(card)["Limitations and known evasions"], re.MULTILINE
    )


@every_embedded_card
def test_a_checkpoint_that_could_be_measured_has_its_figures_where_programs_read_them(card: Card) -> None:
    results = [result for model in card.metadata.get("model-index", ()) for result in model["results"]]
    assert any(result["metrics"] for result in results)


@every_card
def test_a_card_is_complete_and_may_go_into_each_of_its_slots(card: Card) -> None:
    assert [slot_findings(card, slot) for slot in card.fields.slots] == [[] for _ in card.fields.slots]


@every_card
def test_the_hub_reads_a_card(card: Card) -> None:
    content = (card.folder / "README.md").read_text(encoding="utf-8")
    data = ModelCard(content, ignore_metadata_errors=False).data
    assert data["license"] == card.licence


@every_card
def test_no_template_words_are_left_in_a_card(card: Card) -> None:
    assert not re.search(r"TODO|More Information Needed|lorem|\[\[|@\w+@", card.body)


@every_embedded_card
def test_a_checkpoint_of_the_package_index_pins_every_file(card: Card) -> None:
    assert card.fields.files


@every_card
def test_a_checkpoint_that_nobody_could_download_says_so(card: Card) -> None:
    if any(isinstance(source, HubSource) for source in card.fields.sources) and not card.fields.files:
        assert card.fields.unverified


@every_card
def test_a_card_is_in_the_index(card: Card) -> None:
    assert f"]({card.id}/README.md)" in (CARDS_DIRECTORY / "README.md").read_text(encoding="utf-8")


def test_the_nudity_scores_that_its_publisher_calls_safe_and_probable_keep_that_meaning() -> None:
    calibration = CARDS["open-nsfw"].fields.labels["nsfw"].calibration
    assert calibration(0.2) == pytest.approx(0.05, abs=0.001)
    assert calibration(0.8) == pytest.approx(0.8, abs=0.001)


def test_every_configured_slot_has_a_card_that_fills_it() -> None:
    for name, slot in load_config(environment={}).slots.items():
        assert name in CARDS[slot.checkpoint].fields.slots
