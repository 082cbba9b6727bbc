"""From observations to verdicts.

`evidence_of` calibrates what the models said, `fuse` weighs it, `instants` is what a stream's state keeps of it.
"""

from pipelines.fusion.evidence import LabelsByCheckpoint, UnknownCheckpoint, counted_hits, evidence_of
from pipelines.fusion.fuse import fuse
from pipelines.fusion.history import History, instants

__all__ = [
    "History",
    "LabelsByCheckpoint",
    "UnknownCheckpoint",
    "counted_hits",
    "evidence_of",
    "fuse",
    "instants",
]
