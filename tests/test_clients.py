"""Factory of all clients: each gets the properties of its kind and of the delivery guarantee."""

import logging
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from telco_stream import errors
from telco_stream.kafka import outage as outage_module
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.outage import Outage
from telco_stream.settings import Settings, TopicSettings
from tests.conftest import require_containers
from tests.support.kafka_container import SMALL, KafkaContainer
from tests.support.mock_cluster import MockCluster
from tests.support.waiting import wait_until


class Recording(Clients):
    """Clients that return the properties instead of a client."""

    def _make(self, kind, properties):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202, ARG002
        return properties


def recording(kafka: dict[str, str] | None = None, **more: Any) -> Any:
    return Recording(Settings(bootstrap_servers="broker:1", kafka=kafka or {}, **more))


def test_producer_is_idempotent_and_partitions_like_java() -> None:
    for properties in (recording().producer(), recording().producer("an-id")):
        assert properties["enable.idempotence"] == "true"
        assert properties["acks"] == "all"
        assert properties["partitioner"] == "murmur2_random"


def test_producer_times_out_messages_before_the_transaction() -> None:
    properties = recording().producer("an-id")
    assert int(properties["message.timeout.ms"]) < int(properties["transaction.timeout.ms"]) == 30_000
    properties = recording({"transaction.timeout.ms": "6000"}).producer("an-id")
    assert int(properties["message.timeout.ms"]) < int(properties["transaction.timeout.ms"]) == 6_000
    assert recording().producer()["message.timeout.ms"] == "0", "without a transaction, there is no limit"


def test_producer_accepts_messages_as_large_as_the_broker_sends() -> None:
    """The client's default limit is below the broker's."""
    assert int(recording().producer()["message.max.bytes"]) > 2_097_152
    wide = recording(topics=TopicSettings(deadletter_max_message_bytes=8_000_000)).producer()
    assert int(wide["message.max.bytes"]) > 8_000_000
    assert int(recording().producer(largest_batch=8_000_000)["message.max.bytes"]) > 8_000_000


def test_producer_batches_are_as_large_as_the_topics_accept_unless_set() -> None:
    assert "batch.size" not in recording().producer("an-id")
    for limit in (2_097_152, 1_048_588, 20_000, 1_000):
        assert 0.9 * limit < int(recording().producer("an-id", limit)["batch.size"]) < limit
    assert recording({"batch.size": "3000"}).producer("an-id", 20_000)["batch.size"] == "3000"


def test_consumer_never_auto_commits_and_reads_committed() -> None:
    properties = recording().consumer("a-group")
    assert properties["enable.auto.commit"] == properties["enable.auto.offset.store"] == "false"
    assert properties["isolation.level"] == "read_committed"
    assert properties["group.id"] == "a-group"
    assert properties["allow.auto.create.topics"] == "false"


def test_worker_is_a_unique_client_id_or_the_instance_id() -> None:
    names = [Clients(Settings(kafka={"client.id": "mine"})).worker for _ in range(2)]
    assert len(set(names)) == len(names)
    assert all(name.startswith(f"mine-{socket.gethostname()}-{os.getpid()}-") for name in names)
    assert Clients(Settings(kafka={"group.instance.id": "i-1"})).worker == "i-1"


def test_consumer_omits_classic_properties_with_kip_848() -> None:
    kept_by_the_broker = {"partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"}
    assert kept_by_the_broker <= recording().consumer("g").keys()
    assert not kept_by_the_broker & recording({"group.protocol": "consumer"}).consumer("g").keys()


def test_reader_gets_end_of_partition_events() -> None:
    properties = recording().reader()
    assert (properties["enable.partition.eof"], properties["auto.offset.reset"]) == ("true", "error")


