"""Whether any engine serves the checkpoints that a run's plan names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import redis

from workers.engine.heartbeat import beats
from workers.runs.run import Plan

SHOWN = 8
"""Characters of a digest that a person needs."""


def waits_for_checkpoints(plan: Plan, client: redis.Redis) -> str:
    """What the run waits for, in one line; empty when an engine serves it, or none has lately said what it serves."""
    if not plan.served:
        return ""
    lacking = [_lacking(plan, beat) for beat in _beats(client)]
    return min(lacking, key=len) if lacking and all(lacking) else ""


def _lacking(plan: Plan, beat: Mapping[str, Any]) -> str:
    wrong = sorted(slot for slot, digest in plan.served.items() if digest not in loaded_digests(beat, slot))
    if not wrong:
        return ""
    served = _served(beat, plan.profile)
    has = ", ".join(f"{slot} {served[slot][:SHOWN]}" if slot in served else f"no {slot}" for slot in wrong)
    wants = ", ".join(f"{slot} {plan.checkpoints[slot][:SHOWN]}" for slot in wrong)
    return f"waiting: the engine serves {has}; the plan wants {wants}"


def loaded_digests(status: Mapping[str, Any], slot: str) -> frozenset[str]:
    """The digests of a slot that an engine would give a run that names them, whatever they are to the slot."""
    roles = ("slots", "deep", "canary", "shadow", "kept")
    found = (status.get(role, {}).get(slot) for role in roles)
    return frozenset(str(one.get("checkpoint", {}).get("digest", "")) for one in found if one)


def _served(beat: Mapping[str, Any], profile: str) -> dict[str, str]:
    """Slot -> digest, as this profile would be given them."""
    slots = {**beat.get("slots", {}), **(beat.get("deep", {}) if profile == "deep" else {})}
    return {slot: str(status.get("checkpoint", {}).get("digest", "")) for slot, status in slots.items()}


def _beats(client: redis.Redis) -> list[dict[str, Any]]:
    """The heartbeats of engines that are ready; what cannot be read is none."""
    found = []
    for raw in beats(client).values():
        try:
            beat = json.loads(raw)
        except ValueError:
            continue
        if isinstance(beat, dict) and beat.get("ready"):
            found.append(beat)
    return found
