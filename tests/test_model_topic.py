"""The commands for the models topic on a real Kafka: publish, promote, roll back, list, history, and its readers."""

import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from telco_stream.messages.record import Message
from telco_stream.model.artifact import read_manifest
from telco_stream.registry.records import (
    RoleChange,
    WorkerReport,
    encode_publication,
    encode_report,
    encode_role_change,
)
from tests.support.cli import RunningCli
from tests.support.in_process import CompletedRun, run_in_process
from tests.support.model_folder import COMMITTED, copy_model, edit_manifest, replace_artifact
from tests.support.topics import configure_topic, delete_topics, fresh_topics, read_topic, send, wait_for_topics
from tests.support.training_data import labelled_rows, write_csv
from tests.support.waiting import wait_until
from tests.test_registry_archive import zip_of

VERSION = read_manifest(COMMITTED).model_version
KEY = {"TELCO_STREAM_MODEL__SIGNING_KEY": "first secret"}


class ModelCli:
    """`telco-stream` with topics of one test."""

    def __init__(self, kafka: str) -> None:
        self.kafka, self.names = kafka, fresh_topics()
        self.topic, self.env = self.names.models, self.names.env(kafka)

    def run(self, *args: str, code: int = 0, env: Mapping[str, str] | None = None) -> CompletedRun:
        done = run_in_process(*args, env=self.env | dict(env or {}))
        assert done.code == code, done
        return done

    def json(self, *args: str, env: Mapping[str, str] | None = None) -> Any:
        return json.loads(self.run(*args, "--output", "json", env=env).out)

    def rows(self, *args: str, env: Mapping[str, str] | None = None) -> list[Any]:
        return [json.loads(line) for line in self.run(*args, "--output", "json", env=env).out.splitlines()]

    def error(self, *args: str, code: int = 2) -> str:
        done = self.run(*args, code=code)
        assert len(done.err.splitlines()) == 1, done.err
        return done.err

    def send(self, *messages: Message) -> None:
        send(self.kafka, self.topic, messages, partition=0)


@pytest.fixture
def cli(kafka: str) -> Iterator[ModelCli]:
    """Create the topics, also that of the models."""
    cli = ModelCli(kafka)
    cli.run("topics", "init", "--models")
    wait_for_topics(kafka, cli.names.partitions() | {cli.topic: 1})
    yield cli
    delete_topics(kafka, cli.names)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return copy_with(tmp_path, lambda manifest: manifest.update(model_version="v2"))


def copy_with(tmp_path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    folder = copy_model(tmp_path)
    edit_manifest(folder, edit)
    return folder


def test_model_commands_publish_promote_and_roll_back(cli: ModelCli, other: Path) -> None:
    published = cli.json("model", "publish", str(COMMITTED))
    archive = read_topic(cli.kafka, cli.topic)[0]
    assert (archive.key, archive.header("telco.model.sha256")) == (VERSION.encode(), published["sha256"])
    assert published["bytes"] == len(archive.value or b"")
    cli.run("model", "publish", str(other))
    none = {"canary": None, "percent": None, "shadow": None}
    first = {"action": "promote", "version": VERSION, "role": "serving", "changed": True, "serving": VERSION, **none}
    assert cli.json("model", "promote", VERSION) == first
    assert cli.json("model", "promote", VERSION) == first | {"changed": False}
    canary = cli.json("model", "promote", "v2", "--canary", "5")
    assert (canary["serving"], canary["canary"], canary["percent"]) == (VERSION, "v2", 5.0)
    assert cli.json("model", "rollback")["canary"] is None
    assert cli.json("model", "promote", "v2", "--shadow")["shadow"] == "v2"
    assert [row["role"] for row in cli.rows("model", "list")] == ["shadow", "serving"]
    assert cli.json("model", "promote", "v2")["shadow"] is None
    assert cli.json("model", "show", "--model", f"kafka:{cli.topic}")["model_version"] == "v2"
    assert cli.json("model", "rollback")["serving"] == VERSION
    assert cli.json("model", "show", "--model", f"kafka:{cli.topic}")["model_version"] == VERSION
    history = [(row["action"], row["version"], row["role"]) for row in cli.rows("model", "history")]
    assert history == [
        ("promote", VERSION, "serving"),
        ("promote", "v2", "canary"),
        ("rollback", "v2", "canary"),
        ("promote", "v2", "shadow"),
        ("promote", "v2", "serving"),
        ("rollback", "v2", "serving"),
    ]
    keys = [record.key for record in read_topic(cli.kafka, cli.topic)]
    assert len(set(keys)) == len(keys) == 8, "compaction must keep every role change"


def test_model_tables_show_versions_and_changes(cli: ModelCli, other: Path) -> None:
    cli.run("model", "publish", str(COMMITTED))
    cli.run("model", "publish", str(other))
    cli.run("model", "promote", VERSION)
    assert "Canary   v2, 2.5% of the keys" in cli.run("model", "promote", "v2", "--canary", "2.5").out
    lines = cli.run("model", "list").out.splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["v2", "canary"], [VERSION, "serving"]]
    assert "canary 2.5%" in lines[2]
    cli.send(encode_role_change(change("rollback", "v2", "1.2 % failed"), "1"))
    cli.send(encode_role_change(change("rollback", "v2", "1.3 % failed"), "2"))
    shown = cli.run("model", "history", env={"COLUMNS": "120"}).out
    assert "worker: 1.2 % failed" in shown
    assert "rollback (no effect)" in shown


