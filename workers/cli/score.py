"""`liverisk score`: what the models say of one item, in this process, with no service up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.config import configured
from workers.cli.main import CommandError

if TYPE_CHECKING:
    from workers.score import Scorer
    from workers.scored import AudioScore, ImageScore, MatchedTerm, Probabilities, SegmentScore, TextScore

    Score = TextScore | AudioScore | ImageScore | SegmentScore

SHOWN = 4
"""Policies printed for a reader; `--json` has them all."""

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--text", help="One text.")
@click.option("--lines", type=_FILE, help="A file of texts, one a line.")
@click.option("--image", type=_FILE, help="A JPEG, PNG or WebP file.")
@click.option("--audio", type=_FILE, help="A FLAC, WAV, Ogg, MP3 or AIFF file.")
@click.option("--manifest", type=_FILE, help="A segment manifest whose keys are files beside it.")
@click.option("--no-lexicon", is_flag=True, help="Look for no terms: what the models say alone.")
@click.option("--no-model", is_flag=True, help="Ask no text model: what the lexicons find alone.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def score(
    chosen: Path | None,
    text: str | None,
    lines: Path | None,
    image: Path | None,
    audio: Path | None,
    manifest: Path | None,
    no_lexicon: bool,
    no_model: bool,
    as_json: bool,
) -> None:
    """Print what the configured models and lexicons say of one item: calibrated probabilities by policy.

    A lexicon's terms are shown with what stands for them. Models are fetched on first use. Ends with 3 when something
    could not be examined.
    """
    asked: list[tuple[tuple[str, ...], Callable[[Scorer], Iterator[Score]]]] = []
    if text is not None:
        asked.append((("text",), lambda scorer: scorer.texts([text])))
    if lines is not None:
        texts = _lines(lines)  # read before the models are, so that a wrong file is told at once
        asked.append((("text",), lambda scorer: scorer.texts(texts)))
    if image is not None:
        asked.append((("vision", "ocr", "text"), lambda scorer: iter([scorer.image(image.read_bytes())])))
    if audio is not None:
        asked.append((("speech", "text"), lambda scorer: iter([scorer.audio(audio.read_bytes())])))
    if manifest is not None:
        asked.append((("vision", "speech", "ocr", "text"), lambda scorer: iter([scorer.manifest(manifest)])))
    if len(asked) != 1:
        raise CommandError("score takes one of --text, --lines, --image, --audio and --manifest", exit_code=2)
    if no_lexicon and no_model:
        raise CommandError("--no-lexicon and --no-model together leave nothing to read a text with", exit_code=2)
    modalities, ask = asked[0]
    if no_model:
        modalities = tuple(name for name in modalities if name != "text")
    _run(chosen, modalities, ask, lexicon=not no_lexicon, as_json=as_json)


def _run(
    chosen: Path | None,
    modalities: tuple[str, ...],
    ask: Callable[[Scorer], Iterator[Score]],
    *,
    lexicon: bool,
    as_json: bool,
) -> None:
    from pipelines.cards import CardError
    from pipelines.checkpoints import CheckpointError
    from pipelines.manifest import ManifestError
    from pipelines.media import DecodeError
    from pipelines.policies import PolicyError
    from pipelines.scoring import ModelUnusable
    from pipelines.text.lexicon_file import LexiconError
    from workers.decoder.contained import DecoderUnavailable
    from workers.score import Scorer, SlotMissing, TooLong

    config = configured(chosen)
    failed = 0
    try:
        report = partial(click.echo, err=True)
        with Scorer.open(config, modalities, report, lexicon=lexicon) as scorer:
            for found in ask(scorer):
                click.echo(found.model_dump_json() if as_json else "\n".join(_readable(found)))
                failed += bool(_missing(found))
    except (SlotMissing, TooLong, DecodeError, ManifestError, CardError, PolicyError, LexiconError) as error:
        raise CommandError(str(error), exit_code=2) from None
    except (CheckpointError, ModelUnusable) as error:
        raise CommandError(str(error)) from None
    except DecoderUnavailable as error:
        raise CommandError(f"the decoder's process does not start here ({error})") from None
    if failed:
        raise CommandError(f"{failed} could not be wholly examined")


def _lines(path: Path) -> list[str]:
    """Only line feeds end a line: chat may hold the other separators that Unicode knows."""
    try:
        content = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CommandError(f"{path}: not UTF-8 text", exit_code=2) from None
    found = [line.strip() for line in content.split("\n")]
    if not any(found):
        raise CommandError(f"{path}: no text in it", exit_code=1)
    return [line for line in found if line]


def _missing(found: Score) -> dict[str, str]:
    """What was not examined, and why."""
    from workers.score import unexamined
    from workers.scored import SegmentScore, TextScore

    gaps = {} if type(found) is TextScore else unexamined(getattr(found, "coverage", {}))
    if not isinstance(found, SegmentScore) and found.error:
        gaps.setdefault("item", found.error)
    return gaps


def _readable(found: Score) -> Iterator[str]:
    from workers.scored import AudioScore, ImageScore, SegmentScore

    if isinstance(found, SegmentScore):
        yield f"{found.stream_id} {found.segment_id}: {_top(found.policies)}"
        for verdict in found.verdicts:
            if verdict.action != "allow":
                yield f"  {verdict.policy}: {verdict.severity}, {verdict.action} ({verdict.because})"
    elif isinstance(found, ImageScore):
        for slot, scores in found.scores.items():
            yield f"{slot}: " + ", ".join(f"{label} {value:.3f}" for label, value in scores.items())
        for line in found.screen:
            yield f'screen: "{line.text}": {_top(line.policies)}'
            yield from map(_term, line.terms)
        yield f"policies: {_top(found.policies)}"
    elif isinstance(found, AudioScore):
        language = f"{found.language} ({found.language_probability:.2f})" if found.language else "none"
        yield f"language: {language}, {found.speech_s:.1f} s of speech"
        for span in found.spans:
            folded = f" [{span.normalised}]" if span.normalised != span.text.casefold() else ""
            yield f'{span.start_s:6.1f} to {span.end_s:.1f} s: "{span.text}"{folded}: {_top(span.policies)}'
            yield from map(_term, span.terms)
        yield f"policies: {_top(found.policies)}"
    else:
        yield f'{found.language or "--"} "{found.text}": {_top(found.policies)}'
        yield from map(_term, found.terms)
    yield from (f"not examined: {what} ({reason})" for what, reason in _missing(found).items())


def _term(found: MatchedTerm) -> str:
    """`“加薇❤” = 加微信 (simplified, sound)`, and what that is worth."""
    steps = f" ({', '.join(found.chain)})" if found.chain else ""
    worth = f"{found.policy} {found.strength:g}" if found.counts else f"{found.policy}, not counted: it needs context"
    return f"  “{found.surface}” = {found.term}{steps}: {worth}"


def _top(policies: Probabilities | None) -> str:
    if policies is None:
        return "not examined"
    first = sorted(policies.items(), key=lambda item: -item[1])[:SHOWN]
    return ", ".join(f"{policy} {probability:.3f}" for policy, probability in first) or "no policy spoken for"
