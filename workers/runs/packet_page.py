"""The review packet as a page: what deep found first, then the timeline, the texts, and only then the pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby

from pipelines.coverage import NO_INPUT
from pipelines.manifest import FrameRef
from pipelines.media import DecodeLimits
from pipelines.record import MODALITIES, Modality, Severity, TextSource
from workers.decoder.contained import Contained
from workers.fetch import Objects
from workers.runs.blurred import Shown, pictures
from workers.runs.marking import pieces
from workers.runs.pages import render
from workers.runs.reviewed import Examined, Finding, Packet, Pass, Picture, Text
from workers.verdicts.show import PLAIN, seen_in_words
from workers.verdicts.timeline import Stretch

TEXTS_SHOWN = 1000
"""Of the page, which people read; `packet.json` has the rest."""
ROWS_SHOWN = 200
PICTURES_SHOWN = 24
SCALE = 1000.0
"""Width of the drawn timeline, in its own units."""
QUOTED = 80
CHARACTERS = 600
"""Shown of one text; chat lines may have thousands."""
CONTEXT = 2
"""Texts shown before and after one that says something."""
FOLDED_FROM = 5

SOURCES: Mapping[TextSource, str] = {"speech": "said", "screen": "on screen", "chat": "chat"}
UNITS: Mapping[Modality, str] = {
    "frames": "frames",
    "speech": "s of audio",
    "screen": "frames searched for text",
    "chat": "chat lines",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One stretch on the drawn timeline."""

    x: float
    width: float
    severity: Severity
    words: str


@dataclass(frozen=True, slots=True)
class Row:
    """What both passes say of one policy, or of what they could not see."""

    title: str
    live: tuple[Bar, ...]
    deep: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """Texts that follow one another."""

    folded: bool
    texts: tuple[Text, ...]


def packet_page(packet: Packet, storage: Objects, *, originals: bool = False) -> str:
    """One self-contained page. Frames are fetched for it: grey, small and blurred unless `originals`.

    Raises `StorageError` when the store does not answer; frames that are gone are said to be.
    """
    chosen = _chosen(packet.pictures)
    shown = _fetched(storage, chosen, originals)
    texts = _texts_shown(packet.texts)
    return render(
        "packet.html",
        packet=packet,
        originals=originals,
        missed=found_in_words(packet),
        concluded=conclusion(packet),
        whole=_whole(packet),
        rows=_rows(packet),
        ticks=_ticks(packet.since, packet.until),
        scale=SCALE,
        passages=passages(texts),
        pieces=partial(pieces, most=CHARACTERS),
        texts_elsewhere=len(packet.texts) + packet.texts_left_out - len(texts),
        hits_elsewhere=sum(bool(one.hits) for one in packet.texts) - sum(bool(one.hits) for one in texts),
        sources=SOURCES,
        pictures=[(one, shown[one.frame]) for one in chosen if one.frame in shown],
        pictures_elsewhere=len(packet.pictures) - len(shown),
        coverage=[
            (modality, _covered(packet.live, modality), _covered(packet.deep, modality)) for modality in MODALITIES
        ],
        differences=differences(packet),
        settings=_settings(packet),
        stretches=[one for one in packet.deep.timeline if one.kind != "nothing"][:ROWS_SHOWN],
        in_words=_stretch_in_words,
        clock="%T" if packet.since.date() == packet.until.date() else "%F %T",
        seen=seen_in_words,
        many=many,
        characters=CHARACTERS,
        rows_shown=ROWS_SHOWN,
        lost=Counter(one.reason for one in packet.unexaminable),
        kept=Counter(one.reason for one in packet.kept),
    )


def _fetched(storage: Objects, chosen: Sequence[Picture], originals: bool) -> Mapping[FrameRef, Shown]:
    with Contained(DecodeLimits()) as decoder:
        return pictures(storage, [one.frame for one in chosen], decoder, originals=originals)


def conclusion(packet: Packet) -> str:
    """Whether live had missed anything. That it had not is said of what deep did look at, and of nothing else."""
    if found_in_words(packet):
        return "Deep review found what live had missed"
    if not packet.reviewed:
        return "Nothing could be reviewed"
    nothing = "Deep review found nothing that live had missed"
    return nothing if _whole(packet) else f"{nothing} in what it could look at"


