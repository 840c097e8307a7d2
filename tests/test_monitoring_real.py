"""A run on a real Kafka, scraped by a real Prometheus: every query has data, and no alert fires."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cli import RunningCli
from tests.support.monitoring import panel_queries, rule_queries, selectors, without_limits
from tests.support.prometheus import Prometheus
from tests.support.scraping import free_port
from tests.support.topics import Topics, send
from tests.support.waiting import wait_until

NO_PROMETHEUS = "prometheus is not installed (Debian: apt install prometheus)"


@pytest.fixture
def prometheus(
    kafka: str, topics: Topics, tmp_path: Path, start_cli: Callable[..., RunningCli]
) -> Iterator[Prometheus]:
    """Start a Prometheus that scrapes a consumer and a streaming producer, whose records include bad ones."""
    if shutil.which("prometheus") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_PROMETHEUS)
    consumer, producer = free_port(), free_port()
    env = topics.env(kafka) | {"TELCO_STREAM_DRIFT__WINDOW_RECORDS": "500"}  # full within seconds
    consume = start_cli("consume", "--metrics-port", str(consumer.number), env=env)
    stream = ["--mode", "streaming", "--events-per-sec", "200", "--metrics-port", str(producer.number)]
    start_cli("produce", *stream, env=env, cwd=tmp_path)
    with Prometheus(tmp_path, {"consumer": consumer.number, "producer": producer.number}) as running:
        consume.wait_for_stderr("assigned", 60)
        wait_until(lambda: running.query('up{job="consumer"} == 1'), 60, "a first scrape of the consumer")
        # After the first scrape, so that the counters increase.
        send(kafka, topics.raw, [(b"a", b"no JSON", []), (b"b", b"{}", [])])
        yield running


def test_queries_have_data_and_no_alert_fires(prometheus: Prometheus) -> None:
    """Query panels as they are, rules without limits (a rule has data only while it fires), and their series."""
    pending = {query.expr.replace("$__rate_interval", "1m"): query.origin for query in panel_queries()}
    pending |= {without_limits(query.expr): query.origin for query in rule_queries()}
    pending |= {selector: query.origin for query in rule_queries() for selector in selectors(query.expr)}

    def all_have_data() -> bool:
        for expr in [expr for expr in pending if prometheus.query(expr)]:
            del pending[expr]
        return not pending

    try:
        wait_until(all_have_data, 60, "data for each query")
    except AssertionError:
        assert pending == {}
    assert prometheus.query('ALERTS{alertstate="firing"}') == []
