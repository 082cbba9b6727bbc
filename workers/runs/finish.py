"""The end of a run: its report, its verdicts made current where that was asked for, and the mark that it is over.

Each step can be repeated, so a feeder that dies in the middle leaves nothing to repair.
"""

from __future__ import annotations

import logging

from workers.config import Config
from workers.runs.run import Plan
from workers.runs.store import Runs

logger = logging.getLogger(__name__)

FEEDER = "feeder"
"""Who marks a run as finished."""


def finish(runs: Runs, plan: Plan, config: Config) -> None:
    """Ends a run all of whose batches have their receipts."""
    # Imported here: what draws pages and decodes frames is no part of a feeder that only feeds.
    from workers.runs.applied import apply_once

    if plan.kind == "rescan":
        from workers.runs.diff import write_diff

        write_diff(runs, plan)
    else:
        from workers.runs.packet import write_packet

        write_packet(runs, plan, cards=config.cards_directory)
    if plan.apply:
        apply_once(runs.storage, plan.run, plan.by)
    runs.mark(plan.run, "finished", FEEDER)
    runs.close(plan.run)
    logger.info("run finished run=%s selected=%d applied=%s", plan.run, plan.selected, plan.apply)