def _whole(packet: Packet) -> bool:
    """Whether deep has examined all of every segment by itself."""
    lacking = any(one.reasons for one in packet.deep.coverage.values())
    return packet.reviewed == packet.segments and not packet.kept and not lacking


def found_in_words(packet: Packet) -> list[str]:
    """What live had missed, a line each; empty when deep found nothing new."""
    lines = [_finding(one, packet.titles) for one in packet.found]
    texts = [one for one in packet.texts if one.missed]
    if texts:
        unread = sum(one.live != "same" for one in texts)
        which = "that" if unread == len(texts) else f"{unread} of which"
        lines.append(
            f"{many(len(texts), 'text')} with signs of {_policies(texts, packet.titles)}"
            + (f", {which} live had not read, or read otherwise" if unread else "")
        )
    frames = [one for one in packet.pictures if one.missed]
    if frames:
        lines.append(f"{many(len(frames), 'frame')} with signs of {_policies(frames, packet.titles)}")
    return lines


def differences(packet: Packet) -> list[str]:
    """What beside the deeper look may have changed verdicts: other checkpoints and policies than live had."""
    lines = []
    if set(packet.live.policies) != set(packet.deep.policies):
        before = ", ".join(digest[:12] for digest in packet.live.policies)
        lines.append(f"policies: live was fused with {before}, deep with {packet.deep.policies[0][:12]}")
    for slot, used in packet.deep.checkpoints.items():
        earlier = packet.live.checkpoints.get(slot, ())
        if set(earlier) != set(used):
            lines.append(f"{slot}: live {_short(earlier) or 'none'}, deep {_short(used)}")
    return lines if packet.live.policies and packet.deep.policies else []


def passages(texts: Sequence[Text]) -> list[Passage]:
    """The texts in their order; longer stretches in which there is nothing to see are folded."""
    notable = [index for index, one in enumerate(texts) if one.hits or one.live == "new"]
    shown = {near for index in notable for near in range(index - CONTEXT, index + CONTEXT + 1)}
    found: list[Passage] = []
    for open_, indexes in groupby(range(len(texts)), key=lambda index: index in shown):
        lines = tuple(texts[index] for index in indexes)
        found.append(Passage(folded=not open_ and len(lines) >= FOLDED_FROM, texts=lines))
    return found


def _finding(one: Finding, titles: Mapping[str, str]) -> str:
    quote = f", “{one.text[:QUOTED]}”" if one.text else ""
    how = "" if one.kind == "flagged" else " rated higher"
    when = f"{one.first:%F %T}" + ("" if one.first == one.last else f" to {one.last:%T}")
    where = f" ({one.modality}{quote})" if one.modality else ""
    return f"{titles.get(one.policy, one.policy)}{how} in {many(one.segments, 'segment')}, {when}, up to " + (
        f"{one.probability:.2f}{where}"
    )


def _policies(items: Sequence[Text] | Sequence[Picture], titles: Mapping[str, str]) -> str:
    found = Counter(hit.policy for one in items for hit in one.hits if hit.missed)
    return ", ".join(titles.get(policy, policy).lower() for policy, _ in found.most_common())


def many(count: int, what: str, several: str = "") -> str:
    """`1 frame`, `2 frames`."""
    return f"{count:,} {what if count == 1 else several or what + 's'}"


def _rows(packet: Packet) -> list[Row]:
    """A row for each policy that either pass flags, the most often flagged first, and one for what was not seen."""
    both = (*packet.live.timeline, *packet.deep.timeline)
    flagged = Counter(one.policy for one in both if one.kind == "flagged" and one.policy)
    rows = [
        _row(packet, packet.titles.get(policy, policy), partial(_is_of, policy)) for policy, _ in flagged.most_common()
    ]
    unseen = _row(packet, "not wholly examined", lambda one: one.kind not in ("flagged", "nothing"))
    return [*rows, *([unseen] if unseen.live or unseen.deep else [])]


def _is_of(policy: str, one: Stretch) -> bool:
    return one.policy == policy


