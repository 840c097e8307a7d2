"""`doctor` on a real Kafka: each check is ok, or says what to do."""

import json
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError as KafkaClientError

from telco_stream.checks.doctor import Doctor, check_replicas
from telco_stream.checks.results import Check, DoctorResult
from telco_stream.errors import KafkaError, UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.model.artifact import load_scorer
from telco_stream.runtime.files import bundled
from telco_stream.runtime.signals import Stop
from telco_stream.settings import load
from tests.support.captured_screen import CapturedScreen
from tests.support.in_process import CompletedRun, run_in_process
from tests.support.mock_cluster import Api, MockCluster
from tests.support.topics import Topics, configure_topic


def run(*arguments: str, env: dict[str, str]) -> tuple[CompletedRun, dict[str, Any]]:
    done = run_in_process("doctor", *arguments, "--output", "json", env=env)
    result: dict[str, Any] = json.loads(done.out)
    return done, result


def check_of(result: dict[str, Any], kind: str, subject: str | None = None) -> dict[str, Any]:
    found = [check for check in result["checks"] if check["check"] == kind and subject in {None, check["subject"]}]
    assert len(found) == 1, found
    return dict(found[0])


def states(result: dict[str, Any], kind: str) -> dict[str, str]:
    return {check["subject"]: check["state"] for check in result["checks"] if check["check"] == kind}


def test_doctor_exits_0_when_all_is_well(kafka: str, topics: Topics) -> None:
    done, result = run(env=topics.env(kafka))
    assert (done.code, done.err, result["ok"], result["exit_code"]) == (0, "", True, 0)
    assert {check["state"] for check in result["checks"]} == {"ok"}
    kinds = list(dict.fromkeys(check["check"] for check in result["checks"]))
    assert kinds == ["broker", "topic", "permissions", "model", "clocks", "disk"]
    assert check_of(result, "topic", topics.raw)["message"].startswith("3 partitions, 1 replica, kept forever, ")


def test_doctor_checks_only_what_the_commands_need(kafka: str, topics: Topics) -> None:
    _, result = run("--command", "report", "--command", "dlq", env=topics.env(kafka))
    assert states(result, "permissions") == {"report": "ok", "dlq list": "ok", "dlq replay": "ok"}
    _, result = run("--command", "report", env=topics.env(kafka))
    assert states(result, "topic") == {topics.predictions: "ok"}
    assert check_of(result, "clocks")["state"] == "skipped"


def test_doctor_checks_the_outcomes_when_a_command_reads_them(kafka: str, topics: Topics) -> None:
    env = topics.env(kafka)
    names = ("explain", "quality", "model recalibrate")
    commands = [part for name in names for part in ("--command", name)]
    done, result = run(*commands, env=env)
    assert states(result, "permissions") == {"explain": "ok", "quality": "skipped", "model recalibrate": "skipped"}
    assert (done.code, states(result, "topic")[topics.outcomes]) == (KafkaError.exit_code, "failed")
    assert run_in_process("topics", "init", "--outcomes", env=env).code == 0
    done, result = run(*commands, env=env)
    assert (done.code, states(result, "permissions")) == (0, dict.fromkeys(names, "ok"))
    assert set(states(result, "topic")) == {topics.raw, topics.predictions, topics.outcomes}


def test_doctor_exits_2_when_a_command_is_unknown(kafka: str, topics: Topics) -> None:
    done = run_in_process("doctor", "--command", "konsume", env=topics.env(kafka))
    assert done.code == UsageError.exit_code
    assert "consume" in done.err


def test_doctor_exits_3_when_a_topic_is_missing(kafka: str, topics: Topics) -> None:
    """Commands that need it are skipped; the others are checked."""
    done, result = run(env=topics.env(kafka) | {"TELCO_STREAM_TOPICS__DEADLETTER": "no.such.topic"})
    assert done.code == result["exit_code"] == 3
    assert "telco-stream topics init" in check_of(result, "topic", "no.such.topic")["message"]
    rights = states(result, "permissions")
    assert (rights["consume"], rights["dlq list"], rights["report"]) == ("skipped", "skipped", "ok")
    assert states(result, "model") == {"bundled": "ok"}
    assert len(done.err.splitlines()) == 1
    assert "1 of 18 checks failed, first: topic no.such.topic: " in done.err


def test_doctor_names_the_setting_when_partitions_are_missing(kafka: str, topics: Topics) -> None:
    done, result = run(env=topics.env(kafka) | {"TELCO_STREAM_TOPICS__DEADLETTER_PARTITIONS": "4"})
    assert done.code == 3
    message = check_of(result, "topic", topics.deadletter)["message"]
    assert message.startswith("1 of 4 partitions")
    assert "TELCO_STREAM_TOPICS__DEADLETTER_PARTITIONS=1" in message


def test_doctor_exits_3_when_a_topic_is_compacted(kafka: str, topics: Topics) -> None:
    configure_topic(kafka, topics.predictions, "cleanup.policy", "compact")
    done, result = run(env=topics.env(kafka))
    assert done.code == 3
    assert "cleanup.policy=delete" in check_of(result, "topic", topics.predictions)["message"]


