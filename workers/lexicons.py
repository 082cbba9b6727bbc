"""The lexicons of this host as they change: read anew when a file does or a day begins, and the last good ones kept.

A process looks between segments, and every worker besides, so that the pool can say which lexicons are in force. A
worker reads them before its children fork: a child that starts while a file is broken has its worker's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import redis
from pydantic import ValidationError

from pipelines.strict import Sha256, Strict
from pipelines.text.lexicon import Lexicon, LexiconError, read_lexicons
from pipelines.text.lexicon_file import Entries, is_lexicon

logger = logging.getLogger(__name__)

LOOK_S = 2.0
KEPT = 2
"""Lexicons of runs, which were planned with others than today's."""
_KEY = "liverisk:lexicon:"
TTL_S = 20

_Seen = tuple[date, tuple[tuple[str, int, int, int], ...] | None]


class Standing(Strict):
    """What one worker says of its lexicons. `problem`: why what lies in its folder now is not what is in force."""

    worker: str
    digest: Sha256
    terms: int
    expired: int
    problem: str | None = None


class Lexicons:
    """The lexicon in force. For the threads of one process: two that look at once read the same twice."""

    def __init__(
        self,
        folder: Path,
        *,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._today = today
        self._clock = clock
        self._lexicon: Lexicon | None = None
        self._seen: _Seen | None = None
        self._look_at = 0.0
        self._of_runs: dict[Sha256, Lexicon] = {}
        self.problem: str | None = None

    def current(self) -> Lexicon:
        """Today's lexicon, as the files were at most `LOOK_S` ago; while they are broken, the last good one.

        `LexiconError` when there never was one.
        """
        if self._lexicon is None or self._clock() >= self._look_at:
            self._look_at = self._clock() + LOOK_S
            self._lexicon = self._looked()
        return self._lexicon

    def of_run(self, digest: Sha256, load: Callable[[], Entries]) -> Lexicon:
        """The lexicon that a run was planned with: today's if it is that one, else as `load` brings it back."""
        current = self.current()
        if current.digest == digest:
            return current
        if digest not in self._of_runs:
            while len(self._of_runs) >= KEPT:
                self._of_runs.pop(next(iter(self._of_runs)))
            self._of_runs[digest] = Lexicon(load())
        return self._of_runs[digest]

    def standing(self, worker: str) -> Standing:
        lexicon = self.current()
        terms = len(lexicon.content.entries)
        return Standing(
            worker=worker, digest=lexicon.digest, terms=terms, expired=lexicon.expired, problem=self.problem
        )

    def _looked(self) -> Lexicon:
        today = self._today()
        seen = today, _files(self._folder)
        if self._lexicon is not None and seen == self._seen:
            return self._lexicon
        try:
            found = read_lexicons(self._folder, today=today)
        except LexiconError as error:
            if self._lexicon is None:
                raise
            self._seen, self.problem = seen, str(error)
            logger.error("lexicons broken, the last good ones stay in force error=%s", error)
            return self._lexicon
        self._seen, self.problem = seen, None
        logger.info(
            "lexicons read digest=%s terms=%d expired=%d", found.digest, len(found.content.entries), found.expired
        )
        # After a change of notes alone the automata stand.
        return self._lexicon if self._lexicon is not None and found.digest == self._lexicon.digest else found


def tell(client: redis.Redis, standing: Standing) -> None:
    """Keeps for a while what a worker says of its lexicons."""
    client.set(f"{_KEY}{standing.worker}", standing.model_dump_json(exclude_none=True), ex=TTL_S)


def told(client: redis.Redis) -> tuple[Standing, ...]:
    """What every worker lately said, in the order of their names; of another version's words nothing."""
    keys = sorted(client.scan_iter(match=f"{_KEY}*", count=1000))
    return tuple(one for one in map(_parsed, (client.get(key) for key in keys)) if one is not None)


def _parsed(raw: object) -> Standing | None:
    try:
        return Standing.model_validate_json(raw) if isinstance(raw, bytes) else None
    except ValidationError:
        return None


def _files(folder: Path) -> tuple[tuple[str, int, int, int], ...] | None:
    """What tells whether a file has changed; None when the folder cannot be read."""
    try:
        paths = sorted(path for path in folder.iterdir() if is_lexicon(path))
        states = [(path.name, path.stat()) for path in paths]
    except OSError:
        return None
    return tuple((name, state.st_mtime_ns, state.st_size, state.st_ino) for name, state in states)