def _row(packet: Packet, title: str, belongs: Callable[[Stretch], bool]) -> Row:
    live, deep = (tuple(_bars(filter(belongs, side.timeline), packet)) for side in (packet.live, packet.deep))
    return Row(title, live, deep)


def _bars(stretches: Iterator[Stretch], packet: Packet) -> Iterator[Bar]:
    whole_s = max(1e-3, (packet.until - packet.since).total_seconds())
    for one in stretches:
        start = (one.start - packet.since).total_seconds() / whole_s * SCALE
        width = max(3.0, (one.end - one.start).total_seconds() / whole_s * SCALE)
        yield Bar(round(start, 1), round(width, 1), one.severity, _stretch_in_words(one))


def _stretch_in_words(one: Stretch) -> str:
    when = f"{one.start:%F %T} to {one.end:%T}"
    if one.kind == "flagged":
        return f"{when}: {one.severity}, {one.action}, {one.probability:.2f}"
    reasons = ", ".join(f"{modality} {reason}" for modality, reason in one.lacking)
    return f"{when}: {PLAIN[one.kind]}{', ' + reasons if reasons else ''}"


def _ticks(since: datetime, until: datetime) -> list[datetime]:
    return [since + (until - since) * share for share in (0, 0.25, 0.5, 0.75, 1)]


def _texts_shown(texts: Sequence[Text]) -> list[Text]:
    """Those that speak for a policy or that live had not read so first."""
    first = sorted(texts, key=lambda one: (not one.hits, one.live == "same", one.at))[:TEXTS_SHOWN]
    return sorted(first, key=lambda one: one.at)


def _chosen(found: Sequence[Picture]) -> list[Picture]:
    first = sorted(found, key=lambda one: (not one.missed, -one.probability))[:PICTURES_SHOWN]
    return sorted(first, key=lambda one: one.at)


def _covered(side: Examined, modality: Modality) -> str:
    """`all 12 segments; 60 of 60 frames` or what was missing and why, and what was spared."""
    seen = side.coverage.get(modality, Pass(segments={}, reasons={}, examined=0, total=0, skipped={}))
    with_input = {name: count for name, count in seen.segments.items() if name != NO_INPUT and count}
    if not with_input:
        return "there was none"
    total = sum(with_input.values())
    if with_input.get("examined") == total:
        words = [f"all {total} segments" if total > 1 else "the one segment"]
    else:
        words = [f"{with_input.get('examined', 0)} of {total} segments wholly"]
        words += [f"{count} {name}" for name, count in with_input.items() if name != "examined"]
    amounts = f"{seen.examined:g} of {seen.total:g} {UNITS[modality]}"
    spared = ", ".join(f"{count:g} {why.replace('_', ' ')}" for why, count in seen.skipped.items())
    why = ", ".join(f"{reason} {count}" for reason, count in seen.reasons.items())
    return "; ".join(
        [", ".join(words) + (f" ({why})" if why else ""), amounts, *([f"spared: {spared}"] if spared else [])]
    )


def _short(used: Sequence[str]) -> str:
    """`id@digest (session)` with the first figures of the digest."""
    parts = (one.partition("@") for one in used)
    return ", ".join(f"{name}@{rest[:12]}{rest[64:]}" for name, _, rest in parts)


def _settings(packet: Packet) -> list[tuple[str, str, str]]:
    """Slot or setting, as live had it, as deep had it: all checkpoints, and the settings that differ."""
    rows = [
        (slot, _short(packet.live.checkpoints.get(slot, ())), _short(packet.deep.checkpoints.get(slot, ())))
        for slot in sorted({*packet.live.checkpoints, *packet.deep.checkpoints})
    ]
    live, deep = (", ".join(one[:12] for one in side.policies) for side in (packet.live, packet.deep))
    rows.append(("policies", live, deep))
    for name in sorted({*packet.live.settings, *packet.deep.settings}):
        before, after = packet.live.settings.get(name, ()), packet.deep.settings.get(name, ())
        if set(before) != set(after):
            rows.append((name.replace("_", " "), ", ".join(before), ", ".join(after)))
    return rows
