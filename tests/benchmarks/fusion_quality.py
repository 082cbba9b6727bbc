"""Whether fusion ranks segments better than any single modality and than the highest score of all.

    python -m tests.benchmarks.fusion_quality [--variants 6]

Labelled scenes (speech, on-screen text, chat, a nudity score; risks planted in one, two or three modalities, benign
look-alikes, modalities that disagree) become segments: as they are, and varied by a seeded generator (a recogniser
that is less sure and errs more, ordinary lines of other scenes between the chat, a line pasted by several users).
Their texts go through the configured lexicon and text models and the shipped policies, each segment as the first of
its stream. Every pair of segment and policy is ranked by what each contender says of it; average precision compares
them.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from pipelines.cards import CARDS_DIRECTORY
from pipelines.chat_lines import group_chat
from pipelines.fusion import evidence_of, fuse
from pipelines.manifest import ChatLine
from pipelines.policies import Policies
from pipelines.record import (
    ACTIONS,
    MODALITIES,
    Action,
    Coverage,
    Evidence,
    FrameObservation,
    Modality,
    Observations,
    TextObservation,
    Verdict,
)
from pipelines.strict import Strict
from pipelines.text.language import language_of
from pipelines.text.normalise import normalise
from pipelines.text.training.evaluate import Share
from pipelines.text_scores import checkpoints_of, read_texts, score_texts
from tests.benchmarks.bench import say
from workers.config import Config, load_config
from workers.score import Scorer

SCENES_FILE = CARDS_DIRECTORY / "e5-small-risk" / "evaluation" / "scenes.yaml"
FALSE_ALARMS = 0.05
SEGMENT_S = 10.0
FRAMES = 5
SEED = 20
RESAMPLES = 400
VISION = "vision.nudity"
_UNITS = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")
"""A Chinese character, or a word."""


class User(Strict):
    user: str
    text: str


class Scene(Strict):
    """One labelled situation. `planted` names the modalities that carry the risk."""

    id: str
    language: str
    policies: tuple[str, ...]
    planted: tuple[Modality, ...]
    frames: Literal["plain", "nude"]
    note: str
    speech: tuple[str, ...] | None
    screen: tuple[str, ...] | None
    chat: tuple[User, ...] | None


@dataclass(frozen=True)
class Sample:
    """One segment: what was observed, and of which scene."""

    scene: Scene
    observations: Observations


BySegment = Mapping[str, Sequence[Evidence]]
"""One segment's evidence by policy."""
Fused = Mapping[str, Verdict]


@dataclass(frozen=True)
class Ranking:
    """What every contender says of each pair of segment and policy; `truth` and `scene` go with the pairs."""

    truth: NDArray[np.bool_]
    scene: NDArray[np.int64]
    said: Mapping[str, NDArray[np.float64]]

    def precision(self, contender: str, rows: NDArray[np.intp] | None = None) -> float:
        """Average precision over all pairs, or over those at `rows`."""
        chosen = np.arange(len(self.truth)) if rows is None else rows
        return float(average_precision_score(self.truth[chosen], self.said[contender][chosen]))


def read_scenes() -> tuple[Scene, ...]:
    content = yaml.safe_load(SCENES_FILE.read_text(encoding="utf-8"))
    return tuple(Scene.model_validate({**scene, "note": scene.get("note", "")}) for scene in content["scenes"])


def samples(scorer: Scorer, scenes: Sequence[Scene], variants: int) -> Iterator[Sample]:
    """Each scene as it is, then varied."""
    dice = np.random.default_rng(SEED)
    ordinary = {
        language: [
            line for scene in scenes if not scene.policies and scene.language == language for line in scene.chat or ()
        ]
        for language in {scene.language for scene in scenes}
    }
    words = {
        language: [word for line in lines for word in _UNITS.findall(line.text)] for language, lines in ordinary.items()
    }
    for scene in scenes:
        for variant in range(variants):
            chat = list(scene.chat or ())
            sure = 0.9
            if variant:
                sure = float(dice.uniform(0.5, 0.95))
                chat = _with_others(chat, ordinary[scene.language], dice)
            heard = _misread(scene, sure, words[scene.language], dice) if variant else scene
            yield Sample(scene, _observed(scorer, heard, chat, sure, dice))