def test_clients_pass_properties_to_their_kind_only() -> None:
    kafka = {"linger.ms": "50", "fetch.min.bytes": "9", "security.protocol": "plaintext"}
    clients = recording(kafka)
    assert clients.producer()["linger.ms"] == "50"
    assert clients.consumer("g")["fetch.min.bytes"] == "9"
    for properties in (clients.producer(), clients.consumer("g"), clients.admin()):
        assert properties["security.protocol"] == "plaintext"
    assert not {"linger.ms", "fetch.min.bytes"} & clients.admin().keys()
    assert "fetch.min.bytes" not in clients.producer()
    assert "linger.ms" not in clients.consumer("g")


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_clients_log_no_warning_about_properties(
    embedded: MockCluster, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    """A property of another kind of client would log a CONFWARN at each start."""
    kafka = {"group.protocol": protocol, "linger.ms": "7", "fetch.min.bytes": "1"}
    clients = Clients(Settings(bootstrap_servers=embedded.bootstrap, kafka=kafka))
    with caplog.at_level(logging.DEBUG):
        others: list[Any] = [clients.admin(), clients.producer(), clients.producer("an-id")]
        readers = [clients.consumer("g"), clients.reader()]
        for client in (*others, *readers):
            client.poll(0.1)
    for reader in readers:
        reader.close()
    assert "CONFWARN" not in caplog.text


@pytest.mark.parametrize("kafka", [{"no.such.property": "1"}, {"transaction.timeout.ms": "soon"}, {"linger.ms": "-9"}])
def test_clients_raise_usage_error_when_a_property_is_refused(kafka: dict[str, str]) -> None:
    with pytest.raises(errors.UsageError, match="TELCO_STREAM_KAFKA__") as caught:
        Clients(Settings(kafka=kafka)).producer("an-id")
    assert caught.value.exit_code == 2


def test_clients_keep_and_count_errors() -> None:
    clients = Clients(Settings(bootstrap_servers="localhost:1"))
    admin = clients.admin()

    def has_error() -> bool:
        admin.poll(0.1)  # the first event may be a log line
        return clients.last_error is not None

    wait_until(has_error, 10, "a complaint")
    assert sum(clients.errors.values()) > 0


def test_clients_suspect_no_outage_when_an_admin_fails() -> None:
    """Admin requests have their own timeouts and errors."""
    clients = recording()
    assert clients.admin()["error_cb"] != clients.consumer("g")["error_cb"] == clients.producer()["error_cb"]


def outage_of(answers: Callable[[], bool]) -> Outage:
    """Return the outage of a broker that is down, but refuses no connection."""

    def probe(_address: str | None) -> KafkaError | None:
        return None if answers() else KafkaError(KafkaError._TRANSPORT)

    return Outage("broker:1", probe, 1.0, lambda _: None)


REFUSED, AWAY = KafkaError(KafkaError._AUTHENTICATION, "wrong password"), KafkaError(KafkaError._TRANSPORT)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[KafkaError]]:
    """Return a function that probes with these results, one every 10 ms, and returns the final refusals."""
    monkeypatch.setattr(outage_module, "_PAUSE", 0.01)

    def watch(*results: KafkaError | None, timeout: float = 0.05) -> list[KafkaError]:
        left, ended = [*results], list[KafkaError]()

        def probe(address: str | None) -> KafkaError | None:
            assert address == "broker:2"
            return left.pop(0) if left else None

        outage = Outage("broker:1", probe, timeout, ended.append)
        outage.suspect("broker:2")
        wait_until(lambda: ended or (not left and outage.since is None), 5, "the end of the outage")
        return ended

    return watch


def test_outage_ends_the_run_when_refusals_last(
    refused: Callable[..., list[KafkaError]], caplog: pytest.LogCaptureFixture
) -> None:
    assert refused(AWAY, *[REFUSED] * 500) == [REFUSED]
    assert [record.event for record in caplog.records] == ["kafka_unavailable", "refused"]  # type: ignore[attr-defined]


def test_outage_waits_when_the_broker_is_only_away(refused: Callable[..., list[KafkaError]]) -> None:
    assert refused(*[AWAY] * 30) == []


def test_outage_ends_nothing_when_access_comes_back(refused: Callable[..., list[KafkaError]]) -> None:
    assert refused(REFUSED, REFUSED, None, timeout=60) == []


