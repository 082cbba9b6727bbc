"""A text of a packet cut into what is marked and what is not."""

from __future__ import annotations

from dataclasses import dataclass

from workers.runs.reviewed import Mark, Text


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text that is marked as a whole or not at all; `because` says what it is taken for."""

    text: str
    marked: bool = False
    because: str = ""


def pieces(text: Text, *, most: int) -> list[Piece]:
    """The text, at most so many characters of it, cut where a lexicon's terms begin and end.

    It is marked as a whole where a model alone speaks for a policy.
    """
    shown = text.text if len(text.text) <= most else f"{text.text[: most - 1]}…"
    if not text.marks:
        return [Piece(shown, marked=bool(text.hits))]
    found, at = list[Piece](), 0
    for mark in sorted(text.marks, key=lambda mark: (mark.start, -mark.end)):
        start, end = max(at, mark.start), min(len(shown), mark.end)
        if start < end:
            found += [Piece(shown[at:start]), Piece(shown[start:end], marked=True, because=_taken_for(mark))]
            at = end
    return [piece for piece in (*found, Piece(shown[at:])) if piece.text]


def _taken_for(mark: Mark) -> str:
    return f"{mark.term} ({', '.join(mark.chain)})" if mark.chain else mark.term
