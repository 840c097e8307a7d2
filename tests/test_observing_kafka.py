"""Metrics and health of runs on a real Kafka: every documented metric is exported, and stalls are detected."""

import json
import signal
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Producer

from tests.support.cli import RunningCli, run_cli
from tests.support.scraping import Port, Section, documented, documented_labels, families, free_port, labels
from tests.support.topics import Topics, read_topic, send
from tests.support.waiting import wait_until

Start = Callable[..., RunningCli]


@pytest.fixture
def port() -> Port:
    return free_port()


@pytest.fixture
def env(kafka: str, topics: Topics) -> dict[str, str]:
    return topics.env(kafka) | {"TELCO_STREAM_CONSUMER__STALL_SECONDS": "2"}


def test_consume_exports_every_documented_metric(
    kafka: str, topics: Topics, port: Port, env: dict[str, str], start_cli: Start
) -> None:
    """Exactly once, so that each partition ends with a transaction marker."""
    assert run_cli("produce", "--mode", "batch", "--limit", "200", env=env).returncode == 0
    send(kafka, topics.raw, [(b"a", b"no JSON", [])])
    running = start_cli("consume", "--metrics-port", str(port.number), "--exit-on-stall", env=env)
    wait_until(lambda: port.page("/readyz")[0] == 200, 30, "readiness")
    wait_until(lambda: port.metrics()["telco_stream_records_consumed_total"] == 201, 30, "all records")
    wait_until(lambda: port.metrics()["telco_stream_client_round_trip_seconds"] > 0, 30, "the client's statistics")
    check_documented_metrics(port.page("/metrics")[1], "consume")
    metrics = port.metrics()
    letters = 'telco_stream_dead_letters_total{error_type="json"}'
    yes, no = (metrics[f'telco_stream_predictions_total{{prediction="{answer}"}}'] for answer in ("Yes", "No"))
    assert (yes + no, metrics[letters]) == (200, 1)
    assert metrics['telco_stream_transactions_total{outcome="committed"}'] >= 1
    assert metrics["telco_stream_end_to_end_seconds_count"] == 201
    assert metrics["telco_stream_partitions_assigned"] == 3
    assert metrics["telco_stream_last_commit_timestamp_seconds"] > metrics["process_start_time_seconds"]
    before = metrics["telco_stream_loop_last_turn_timestamp_seconds"]
    wait_until(lambda: port.metrics()["telco_stream_loop_last_turn_timestamp_seconds"] > before + 4, 30, "four seconds")
    assert port.page("/readyz") == (200, "ok\n"), "transaction markers do not count as lag"
    assert {port.metrics()[f'telco_stream_lag_records{{partition="{partition}"}}'] for partition in range(3)} == {0}
    running.signal(signal.SIGTERM)
    assert running.wait(5) == 0


def test_produce_exports_its_rate(
    kafka: str, topics: Topics, port: Port, env: dict[str, str], start_cli: Start
) -> None:
    options = ("--mode", "streaming", "--events-per-sec", "50", "--metrics-port", str(port.number))
    running = start_cli("produce", *options, env=env)
    wait_until(lambda: port.page("/readyz")[0] == 200, 30, "readiness")
    wait_until(lambda: port.metrics()["telco_stream_client_round_trip_seconds"] > 0, 30, "the client's statistics")
    check_documented_metrics(port.page("/metrics")[1], "produce")
    metrics = port.metrics()
    assert metrics["telco_stream_producer_target_records_per_second"] == 50
    assert 25 < metrics["telco_stream_producer_records_per_second"] < 75
    running.signal(signal.SIGTERM)
    assert running.wait(5) == 0
    sent = len(read_topic(kafka, topics.raw))
    assert 0 < metrics["telco_stream_producer_records_sent_total"] <= sent


@pytest.fixture
def open_transaction(kafka: str, topics: Topics) -> Iterator[Producer]:
    """Open a transaction that has written to partition 2."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topics.transactional_id})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topics.raw, b"no JSON", partition=2)
    producer.flush(30)
    yield producer
    producer.abort_transaction(30)


@pytest.mark.usefixtures("open_transaction")
def test_readyz_names_a_partition_with_an_open_transaction(
    topics: Topics, port: Port, env: dict[str, str], start_cli: Start
) -> None:
    """Consumers of committed records can't pass it; lag is counted to the high watermark and includes it."""
    running = start_cli("consume", "--metrics-port", str(port.number), "--log-format", "json", env=env)
    wait_until(lambda: "held back" in port.page("/readyz")[1], 30, "the stall")
    status, text = port.page("/readyz")
    assert status == 503
    assert text.startswith(f"Partition 2 of {topics.raw} has not moved for ")
    assert port.metrics()['telco_stream_lag_records{partition="2"}'] == 1
    running.signal(signal.SIGTERM)
    assert running.wait(5) == 0
    events = [json.loads(line) for line in running.stderr().splitlines()]
    assert [event["event"] for event in events] == ["started", "assigned", "stalled", "revoked", "stopped"]
    assert (events[2]["topic"], events[2]["partition"]) == (topics.raw, 2)


@pytest.mark.usefixtures("open_transaction")
def test_consume_exits_3_when_a_transaction_stays_open(topics: Topics, env: dict[str, str], start_cli: Start) -> None:
    running = start_cli("consume", "--exit-on-stall", env=env)
    assert running.wait(40) == 3
    assert f"Partition 2 of {topics.raw} has not moved" in running.stderr().splitlines()[-1]


def check_documented_metrics(page: str, section: Section) -> None:
    """Compare metrics and labels with the docs; the labels are a fixed set, so that no ID creates a new series."""
    assert (documented(section) | documented("both")).keys() == families(page).keys()
    # A run without a shadow model has no series of one, and a feature has one of drifted windows only before its first
    # window.
    listed = (documented_labels(section) | documented_labels("both")).items()
    missing = ("_shadow_", "_feature_psi", "_feature_null_", "_feature_unknown_", "_expected_quality")
    assert {name: set() if any(part in name for part in missing) else names for name, names in listed} == labels(page)
    known = {"prediction", "error_type", "partition", "outcome", "error", "kind", "version", "engine", "role"}
    assert set().union(*labels(page).values()) <= known | {"feature"}
