"""Dashboards and alert rules: they query documented metrics, and each alert is tested firing and not firing."""

import itertools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.cli import ROOT
from tests.support.monitoring import (
    ALERTS,
    DASHBOARDS,
    MONITORING,
    Query,
    known_metrics,
    metric_names,
    panel_queries,
    panels,
    rule_queries,
    selectors,
    without_limits,
)

GRAFANA = MONITORING / "grafana/provisioning"
NO_PROMTOOL = "promtool is not installed (Debian: apt install prometheus)"


@pytest.mark.parametrize("query", [*panel_queries(), *rule_queries()], ids=lambda query: query.origin)
def test_queries_use_documented_metrics_only(query: Query) -> None:
    assert metric_names(query.expr)
    assert metric_names(query.expr) <= known_metrics()


def test_metric_names_find_an_unknown_metric() -> None:
    expr = 'sum by (job) (rate(telco_stream_records_eaten_total{job="a"}[5m])) > 0 and on (job) up == 1'
    assert metric_names(expr) - known_metrics() == {"telco_stream_records_eaten_total"}


def test_selectors_returns_series_with_their_labels() -> None:
    expr = 'sum by (le, job) (rate(a_bucket{x="1", y=~"a|b"}[5m])) / scalar(sum(b:c:d)) or on (job) time() - e > 1e9'
    assert selectors(expr) == ['a_bucket{x="1", y=~"a|b"}', "b:c:d", "e"]


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ('a{x="1"} > 0 and on (job) b >= 60', 'a{x="1"} > bool 0 and on (job) b >= bool 60'),
        ("a < 0.8 * b", "a < bool 0.8 * b"),
        ('absent(up{job=~"a|b"} == 1)', 'up{job=~"a|b"} == bool 1'),
        ("rate(a[5m]) / b", "rate(a[5m]) / b"),
    ],
)
def test_without_limits_makes_comparisons_boolean(expr: str, expected: str) -> None:
    assert without_limits(expr) == expected


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboard_panels_are_complete(path: Path) -> None:
    """IDs are unique, panels don't overlap, and each has a title, a description, a unit and the provisioned source."""
    dashboard = json.loads(path.read_text())
    source = yaml.safe_load((GRAFANA / "datasources/prometheus.yml").read_text())["datasources"][0]["uid"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    assert _overlaps(dashboard["panels"]) == []
    for panel in panels(dashboard):
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {panel["datasource"]["uid"]} == {source}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_grafana_provisions_both_dashboards() -> None:
    provider = yaml.safe_load((GRAFANA / "dashboards/telco-stream.yml").read_text())["providers"][0]
    mounts = yaml.safe_load((ROOT / "compose/compose.yaml").read_text())["services"]["grafana"]["volumes"]
    assert [path.stem for path in DASHBOARDS] == ["model", "pipeline"]
    assert f"./monitoring/grafana/dashboards:{provider['options']['path']}:ro" in mounts


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_has_a_runbook(alert: dict[str, Any]) -> None:
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (\w+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert alert["alert"] in headings
    assert anchor == alert["alert"].lower()
    assert alert["annotations"]["summary"]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_is_tested_firing_and_not_firing(alert: dict[str, Any]) -> None:
    scenarios = yaml.safe_load((MONITORING / "rules_test.yml").read_text())["tests"]
    cases = [case for scenario in scenarios for case in scenario["promql_expr_test"] if "ALERTS" in case["expr"]]
    alert_cases = [case for case in cases if alert["alert"] in re.split(r'[|"]', case["expr"])]
    assert {bool(case["exp_samples"]) for case in alert_cases} == {True, False}


@pytest.mark.parametrize("args", ["test rules rules_test.yml", "check rules rules.yml", "check config prometheus.yml"])
def test_promtool_finds_no_fault(args: str) -> None:
    if shutil.which("promtool") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_PROMTOOL)
    done = subprocess.run(
        ["promtool", *args.split()], cwd=MONITORING, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout


def _overlaps(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [
        (panel["title"], other["title"])
        for panel, other in itertools.combinations(entries, 2)
        if all(
            panel["gridPos"][at] < other["gridPos"][at] + other["gridPos"][size]
            and other["gridPos"][at] < panel["gridPos"][at] + panel["gridPos"][size]
            for at, size in ("xw", "yh")
        )
    ]
