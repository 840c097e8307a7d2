"""A real Kafka with TLS, SASL and ACLs: each command with its rights in docs/security.md, and without one right."""

import json
import shlex
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AdminClient,
    ResourceType,
)

from telco_stream.model.artifact import read_manifest
from telco_stream.settings import Settings
from tests.support.acls import bindings_in, grant, granted_by, has_bindings, revoke
from tests.support.cli import ROOT, RunningCli, run_cli
from tests.support.in_process import CompletedRun, run_in_process
from tests.support.model_folder import COMMITTED, copy_model, edit_manifest
from tests.support.records import good
from tests.support.secured_kafka import PASSWORD, PLAIN_PASSWORD, PLAIN_USER, SecuredKafka
from tests.support.topics import send

#: Versions of the bundled model and of a copy, which the tests publish.
VERSION, OTHER = read_manifest(COMMITTED).model_version, "v2"
PAGE = ROOT / "docs/security.md"
RIGHTS = granted_by(PAGE)
USERS = sorted({right.principal.removeprefix("User:") for right in RIGHTS})
NAMES = Settings().topics
BY_SETTING = {name: getattr(NAMES, name) for name in ("raw", "predictions", "deadletter", "models", "outcomes")}

#: Each command that uses Kafka, and the user in docs/security.md that runs it.
COMMANDS = {
    "topics init --models --outcomes": "telco-admin",
    "produce --mode streaming --limit 3": "telco-stream-producer",
    "produce --mode batch --limit 3 --restart": "telco-batch-producer",
    "consume --mode batch": "telco-consumer",
    "consume --mode batch --delivery at-least-once": "telco-consumer",
    f"outcomes send {ROOT}/data/sample_customers.csv --limit 3 --restart": "telco-outcomes-sender",
    "outcomes check": "telco-outcomes-checker",
    "quality": "telco-quality-analyst",
    "drift": "telco-drift-analyst",
    "report": "telco-analyst",
    "status": "telco-auditor",
    "doctor --command produce": "telco-batch-producer",
    "doctor --command consume": "telco-consumer",
    "doctor --command status": "telco-auditor",
    "doctor --command explain": "telco-explainer",
    "doctor --command quality": "telco-quality-analyst",
    "verify": "telco-auditor",
    "explain --customer 7590-VHVEG": "telco-explainer",
    "dlq list": "telco-support",
    "dlq show 0:0": "telco-support",
    "dlq replay --execute": "telco-operator",
    f"model publish {COMMITTED}": "telco-model-owner",
    f"model promote {VERSION}": "telco-model-owner",
    f"model promote {OTHER}": "telco-model-owner",
    "consume --mode batch --model kafka:telco.models": "telco-consumer",
    "model rollback": "telco-model-owner",
    "model list": "telco-model-auditor",
    "model history": "telco-model-reader",
    f"model compare {VERSION} {OTHER} --data {ROOT}/data/sample_customers.csv": "telco-model-reader",
    "model show --model kafka:telco.models": "telco-model-reader",
    "doctor --command 'model publish'": "telco-model-owner",
    "doctor --command 'model promote --wait'": "telco-model-promoter",
    "doctor --command 'model list'": "telco-model-auditor",
}
#: Timeout of a command in seconds.
PATIENCE = 8
#: Optional rights: without them, the topic's limit comes from the settings.
OPTIONAL = AclOperation.DESCRIBE_CONFIGS


@pytest.fixture(scope="module")
def admin(secured_kafka: SecuredKafka, tmp_path_factory: pytest.TempPathFactory) -> AdminClient:
    """Create the topics, all users with their rights and the group's offsets, and publish two models."""
    secured_kafka.add_users([*USERS, "stranger"])
    admin = AdminClient({"bootstrap.servers": secured_kafka.bootstrap, "log_level": 0})
    grant(admin, RIGHTS)
    other = copy_model(tmp_path_factory.mktemp("other"))
    edit_manifest(other, lambda manifest: manifest.update(model_version=OTHER))
    for user, *command in (
        ("telco-admin", "topics", "init", "--models", "--outcomes"),
        ("telco-consumer", "consume", "--mode", "batch"),  # commits offsets, without which later runs would warn
        ("telco-model-owner", "model", "publish", str(other)),
        ("telco-model-owner", "model", "publish", str(COMMITTED)),
        ("telco-model-owner", "model", "promote", VERSION),
    ):
        done = run_in_process(*command, env=secured_kafka.environment(user))
        assert done.code == 0, done.err
    return admin


