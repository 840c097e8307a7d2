"""A real run, scraped by a real Prometheus: every query of every panel and rule has data, and no alert fires."""

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
    """It scrapes a consumer and a streaming producer; there are bad records among the good ones."""
    if shutil.which("prometheus") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_PROMETHEUS)
    consumer, producer, env = free_port(), free_port(), topics.env(kafka)
    one = start_cli("consume", "--metrics-port", str(consumer.number), env=env)
    stream = ["--mode", "streaming", "--events-per-sec", "50", "--metrics-port", str(producer.number)]
    start_cli("produce", *stream, env=env, cwd=tmp_path)
    with Prometheus(tmp_path, {"consumer": consumer.number, "producer": producer.number}) as running:
        one.wait_for_stderr("assigned", 60)
        wait_until(lambda: running.query('up{job="consumer"} == 1'), 60, "a first scrape of the consumer")
        # Now, so that the counters are seen to rise.
        send(kafka, topics.raw, [(b"a", b"no JSON", []), (b"b", b"{}", [])])
        yield running


def test_every_query_has_data_in_a_real_run_and_no_alert_fires(prometheus: Prometheus) -> None:
    """Panels as they stand; rules without limits, for an alert that doesn't fire has no data; and what these read."""
    asked = {query.expr.replace("$__rate_interval", "1m"): query.origin for query in panel_queries()}
    asked |= {without_limits(query.expr): query.origin for query in rule_queries()}
    asked |= {selector: query.origin for query in rule_queries() for selector in selectors(query.expr)}

    def all_answer() -> bool:
        for expr in [expr for expr in asked if prometheus.query(expr)]:
            del asked[expr]
        return not asked

    try:
        wait_until(all_answer, 60, "data for each query")
    except AssertionError:
        assert asked == {}
    assert prometheus.query('ALERTS{alertstate="firing"}') == []
