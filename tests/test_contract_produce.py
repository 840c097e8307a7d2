"""Guarantees of `produce`, on the embedded broker and on a real one."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from telco_stream.errors import KafkaError, UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.produce.results import ProduceResult
from telco_stream.produce.run import ProduceOptions, run_produce
from telco_stream.runtime.signals import Stop
from telco_stream.settings import ProducerSettings, Settings, TopicSettings
from tests.conftest import Broker
from tests.support.kafka_container import KafkaContainer
from tests.support.mock_cluster import MockCluster
from tests.support.produce_harness import CHECKPOINT, CountingObserver, customer_ids, write_customers
from tests.support.topics import Topics, create_topics, fresh_topics, read_topic
from tests.support.waiting import wait_until


@dataclass
class Run:
    """Run of `produce` in a thread."""

    options: ProduceOptions
    clients: Clients
    stop: Stop = field(default_factory=Stop)
    observer: CountingObserver = field(default_factory=CountingObserver)

    def __post_init__(self) -> None:
        pool = ThreadPoolExecutor(1)
        self._ended = pool.submit(run_produce, self.clients, self.options, stop=self.stop, observer=self.observer)
        pool.shutdown(wait=False)

    def result(self, deadline: float = 60) -> ProduceResult:
        """Wait for the end; return the result or raise its exception."""
        return self._ended.result(deadline)


def clients_of(
    bootstrap: str, topics: Topics, path: Path, *, kafka: dict[str, str] | None = None, **more: object
) -> Clients:
    return Clients(
        Settings(
            bootstrap_servers=bootstrap,
            topics=TopicSettings(raw=topics.raw, predictions=topics.predictions, deadletter=topics.deadletter),
            producer=ProducerSettings.model_validate({"data_path": str(path), "checkpoint_file": CHECKPOINT, **more}),
            kafka=kafka or {},
        )
    )


def keys(bootstrap: str, topics: Topics) -> Counter[str]:
    return Counter((record.key or b"").decode() for record in read_topic(bootstrap, topics.raw))


def total_sent() -> int:
    return int(json.loads(Path(CHECKPOINT).read_text())["total_sent"])


def run(clients: Clients, options: ProduceOptions) -> ProduceResult:
    return run_produce(clients, options, stop=Stop(), observer=CountingObserver())


def test_pass_sends_each_row_at_least_once(broker: Broker, tmp_path: Path) -> None:
    clients = clients_of(broker.bootstrap, broker.topics, write_customers(tmp_path, 2_500))
    result = run(clients, ProduceOptions("batch", "at-least-once"))
    assert keys(broker.bootstrap, broker.topics) == Counter(customer_ids((0, 2_500)))
    assert (result.sent, result.failed, sum(result.end_offsets.values())) == (2_500, 0, 2_500)
    assert total_sent() == 2_500


def test_pass_sends_keyed_json_with_the_time_of_sending(broker: Broker, tmp_path: Path) -> None:
    before = time.time()
    run(
        clients_of(broker.bootstrap, broker.topics, write_customers(tmp_path, 1)),
        ProduceOptions("batch", "at-least-once"),
    )
    record = read_topic(broker.bootstrap, broker.topics.raw)[0]
    assert record.key == b"0"
    value = record.json()
    assert len(value) == 22
    assert (value["customerID"], value["tenure"], value["TotalCharges"]) == ("0", 1, 29.85)
    assert value["event_ts"].endswith("Z")
    assert abs(record.timestamp / 1_000 - before) < 60


def test_stream_sends_exactly_the_limit(broker: Broker, tmp_path: Path) -> None:
    clients = clients_of(broker.bootstrap, broker.topics, write_customers(tmp_path, 20), events_per_sec=0)
    result = run(clients, ProduceOptions("streaming", limit=777, seed=1))
    assert sum(keys(broker.bootstrap, broker.topics).values()) == result.sent == total_sent() == 777


def test_stream_sends_the_same_customers_when_seeds_are_equal(broker: Broker, tmp_path: Path) -> None:
    clients = clients_of(broker.bootstrap, broker.topics, write_customers(tmp_path, 50), events_per_sec=0)
    run(clients, ProduceOptions("streaming", limit=100, seed=1))
    once = keys(broker.bootstrap, broker.topics)
    run(clients, ProduceOptions("streaming", limit=100, seed=1))
    assert keys(broker.bootstrap, broker.topics) == once + once


def test_stream_returns_confirmed_rows_when_stopped(broker: Broker, tmp_path: Path) -> None:
    clients = clients_of(broker.bootstrap, broker.topics, write_customers(tmp_path, 20), events_per_sec=100)
    running = Run(ProduceOptions("streaming"), clients)
    wait_until(lambda: running.observer.rows > 20)
    requested_at = time.monotonic()
    running.stop.request()
    result = running.result()
    assert time.monotonic() - requested_at < 2
    assert sum(keys(broker.bootstrap, broker.topics).values()) == result.sent == total_sent()
    assert result.failed == 0


def test_produce_sends_nothing_when_the_topic_is_missing(kafka: str, tmp_path: Path) -> None:
    """On a real broker: the embedded one creates missing topics."""
    with pytest.raises(KafkaError, match="topics init"):
        run(clients_of(kafka, fresh_topics(), write_customers(tmp_path, 2)), ProduceOptions("batch"))
    assert not Path(CHECKPOINT).exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (ProduceOptions("streaming", "exactly-once"), "--delivery exactly-once requires --mode batch"),
        (ProduceOptions("streaming", run_id="x"), "--run-id requires --mode batch"),
        (ProduceOptions("batch", run_id=""), "--run-id is empty"),
        (ProduceOptions("batch", run_id="x" * 256), "--run-id is longer than 255 characters"),
        (ProduceOptions("batch", run_id="\udcff"), "--run-id is not UTF-8 text"),
    ],
)
def test_produce_refuses_options_before_it_connects(options: ProduceOptions, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        run(clients_of("127.0.0.1:1", fresh_topics(), Path("nowhere.csv")), options)


def test_stream_drops_nothing_when_the_broker_was_away(
    embedded: MockCluster, embedded_topics: Topics, tmp_path: Path
) -> None:
    """The stream catches up and meets its rate in total."""
    clients = clients_of(embedded.bootstrap, embedded_topics, write_customers(tmp_path, 20), events_per_sec=200)
    running = Run(ProduceOptions("streaming", limit=600), clients)
    wait_until(lambda: running.observer.rows > 20)
    embedded.take_down()
    before = running.observer.rows
    _sleep(1.5)
    embedded.bring_up()
    result = running.result()
    assert before <= result.sent == total_sent() == 600
    # The embedded broker does not recognise a batch that is sent again, and stores it twice.
    assert sum(keys(embedded.bootstrap, embedded_topics).values()) >= 600


@pytest.mark.parametrize(
    "options", [ProduceOptions("streaming"), ProduceOptions("batch", "at-least-once")], ids=["s", "b"]
)
def test_produce_counts_confirmed_rows_when_stopped_in_an_outage(
    embedded: MockCluster, embedded_topics: Topics, tmp_path: Path, options: ProduceOptions
) -> None:
    clients = clients_of(embedded.bootstrap, embedded_topics, write_customers(tmp_path, 60_000), events_per_sec=50)
    running = Run(options, clients)
    wait_until(lambda: running.observer.rows > 0)
    embedded.take_down()
    requested_at = time.monotonic()
    running.stop.request()
    result = running.result()
    assert time.monotonic() - requested_at < 5
    assert result.sent == total_sent() == running.observer.rows
    assert result.end_offsets == {}
    embedded.bring_up()
    assert sum(keys(embedded.bootstrap, embedded_topics).values()) >= result.sent


def test_pass_sends_each_row_once_when_a_transaction_times_out(own_kafka: KafkaContainer, tmp_path: Path) -> None:
    """The broker aborts the transaction; the pass doesn't mistake that for another instance."""
    topics = fresh_topics()
    create_topics(own_kafka.bootstrap, topics)
    path = write_customers(tmp_path, 100_000)
    running = Run(
        ProduceOptions("batch"), clients_of(own_kafka.bootstrap, topics, path, kafka={"transaction.timeout.ms": "3000"})
    )
    wait_until(lambda: running.observer.rows > 0)
    own_kafka.pause()
    _sleep(8)
    own_kafka.unpause()
    assert running.result(120).sent == 100_000
    assert keys(own_kafka.bootstrap, topics) == Counter(customer_ids((0, 100_000)))


def _sleep(seconds: float) -> None:
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > until, seconds + 5, "the end of a pause")
