"""Every card in the repository: complete, valid on the hub, and honest about what nobody could check."""

from __future__ import annotations

import re

import pytest
from huggingface_hub import ModelCard

from pipelines.cards import CARDS_DIRECTORY, Card, HubSource, WheelSource, read_cards
from pipelines.checkpoints.verification import SECTIONS, slot_findings
from workers.config import load_config

CARDS = read_cards()
every_card = pytest.mark.parametrize("card", CARDS.values(), ids=CARDS.keys())


@every_card
def test_a_card_has_its_sections_in_order(card: Card) -> None:
    assert re.findall(r"^## (.+)$", card.body, re.MULTILINE) == [*SECTIONS]


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


@every_card
def test_a_checkpoint_of_the_package_index_pins_every_file(card: Card) -> None:
    if any(isinstance(source, WheelSource) for source in card.fields.sources):
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
