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
@click.option("--adapter", is_flag=True, help="Train an adapter for the encoder, too: hours without a GPU.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the results go; by default onto the card.")
@click.option("--work", type=click.Path(path_type=Path), help="Kept for the next run; by default the models.")
@click.option("--threads", default=0, type=click.IntRange(min=0), help="CPU threads; 0 for all.")
@click.pass_obj
def train(
    chosen: Path | None, slot: str, data: Path, adapter: bool, out: Path | None, work: Path | None, threads: int
) -> None:
    """Train, calibrate and evaluate the head of SLOT (`text.risk`). A run that was killed goes on where it was.

    The same data and number of threads give the same weights.
    """
    config = configured(chosen)
    card = _trainable(config, slot)
    from pipelines.text.lexicon import LexiconError
    from pipelines.text.training.datasets import DataError
    from pipelines.text.training.fit import FitError
    from pipelines.text.training.phrases import PhraseError
    from pipelines.text.training.views import unmask_by

    try:
        from pipelines.text.training.course import Course, gather, train_head
        from pipelines.text.training.course import train as train_all
        from pipelines.text.training.report import fold_table, tables

        examples = gather(card, data, unmask_by(config.lexicons_directory))
        encoder = ensure(_without_artefacts(card), config.models, progress=click.echo).folder
        course = Course(card, encoder, work or config.models, out or card.folder, click.echo, threads)
        report = (train_all if adapter else train_head)(course, examples)
    except (DataError, PhraseError, FitError, LexiconError) as error:
        raise CommandError(str(error), exit_code=2) from None
    except (CheckpointError, CardError) as error:
        raise CommandError(str(error)) from None
    folds = f"\n\n{fold_table(report.folds)}" if report.folds else ""
    click.echo(f"\n{tables(report)}{folds}\n\nwrote head and card to {course.out}")


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