def test_outage_is_logged_once_at_its_start_and_end(caplog: pytest.LogCaptureFixture) -> None:
    probed, back = threading.Event(), threading.Event()

    def answers() -> bool:
        probed.set()
        return back.is_set()

    outage = outage_of(answers)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            outage.suspect()
        wait_until(lambda: "is unavailable" in caplog.text, 5, "the first log line")
        back.set()
        wait_until(lambda: "is available again after" in caplog.text, 5, "the second log line")
    assert [record.name for record in caplog.records].count("telco_stream.kafka") == 2


def test_outage_is_not_logged_when_the_broker_answers(caplog: pytest.LogCaptureFixture) -> None:
    """A broker closes idle connections every ten minutes."""
    results = [True]
    outage_of(results.pop).suspect()
    wait_until(lambda: not results, 5, "the probe")
    assert caplog.records == []


def test_outage_is_logged_when_suspected_during_a_probe(caplog: pytest.LogCaptureFixture) -> None:
    """The client reports an outage once, so it must not be lost while the broker answers the probe before."""
    results = [True, False]

    def answers() -> bool:
        if len(results) == 2:
            outage.suspect()
        return results.pop(0) if results else True

    outage = outage_of(answers)
    outage.suspect()
    wait_until(lambda: "is unavailable" in caplog.text, 5, "the log line")


def test_outage_is_logged_once_a_minute_when_it_repeats(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage_module, "_PAUSE", 0.0)
    results = [False, True, False, True]
    outage = outage_of(lambda: results.pop(0) if results else True)

    def over() -> bool:
        outage.suspect()
        return not results

    wait_until(over, 5, "two outages")
    assert len([record for record in caplog.records if "is unavailable" in record.message]) == 1


def test_refusal_is_logged_when_an_outage_was_logged_a_moment_ago(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage_module, "_PAUSE", 0.0)
    results = [AWAY, None, REFUSED, None]
    outage = Outage("broker:1", lambda _: results.pop(0) if results else None, 60, lambda _: None)

    def over() -> bool:
        outage.suspect()
        return not results

    wait_until(over, 5, "an outage and a refusal")
    wait_until(lambda: "refuses this process: wrong password" in caplog.text, 5, "the refusal's log line")


def test_probes_end_when_nothing_uses_the_clients() -> None:
    """The thread that probes a broker must not keep the clients of a run that has ended."""
    clients = Clients(Settings(bootstrap_servers="127.0.0.1:1"))
    outage = clients._outage
    clients.suspect_outage()
    wait_until(lambda: outage.since is not None, 10, "an outage")
    del clients
    wait_until(lambda: not outage._watching.locked(), 10, "the end of the probes")


def test_outage_is_suspected_when_brokers_fail_or_refuse() -> None:
    clients = Clients(Settings(bootstrap_servers="localhost:1"))
    seen: list[str | None] = []
    clients._outage = type("Seen", (), {"suspect": lambda _, address=None: seen.append(address)})()
    clients._on_connection_error(KafkaError(KafkaError._TRANSPORT))
    assert seen == []
    clients._on_connection_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    text = "GroupCoordinator: sasl_ssl://kafka-2:9093/2: SASL authentication error: no (after 1ms in state UP)"
    clients._on_connection_error(KafkaError(KafkaError._AUTHENTICATION, text))
    clients._on_connection_error(KafkaError(KafkaError._AUTHENTICATION, "no token"))
    assert seen == [None, "kafka-2:9093", None]


@pytest.mark.own_broker
def test_clients_do_not_create_a_missing_topic_when_the_broker_allows_it(pytestconfig: pytest.Config) -> None:
    """Brokers allow it by default: a question about a deleted topic would create it again."""
    require_containers(pytestconfig)
    with KafkaContainer(**SMALL, auto_create_topics_enable="true") as container:
        made = Clients(Settings(bootstrap_servers=container.bootstrap))
        for client in (made.admin(), made.producer(), made.reader()):
            assert client.list_topics("missing", timeout=10).topics["missing"].error
        admin = made.admin()
        admin.create_topics([NewTopic("created", 1, 1)])["created"].result(10)  # after what the questions caused
        wait_until(lambda: "created" in admin.list_topics(timeout=10).topics, 10, "the created topic")
        assert "missing" not in admin.list_topics(timeout=10).topics
