"""What `produce` promises, the same on the embedded broker and on a real one."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from telco_stream.errors import KafkaError, UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.produce.loop import ProduceResult
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
    """`produce` beside the test, in a thread."""

    order: ProduceOptions
    clients: Clients
    stop: Stop = field(default_factory=Stop)
    watch: CountingObserver = field(default_factory=CountingObserver)

    def __post_init__(self) -> None:
        pool = ThreadPoolExecutor(1)
        self._ended = pool.submit(run_produce, self.clients, self.order, stop=self.stop, watch=self.watch)
        pool.shutdown(wait=False)

    def result(self, deadline: float = 60) -> ProduceResult:
        """Once it has ended; what it raised is raised here."""
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


def run(clients: Clients, order: ProduceOptions) -> ProduceResult:
    return run_produce(clients, order, stop=Stop(), watch=CountingObserver())


def test_a_pass_at_least_once(broker: Broker, tmp_path: Path) -> None:
    clients = clients_of(broker.bootstrap, broker.topics, write_customers(tmp_path, 2_500))
    result = run(clients, ProduceOptions("batch", "at-least-once"))
    assert keys(broker.bootstrap, broker.topics) == Counter(customer_ids((0, 2_500)))
    assert (result.sent, result.failed, sum(result.end_offsets.values())) == (2_500, 0, 2_500)
    assert total_sent() == 2_500


def test_records_are_keyed_json_with_the_time_of_sending(broker: Broker, tmp_path: Path) -> None:
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


def test_a_stream_of_so_many(broker: Broker, tmp_path: Path) -> None:
    clients = clients_of(broker.bootstrap, broker.topics, write_customers(tmp_path, 20), events_per_sec=0)
    result = run(clients, ProduceOptions("streaming", limit=777, seed=1))
    assert sum(keys(broker.bootstrap, broker.topics).values()) == result.sent == total_sent() == 777


def test_the_same_seed_sends_the_same_customers(broker: Broker, tmp_path: Path) -> None:
    clients = clients_of(broker.bootstrap, broker.topics, write_customers(tmp_path, 50), events_per_sec=0)
    run(clients, ProduceOptions("streaming", limit=100, seed=1))
    once = keys(broker.bootstrap, broker.topics)
    run(clients, ProduceOptions("streaming", limit=100, seed=1))
    assert keys(broker.bootstrap, broker.topics) == once + once


def test_a_stop_shows_what_was_confirmed(broker: Broker, tmp_path: Path) -> None:
    clients = clients_of(broker.bootstrap, broker.topics, write_customers(tmp_path, 20), events_per_sec=100)
    running = Run(ProduceOptions("streaming"), clients)
    wait_until(lambda: running.watch.rows > 20)
    asked = time.monotonic()
    running.stop.request()
    result = running.result()
    assert time.monotonic() - asked < 2
    assert sum(keys(broker.bootstrap, broker.topics).values()) == result.sent == total_sent()
    assert result.failed == 0


def test_a_missing_topic_is_an_error_before_the_first_row(kafka: str, tmp_path: Path) -> None:
    """On a real broker: the embedded one makes every topic that is asked for."""
    with pytest.raises(KafkaError, match="topics init"):
        run(clients_of(kafka, fresh_topics(), write_customers(tmp_path, 2)), ProduceOptions("batch"))
    assert not Path(CHECKPOINT).exists()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (ProduceOptions("streaming", "exactly-once"), "--delivery exactly-once goes with --mode batch"),
        (ProduceOptions("streaming", run_id="x"), "--run-id goes with --mode batch"),
        (ProduceOptions("batch", run_id=""), "--run-id is empty"),
        (ProduceOptions("batch", run_id="x" * 256), "--run-id is longer than 255 characters"),
        (ProduceOptions("batch", run_id="\udcff"), "--run-id is not UTF-8 text"),
    ],
)
def test_what_cannot_be_promised_is_refused_before_kafka_is_asked(order: ProduceOptions, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        run(clients_of("127.0.0.1:1", fresh_topics(), Path("nowhere.csv")), order)


def test_a_broker_away_for_a_while_is_waited_for_and_nothing_is_dropped(
    embedded: MockCluster, embedded_topics: Topics, tmp_path: Path
) -> None:
    """The stream catches up: the rate is met over the whole."""
    clients = clients_of(embedded.bootstrap, embedded_topics, write_customers(tmp_path, 20), events_per_sec=200)
    running = Run(ProduceOptions("streaming", limit=600), clients)
    wait_until(lambda: running.watch.rows > 20)
    embedded.take_down()
    said = running.watch.rows
    _still_for(1.5)
    embedded.bring_up()
    result = running.result()
    assert said <= result.sent == total_sent() == 600
    assert sum(keys(embedded.bootstrap, embedded_topics).values()) == 600


@pytest.mark.parametrize(
    "order", [ProduceOptions("streaming"), ProduceOptions("batch", "at-least-once")], ids=["s", "b"]
)
def test_a_stop_while_the_broker_is_away_ends_in_time_and_claims_nothing_unconfirmed(
    embedded: MockCluster, embedded_topics: Topics, tmp_path: Path, order: ProduceOptions
) -> None:
    clients = clients_of(embedded.bootstrap, embedded_topics, write_customers(tmp_path, 60_000), events_per_sec=50)
    running = Run(order, clients)
    wait_until(lambda: running.watch.rows > 0)
    embedded.take_down()
    asked = time.monotonic()
    running.stop.request()
    result = running.result()
    assert time.monotonic() - asked < 5
    assert result.sent == total_sent() == running.watch.rows
    assert result.end_offsets == {}
    embedded.bring_up()
    assert sum(keys(embedded.bootstrap, embedded_topics).values()) >= result.sent


def test_a_broker_still_for_longer_than_a_transaction_may_take_costs_nothing(
    own_kafka: KafkaContainer, tmp_path: Path
) -> None:
    """It ends the transaction by itself; the pass takes that for what it is, not for another instance."""
    topics = fresh_topics()
    create_topics(own_kafka.bootstrap, topics)
    path = write_customers(tmp_path, 100_000)
    running = Run(
        ProduceOptions("batch"), clients_of(own_kafka.bootstrap, topics, path, kafka={"transaction.timeout.ms": "3000"})
    )
    wait_until(lambda: running.watch.rows > 0)
    own_kafka.pause()
    _still_for(8)
    own_kafka.unpause()
    assert running.result(120).sent == 100_000
    assert keys(own_kafka.bootstrap, topics) == Counter(customer_ids((0, 100_000)))


def _still_for(seconds: float) -> None:
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > until, seconds + 5, "the end of a pause")
