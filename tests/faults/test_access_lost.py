"""Access that is lost while a command runs, on a secured Kafka: exit 3 after `--timeout` instead of an endless retry.

The short form runs one changed password and one removed permission.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import AdminClient

from tests.conftest import require_containers
from tests.support.acls import grant, granted_by, revoke
from tests.support.certificates import NO_OPENSSL
from tests.support.cli import ROOT, RunningCli
from tests.support.in_process import run_in_process
from tests.support.kafka_container import QUICK_RESTART
from tests.support.records import good
from tests.support.run_summary import FULL
from tests.support.scraping import Port, free_port
from tests.support.secured_kafka import SecuredKafka
from tests.support.topics import read_topic, send
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.own_broker, pytest.mark.timeout(600)]

PERMISSIONS = granted_by(ROOT / "docs/security.md")
RAW, PREDICTIONS = "telco.raw.customers", "telco.churn.predictions"
CONSUMER, PRODUCER = "telco-consumer", "telco-stream-producer"
CONSUME = ("consume", "--timeout", "3")
AT_LEAST_ONCE = (*CONSUME, "--delivery", "at-least-once")
PRODUCE = ("produce", "--mode", "streaming", "--events-per-sec", "50", "--timeout", "3")
#: `consume` in the short form, all commands in the full form: `produce` first, so that both consumers get records.
COMMANDS = [PRODUCE, CONSUME, AT_LEAST_ONCE] if FULL else [CONSUME]
full_only = pytest.mark.skipif(not FULL, reason="runs in the full form (make faults)")

Start = Callable[..., RunningCli]


@pytest.fixture(scope="module")
def broker(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """Yield a broker that makes its clients authenticate again every second."""
    if NO_OPENSSL:
        pytest.skip(NO_OPENSSL)
    require_containers(pytestconfig)
    settings = {"connections_max_reauth_ms": "1000", **QUICK_RESTART}
    with SecuredKafka(tmp_path_factory.mktemp("certificates"), **settings) as container:
        container.add_users(["telco-admin", CONSUMER, PRODUCER])
        grant(AdminClient({"bootstrap.servers": container.bootstrap}), PERMISSIONS)
        run = run_in_process("topics", "init", env=container.environment("telco-admin"))
        assert run.code == 0, run.err
        yield container


@pytest.fixture
def start(broker: SecuredKafka, start_cli: Start) -> Start:
    """Return a function that starts a command as its user and waits until it has processed a record."""

    def start_and_wait(*command: str) -> RunningCli:
        user, port = (CONSUMER if command[0] == "consume" else PRODUCER), free_port()
        running = start_cli(*command, "--metrics-port", str(port.number), env=broker.environment(user))
        for partition in range(3):
            send(broker.bootstrap, RAW, [("k", good(), [])], partition)
        wait_until(lambda: running.process.poll() is not None or is_working(port), 60, f"work of {command[0]}")
        return running

    return start_and_wait


def test_command_exits_3_when_its_password_is_changed(broker: SecuredKafka, start: Start) -> None:
    running = [start(*command) for command in COMMANDS]
    try:
        broker.add_users([CONSUMER, PRODUCER], "another password")
        for command in running:
            assert_exits_with_3(command, "rejected the login", "TELCO_STREAM_KAFKA__SASL__")
            assert "refuses this process" in (text := command.stderr()), f"no warning comes first: {text}"
    finally:
        broker.add_users([CONSUMER, PRODUCER])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_exits_3_when_a_topic_permission_is_removed(
    broker: SecuredKafka, start: Start, command: tuple[str, ...]
) -> None:
    running = start(*command)
    with without_permissions(broker, RAW, CONSUMER, PRODUCER):
        assert_exits_with_3(running, "docs/security.md")


@full_only
@pytest.mark.parametrize("prefix", ["churn-prediction-group", "churn-prediction-group-"])
def test_consume_exits_3_when_a_group_permission_is_removed(broker: SecuredKafka, start: Start, prefix: str) -> None:
    """Of the group, or of the transactional IDs."""
    running = start(*CONSUME)
    with without_permissions(broker, prefix, CONSUMER):
        send(broker.bootstrap, RAW, [("k", good(), [])])
        assert_exits_with_3(running, "docs/security.md")


@full_only
def test_command_exits_3_when_the_certificate_expires(broker: SecuredKafka, start: Start) -> None:
    """The last test of this module, because clients cannot connect afterwards."""
    running = [start(*command) for command in (CONSUME, PRODUCE)]
    broker.let_certificate_expire()
    for command in running:
        assert_exits_with_3(command, "isn't trusted: certificate has expired")
    assert read_topic(broker.bootstrap, PREDICTIONS) != []


@contextmanager
def without_permissions(broker: SecuredKafka, resource: str, *users: str) -> Iterator[None]:
    """Remove the users' permissions for a resource while the block runs."""
    principals = {f"User:{user}" for user in users}
    removed = [binding for binding in PERMISSIONS if binding.name == resource and binding.principal in principals]
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    try:
        revoke(admin, removed)
        yield
    finally:
        grant(admin, removed)


def is_working(port: Port) -> bool:
    """Return whether the command's metrics count a record."""
    names = ("telco_stream_records_consumed_total", "telco_stream_producer_records_sent_total")
    return port.page("/metrics")[0] == 200 and any(port.metrics().get(name, 0) > 0 for name in names)


def assert_exits_with_3(running: RunningCli, *parts: str) -> None:
    assert running.wait(30) == 3, running.stderr()
    last = running.stderr().splitlines()[-1]
    assert all(part in last for part in ("Error: ", *parts)), last