def change(action: Any, version: str, reason: str | None = None, sha256: str = "0" * 64) -> RoleChange:
    return RoleChange(action, version, sha256, "serving", "worker", "2026-11-28T08:00:00Z", reason=reason)


def test_publish_changes_nothing_when_the_version_is_known(cli: ModelCli, tmp_path: Path) -> None:
    first = cli.json("model", "publish", str(COMMITTED))
    assert cli.json("model", "publish", str(COMMITTED)) == first | {"published": False}
    changed = copy_with(tmp_path, lambda manifest: manifest.update(threshold=0.9))
    assert f"Version {VERSION} is in topic" in cli.error("model", "publish", str(changed))
    edited = copy_model(tmp_path / "edited")
    (edited / "reasons.json").write_text('{"tenure": {"raises": "New customers leave.", "lowers": "Others stay."}}')
    refusal = cli.error("model", "publish", str(edited))
    assert "with another reasons.json," in refusal
    assert "to publish edited sentences, change model_version in manifest.json" in refusal
    assert len(read_topic(cli.kafka, cli.topic)) == 1
    edit_manifest(edited, lambda manifest: manifest.update(model_version="edited"))
    assert cli.json("model", "publish", str(edited))["version"] == "edited"


def serve_skops(manifest: dict[str, Any]) -> None:
    manifest.update(serving={"engine": "sklearn", "artifact": "pipeline.skops"})


def test_publish_refuses_a_model_whose_file_could_run_code(tmp_path: Path) -> None:
    replace_artifact(folder := copy_with(tmp_path, serve_skops), "pipeline.skops", b"skops")
    done = run_in_process("model", "publish", str(folder), env={})
    assert (done.code, "pipeline.skops serves, and an archive holds no file" in done.err) == (4, True), done.err


def test_publish_refuses_sentences_that_cannot_be_read(tmp_path: Path) -> None:
    (folder := copy_with(tmp_path, lambda _: None)).joinpath("reasons.json").write_bytes(b"[]")
    done = run_in_process("model", "publish", str(folder), env={})
    assert (done.code, "reasons.json has another form" in done.err) == (4, True), done.err