def _with_others(chat: list[User], ordinary: Sequence[User], dice: np.random.Generator) -> list[User]:
    """Some ordinary lines in between, and now and then one line pasted by several users."""
    for _ in range(int(dice.integers(0, 5))):
        chat.insert(int(dice.integers(0, len(chat) + 1)), ordinary[int(dice.integers(len(ordinary)))])
    if chat and dice.random() < 0.3:
        line = chat[int(dice.integers(len(chat)))]
        chat += [User(user=f"{line.user}{copy}", text=line.text) for copy in range(int(dice.integers(1, 4)))]
    return chat


def _misread(scene: Scene, sure: float, words: Sequence[str], dice: np.random.Generator) -> Scene:
    """The scene as recognisers write it that are so sure: half of their doubt are words of ordinary chat instead."""

    def misread(text: str, sure: float) -> str:
        def read(unit: re.Match[str]) -> str:
            return words[int(dice.integers(len(words)))] if dice.random() < (1 - sure) / 2 else unit[0]

        return _UNITS.sub(read, text)

    spoken = tuple(misread(text, sure) for text in scene.speech or ())
    shown = tuple(misread(text, _screen(sure)) for text in scene.screen or ())
    return scene.model_copy(update={"speech": spoken, "screen": shown})


def _screen(sure: float) -> float:
    """Writing is read more surely than speech."""
    return min(0.99, sure + 0.05)


def _observed(
    scorer: Scorer, scene: Scene, chat: Sequence[User], sure: float, dice: np.random.Generator
) -> Observations:
    spoken = [_text("speech", text, at, sure) for at, text in enumerate(scene.speech or ())]
    shown = [_text("screen", text, at, _screen(sure)) for at, text in enumerate(scene.screen or ())]
    lines = [ChatLine(at_s=min(9.9, at * 0.7), user=line.user, text=line.text) for at, line in enumerate(chat)]
    written, _ = group_chat(lines)
    texts, _ = score_texts(read_texts([*spoken, *shown, *written], scorer.lexicon), scorer.models)
    low, high = (0.85, 0.99) if scene.frames == "nude" else (0.005, 0.12)
    nudity = [float(dice.uniform(low, high)) for _ in range(FRAMES)]
    frames = tuple(
        FrameObservation(at_s=at * 2.0, scores={VISION: {"nsfw": score, "sfw": 1 - score}})
        for at, score in enumerate(nudity)
    )
    return Observations(
        frames=frames,
        texts=texts,
        coverage=dict.fromkeys(MODALITIES, Coverage(status="examined", examined=1, total=1)),
        checkpoints=checkpoints_of(scorer.models, scorer.lexicon),
    )


def _text(source: Literal["speech", "screen"], text: str, at: int, sure: float) -> TextObservation:
    return TextObservation(
        source=source,
        at_s=float(min(at * 2, 9)),
        end_s=float(min(at * 2 + 2, 10)),
        text=text,
        normalised=normalise(text).text,
        language=language_of(text),
        confidence=sure,
    )


