"""`liverisk models train`: fits what is ours of a checkpoint and writes it, with its figures, onto the card."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cards import Card, CardError, read_cards
from pipelines.checkpoints import CheckpointError, ensure
from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.config import Config


@click.command()
@click.argument("slot")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder with the public data sets.")
@click.option("--out", type=click.Path(path_type=Path), help="Where head and card go; by default onto the card.")
@click.option("--threads", default=0, type=click.IntRange(min=0), help="CPU threads; 0 for all.")
@click.pass_obj
def train(chosen: Path | None, slot: str, data: Path, out: Path | None, threads: int) -> None:
    """Train, calibrate and evaluate the head of SLOT (`text.risk`). The same data gives the same head."""
    config = configured(chosen)
    card = _trainable(config, slot)
    from pipelines.text.training.datasets import DataError
    from pipelines.text.training.fit import FitError
    from pipelines.text.training.head import gather, train_head
    from pipelines.text.training.phrases import PhraseError
    from pipelines.text.training.report import tables

    target = out or card.folder
    try:
        examples = gather(card, data)
        encoder = ensure(_without_artefacts(card), config.models, progress=click.echo).folder
        evaluation = train_head(card, examples, encoder, config.models, target, threads=threads, progress=click.echo)
    except (DataError, PhraseError, FitError) as error:
        raise CommandError(str(error), exit_code=2) from None
    except CheckpointError as error:
        raise CommandError(str(error)) from None
    click.echo(f"\n{tables(evaluation)}\n\nwrote head.safetensors and README.md to {target}")


def _trainable(config: Config, slot: str) -> Card:
    """The card that fills the slot now, if it is of the kind that training makes."""
    if slot not in config.slots:
        raise CommandError(f"no slot named {slot}; this trains text.risk", exit_code=2)
    try:
        card = read_cards(config.cards_directory)[config.slots[slot].checkpoint]
    except CardError as error:
        raise CommandError(str(error), exit_code=2) from None
    except KeyError:
        raise CommandError(f"{slot}: no card named {config.slots[slot].checkpoint}", exit_code=2) from None
    if card.fields.kind != "embedding-head":
        raise CommandError(f"{slot}: {card.id} is not trained here, only embedding heads are", exit_code=2)
    return card


def _without_artefacts(card: Card) -> Card:
    """The encoder alone is enough to train the head that the checkpoint lacks so far."""
    return card.model_copy(update={"fields": card.fields.model_copy(update={"artefacts": ()})})