def test_list_names_the_members_that_accepted_or_rejected_a_version(
    cli: ModelCli, start_cli: Callable[..., RunningCli]
) -> None:
    cli.run("model", "publish", str(COMMITTED))
    cli.run("model", "promote", VERSION)
    env = cli.env | {"TELCO_STREAM_MODEL__PATH": f"kafka:{cli.topic}"}
    pids = [start_cli("consume", "--no-live", env=env).process.pid for _ in range(2)]
    cli.send(encode_report(WorkerReport("killed", VERSION, accepted=False, at="")))

    def names() -> list[str]:
        (row,) = cli.rows("model", "list")
        assert row["rejected_by"] == []
        return row["accepted_by"] if len(row["accepted_by"]) == len(pids) else []

    found = wait_until(names, 30, "the reports of two workers")
    assert [name.rpartition("-")[0] for name in found] == sorted(
        f"telco-stream-{socket.gethostname()}-{pid}" for pid in pids
    )
    assert all(name in cli.run("model", "list", env={"COLUMNS": "120"}).out for name in found)
    assert cli.rows("model", "list", "--group", "another")[0]["accepted_by"] == []


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda manifest: manifest["artifacts"].pop("pipeline.onnx"), "no compiled form"),
        (lambda manifest: manifest.update(model_version="role/x"), "may only have letters"),
        (lambda manifest: manifest.update(threshold=2), "is not a model's manifest"),
    ],
)
def test_publish_refuses_a_model_before_it_asks_kafka(
    tmp_path: Path, edit: Callable[[dict[str, Any]], object], reason: str
) -> None:
    env = {"TELCO_STREAM_BOOTSTRAP_SERVERS": "localhost:1"}
    done = run_in_process("model", "publish", str(copy_with(tmp_path, edit)), env=env)
    assert (done.code, reason in done.err) == (4, True), done.err


def test_promote_refuses_a_role_that_a_version_cannot_have(cli: ModelCli) -> None:
    assert "'v9' is not in topic" in cli.error("model", "promote", "v9")
    assert "model publish FOLDER" in cli.error("model", "promote", "v9")
    cli.run("model", "publish", str(COMMITTED))
    assert "No version serves" in cli.error("model", "promote", VERSION, "--canary", "5")
    assert "nothing to roll back" in cli.error("model", "rollback")
    assert "No version serves" in cli.error("model", "show", "--model", f"kafka:{cli.topic}", code=4)
    cli.run("model", "promote", VERSION)
    assert "already serves" in cli.error("model", "promote", VERSION, "--shadow")
    assert "No version served before" in cli.error("model", "rollback")
    assert "cannot be combined" in cli.error("model", "promote", VERSION, "--shadow", "--canary", "5")
    for percent in ("0", "100.5", "nan"):
        assert "0.01 to 100" in cli.error("model", "promote", VERSION, "--canary", percent)
    assert len(read_topic(cli.kafka, cli.topic)) == 2


def test_error_names_the_option_when_the_models_topic_is_missing(kafka: str) -> None:
    cli = ModelCli(kafka)
    for command in (["list"], ["history"], ["rollback"], ["publish", str(COMMITTED)], ["promote", "v"]):
        error = cli.error("model", *command, code=3)
        assert "topics init --models`, or correct TELCO_STREAM_TOPICS__MODELS" in error


def test_readers_ignore_records_that_are_not_signed_with_the_key(cli: ModelCli, other: Path) -> None:
    cli.run("model", "publish", str(COMMITTED), env=KEY)
    cli.run("model", "promote", VERSION, env=KEY)
    cli.run("model", "publish", str(other))
    cli.run("model", "promote", "v2")
    assert cli.json("model", "show", "--model", f"kafka:{cli.topic}")["model_version"] == "v2"
    signed = cli.run("model", "show", "--model", f"kafka:{cli.topic}", "--output", "json", env=KEY)
    assert json.loads(signed.out)["model_version"] == VERSION
    assert signed.err.count("it is not signed") == 2
    assert "first secret" not in signed.err
    assert [row["version"] for row in cli.rows("model", "list", env=KEY)] == [VERSION]
    wrong = {"TELCO_STREAM_MODEL__SIGNING_KEY": "second secret"}
    assert cli.rows("model", "list", env=wrong) == []


def test_signing_key_comes_from_a_file_and_is_masked(cli: ModelCli, tmp_path: Path) -> None:
    (path := tmp_path / "models.key").write_text("first secret\n")
    file = {"TELCO_STREAM_MODEL__SIGNING_KEY_FILE": str(path)}
    cli.run("model", "publish", str(COMMITTED), env=file)
    assert [row["version"] for row in cli.rows("model", "list", env=KEY)] == [VERSION]
    shown = cli.run("config", "show", env=file).out
    assert "first secret" not in shown
    assert "********" in shown


