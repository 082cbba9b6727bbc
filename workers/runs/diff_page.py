"""A diff as one short HTML page, for the person who asked for the rescan."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from workers.runs.pages import render
from workers.runs.run import CHANGE_KINDS, Change, ChangeKind

if TYPE_CHECKING:
    from workers.runs.diff import Diff

STREAMS_SHOWN = 20
NAMES_SHOWN = 20
KINDS: dict[ChangeKind, str] = {
    "flagged": "newly flagged",
    "lifted": "flag lifted",
    "raised": "raised",
    "lowered": "lowered",
}
STAGES = {"frames": "pictures", "speech": "speech", "screen": "on-screen text", "text": "text scores"}
NAMELESS = {"by_language": "not known", "by_modality": "none in the segment itself", "by_policy": "none"}


def page(diff: Diff) -> str:
    """The whole page: what was asked, what changed, the streams that matter first, examples, what was not examined."""
    return render(
        "diff.html",
        diff=diff,
        kinds=KINDS,
        kind_names=CHANGE_KINDS,
        tables=tables(diff),
        examples=examples(diff),
        streams=diff.streams[:STREAMS_SHOWN],
        names_shown=NAMES_SHOWN,
        again=again(diff),
    )


def tables(diff: Diff) -> list[tuple[str, list[tuple[str, dict[str, int]]]]]:
    """Title, and rows of name and counts by kind, of each way to split the changes."""
    splits = (("By policy", "by_policy"), ("By language", "by_language"), ("By modality", "by_modality"))
    return [
        (
            title,
            [
                (diff.titles.get(name, NAMELESS[field] if name == "none" else name), counts.model_dump())
                for name, counts in getattr(diff, field).items()
            ],
        )
        for title, field in splits
    ]


def examples(diff: Diff) -> list[tuple[str, list[tuple[str, list[Change]]]]]:
    """Examples under their policy's title, then their kind in words."""
    return [
        (
            diff.titles.get(policy, policy),
            [(KINDS[kind], list(alike)) for kind, alike in groupby(of_policy, key=lambda change: change.kind)],
        )
        for policy, of_policy in groupby(diff.examples, key=lambda change: change.policy)
    ]


def again(diff: Diff) -> str:
    """What models looked at again, in words."""
    done = [f"{STAGES[stage]} of {count:,}" for stage, count in diff.stages.items() if count]
    return f"{', '.join(done)} segments; everything else is as stored" if done else "nothing: stored observations only"
