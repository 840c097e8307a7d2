"""What is asked of Prometheus: each query of the dashboards and rules, and the metrics that it names."""

import json
import re
from dataclasses import dataclass
from typing import Any

import yaml

from tests.support.cli import ROOT
from tests.support.scraping import documented

MONITORING = ROOT / "compose/monitoring"
DASHBOARDS = sorted((MONITORING / "grafana/dashboards").glob("*.json"))
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]

#: What Prometheus itself adds.
_OWN = {"up", "ALERTS"}
_NOT_NAMES = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
_CLAUSE = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus, and where it stands."""

    place: str
    expr: str


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels that show something."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel_queries() -> list[Query]:
    """Each query of each panel."""
    return [
        Query(f"{path.name}: {panel['title']} {target['refId']}", target["expr"])
        for path in DASHBOARDS
        for panel in panels(json.loads(path.read_text()))
        for target in panel["targets"]
    ]


def rule_queries() -> list[Query]:
    """Each rule's expression, as it stands."""
    return [Query(rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES]


def without_limits(expr: str) -> str:
    """The same question where an alert leaves nothing out: each comparison answers 0 or 1, and what is absent is asked.

    It has data if all that the rule reads is there, and if the labels on both sides of an `and` meet.
    """
    compared = re.sub(r" (==|!=|<=|>=|<|>) (?!bool)", r" \1 bool ", expr)
    return re.sub(r"\babsent\((.*)\)", r"\1", compared)


def selectors(expr: str) -> list[str]:
    """The series that an expression reads, with their labels: what has to have data, whether or not it fires."""
    bare = re.sub(r"\[[^\]]*\]", "", re.sub(_CLAUSE, "", expr))
    found = re.findall(r"(?<![\w:])([a-zA-Z_:][\w:]*)(?![\w:]|\s*\()(\{[^}]*\})?", bare)
    return [name + labels for name, labels in found if name not in _NOT_NAMES]


def metric_names(expr: str) -> set[str]:
    """The metrics that an expression reads."""
    return {selector.partition("{")[0] for selector in selectors(expr)}


def known_metrics() -> set[str]:
    """What may be asked for: what docs/metrics.md lists, what the rules record, what Prometheus adds."""
    listed = documented("consume") | documented("produce") | documented("both")
    ends = ("_bucket", "_sum", "_count")
    parts = {name + end for name, kind in listed.items() if kind == "histogram" for end in ends}
    plain = {name for name, kind in listed.items() if kind != "histogram"}
    return plain | parts | {rule["record"] for rule in RULES if "record" in rule} | _OWN
