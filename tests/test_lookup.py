"""`predictions show`: a customer's predictions, found by searching the topic backwards."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Producer

from telco_stream.kafka.clients import Clients
from telco_stream.report import lookup
from telco_stream.report.lookup import Lookup, LookupOptions
from telco_stream.report.run import run_lookup
from telco_stream.runtime.signals import Stop
from telco_stream.settings import load
from tests.conftest import Broker
from tests.support.in_process import run_in_process
from tests.support.topics import Outgoing, Topics, send

pytestmark = pytest.mark.slow

START = datetime(2026, 3, 1, tzinfo=UTC)


def test_show_lists_predictions_with_the_newest_first(broker: Broker) -> None:
    write(broker, [prediction("a", 1), prediction("b", 2), prediction("a", 3)])
    done = cli(broker, "a", "--output", "json")
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [(line["processed_ts"], line["customerID"]) for line in found] == [(at(3), "a"), (at(1), "a")]
    assert (found[0]["churn_probability"], found[0]["prediction"], found[0]["model_version"]) == (0.75, "Yes", "v1")
    assert found[0]["source"] == "raw/0/3"
    assert done.err == "Searched all 3 records of the topic, back to 2026-03-01 00:01 UTC.\n"


def test_show_draws_a_table(broker: Broker) -> None:
    write(broker, [prediction("a", 3)])
    lines = [line.split() for line in cli(broker, "a").out.splitlines()]
    assert lines[2] == ["2026-03-01", "00:03:00", "75.0%", "Yes", "v1", "0:3"]
    assert lines[-1] == ["Input:", "partition", "and", "offset", "in", "raw"]


def test_show_finds_predictions_in_other_partitions(broker: Broker) -> None:
    """Of a topic that had fewer partitions, or from a program with another partitioner."""
    for number in range(3):
        send(broker.bootstrap, broker.topics.predictions, [prediction("a", number)], number)
    assert found(search(broker, "a")) == [(at(2), 2), (at(1), 1), (at(0), 0)]


def test_show_exits_5_when_nothing_is_found(broker: Broker) -> None:
    """As `dlq show` does."""
    nothing = "Error: No prediction of this customer was found. Searched all"
    assert cli(broker, "a", code=5).err.startswith(f"{nothing} 0 records")
    write(broker, [prediction("b", 1)])
    done = cli(broker, "a", "--output", "json", "--quiet", code=5)
    assert (done.out, done.err.count("\n")) == ("", 1)
    assert done.err.startswith(f"{nothing} 1 record")
    assert "its records may be dead letters: telco-stream dlq list" in done.err
    write(broker, [("a", b"not a prediction", [])])
    done = cli(broker, "a", code=5)
    assert done.err.startswith("Error: 1 value with this key is not a prediction of this contract; --model names")


def test_search_ends_when_older_records_cannot_be_newer(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle partition with old records is not read to its beginning, but a newer one is read first."""
    monkeypatch.setattr(lookup, "_FIRST_BLOCK", 6)
    monkeypatch.setattr(lookup, "_LARGEST_BLOCK", 6)
    send(broker.bootstrap, broker.topics.predictions, [prediction("a", minute) for minute in range(20)], 0)
    busy = [prediction("a", 50), *(prediction("b", minute) for minute in range(60, 72))]
    send(broker.bootstrap, broker.topics.predictions, busy, 1)
    result = search(broker, "a", limit=1)
    assert found(result) == [(at(50), 1)]
    assert (result.is_complete, result.is_limited) == (False, True)
    assert result.records == 16


def test_search_ends_at_the_record_limit(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_FIRST_BLOCK", 4)
    send(broker.bootstrap, broker.topics.predictions, [prediction("a", 0)], 0)
    send(broker.bootstrap, broker.topics.predictions, [prediction("b", minute) for minute in range(1, 30)], 0)
    assert search(broker, "a", max_records=9) == Lookup((), 9, START + timedelta(minutes=21), False, False, "customer")
    assert found(search(broker, "a", max_records=0)) == [(at(0), 0)]
    assert found(search(broker, "a", max_records=30)) == [(at(0), 0)]


def test_show_says_how_to_search_further(broker: Broker) -> None:
    write(broker, [prediction("a", minute) for minute in range(3)])
    assert "the newest 2 records" in cli(broker, "b", "--records", "2", code=5).err
    assert "--records 0 searches all" in cli(broker, "b", "--records", "2", code=5).err
    assert "a higher --limit lists older" in cli(broker, "a", "--limit", "2").err


def test_search_ignores_predictions_that_were_aborted(kafka: str, topics: Topics) -> None:
    broker = Broker(kafka, topics, real=True)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topics.transactional_id})
    producer.init_transactions(30)
    for minute, end in enumerate([producer.commit_transaction, producer.abort_transaction]):
        producer.begin_transaction()
        key, value, headers = prediction("a", minute)
        producer.produce(topics.predictions, value, key, 0, headers=list(headers))
        producer.flush(30)
        end()
    assert found(search(broker, "a")) == [(at(0), 0)]


def prediction(customer: str, minute: int) -> Outgoing:
    """Return a prediction made at this minute, of the input with the same offset."""
    value = {
        "customerID": customer,
        "churn_probability": 0.75,
        "prediction": "Yes",
        "event_ts": "2020-01-01T00:00:00Z",
        "processed_ts": at(minute),
        "model_version": "v1",
        "Contract": "One year",
        "InternetService": "DSL",
    }
    return customer, json.dumps(value), [("source", f"raw/0/{minute}".encode())]


def at(minute: int) -> str:
    return (START + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")


def write(broker: Broker, records: list[Outgoing]) -> None:
    send(broker.bootstrap, broker.topics.predictions, records)


def search(broker: Broker, customer: str, limit: int = 10, max_records: int = 1_000) -> Lookup:
    clients = Clients(load(environ=broker.topics.env(broker.bootstrap)))
    return run_lookup(clients, LookupOptions(customer, limit, max_records), stop=Stop())


def found(result: Lookup) -> list[tuple[str, int]]:
    return [(found.prediction.processed_ts, found.partition) for found in result.predictions]


def cli(broker: Broker, *arguments: str, code: int = 0) -> Any:
    done = run_in_process("predictions", "show", *arguments, env=broker.topics.env(broker.bootstrap))
    assert done.code == code, done.err
    return done
