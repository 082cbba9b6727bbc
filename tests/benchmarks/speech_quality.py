"""How well speech is heard, and whether words that nobody said reach a text model.

    python -m tests.benchmarks.speech_quality                 # everything: about five minutes on two cores
    python -m tests.benchmarks.speech_quality --minutes 0     # speech only
    python -m tests.benchmarks.speech_quality --only-wordless # music, noise and silence only
    python -m tests.benchmarks.speech_quality --clips DIR     # your recordings, too: DIR/zh-NAME.wav with zh-NAME.txt

Three parts, through the shipped speech slot and the whole examination of a segment:

1. Word error rate (English, French) and character error rate (Mandarin, simplified) of recordings in
   `../shared/data/audio` whose words are known, and of English that espeak-ng says, where it is installed.
2. The same English under music: what the gates against invented words cost where somebody does speak.
3. Minutes of music, crowds, games, machines, noise and silence made on the spot (`tests.wordless`), in segments of ten
   seconds, each heard with the language unknown and with Mandarin known to be the stream's: no word may reach a
   text model.

Ends with 3 when a bar is missed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import jiwer
import numpy as np
from numpy.typing import NDArray

from pipelines.cards import CARDS_DIRECTORY, read_card
from pipelines.checkpoints import ensure
from pipelines.decode import decode_audio
from pipelines.examine import examine
from pipelines.items import SAMPLE_RATE_HZ, Item, Line, Result, Transcript
from pipelines.kinds import load
from pipelines.models import Model
from pipelines.record import Observations, TextObservation
from pipelines.segment import ExaminationSettings
from pipelines.text.normalise import normalise
from tests.conftest import SHARED_DATA
from tests.functions import models, scores, segment
from tests.wordless import KINDS, wordless
from workers.config import load_config

Samples = NDArray[np.float32]

WORST_WORDS = 0.10
WORST_CHARACTERS = 0.20
WORST_LOST = 0.05
"""Bars: error rates of clean speech, and the share of words heard under music that the gates may leave out."""

RECORDINGS: Mapping[str, tuple[str, str]] = {
    "jfk.flac": (
        "en",
        "And so my fellow Americans ask not what your country can do for you ask what you can do for your country",
    ),
    "english.wav": ("en", "one two three"),
    "french.aiff": ("fr", "et c'est la dictée numéro un"),
    "chinese.flac": ("zh", "砸自己的脚"),
}
LINES: Sequence[str] = (
    "Welcome back to the stream everybody, it is good to see so many of you tonight.",
    "Today we are going to cook noodles with spinach and a little bit of garlic.",
    "If you want the recipe, it is written on the board behind me.",
    "Send me the money first and I will double it for you by tomorrow morning.",
    "Do not tell your parents about this, it stays between you and me.",
    "I was watching the game last night and he missed the goal from so close.",
    "Add me on the other app, the link is in my profile, and bring your friends.",
    "We have only a few boxes left at this price, so please hurry up.",
    "Somebody in the chat asked whether this knife is sharp, and yes it is very sharp.",
    "The next song is an old one that my grandmother used to sing.",
    "You can win a lot of money every day with this system, guaranteed.",
    "Let me turn the music down so that you can hear me better.",
    "I feel really tired today, but talking to you makes me happy.",
    "Remember to drink some water and take a break every hour.",
    "Open the door on the left, there are two enemies behind the wall.",
    "This medicine helped me to sleep, but ask your doctor first.",
    "My brother is going to join us in a minute, say hello to him.",
    "We are moving to another room because it is too loud in here.",
    "Nobody knows what will happen next, that is why I love this show.",
    "Write your questions down and I will answer all of them at the end.",
)
FIGURES = {"1": "one", "2": "two", "3": "three"}
FRENCH_FIGURES = {"1": "un"}


@dataclass
class Ear:
    """The real speech model behind a whole examination; keeps what the text model was asked and what was written."""

    model: Model
    asked: list[str] = field(default_factory=list)
    written: list[Transcript] = field(default_factory=list)

    def hear(self, samples: Samples, language: str | None = None, *, profile: str = "live") -> Observations:
        """What is observed in a segment that has these samples for audio."""
        self.asked, self.written = [], []
        seconds = samples.size / SAMPLE_RATE_HZ
        what = segment(audio_s=seconds)
        manifest = what.manifest.model_copy(update={"duration_s": seconds})
        settings = ExaminationSettings().for_profile("deep" if profile == "deep" else "live")
        heard = models(speech=self._speech, text__risk=self._text)
        found = examine(replace(what, manifest=manifest, audio=samples), heard, settings, language=language)
        return found.observations

    def _speech(self, item: Item) -> Result:
        result = self.model.predict([item])[0]
        if isinstance(result, Transcript):
            self.written.append(result)
        return result

    def _text(self, item: Item) -> Result:
        assert isinstance(item, Line)
        self.asked.append(item.text)
        return scores(item)


@dataclass(frozen=True, slots=True)
class Case:
    """Speech whose words are known."""

    name: str
    language: str
    reference: str
    samples: Samples


def ear() -> Ear:
    card = read_card(CARDS_DIRECTORY / "whisper-base")
    model = load(card, ensure(card, load_config().models).folder, device="cpu", threads=2)
    model.warm_up()
    return Ear(model)


def recordings() -> Iterator[Case]:
    for name, (language, reference) in RECORDINGS.items():
        path = SHARED_DATA / "audio" / name
        if path.is_file():
            yield Case(name, language, reference, decode_audio(path.read_bytes(), max_s=120))


def own(folder: Path) -> Iterator[Case]:
    """Recordings in `folder`, `<language>-<name>.<suffix>`, with their words in a text file beside each."""
    for text in sorted(folder.glob("*-*.txt")):
        audio = next((path for path in sorted(folder.glob(f"{text.stem}.*")) if path.suffix != ".txt"), None)
        if audio is not None:
            language = text.stem.partition("-")[0]
            reference = text.read_text(encoding="utf-8")
            yield Case(f"own {language}", language, reference, decode_audio(audio.read_bytes(), max_s=120))


def synthesised() -> Iterator[Case]:
    """The lines, said by espeak-ng in two voices; none where it is not installed."""
    program = shutil.which("espeak-ng")
    if program is None:
        return
    with TemporaryDirectory() as folder:
        for index, line in enumerate(LINES):
            file = Path(folder) / f"{index}.wav"
            voice = ("en-us", "en-gb")[index % 2]
            subprocess.run([program, "-v", voice, "-s", "150", "-w", str(file), line], check=True)
            yield Case("espeak-ng", "en", line, decode_audio(file.read_bytes(), max_s=60))


def plain(text: str, language: str) -> str:
    """Words without marks and case, numbers spelt out; Mandarin simplified and without spaces."""
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", normalise(text).text)
    if language == "zh":
        return "".join(words)
    figures = FRENCH_FIGURES if language == "fr" else FIGURES
    return " ".join(figures.get(word, word) for word in words)


def said(texts: Sequence[TextObservation], language: str) -> str:
    return plain(" ".join(text.text for text in texts), language)


def error_rate(language: str, references: Sequence[str], heard: Sequence[str]) -> float:
    """Of characters for Mandarin, of words for the rest."""
    measure = jiwer.cer if language == "zh" else jiwer.wer
    return float(measure([plain(text, language) for text in references], list(heard)))


def clean_speech(model: Ear, cases: Sequence[Case]) -> bool:
    """Prints error rates; whether they are within the bars."""
    good = True
    for name in dict.fromkeys(case.name for case in cases):
        members = [case for case in cases if case.name == name]
        language = members[0].language
        found = [model.hear(case.samples) for case in members]
        rate = error_rate(language, [case.reference for case in members], [said(one.texts, language) for one in found])
        bar = WORST_CHARACTERS if language == "zh" else WORST_WORDS
        left_out = sum(one.coverage["speech"].skipped.get("invented", 0) for one in found)
        met = rate <= bar or language not in ("en", "zh")
        print(
            f"{name:14} {language}: {'character' if language == 'zh' else 'word'} error rate {rate:.3f}, "
            f"{left_out:g} s taken for invented{'' if met else f': more than {bar}'}",
            flush=True,
        )
        good &= met
    return good


def under_music(model: Ear, cases: Sequence[Case]) -> bool:
    """English with a band under it: how many of the words that the model wrote the gates take for invented."""
    good = True
    for decibels in (10, 5, 0):
        written = kept = 0
        heard = []
        for index, case in enumerate(cases):
            music = KINDS["band"](case.samples.size / SAMPLE_RATE_HZ, np.random.default_rng(index))
            found = model.hear(mixed(case.samples, music, decibels))
            heard.append(said(found.texts, case.language))
            written += sum(len(plain(span.text, "en").split()) for span in model.written[0].spans)
            kept += len(heard[-1].split())
        rate = error_rate("en", [case.reference for case in cases], heard)
        lost = 1 - kept / max(1, written)
        print(f"under music, {decibels:2} dB: word error rate {rate:.3f}, gates left out {lost:.3f} of the words heard")
        good &= lost <= WORST_LOST or decibels < 5
    return good


def mixed(speech: Samples, music: NDArray[np.float64], decibels: float) -> Samples:
    """Speech that many decibels above the music, by mean power."""
    factor = np.sqrt((speech.astype(np.float64) ** 2).mean() / (music**2).mean() / 10 ** (decibels / 10))
    both = speech + factor * music
    return np.asarray(both / max(1.0, float(np.abs(both).max())), np.float32)


def nobody_speaks(model: Ear, minutes: float, seed: int, *, show: bool) -> bool:
    """Prints for each kind of sound what was made up and what of it got through."""
    segments, voiced, invented, through = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    started = time.monotonic()
    for name, samples in wordless(round(minutes * 6), seed=seed):
        for language in (None, "zh"):
            found = model.hear(samples, language)
            segments[name] += 1
            voiced[name] += bool(found.speech and found.speech.speech_s)
            invented[name] += sum(words(span.text) for one in model.written for span in one.spans)
            through[name] += sum(map(words, model.asked))
            if show:
                _show(name, language, model, found)
    print(f"{'sound':12} segments  past the gate  words written  words through")
    for name in segments:
        print(f"{name:12} {segments[name]:8} {voiced[name]:14} {invented[name]:14} {through[name]:14}")
    total = sum(through.values())
    print(
        f"{minutes:g} minutes, heard twice in {time.monotonic() - started:.0f} s: past the voice gate "
        f"{sum(voiced.values())} of {sum(segments.values())} segments, words written {sum(invented.values())}, "
        f"words that reached the text model {total}"
    )
    return total == 0


def words(text: str) -> int:
    """Chinese and Japanese by character."""
    return len(re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+", text))


def _show(name: str, language: str | None, model: Ear, found: Observations) -> None:
    for one in model.written:
        for span in one.spans:
            print(
                f"  {name} {language} {one.language} {one.language_probability:.2f} voice {one.speech_s:.1f} "
                f"sure {span.confidence:.2f} no speech {span.no_speech:.2f} "
                f"compression {span.compression:.1f}: {span.text!r}"
            )
    if found.texts:
        print("  THROUGH", [text.text for text in found.texts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only-wordless", action="store_true")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--show", action="store_true", help="each span that was written where nobody speaks")
    options = parser.parse_args()
    model, good = ear(), True
    if not options.only_wordless:
        cases = [*recordings(), *synthesised(), *(own(options.clips) if options.clips else ())]
        good &= clean_speech(model, cases)
        good &= under_music(model, [case for case in cases if case.name == "espeak-ng"] or cases[:1])
    if options.minutes:
        good &= nobody_speaks(model, options.minutes, options.seed, show=options.show)
    sys.exit(0 if good else 3)


if __name__ == "__main__":
    main()