def test_doctor_exits_3_when_writes_need_more_replicas(kafka: str, topics: Topics) -> None:
    configure_topic(kafka, topics.raw, "min.insync.replicas", "2")
    done, result = run(env=topics.env(kafka))
    assert done.code == 3
    assert "1 of 2 in-sync replicas" in check_of(result, "topic", topics.raw)["message"]


@pytest.mark.parametrize(
    ("in_sync", "text"),
    [({0: 3, 1: 0}, "partition 1 has no leader"), ({0: 3, 1: 2}, "partition 1 has 2 of 3 replicas in sync")],
)
def test_check_replicas_names_the_worst_partition(in_sync: dict[int, int], text: str) -> None:
    check_replicas({0: 3, 1: 3}, 3, 2)
    with pytest.raises(KafkaError, match=text):
        check_replicas(in_sync, 3, 2)


def test_doctor_exits_4_when_the_model_is_broken(kafka: str, topics: Topics, tmp_path: Path) -> None:
    done, result = run("--model", str(tmp_path), env=topics.env(kafka))
    assert done.code == result["exit_code"] == 4
    assert "telco-stream train" in check_of(result, "model", str(tmp_path))["message"]
    assert set(states(result, "permissions").values()) == {"ok"}


def test_doctor_exits_5_when_the_disk_is_full(kafka: str, topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=5_000_000))
    done, result = run(env=topics.env(kafka))
    assert done.code == result["exit_code"] == 5
    assert check_of(result, "disk")["message"] == "5 MB are free; free at least 100 MB"


def test_doctor_exits_5_when_checkpoints_cannot_be_written(kafka: str, topics: Topics, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    env = topics.env(kafka) | {"TELCO_STREAM_PRODUCER__CHECKPOINT_FILE": str(tmp_path / "file/folder/producer.json")}
    done, result = run(env=env)
    assert done.code == 5
    assert "TELCO_STREAM_PRODUCER__CHECKPOINT_FILE" in check_of(result, "disk")["message"]
    assert run("--command", "consume", env=env)[0].code == 0


@pytest.mark.parametrize(("ahead", "text"), [(60, "s behind this machine's"), (-60, "s ahead of this machine's")])
def test_doctor_compares_clocks_with_the_brokers(kafka: str, topics: Topics, ahead: int, text: str) -> None:
    clients = Clients(load({}, environ=topics.env(kafka)))
    model = partial(load_scorer, bundled("models/churn"))
    doctor = Doctor(clients, model, ["consume"], Stop(), lambda: time.time() + ahead)
    result = doctor.run(lambda *_: None)
    clocks = next(check for check in result.checks if check.check == "clocks")
    assert (clocks.state, clocks.exit_code, result.exit_code) == ("failed", 5, 5)
    assert text in clocks.message


def test_doctor_checks_the_rest_when_kafka_is_away() -> None:
    done, result = run("--broker", "127.0.0.1:1", "--timeout", "0.5", env={})
    assert done.code == 3
    assert check_of(result, "broker")["state"] == "failed"
    assert set(states(result, "topic").values()) | set(states(result, "permissions").values()) == {"skipped"}
    assert check_of(result, "model")["state"] == check_of(result, "disk")["state"] == "ok"


def test_doctor_leaves_a_running_consumers_id_alone(kafka: str, topics: Topics) -> None:
    """A check with a configured transactional ID would fence its consumer."""
    env = topics.env(kafka) | {"TELCO_STREAM_CONSUMER__TRANSACTIONAL_ID": topics.transactional_id}
    done, result = run("--command", "consume", env=env)
    assert done.code == 0
    assert check_of(result, "permissions", "consume")["state"] == "ok"
    assert check_of(result, "clocks")["state"] == "skipped"


def test_permissions_name_the_setting_when_nothing_can_be_coordinated(
    embedded: MockCluster, embedded_topics: Topics
) -> None:
    """As on a broker that cannot create its topic of transactions."""
    embedded.push_errors(Api.FIND_COORDINATOR, *[KafkaClientError.COORDINATOR_NOT_AVAILABLE] * 1_000)
    env = embedded_topics.env(embedded.bootstrap)
    done, result = run("--command", "produce --mode batch", "--timeout", "1", env=env)
    assert done.code == 3
    message = check_of(result, "permissions", "produce --mode batch")["message"]
    assert "transaction.state.log.replication.factor" in message


@pytest.mark.parametrize("width", [60, 80])
def test_table_fits_one_screen(width: int) -> None:
    checks = [Check("topic", "telco.churn.predictions", "ok", "3 partitions"), Check("disk", "/x", "skipped", "no")]
    checks.append(Check("broker", "x" * 70, "failed", "say what to do " * 10, 3))
    captured = CapturedScreen(environ={"COLUMNS": str(width)})
    captured.screen.show(DoctorResult(ok=False, exit_code=3, checks=checks))
    lines = captured.stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines if not line.startswith((" ", "─"))] == ["ok", "-", "fix"]
