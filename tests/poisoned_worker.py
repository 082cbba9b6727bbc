"""`python -m tests.poisoned_worker worker …`: `liverisk worker`, of which some segments do what a broken library could.

The end of a segment's id says what it does to the child that examines it, each time it is tried:

die     ends it by a signal        leave   ends it as if all was well
fail    raises                     hang    takes longer than it may, and raises when it is told so
stuck   does not even hear that
"""

from __future__ import annotations

import os
import signal
import time

from pipelines.manifest import SegmentManifest
from pipelines.segment import ExaminationSettings
from workers import classify
from workers.classify import Bench
from workers.cli.main import main
from workers.lanes import Lane
from workers.look import Depth, Look, looked_at

DEEDS = ("die", "leave", "fail", "hang", "stuck")


def ill(segment_id: str) -> str:
    """What the segment does, or nothing."""
    deed = segment_id.rpartition("-")[2]
    return deed if deed in DEEDS else ""


def strange(manifest: SegmentManifest, settings: ExaminationSettings, bench: Bench, lane: Lane, depth: Depth) -> Look:
    match ill(manifest.segment_id):
        case "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "leave":
            os._exit(0)
        case "fail":
            raise AssertionError("poison")
        case "hang":
            time.sleep(3600)
        case "stuck":
            while True:
                try:
                    time.sleep(3600)
                except Exception:  # noqa: BLE001  # which is what it is about
                    continue
    return looked_at(manifest, settings, bench, lane, depth)


if __name__ == "__main__":
    classify.looked_at = strange  # type: ignore[attr-defined]  # it is only used there
    main()