@pytest.fixture
def broker(secured_kafka: SecuredKafka, admin: AdminClient) -> Iterator[SecuredKafka]:
    """Yield the broker, and restore all rights afterwards."""
    yield secured_kafka
    if not has_bindings(admin, RIGHTS):
        grant(admin, RIGHTS)


def case_id(command: str, right: AclBinding) -> str:
    return f"{command}-{AclOperation(right.operation).name}-{right.name}"


def needed() -> Iterator[tuple[str, AclBinding]]:
    """Yield each command with each right that it needs."""
    for command, user in COMMANDS.items():
        for right in RIGHTS:
            spare = right.operation in {OPTIONAL, AclOperation.CREATE} or (
                "at-least-once" in command and right.restype is ResourceType.TRANSACTIONAL_ID
            )
            spare |= user == "telco-consumer" and right.name == NAMES.models and NAMES.models not in command
            if right.principal == f"User:{user}" and not spare:
                yield command, right


def test_command_works_with_its_documented_permissions(broker: SecuredKafka) -> None:
    send_good_and_bad(broker)
    for command, user in COMMANDS.items():
        done = run(command, broker.environment(user))
        assert done.code == 0, f"{command}: {done.err}"


@pytest.mark.parametrize(
    ("command", "right"),
    [pytest.param(command, right, id=case_id(command, right)) for command, right in needed()],
)
def test_error_names_the_missing_permission(
    broker: SecuredKafka, admin: AdminClient, command: str, right: AclBinding
) -> None:
    """Each command fails without the right, so no documented right is unnecessary."""
    revoke(admin, [right])
    refused(run(command, broker.environment(COMMANDS[command])), right.name, "docs/security.md lists the rights")


def test_error_names_the_topic_when_it_may_not_be_created(broker: SecuredKafka, admin: AdminClient) -> None:
    """The topics do not exist yet; the user has the documented rights for the default names only."""
    names = {f"TELCO_STREAM_TOPICS__{setting.upper()}": f"new.{topic}" for setting, topic in BY_SETTING.items()}
    rights = [renamed(right, f"new.{right.name}") for right in RIGHTS if right.principal == "User:telco-admin"]
    env = broker.environment("telco-admin") | names
    for right in rights:
        if right.operation is AclOperation.CREATE:
            grant(admin, rights)
            revoke(admin, [right])
            refused(
                run("topics init --models --outcomes --dry-run", env), right.name, "was not created", "docs/security.md"
            )
    grant(admin, rights)
    assert run("topics init --models --outcomes --dry-run", env).code == 0
    revoke(admin, rights)


def test_topic_limit_comes_from_settings_when_it_may_not_be_read(broker: SecuredKafka, admin: AdminClient) -> None:
    optional = [right for right in RIGHTS if right.operation is OPTIONAL]
    revoke(admin, optional)
    send_good_and_bad(broker)
    for command, user in COMMANDS.items():
        if f"User:{user}" in {right.principal for right in optional}:
            assert run(command, broker.environment(user)).code == 0, command


def test_promotion_waits_with_its_documented_permissions(
    broker: SecuredKafka, admin: AdminClient, start_cli: Callable[..., RunningCli]
) -> None:
    """It is refused without any one of them."""
    promoter, command = broker.environment("telco-model-promoter"), f"model promote {OTHER} --wait"
    for right in RIGHTS:
        if right.principal == "User:telco-model-promoter" and right.operation is not OPTIONAL:
            revoke(admin, [right])
            refused(run(command, promoter), right.name, "docs/security.md lists the rights")
            grant(admin, [right])
    env = broker.environment("telco-consumer") | {"TELCO_STREAM_MODEL__GATE_MICROSECONDS": "1e6"}
    consumer = start_cli("consume", "--no-live", "--model", "kafka:telco.models", env=env)
    send_good_and_bad(broker)
    done = run(command, promoter)
    assert done.code == 0, done.err
    consumer.signal(signal.SIGTERM)
    assert consumer.wait() == 0