def test_commands_use_the_contract_of_the_serving_version(cli: ModelCli, tmp_path: Path) -> None:
    folder = copy_model(tmp_path)
    contract = json.loads((folder / "contract.json").read_text())
    contract["entity"] = "subscriber"
    replace_artifact(folder, "contract.json", json.dumps(contract).encode())
    cli.run("model", "publish", str(folder))
    cli.run("model", "promote", VERSION)
    source = {"TELCO_STREAM_MODEL__PATH": f"kafka:{cli.topic}"}
    assert cli.json("contract", "show", env=source)["entity"] == "subscriber"
    cli.run("produce", "--mode", "batch", "--limit", "3", env=source)
    for command in (["report"], ["dlq", "list", "--customer", "x"], ["doctor", "--command", "report"]):
        cli.run(*command, env=source)
    doctor = cli.json("doctor", "--command", "report", env=source)
    assert [check["message"] for check in doctor["checks"] if check["check"] == "model"] == [
        f"{VERSION}, threshold 0.31"
    ]


def test_compare_reads_versions_from_the_topic(cli: ModelCli, other: Path, tmp_path: Path) -> None:
    cli.run("model", "publish", str(COMMITTED))
    cli.run("model", "publish", str(other))
    data = write_csv(tmp_path / "labelled.csv", labelled_rows(50))
    result = cli.json("model", "compare", VERSION, "v2", "--data", str(data))
    assert (result["a"]["version"], result["b"]["version"], result["largest_change"]) == (VERSION, "v2", 0)
    assert "'v9' is not in topic" in cli.error("model", "compare", VERSION, "v9", "--data", str(data))


def test_models_topic_takes_a_large_model(cli: ModelCli, tmp_path: Path) -> None:
    folder, content = copy_model(tmp_path), os.urandom(20_000_000)
    replace_artifact(folder, "weights.bin", content)
    assert cli.json("model", "publish", str(folder))["bytes"] > 20_000_000
    cli.run("model", "promote", VERSION)
    shown = cli.json("model", "show", "--model", f"kafka:{cli.topic}")
    assert shown["artifacts"]["weights.bin"] == hashlib.sha256(content).hexdigest()


def test_publish_names_the_limit_when_the_topic_takes_less(cli: ModelCli) -> None:
    configure_topic(cli.kafka, cli.topic, "max.message.bytes", "3000")
    assert "raise its max.message.bytes to 33554432" in cli.error("model", "publish", str(COMMITTED))


def test_readers_reject_a_hostile_archive(cli: ModelCli) -> None:
    archive = zip_of(("manifest.json", b"{}"), ("pipeline.joblib", b"."))
    sha256 = hashlib.sha256(archive).hexdigest()
    cli.send(encode_publication("evil", archive), encode_role_change(change("promote", "evil", sha256=sha256), "1"))
    error = cli.error("model", "show", "--model", f"kafka:{cli.topic}", code=4)
    assert "version evil was rejected: it holds pipeline.joblib, which can run any code" in error


def test_readers_reject_an_archive_that_replaced_the_promoted_one(cli: ModelCli, other: Path) -> None:
    cli.run("model", "publish", str(other))
    cli.run("model", "promote", "v2")
    cli.send(encode_publication("v2", zip_of(("manifest.json", b"{}"))))
    assert "does not hold the archive of v2" in cli.error("model", "show", "--model", f"kafka:{cli.topic}", code=4)
    assert [(row["role"], row["bytes"]) for row in cli.rows("model", "list")] == [("serving", None)]


def test_topics_init_warns_when_the_models_topic_is_not_compacted(cli: ModelCli) -> None:
    assert "compacted" not in cli.run("topics", "init", "--models").err
    configure_topic(cli.kafka, cli.topic, "cleanup.policy", "delete")
    assert f"{cli.topic} is not compacted" in cli.run("topics", "init", "--models").err
    assert "is not compacted" not in cli.run("topics", "init").err
    cli.run("doctor", "--command", "model", code=3)
    configure_topic(cli.kafka, cli.topic, "cleanup.policy", "compact")
    checks = cli.json("doctor", "--command", "model")["checks"]
    assert [check["message"].split(", ")[2] for check in checks if check["check"] == "topic"] == ["compacted"]
