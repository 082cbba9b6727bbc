"""Dashboard, alert rules and the operator's guide ask only for metrics, labels and values that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from pipelines.coverage import REASONS
from pipelines.policies import POLICY_IDS
from pipelines.record import ACTIONS, MODALITIES
from workers.cli.main import cli
from workers.config import load_config
from workers.lanes import LANES
from workers.look import Depth
from workers.metrics.catalogue import COUNTED, METRICS, Metric
from workers.quarantine import Reason

ROOT = Path(__file__).resolve().parents[3]
WATCH = ROOT / "docker" / "watch"
GUIDE = ROOT / "docs" / "operating.md"
NAME = re.compile(r"\bliverisk_[a-z0-9_]+")
MATCHERS = re.compile(r"(liverisk_[a-z0-9_]+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|on|group_left)\s*\(([^)]*)\)")
NAMED_LABEL = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")

BY_NAME = {
    name: metric
    for metric in METRICS
    for name in (
        [f"{metric.name}_{ending}" for ending in ("bucket", "sum", "count")]
        if metric.kind == "histogram"
        else [metric.name]
    )
}
VALUES: dict[str, set[str]] = {
    "lane": set(LANES),
    "depth": set(get_args(Depth)),
    "modality": set(MODALITIES),
    "policy": set(POLICY_IDS),
    "action": set(ACTIONS),
    "status": {"examined", "partly", "not"},
    "role": {"active", "deep", "canary", "shadow"},
    "state": {"requested", "running", "paused", "cancelled", "finished"},
    "reason": {*REASONS, *get_args(Reason), "near_duplicate"},
}
"""The values that a rule may ask for, of the labels that have a fixed set of them."""


class Rule(BaseModel):
    model_config = ConfigDict(extra="ignore")

    alert: str
    expr: str
    labels: dict[str, str]
    annotations: dict[str, str]


def rules() -> list[Rule]:
    tree = yaml.safe_load((WATCH / "alerts.yaml").read_text(encoding="utf-8"))
    return [Rule.model_validate(rule) for group in tree["groups"] for rule in group["rules"]]


def panels() -> Iterator[tuple[str, str, str]]:
    """Title, expression and legend of every line of the dashboard."""
    tree = json.loads((WATCH / "grafana" / "dashboards" / "liverisk.json").read_text(encoding="utf-8"))
    for panel in tree["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


def asked() -> Iterator[tuple[str, str]]:
    """Everything written in PromQL, and where."""
    for rule in rules():
        yield f"alert {rule.alert}", rule.expr
    for title, expression, _ in panels():
        yield f"panel {title}", expression
    for line in GUIDE.read_text(encoding="utf-8").splitlines():
        for quoted in re.findall(r"`([^`]*liverisk_[^`]*)`", line):
            yield "docs/operating.md", quoted


def labels_of(metric: Metric) -> set[str]:
    return {*metric.labels, *(["le"] if metric.kind == "histogram" else [])}


def is_known(name: str) -> bool:
    return name in BY_NAME or any(metric.name == name for metric in METRICS)


def test_every_metric_that_is_asked_for_exists() -> None:
    asked_for = [(place, name) for place, text in asked() for name in NAME.findall(text)]

    assert len(asked_for) > len(METRICS)
    assert [found for found in asked_for if not is_known(found[1])] == []


def test_every_label_that_is_asked_for_is_one_of_its_metric() -> None:
    wrong: list[tuple[str, str]] = []
    for place, text in asked():
        metrics = [BY_NAME[name] for name in NAME.findall(text) if name in BY_NAME]
        for name, matchers in MATCHERS.findall(text):
            wrong += [(place, label) for label, _ in MATCHER.findall(matchers) if label not in labels_of(BY_NAME[name])]
        together = {label for metric in metrics for label in labels_of(metric)}
        for group in GROUPED.findall(text):
            wrong += [(place, label) for label in group.replace(" ", "").split(",") if label and label not in together]

    assert wrong == []


def test_every_value_that_is_asked_for_can_occur() -> None:
    wrong = [
        (place, label, value)
        for place, text in asked()
        for _, matchers in MATCHERS.findall(text)
        for label, values in MATCHER.findall(matchers)
        for value in values.split("|")
        if label in VALUES and value not in VALUES[label]
    ]

    assert wrong == []


def test_every_legend_and_summary_names_labels_that_there_are() -> None:
    every = {label for metric in METRICS for label in metric.labels} | {"value"}
    legends = [(title, label) for title, _, legend in panels() for label in NAMED_LABEL.findall(legend)]
    summaries = [(rule.alert, label) for rule in rules() for label in NAMED_LABEL.findall(rule.annotations["summary"])]

    assert legends
    assert [found for found in (*legends, *summaries) if found[1] not in every] == []


def test_every_metric_is_explained_with_its_labels() -> None:
    guide = GUIDE.read_text(encoding="utf-8")

    missing = [
        metric.name
        for metric in METRICS
        if f"| `{metric.name}` | {', '.join(metric.labels) or '–'} | {metric.meaning}" not in guide
    ]

    assert missing == []


def test_the_containers_that_watch_read_files_that_exist_and_the_pool_that_compose_starts() -> None:
    services = yaml.safe_load((ROOT / "docker" / "compose.watch.yaml").read_text(encoding="utf-8"))["services"]
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", ())]
    prometheus = yaml.safe_load((WATCH / "prometheus.yaml").read_text(encoding="utf-8"))
    name, *arguments = services["metrics"]["command"]
    command = cli.get_command(click.Context(cli), name)

    assert command is not None
    assert command.make_context(name, arguments).params["port"] == 9464
    assert prometheus["scrape_configs"][0]["static_configs"][0]["targets"] == ["metrics:9464"]
    assert [path for path in mounted if path.startswith(".") and not (ROOT / "docker" / path).exists()] == []
    load_config(environment=services["metrics"]["environment"])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.alert)
def test_every_alert_says_how_urgent_it_is_and_has_its_section_in_the_guide(rule: Rule) -> None:
    assert rule.labels["severity"] in ("page", "ticket")
    assert rule.annotations["summary"]
    assert f"\n### {rule.alert}\n" in GUIDE.read_text(encoding="utf-8")


def test_no_metric_has_a_label_without_bounds() -> None:
    unbounded = {"stream", "stream_id", "segment", "segment_id", "user", "run", "worker", "key"}

    assert [metric.name for metric in METRICS if unbounded & set(metric.labels)] == []


def test_counters_and_only_they_end_as_prometheus_wants_it() -> None:
    assert {metric.name for metric in METRICS if metric.name.endswith("_total")} == {
        metric.name for metric in METRICS if metric.kind == "counter"
    }
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert not [metric.name for metric in COUNTED if metric.kind == "gauge"]
