"""Chat as JSON Lines (`at_s`, `user`, `text`), cut to windows of the source's clock.

A line that cannot be used is never fatal and never forgotten: it is reported by number, without its content.
"""

from __future__ import annotations

import heapq
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, ValidationError

from pipelines.manifest import ChatLine

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

log = logging.getLogger(__name__)


class ChatFileError(Exception):
    """The chat file cannot be read; one line."""


class _Written(ChatLine):
    """A line as a platform's export writes it: what else stands there is no concern of ours."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True)
class Cut:
    """A window's chat. `bad` are the numbers of lines read since the last cut that cannot be used."""

    lines: tuple[ChatLine, ...]
    bad: tuple[int, ...]
    late: int


class ChatFile:
    """Windows are asked for in order; `follow` reads what was appended since the last one."""

    def __init__(self, path: Path, *, follow: bool) -> None:
        """`ChatFileError` when there is no such file."""
        self._path = path
        self._follow = follow
        self._offset = 0
        self._number = 0
        self._unfinished = b""
        self._waiting: list[tuple[float, int, ChatLine]] = []
        self._bad: list[int] = []
        self.bad_total = 0
        self.late_total = 0
        try:
            self._read(last=not follow)
        except OSError as error:
            raise ChatFileError(f"{path}: unreadable chat ({type(error).__name__})") from None

    @property
    def outside(self) -> int:
        """Lines that no window has taken, because they lie after the end of the source."""
        return len(self._waiting)

    def cut(self, from_s: float, to_s: float) -> Cut:
        """The lines before `to_s` that no earlier window took; one written too late for its window counts as at 0 s."""
        if self._follow:
            self._read_on(last=False)
        lines: list[ChatLine] = []
        late = 0
        while self._waiting and self._waiting[0][0] < to_s:
            at_s, _, line = heapq.heappop(self._waiting)
            late += at_s < from_s
            lines.append(line.model_copy(update={"at_s": max(0.0, round(at_s - from_s, 3))}))
        self.late_total += late
        return Cut(tuple(lines), self._new_bad(), late)

    def finish(self) -> tuple[int, ...]:
        """Reads what is left of a followed file; the numbers of bad lines that no cut has told."""
        if self._follow:
            self._read_on(last=True)
        return self._new_bad()

    def _new_bad(self) -> tuple[int, ...]:
        bad = tuple(self._bad)
        self._bad.clear()
        if bad:
            log.warning("chat lines that cannot be used: %s", ", ".join(map(str, bad)))
        return bad

    def _read(self, *, last: bool) -> None:
        """Takes whole lines only, until `last` says that no more will be written to the unfinished one.

        A file that has become shorter was begun anew, and is read from its start.
        """
        with self._path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < self._offset:
                self._offset, self._number, self._unfinished = 0, 0, b""
            file.seek(self._offset)
            read = file.read()
        self._offset += len(read)
        *lines, self._unfinished = (self._unfinished + read).split(b"\n")
        if last and self._unfinished:
            lines.append(self._unfinished)
            self._unfinished = b""
        for line in lines:
            self._number += 1
            if line.strip():
                self._take(line.removeprefix(BYTE_ORDER_MARK) if self._number == 1 else line)

    def _read_on(self, *, last: bool) -> None:
        """A followed file that cannot be read just now is tried again with the next window."""
        try:
            self._read(last=last)
        except OSError as error:
            log.warning("chat file unreadable (%s)", type(error).__name__)

    def _take(self, line: bytes) -> None:
        try:
            written = _Written.model_validate_json(line)
        except ValidationError:
            self._bad.append(self._number)
            self.bad_total += 1
            return
        chat = ChatLine(at_s=written.at_s, user=written.user, text=written.text)
        heapq.heappush(self._waiting, (chat.at_s, self._number, chat))
