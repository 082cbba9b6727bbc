"""Settings, policies and cards must fit together before any process takes work."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.config import ConfigError, load_config
from workers.deployment import check_deployment


@pytest.mark.parametrize(
    ("slots", "line"),
    [
        ("ocr: {checkpoint: nothing}", "slots.ocr.checkpoint: no card named nothing in "),
        ("ocr: {checkpoint: whisper-base}", "slots.ocr.checkpoint: the card whisper-base does not fill this slot"),
        ("speech: {deep: {checkpoint: nothing}}", "slots.speech.deep.checkpoint: no card named nothing in "),
        (
            "speech: {deep: {checkpoint: pp-ocrv6}}",
            "slots.speech.deep.checkpoint: the card pp-ocrv6 does not fill this slot",
        ),
    ],
)
def test_a_slot_that_no_card_fills_is_named_with_its_key(tmp_path: Path, slots: str, line: str) -> None:
    chosen = tmp_path / "mine.yaml"
    chosen.write_text(f"slots:\n  {slots}\n")
    settings = load_config(chosen, {"LIVERISK__STATE_DIRECTORY": str(tmp_path / "state")})
    with pytest.raises(ConfigError) as caught:
        check_deployment(settings)
    assert str(caught.value).startswith(line)


def test_the_shipped_deployment_fits_together(tmp_path: Path) -> None:
    settings = load_config(environment={"LIVERISK__STATE_DIRECTORY": str(tmp_path / "state")})
    policies, cards = check_deployment(settings)
    assert policies.policies
    assert {slot.checkpoint for slot in settings.slots.values()} <= set(cards)
