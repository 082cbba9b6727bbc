"""A new record out of a stored one: its observations, or those made anew, fused with a run's policies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pipelines.fusion import History, evidence_of, fuse
from pipelines.manifest import Profile
from pipelines.record import Modality, Processing, Record, Stage
from pipelines.segment import ExaminationSettings
from workers.runs.history import Fuser
from workers.runs.run import Item, Outcome, Plan

LOOKS_AT: Mapping[Stage, Modality] = {"frames": "frames", "speech": "speech", "screen": "screen"}
"""Stages that examine one modality from its media."""


def derived(
    source: Record,
    item: Item,
    outcome: Outcome,
    plan: Plan,
    fuser: Fuser,
    history: History,
    *,
    settings: ExaminationSettings,
    worker: str,
) -> Record:
    """The run's record of the source's segment, `history` being its stream's state in this run.

    Profile and settings are the run's where it did look: texts are scored alike at any. Raises `UnknownCheckpoint`.
    """
    started_at = datetime.now(UTC)
    observations = outcome.observations or source.observations
    verdicts = fuse(
        evidence_of(observations, fuser.labels, fuser.policies),
        observations.coverage,
        fuser.policies,
        at=source.captured_at.timestamp(),
        history=history,
        window_s=fuser.policies.fusion.lookback_s(looking_back(source, plan)),
    )
    ran = reran(item, outcome)
    looked = any(stage in LOOKS_AT for stage in ran)
    return source.model_copy(
        update={
            "run": plan.run,
            "profile": plan.profile if looked else source.profile,
            "policy_digest": fuser.digest,
            "settings": settings.model_dump(exclude_none=True) if looked else source.settings,
            "derived_from": item.source,
            "reran": ran,
            "observations": observations,
            "verdicts": verdicts,
            "processing": _processing(source, outcome, started_at, worker),
        }
    )


def looking_back(source: Record, plan: Plan) -> Profile:
    """Whose window a segment is fused with: a deep review's goes on to be wide when its records are fused anew."""
    return "deep" if "deep" in (source.profile, plan.profile) else "live"


def _processing(source: Record, outcome: Outcome, started_at: datetime, worker: str) -> Processing:
    finished_at = datetime.now(UTC)
    ended_at = source.captured_at + timedelta(seconds=source.duration_s)
    fuse_ms = round((finished_at - started_at).total_seconds() * 1000, 1)
    return Processing(
        worker=worker,
        started_at=started_at,
        finished_at=finished_at,
        stage_ms={**outcome.stage_ms, "fuse": fuse_ms},
        latency_s=round((finished_at - ended_at).total_seconds(), 3),
    )


def reran(item: Item, outcome: Outcome) -> tuple[Stage, ...]:
    """The stages that did run again: those asked for, unless stored observations had to stand in for them."""
    if outcome.observations is None:
        return ()
    return tuple(stage for stage in item.stages if LOOKS_AT.get(stage) not in outcome.reused)