def rank(scorer: Scorer, found: Sequence[Sample]) -> tuple[Ranking, Mapping[int, Action]]:
    """The ranking, and the highest action of each sample by its index."""
    said: dict[str, list[float]] = {name: [] for name in ("fusion", "max-score", *MODALITIES)}
    truth: list[bool] = []
    scene: list[int] = []
    actions: dict[int, Action] = {}
    ids = {one.scene.id: at for at, one in enumerate(found)}
    for index, sample in enumerate(found):
        evidence = evidence_of(sample.observations, scorer.labels, scorer.policies)
        fused = _fused(evidence, sample, scorer.policies)
        alone = {modality: _fused(evidence, sample, scorer.policies, modality) for modality in MODALITIES}
        actions[index] = max((verdict.action for verdict in fused.values()), key=ACTIONS.index)
        for policy, verdict in fused.items():
            truth.append(policy in sample.scene.policies)
            scene.append(ids[sample.scene.id])
            said["fusion"].append(verdict.probability)
            said["max-score"].append(max((item.probability for item in evidence.get(policy, ())), default=0.0))
            for modality in MODALITIES:
                said[modality].append(alone[modality][policy].probability)
    values = {name: np.array(column) for name, column in said.items()}
    return Ranking(np.array(truth), np.array(scene), values), actions


def _fused(evidence: BySegment, sample: Sample, policies: Policies, modality: Modality | None = None) -> Fused:
    """The verdicts by policy; from one modality's evidence alone where it is named."""
    chosen = {
        policy: tuple(item for item in items if modality is None or item.modality == modality)
        for policy, items in evidence.items()
    }
    verdicts = fuse(chosen, sample.observations.coverage, policies, at=0.0, history={})
    return {verdict.policy: verdict for verdict in verdicts}


def run(config: Config, *, variants: int = 6) -> Iterator[str]:
    """Prints the figures and yields what is not as it must be."""
    scenes = read_scenes()
    with Scorer.open(config, ("text", "vision"), report=lambda _: None) as scorer:
        found = list(samples(scorer, scenes, variants))
        ranking, actions = rank(scorer, found)
    say(
        f"fusion   {len(scenes)} scenes, {len(found)} segments; "
        f"{int(ranking.truth.sum())} of {len(ranking.truth)} pairs of segment and policy are risky"
    )
    others = {name: ranking.precision(name) for name in ranking.said if name != "fusion"}
    ours = ranking.precision("fusion")
    best = max(others, key=lambda name: others[name])
    low, high = _margin(ranking, best)
    for name, value in {"fusion": ours, **others}.items():
        say(f"fusion   {name:<10} average precision {value:.3f}")
    say(
        f"fusion   margin over {best}: {ours - others[best]:+.3f} "
        f"(95 % by resampling scenes: {low:+.3f} to {high:+.3f})"
    )
    benign = [index for index, one in enumerate(found) if not one.scene.policies]
    flagged = Share(sum(actions[index] in ("review", "act") for index in benign), len(benign))
    caught = [index for index, one in enumerate(found) if one.scene.policies]
    raised = Share(sum(actions[index] in ("review", "act") for index in caught), len(caught))
    say(f"fusion   benign segments at review or above: {flagged}; risky ones: {raised}")
    for name, value in others.items():
        if ours <= value:
            yield f"fusion: average precision {ours:.3f} is not above {name} with {value:.3f}"
    if flagged.value > FALSE_ALARMS:
        yield f"fusion: {flagged.value:.3f} of benign segments flagged, more than {FALSE_ALARMS:g}"


def _margin(ranking: Ranking, other: str) -> tuple[float, float]:
    """Between which the margin lies when other scenes had been drawn: the 2.5th and 97.5th percentile."""
    dice = np.random.default_rng(SEED)
    rows = {scene: np.flatnonzero(ranking.scene == scene) for scene in np.unique(ranking.scene)}
    names = list(rows)
    margins = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([rows[names[at]] for at in dice.integers(len(names), size=len(names))])
        margins.append(ranking.precision("fusion", chosen) - ranking.precision(other, chosen))
    low, high = np.percentile(margins, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=6, help="segments made of each scene")
    options = parser.parse_args()
    wrong = list(run(load_config(), variants=options.variants))
    for line in wrong:
        say(f"NOT AS IT MUST BE: {line}")
    sys.exit(3 if wrong else 0)


if __name__ == "__main__":
    main()
