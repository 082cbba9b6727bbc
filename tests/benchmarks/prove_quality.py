"""What the verdicts on text are worth; ends with 3 when a figure misses its bar or could not be measured.

    python -m tests.benchmarks.prove_quality --data DIR --parts chat,fusion,cold

chat         risky and ordinary lines of livestream chat, written apart from training
fusion       all modalities together against each alone and against the highest score
cold         accuracy on COLD dev, learned from COLD train; and of the shipped hate label
pairs        hateful lines beside lines with the same nouns, against the encoder as it came under a linear head
calibration  what is said against how often it is so, per policy and language; pictures go to --out
thresholds   how many held-out lines that are not about a policy reach each of its thresholds
english      the small English data sets in five-fold cross-validation; hours where the card has an adapter

All but the first two need the public data sets (`--data`), and judge what lies beside the card of `text.risk` on what
its training held out.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from pipelines.cards import Card, CardError, read_cards
from pipelines.checkpoints import CheckpointError, ensure
from pipelines.policies import read_policies
from pipelines.text.encoder import Embedder
from pipelines.text.lexicon import LexiconError
from pipelines.text.training.corpus import corpus_of
from pipelines.text.training.course import Course, cross_validated, gather, judge
from pipelines.text.training.crossvalidate import CrossValidated
from pipelines.text.training.datasets import DataError, Example
from pipelines.text.training.evaluate import Evaluation, PairFigures, PolicyFigures, Share, evaluate, figures_of
from pipelines.text.training.fit import FitError, fit
from pipelines.text.training.operating import COLUMNS, Operating, languages_of, operating, rows
from pipelines.text.training.phrases import PhraseError
from pipelines.text.training.reliability import PICTURE, draw
from pipelines.text.training.report import fold_table, table
from pipelines.text.training.stages import MAX_TOKENS
from pipelines.text.training.vectors import VectorCache, name_for
from pipelines.text.training.views import unmask_by
from tests.benchmarks import chat_quality, fusion_quality
from tests.benchmarks.bench import machine, say
from workers.config import Config, load_config
from workers.score import SlotMissing

PARTS = ("chat", "fusion", "cold", "pairs", "calibration", "thresholds", "english")
SLOT = "text.risk"
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "text"
OUT = Path(".liverisk") / "quality"

COLD_ACCURACY = 0.90
FOLDS: Mapping[str, tuple[str, float]] = {"Moderation half": ("mean AUPRC", 0.70), "Surge half": ("AUROC", 0.985)}
CALIBRATION_ERROR = 0.05
FALSE_POSITIVES = 0.05
"""Of held-out lines that are not about a policy, at its `review`."""

UNMEASURED = (DataError, PhraseError, FitError, LexiconError, CardError, CheckpointError, SlotMissing)


@dataclass(frozen=True)
class Figure:
    """One measured value beside its bar; NaN, which nothing could be measured of, misses every bar."""

    part: str
    what: str
    value: float
    relation: Literal["at least", "at most", "above"]
    bar: float

    @property
    def holds(self) -> bool:
        if self.relation == "at most":
            return self.value <= self.bar
        return self.value > self.bar if self.relation == "above" else self.value >= self.bar

    def __str__(self) -> str:
        return f"{self.part}: {self.what} {self.value:.3f}, must be {self.relation} {self.bar:.3g}"


def told(figures: Iterable[Figure]) -> Iterator[str]:
    """Prints each figure beside its bar and yields those that miss it."""
    for each in figures:
        verdict = "" if each.holds else "   MISSED"
        say(f"{each.part:<12} {each.what:<52} {each.value:.3f}   {each.relation} {each.bar:.3g}{verdict}")
        if not each.holds:
            yield str(each)


def frozen(course: Course, examples: Sequence[Example]) -> Evaluation:
    """The encoder as it came under a linear head of the same examples; nothing of it is kept but its vectors."""
    embedder = Embedder(course.encoder, threads=course.threads, max_tokens=MAX_TOKENS)
    corpus = corpus_of(examples, embedder)
    cache = VectorCache(course.work / name_for(course.sha256, None), embedder)
    vectors = cache.embed(corpus.windows, course.progress)
    return evaluate(fit(corpus.examples, vectors, spelling=False), corpus.examples, vectors)


def pair_figures(found: Sequence[PairFigures], before: Sequence[PairFigures]) -> Iterator[Figure]:
    """The languages together: forty pairs of one tell little."""
    ours, theirs = (_together(each.ordered for each in pairs) for pairs in (found, before))
    yield Figure("pairs", f"hateful line above its look-alike, {ours.of} pairs", ours.value, "above", theirs.value)


def _together(shares: Iterable[Share]) -> Share:
    chosen = tuple(shares)
    return Share(sum(each.hits for each in chosen), sum(each.of for each in chosen))


def calibration_figures(policies: Sequence[PolicyFigures], language: str) -> Iterator[Figure]:
    for each in policies:
        what = f"{each.policy}, {language}: ECE over {each.examples} lines"
        value = each.calibration_error if each.examples else float("nan")
        yield Figure("calibration", what, value, "at most", CALIBRATION_ERROR)


def by_language(evaluation: Evaluation) -> Mapping[str, tuple[PolicyFigures, ...]]:
    """Language -> the policies that have lines enough in it."""
    found: dict[str, tuple[PolicyFigures, ...]] = {}
    for policy, lines in evaluation.judged.items():
        for language in languages_of(lines):
            found[language] = (*found.get(language, ()), figures_of(policy, lines.only(language)))
    return dict(sorted(found.items()))


def threshold_figures(points: Sequence[Operating]) -> Iterator[Figure]:
    for each in points:
        if each.language is None:
            value = each.review.others.value
            yield Figure("thresholds", f"{each.policy}: others at review", value, "at most", FALSE_POSITIVES)


def fold_figures(folds: Sequence[CrossValidated]) -> Iterator[Figure]:
    found = {data.source: data for data in folds}
    for source, (name, bar) in FOLDS.items():
        data = found.get(source)
        value = float("nan")
        if data is not None:
            value = data.mean_auroc if name == "AUROC" else data.mean_average_precision
        yield Figure("english", f"{source}, five folds: {name}", value, "at least", bar)


class Proof:
    """The chosen parts on one configuration; what several parts need is made once."""

    def __init__(self, config: Config, options: argparse.Namespace) -> None:
        self._config = config
        self._options = options
        self._chosen: tuple[str, ...] = tuple(options.parts.split(","))

    def run(self) -> Iterator[str]:
        """Prints what is measured and yields what is not as it must be, or was not measured at all."""
        for name, part in zip(PARTS, self._parts(), strict=True):
            if name not in self._chosen:
                say(f"{name:<12} left out by --parts")
                continue
            try:
                yield from part()
            except UNMEASURED as error:
                say(f"{name:<12} NOT MEASURED: {error}")
                yield f"{name}: not measured: {error}"

    def _parts(self) -> tuple[Callable[[], Iterator[str]], ...]:
        return (
            *(self._chat, self._fusion, self._cold, self._pairs),
            *(self._calibration, self._thresholds, self._english),
        )

    def _chat(self) -> Iterator[str]:
        recall, alarms = chat_quality.RECALL, chat_quality.FALSE_ALARMS
        say(f"chat         recall at least {recall:g}, ordinary lines flagged at most {alarms:g}, in every language")
        yield from chat_quality.run(self._config)

    def _fusion(self) -> Iterator[str]:
        say(f"fusion       above every contender, benign segments at most {fusion_quality.FALSE_ALARMS:g}")
        yield from fusion_quality.run(self._config)

    def _cold(self) -> Iterator[str]:
        shipped = self._held_out.cold_accuracy
        say(f"cold         the hate label, which learns from tweets and chat, too: accuracy {shipped.value:.3f}")
        alone = next((data.categories[0] for data in self._folds if data.source == "COLD dev"), None)
        what = f"COLD dev, {shipped.of} comments, learned from COLD train: accuracy"
        yield from told([Figure("cold", what, alone.accuracy if alone else math.nan, "at least", COLD_ACCURACY)])

    def _pairs(self) -> Iterator[str]:
        ours, before = self._held_out.pairs, frozen(self._course, self._examples).pairs
        for each, other in zip(ours, before, strict=True):
            say(f"pairs        {each.language}: right order {each.ordered}, frozen {other.ordered}")
        yield from told(pair_figures(ours, before))

    def _calibration(self) -> Iterator[str]:
        out: Path = self._options.out
        out.mkdir(parents=True, exist_ok=True)
        draw(self._held_out.policies, out / PICTURE)
        yield from told(calibration_figures(self._held_out.policies, "all"))
        for language, policies in by_language(self._held_out).items():
            draw(policies, out / f"reliability-{language}.png")
            yield from told(calibration_figures(policies, language))
        say(f"calibration  pictures in {out}")

    def _thresholds(self) -> Iterator[str]:
        points = operating(self._held_out.judged, read_policies(self._config.policies_file))
        say(table(COLUMNS, list(rows(points))))
        yield from told(
            Figure(
                "thresholds", f"{each.policy}: others at review", each.review.others.value, "at most", FALSE_POSITIVES
            )
            for each in points
            if each.language is None
        )

    def _english(self) -> Iterator[str]:
        say(fold_table(self._folds))
        yield from told(fold_figures(self._folds))

    @cached_property
    def _card(self) -> Card:
        if SLOT not in self._config.slots:
            raise SlotMissing(f"the configuration has no slot {SLOT}")
        cards = read_cards(self._config.cards_directory)
        return cards[self._config.slots[SLOT].checkpoint]

    @cached_property
    def _examples(self) -> tuple[Example, ...]:
        return gather(self._card, self._options.data, unmask_by(self._config.lexicons_directory))

    @cached_property
    def _course(self) -> Course:
        models = self._config.models
        encoder = ensure(self._card, models, progress=say).folder
        return Course(self._card, encoder, self._options.work or models, self._options.out, say, self._options.threads)

    @cached_property
    def _folds(self) -> tuple[CrossValidated, ...]:
        examples = self._examples
        return cross_validated(self._course, examples)

    @cached_property
    def _held_out(self) -> Evaluation:
        examples = self._examples  # first: without data nothing needs to be got
        return judge(self._course, examples)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--data", type=Path, default=DATA, help="folder with the public data sets")
    parser.add_argument("--out", type=Path, default=OUT, help="where the pictures go")
    parser.add_argument("--work", type=Path, help="what a training run kept; by default the models")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 for all")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts.split(",")) - set(PARTS):
        parser.error(f"no part {sorted(unknown)[0]}; there are {', '.join(PARTS)}")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(arguments)
    wrong = list(Proof(load_config(), options).run())
    for line in wrong:
        say(f"NOT AS IT MUST BE: {line}")
    say(f"{'not all holds' if wrong else 'all that was measured holds'}; {machine()}")
    sys.exit(3 if wrong else 0)


if __name__ == "__main__":
    main()
