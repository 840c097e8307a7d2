"""Errors for a broker that advertises an unreachable address."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from telco_stream.errors import KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.error_policy import advertised_address
from telco_stream.kafka.outage import unreachable_broker
from telco_stream.settings import Settings
from tests.support.in_process import run_in_process
from tests.support.ports import free_port

COMMANDS = [
    "consume --mode batch",
    "produce --mode batch",
    "status",
    "doctor",
    "report",
    "verify",
    "dlq list",
    "topics init --dry-run",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_names_address_when_broker_unreachable(unreachable_kafka: str, command: str) -> None:
    """The client may know the address only from the failed lookup of its name, which can take seconds."""
    new_topic = {"TELCO_STREAM_TOPICS__DEADLETTER": "telco.other"} if command.startswith("topics") else {}
    done = run_in_process(*command.split(), "--broker", unreachable_kafka, "--timeout", "5", env=new_topic)
    assert done.code == KafkaError.exit_code
    checks = f"1 of 18 checks failed, first: broker {unreachable_kafka}: " if command == "doctor" else ""
    assert done.err.splitlines()[-1] == (
        f"Error: {checks}{unreachable_kafka} answered and advertises kafka-internal:9092, which cannot be reached from"
        " here; check advertised.listeners"
    )


def test_ends_is_an_error_when_leader_does_not_answer(unreachable_kafka: str) -> None:
    """The client reports such a partition as success, with offset -1001.

    Listing the topics may take several tries: the client closes its bootstrap connection when it learns the advertised
    address from a request of its own, and with it loses the list if that has not arrived by then.
    """
    topic, clients = "telco.raw.customers", Clients(Settings(bootstrap_servers=unreachable_kafka), 30)
    cluster = Cluster(clients)
    assert cluster.partitions(topic) == {topic: 3}
    clients.timeout = 2
    with pytest.raises(KafkaError, match="check advertised"):
        cluster.ends(topic, [0])
    assert cluster.reachable_ends(topic, [0, 1], committed_only=True) == {}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (
            "kafka-internal:9092/1: Failed to resolve 'kafka-internal:9092': Name or service not known",
            ("kafka-internal", 9092),
        ),
        ("sasl_ssl://[::1]:9092/12: Connect to ipv6#[::1]:9092 failed: Connection refused", ("::1", 9092)),
        ("localhost:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused", None),
        ("1/1 brokers are down", None),
    ],
)
def test_advertised_address_is_that_of_a_broker_with_an_id(text: str, address: tuple[str, int] | None) -> None:
    assert advertised_address(text) == address


@pytest.fixture
def listening() -> Iterator[int]:
    """Yield a port that accepts connections on 127.0.0.1."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield int(server.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "no-such-host.invalid", "x" * 300])
def test_unreachable_broker_names_both_when_port_is_closed(listening: int, host: str) -> None:
    port = free_port()
    error = unreachable_broker(f"SASL_SSL://127.0.0.1:{listening}", [(host, port)])
    assert f"127.0.0.1:{listening} answered and advertises {host}:{port}, which" in str(error)


def test_unreachable_broker_asks_if_up_when_another_is_reachable(listening: int) -> None:
    error = unreachable_broker(f"127.0.0.1:{listening}", [("127.0.0.1", listening), ("::1", free_port())])
    assert "advertises [::1]:" in str(error)
    assert str(error).endswith("and whether that broker is up")


def test_unreachable_broker_is_none_when_bootstrap_is_away(listening: int) -> None:
    """Then the broker itself is down, and its advertised address does not matter."""
    closed = free_port()
    assert unreachable_broker(f"127.0.0.1:{closed}", [("no-such-host.invalid", 9092)]) is None
    assert unreachable_broker(f"127.0.0.1:{closed}", [("127.0.0.1", closed)]) is None
    assert unreachable_broker(f"127.0.0.1:{listening}", [("localhost", listening)]) is None
    assert unreachable_broker("kafka", []) is None
