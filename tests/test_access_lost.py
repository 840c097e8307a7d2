"""Access that is lost while a command runs, on a secured Kafka: exit 3 after `--timeout`, not an outage for ever."""

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import AdminClient

from tests.conftest import require_containers
from tests.support.acls import grant, granted_by, revoke
from tests.support.certificates import NO_OPENSSL
from tests.support.cli import ROOT, RunningCli
from tests.support.in_process import run_in_process
from tests.support.kafka_container import QUICK_RESTART
from tests.support.records import good
from tests.support.scraping import Port, free_port
from tests.support.secured_kafka import SecuredKafka
from tests.support.topics import read_topic, send
from tests.support.waiting import wait_until

RIGHTS = granted_by(ROOT / "docs/security.md")
RAW, PREDICTIONS = "telco.raw.customers", "telco.churn.predictions"
CONSUMER, PRODUCER = "telco-consumer", "telco-stream-producer"
CONSUME = ("consume", "--timeout", "3")
AT_LEAST_ONCE = (*CONSUME, "--delivery", "at-least-once")
PRODUCE = ("produce", "--mode", "streaming", "--events-per-sec", "50", "--timeout", "3")


@pytest.fixture(scope="module")
def broker(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A broker that asks its clients to log in again every second."""
    if NO_OPENSSL:
        pytest.skip(NO_OPENSSL)
    require_containers(pytestconfig)
    settings = {"connections_max_reauth_ms": "1000", **QUICK_RESTART}
    with SecuredKafka(tmp_path_factory.mktemp("certificates"), **settings) as container:
        container.add_users(["telco-admin", CONSUMER, PRODUCER])
        grant(AdminClient({"bootstrap.servers": container.bootstrap}), RIGHTS)
        done = run_in_process("topics", "init", env=container.environment("telco-admin"))
        assert done.code == 0, done.err
        yield container


Start = Callable[..., RunningCli]


@pytest.fixture
def start(broker: SecuredKafka, start_cli: Start) -> Start:
    """Starts a command as the user; it returns once the command has done some work."""

    def working(*command: str) -> RunningCli:
        user, port = (CONSUMER if command[0] == "consume" else PRODUCER), free_port()
        running = start_cli(*command, "--metrics-port", str(port.number), env=broker.environment(user))
        for partition in range(3):
            send(broker.bootstrap, RAW, [("k", good(), [])], partition)
        wait_until(lambda: running.process.poll() is not None or is_working(port), 30, f"work of {command[0]}")
        return running

    return working


def is_working(port: Port) -> bool:
    """Whether its metrics can be read and show a record."""
    names = ("telco_stream_records_consumed_total", "telco_stream_producer_records_sent_total")
    return port.page("/metrics")[0] == 200 and any(port.metrics().get(name, 0) > 0 for name in names)


def ends_with_3(running: RunningCli, *parts: str) -> None:
    assert running.wait(30) == 3, running.stderr()
    last = running.stderr().splitlines()[-1]
    assert all(part in last for part in ("Error: ", *parts)), last


def test_command_exits_3_when_its_password_is_changed(broker: SecuredKafka, start: Start) -> None:
    running = [start(*command) for command in (PRODUCE, CONSUME, AT_LEAST_ONCE)]
    broker.add_users([CONSUMER, PRODUCER], "another password")
    for one in running:
        ends_with_3(one, "doesn't let this user in", "TELCO_STREAM_KAFKA__SASL__")
        assert "refuses this process" in one.stderr(), "a warning comes first"
    broker.add_users([CONSUMER, PRODUCER])


@pytest.mark.parametrize("command", [CONSUME, AT_LEAST_ONCE, PRODUCE])
def test_command_exits_3_when_a_topic_permission_is_removed(
    broker: SecuredKafka, start: Start, command: tuple[str, ...]
) -> None:
    running = start(*command)
    gone = [
        right for right in RIGHTS if right.name == RAW and right.principal in {f"User:{CONSUMER}", f"User:{PRODUCER}"}
    ]
    revoke(admin := AdminClient({"bootstrap.servers": broker.bootstrap}), gone)
    ends_with_3(running, "docs/security.md")
    grant(admin, gone)


@pytest.mark.parametrize("prefix", ["churn-prediction-group", "churn-prediction-group-"])
def test_consume_exits_3_when_a_group_permission_is_removed(broker: SecuredKafka, start: Start, prefix: str) -> None:
    running = start(*CONSUME)
    gone = [right for right in RIGHTS if right.name == prefix and right.principal == f"User:{CONSUMER}"]
    revoke(admin := AdminClient({"bootstrap.servers": broker.bootstrap}), gone)
    send(broker.bootstrap, RAW, [("k", good(), [])])
    ends_with_3(running, "docs/security.md")
    grant(admin, gone)


def test_command_exits_3_when_the_certificate_expires(broker: SecuredKafka, start: Start) -> None:
    """As the last one here: nobody can connect afterwards."""
    running = [start(*command) for command in (CONSUME, PRODUCE)]
    broker.let_certificate_expire()
    for one in running:
        ends_with_3(one, "isn't trusted: certificate has expired")
    assert read_topic(broker.bootstrap, PREDICTIONS) != []
