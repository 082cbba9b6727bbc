"""Verdicts in words: which rule set the action, and which modalities disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.fusion.history import Standing
from pipelines.fusion.sight import Sight
from pipelines.policies import Policy
from pipelines.record import Action, Contribution, Modality


def because(
    parts: Sequence[Contribution], instant: float, standing: Standing, seen: Sight, policy: Policy, least: Action | None
) -> str:
    """The rule that set the action. `least`: the action that seeing too little imposed, if it did."""
    said = []
    if least:
        said.append(f"{least} at least, because {', '.join(_too_little(seen))}")
    if standing.severity != "none":
        said.append(_reached(parts, instant, standing, policy))
    elif seen.examined != "not":
        said.append(f"{standing.probability:g} is below watch {policy.thresholds.watch:g}")
    elif not seen.unseen:
        said.append(f"nothing to examine: {_listed(seen.empty)}")
    if standing.severity == "high" and instant < policy.thresholds.severe:
        said.append(_persistence(standing, policy))
    if not least:
        said += _too_little(seen)
    if seen.partial:
        said.append(f"partly examined: {_listed(seen.partial)}")
    return "; ".join(said)


def conflict(parts: Sequence[Contribution], against: Sequence[Contribution], policy: Policy) -> str | None:
    """Modalities at `review` or above, and those which were examined and speak clearly against them."""
    strong = [part for part in parts if part.probability >= policy.thresholds.review]
    if not strong or not against:
        return None
    return f"{_heard(strong)} against {_heard(against)}"


def _reached(parts: Sequence[Contribution], instant: float, standing: Standing, policy: Policy) -> str:
    thresholds = policy.thresholds
    name, threshold = {
        "low": ("watch", thresholds.watch),
        "medium": ("review", thresholds.review),
        "high": ("act", thresholds.act),
    }[standing.severity]
    if standing.held:
        slack = policy.persistence.hysteresis
        return f"held by hysteresis: {standing.probability:g} is at most {slack:g} below {name} {threshold:g}"
    if instant < threshold:
        return f"carried over from earlier segments: {standing.probability:g} ≥ {name} {threshold:g}"
    if instant >= thresholds.severe:
        name, threshold = "severe", thresholds.severe
    sources = [part.modality for part in parts if part.log_odds > 0]
    who = f"{sources[0]} alone" if len(sources) == 1 else " with ".join(sources)
    return f"{who} reached {instant:g} ≥ {name} {threshold:g}"


def _persistence(standing: Standing, policy: Policy) -> str:
    needed, of = policy.persistence.hits, policy.persistence.of
    counted = f"{standing.hits} of the last {of} segments at review or above"
    if standing.hits >= needed:
        return counted
    if standing.acting:
        return "acted on until it comes down"
    return f"{counted}, act needs {needed}"


def _heard(parts: Sequence[Contribution]) -> str:
    return ", ".join(f"{part.modality} {part.probability:g}" for part in parts)


def _too_little(seen: Sight) -> list[str]:
    parts = {"not examined": seen.unseen, "hardly examined": seen.scarce}
    return [f"{how}: {_listed(reasons)}" for how, reasons in parts.items() if reasons]


def _listed(reasons: Mapping[Modality, str]) -> str:
    return ", ".join(f"{modality} ({reason})" for modality, reason in reasons.items())
