"""Whether the pool's savings change a verdict: the same segments with all of them and with none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pipelines.record import Record
from workers.bench.corpus import SHAPES, Corpus, planted
from workers.bench.pool import Pool
from workers.bench.report import Savings

Flags = Mapping[str, str]
"""Policy -> action, of those that ask for more than nothing."""


def flags(record: Record) -> Flags:
    """What the record's verdicts ask for."""
    return {verdict.policy: verdict.action for verdict in record.verdicts if verdict.action != "allow"}


def differences(with_them: Sequence[Record], without: Sequence[Record]) -> Iterator[str]:
    """A line for each segment whose verdicts are not the same; both are of the same segments in the same order."""
    for one, other in zip(with_them, without, strict=True):
        if (saved := flags(one)) != (whole := flags(other)):
            yield f"{one.segment_id}: {_said(saved)} with savings, {_said(whole)} without"


def _said(found: Flags) -> str:
    return ", ".join(f"{policy} {action}" for policy, action in sorted(found.items())) or "nothing"


def compare_savings(pools: Mapping[bool, Pool], corpus: Corpus, tell: Callable[[str], None], *, count: int) -> Savings:
    """The same segments with all savings and with none; `pools` have one child each, so that streams stay in order."""
    shapes = [shape for shape in SHAPES if shape in corpus.segments]
    records: dict[bool, list[Record]] = {}
    took_s: dict[bool, float] = {}
    for on, pool in pools.items():
        segments = [one for shape in shapes for one in corpus.copies(shape, count, f"savings-{'on' if on else 'off'}")]
        with pool.start() as running:
            took_s[on] = max(running.play(segments, [0.0] * len(segments)))
            records[on] = running.records(segments)
        tell(f"  savings {'on' if on else 'off'}: {len(segments)} segments in {took_s[on]:.1f} s")
    marked = [planted(at % len(corpus.segments[shape]), shape) for shape in shapes for at in range(count)]
    return Savings(
        segments=len(marked),
        planted=sum(marked),
        flagged=sum(mark and bool(flags(record)) for mark, record in zip(marked, records[True], strict=True)),
        changed=tuple(differences(records[True], records[False])),
        wall_s=round(took_s[True], 2),
        wall_without_s=round(took_s[False], 2),
    )
