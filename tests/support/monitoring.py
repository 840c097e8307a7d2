"""The Prometheus queries of the dashboards and rules, and the metrics that they use."""

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

#: Metrics that Prometheus adds.
_BUILT_IN = {"up", "ALERTS"}
_NOT_NAMES = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
_CLAUSE = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and the panel or rule that uses it."""

    origin: str
    expr: str


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels of a dashboard without its rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel_queries() -> list[Query]:
    """Return the queries of all panels."""
    return [
        Query(f"{path.name}: {panel['title']} {target['refId']}", target["expr"])
        for path in DASHBOARDS
        for panel in panels(json.loads(path.read_text()))
        for target in panel["targets"]
    ]


def rule_queries() -> list[Query]:
    """Return the expressions of all rules."""
    return [Query(rule.get("alert") or rule["record"], rule["expr"]) for rule in RULES]


def without_limits(expr: str) -> str:
    """Return the expression with comparisons that yield 0 or 1 and without `absent`.

    The result has data if every series that the rule reads exists, and the labels on both sides of an `and` match.
    """
    compared = re.sub(r" (==|!=|<=|>=|<|>) (?!bool)", r" \1 bool ", expr)
    return re.sub(r"\babsent\((.*)\)", r"\1", compared)


def selectors(expr: str) -> list[str]:
    """Return the selectors that an expression reads; each needs data, whether or not the alert fires."""
    bare = re.sub(r"\[[^\]]*\]", "", re.sub(_CLAUSE, "", expr))
    matches = re.findall(r"(?<![\w:])([a-zA-Z_:][\w:]*)(?![\w:]|\s*\()(\{[^}]*\})?", bare)
    return [name + labels for name, labels in matches if name not in _NOT_NAMES]


def metric_names(expr: str) -> set[str]:
    """Return the metrics that an expression reads."""
    return {selector.partition("{")[0] for selector in selectors(expr)}


def known_metrics() -> set[str]:
    """Return the metrics of docs/metrics.md, of the recording rules and of Prometheus."""
    listed = documented("consume") | documented("produce") | documented("both")
    suffixes = ("_bucket", "_sum", "_count")
    parts = {name + suffix for name, kind in listed.items() if kind == "histogram" for suffix in suffixes}
    plain = {name for name, kind in listed.items() if kind != "histogram"}
    return plain | parts | {rule["record"] for rule in RULES if "record" in rule} | _BUILT_IN