def test_kafka_acls_accepts_the_documented_lines(secured_kafka: SecuredKafka, admin: AdminClient) -> None:
    """The other tests parse the lines; here kafka-acls.sh reads one with all of their parts."""
    line = (
        "kafka-acls.sh --bootstrap-server localhost:9095 --add --allow-principal User:somebody"
        " --operation Read --operation DescribeConfigs --topic a --topic b"
    )
    code, output = secured_kafka.exec(["sh", "-c", f"/opt/kafka/bin/{line}"])
    assert code == 0, output
    assert has_bindings(admin, bindings_in(line))
    revoke(admin, bindings_in(line))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("password", "rejected the login: SASL authentication error"),
        ("authority", "isn't trusted: unable to get local issuer certificate; TELCO_STREAM_KAFKA__SSL__CA__LOCATION"),
        ("certificate", "isn't trusted: certificate has expired; it has to be renewed on the broker"),
    ],
)
def test_error_names_the_reason_when_a_connection_is_refused(
    broker: SecuredKafka, command: str, wrong: str, reason: str
) -> None:
    """Before the timeout: waiting does not help."""
    env = broker.environment("telco-admin")
    if wrong == "password":
        env["TELCO_STREAM_KAFKA__SASL__PASSWORD"] += "x"
    if wrong == "authority":
        env["TELCO_STREAM_KAFKA__SSL__CA__LOCATION"] = str(broker.stranger)
    if wrong == "certificate":
        env["TELCO_STREAM_BOOTSTRAP_SERVERS"] = broker.expired
    started = time.monotonic()
    refused(run(command, env), reason)
    assert time.monotonic() - started < PATIENCE


def test_user_without_permissions_can_do_nothing(broker: SecuredKafka) -> None:
    for command in COMMANDS:
        refused(run(command, broker.environment("stranger")), "docs/security.md lists the rights")


def test_plain_and_oauthbearer_log_in_with_properties_alone(broker: SecuredKafka) -> None:
    plain = broker.environment(PLAIN_USER, sasl_mechanism="PLAIN", sasl_password=PLAIN_PASSWORD)
    assert run("status", plain).code == 0
    token = {"enable_sasl_oauthbearer_unsecure_jwt": "true", "sasl_oauthbearer_config": "principal=telco-auditor"}
    assert run("status", broker.environment("", sasl_mechanism="OAUTHBEARER", **token)).code == 0
    refused(run("status", plain | {"TELCO_STREAM_KAFKA__SASL__PASSWORD": "x"}), "rejected the login")
    refused(run("status", plain | {"TELCO_STREAM_KAFKA__SASL__MECHANISM": "SCRAM-SHA-256"}), "SCRAM-SHA-256")


def test_pipeline_runs_on_a_secured_cluster(broker: SecuredKafka) -> None:
    """As separate processes, with the password in a file that ends with a newline."""
    send_good_and_bad(broker)
    (path := broker.authority.with_name("password")).write_text(f"{PASSWORD}\n")
    secret = {"TELCO_STREAM_KAFKA__SASL__PASSWORD_FILE": str(path), "TELCO_STREAM_KAFKA__DEBUG": "security,conf"}
    results = {}
    for command, user in {
        "produce --mode batch --limit 3 --run-id way": "telco-batch-producer",
        "consume --mode batch": "telco-consumer",
        "verify": "telco-auditor",
    }.items():
        env = broker.environment(user)
        del env["TELCO_STREAM_KAFKA__SASL__PASSWORD"]
        done = run_cli(*command.split(), "--verbose", "--output", "json", env=env | secret)
        assert done.returncode == 0, done.stderr
        assert PASSWORD not in done.stdout + done.stderr
        assert "sasl.password = ********" in done.stderr
        results[command.split()[0]] = json.loads(done.stdout)
    assert results["produce"]["sent"] == 3
    assert results["consume"]["consumed"] >= 5
    assert results["verify"]["missing"] == 0


def send_good_and_bad(broker: SecuredKafka) -> None:
    send(broker.bootstrap, NAMES.raw, [("k", good(), []), ("k", b"{", [])] * 2)


def run(command: str, env: dict[str, str]) -> CompletedRun:
    return run_in_process(*shlex.split(command), "--timeout", str(PATIENCE), "--quiet", env=env)


def refused(done: CompletedRun, *reasons: str) -> None:
    assert done.code == 3, done
    assert len(done.err.splitlines()) == 1, done.err
    assert all(reason in done.err for reason in reasons), done.err
    assert PASSWORD not in done.err


def renamed(right: AclBinding, name: str) -> AclBinding:
    return AclBinding(
        right.restype,
        name,
        right.resource_pattern_type,
        right.principal,
        "*",
        right.operation,
        right.permission_type,
    )
