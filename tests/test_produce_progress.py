"""Progress of a pass on a real Kafka, stored in offsets and in marks."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from telco_stream.csv.reader import fingerprint
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.messages.headers import PROGRESS_MARK
from telco_stream.produce.progress import PassKey, PassProgress, decode_progress, encode_metadata
from telco_stream.produce.writer import group_of
from tests.support.consumer_harness import settings_of
from tests.support.in_process import run_in_process
from tests.support.produce_harness import customer_ids, write_customers
from tests.support.topics import Topics, create_topics, delete_topics, read_topic
from tests.support.waiting import wait_until

CHECKPOINT = Path("checkpoints/producer.json")
DAY = 24 * 60 * 60 * 1_000
pytestmark = pytest.mark.real


def produce(kafka: str, topics: Topics, path: Path, *options: str, code: int = 0) -> dict[str, Any]:
    """Run `produce`; return its result, with `stderr` added."""
    command = ("produce", "--mode", "batch", "--data-path", str(path), "--output", "json", *options)
    done = run_in_process(*command, env=topics.env(kafka))
    assert done.code == code, done.err
    return {"stderr": done.err, **(json.loads(done.out) if code == 0 else {})}


def keys(kafka: str, topics: Topics) -> Counter[str]:
    return Counter((record.key or b"").decode() for record in read_topic(kafka, topics.raw))


def marks(kafka: str, topics: Topics) -> list[PassProgress]:
    headers = [record.header(PROGRESS_MARK) for record in read_topic(kafka, topics.raw)]
    return sorted((decode_progress(mark) for mark in headers if mark), key=lambda mark: mark.last_processed_index)


def pass_of(topics: Topics, path: Path, run_id: str | None = None) -> PassKey:
    return PassKey(str(path.resolve()), fingerprint(path), topics.raw, run_id)


def delete_offsets(kafka: str, of: PassKey) -> None:
    """Delete the offsets of the pass, as Kafka does after `offsets.retention.minutes`."""
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_consumer_groups([group_of(of)], request_timeout=15)[group_of(of)].result(20)


def delete_records(kafka: str, topic: str, *partitions: int) -> None:
    """Delete all records of the partitions, as retention does."""
    admin = AdminClient({"bootstrap.servers": kafka})
    ends = [TopicPartition(topic, number, -1) for number in partitions]
    for deleted in admin.delete_records(ends).values():
        deleted.result(20)


def test_transaction_has_a_mark_in_its_last_record(kafka: str, topics: Topics, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 45_000)
    produce(kafka, topics, path)
    transaction_marks = marks(kafka, topics)
    assert len(transaction_marks) >= 3
    assert [mark.complete for mark in transaction_marks] == [False] * (len(transaction_marks) - 1) + [True]
    assert {mark.of.identity for mark in transaction_marks} == {pass_of(topics, path).identity}
    last = {int((record.key or b"").decode()) for record in read_topic(kafka, topics.raw) if record.headers}
    assert last == {mark.last_processed_index for mark in transaction_marks}
    assert keys(kafka, topics) == Counter(customer_ids((0, 45_000)))


@pytest.mark.parametrize("run_id", ["mon", None])
def test_pass_resumes_from_its_mark_when_offsets_are_gone(
    kafka: str, topics: Topics, tmp_path: Path, run_id: str | None
) -> None:
    """The file is one transaction behind, and Kafka has no offset."""
    path, named = write_customers(tmp_path, 50), ("--run-id", run_id) if run_id else ()
    produce(kafka, topics, path, *named, "--limit", "10")
    older = CHECKPOINT.read_text()
    produce(kafka, topics, path, *named, "--limit", "20")
    CHECKPOINT.write_text(older)
    delete_offsets(kafka, pass_of(topics, path, run_id))
    result = produce(kafka, topics, path, *named)
    assert (result["resumed_from"], result["sent"]) == (30, 20)
    assert "according to its records, row 30 was the last" in result["stderr"]
    assert keys(kafka, topics) == Counter(customer_ids((0, 50)))


def test_run_sends_nothing_when_finished_and_offsets_are_gone(kafka: str, topics: Topics, tmp_path: Path) -> None:
    """With the file, with a file that is one transaction behind, and for a content finished before another one."""
    path, other = write_customers(tmp_path, 50), tmp_path / "mount" / "other.csv"
    other.parent.mkdir()
    produce(kafka, topics, path, "--run-id", "mon", "--limit", "10")
    older = CHECKPOINT.read_text()
    produce(kafka, topics, path, "--run-id", "mon")
    delete_offsets(kafka, pass_of(topics, path, "mon"))
    assert produce(kafka, topics, path, "--run-id", "mon")["sent"] == 0
    CHECKPOINT.write_text(older)
    assert produce(kafka, topics, path, "--run-id", "mon")["sent"] == 0
    other.write_bytes(write_customers(other.parent, 60).read_bytes())
    assert produce(kafka, topics, other, "--run-id", "mon", "--checkpoint-file", "new.json")["sent"] == 60
    delete_offsets(kafka, pass_of(topics, other, "mon"))
    CHECKPOINT.write_text(older)
    assert produce(kafka, topics, path, "--run-id", "mon")["sent"] == 0
    assert keys(kafka, topics) == Counter(customer_ids((0, 50), (0, 60)))


def test_pass_is_refused_when_neither_offset_nor_mark_is_left(kafka: str, topics: Topics, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 50)
    produce(kafka, topics, path, "--limit", "30")
    delete_offsets(kafka, pass_of(topics, path))
    delete_records(kafka, topics.raw, 0, 1, 2)
    refusal = produce(kafka, topics, path, "--quiet", code=5)["stderr"]
    assert refusal.count("\n") == 1
    assert (
        "--restart, or continue after row 30, the last one in the checkpoint file, with --delivery at-least-once"
        in refusal
    )
    assert produce(kafka, topics, path, "--delivery", "at-least-once")["resumed_from"] == 30
    assert keys(kafka, topics) == Counter(customer_ids((30, 50)))


def test_pass_is_refused_when_a_newer_mark_may_be_deleted(kafka: str, topics: Topics, tmp_path: Path) -> None:
    """An older mark is left in another partition."""
    path = write_customers(tmp_path, 500)
    partitions: list[int] = []
    while len(set(partitions)) < 2:
        produce(kafka, topics, path, "--limit", "10")
        newest = max(
            (record for record in read_topic(kafka, topics.raw) if record.headers), key=lambda record: record.timestamp
        )
        partitions.append(newest.partition)
    delete_offsets(kafka, pass_of(topics, path))
    delete_records(kafka, topics.raw, partitions[-1])
    assert marks(kafka, topics)
    assert "doesn't show how far it came" in produce(kafka, topics, path, code=5)["stderr"]


@pytest.mark.parametrize(("age", "sent"), [(8 * DAY, 20), (2 * DAY, 50)])
def test_marks_are_searched_only_when_older_than_offsets(
    kafka: str, topics: Topics, tmp_path: Path, age: int, sent: int
) -> None:
    """Without a checkpoint file. The broker keeps offsets for 7 days, so the offset of a younger mark would exist."""
    path = write_customers(tmp_path, 50)
    mark = PassProgress(pass_of(topics, path, "mon"), pass_id="p").advanced(30, "2026-01-01T00:00:00.000Z")
    producer = Producer({"bootstrap.servers": kafka})
    when = time.time_ns() // 1_000_000 - age
    headers: list[tuple[str, str | bytes | None]] = [("trace", b"t"), (PROGRESS_MARK, encode_metadata(mark).encode())]
    producer.produce(topics.raw, b"{}", b"29", headers=[(PROGRESS_MARK, b"not a mark")], timestamp=when)
    producer.produce(topics.raw, b"{}", b"29", headers=[(PROGRESS_MARK, None)], timestamp=when)
    producer.produce(topics.raw, b"{}", b"29", headers=headers, timestamp=when)
    assert producer.flush(15) == 0
    assert produce(kafka, topics, path, "--run-id", "mon")["sent"] == sent


def test_offsets_retention_returns_the_broker_setting(kafka: str, topics: Topics) -> None:
    cluster = Cluster(Clients(settings_of(kafka, topics), 10.0))
    assert cluster.offsets_retention() == 7 * DAY


def test_run_resumes_when_its_file_is_at_another_mount(kafka: str, topics: Topics, tmp_path: Path) -> None:
    """As with Compose's `--run-id once`, or tasks on several machines without a shared checkpoint file."""
    path, elsewhere = write_customers(tmp_path, 30), tmp_path / "mount" / "renamed.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(path.read_bytes())
    runs = [("--limit", "10"), (), ()]
    sent = []
    for file, limit in zip((path, elsewhere, path), runs, strict=True):
        CHECKPOINT.unlink(missing_ok=True)
        sent.append(produce(kafka, topics, file, "--run-id", "once", *limit)["sent"])
    assert sent == [10, 20, 0]
    assert produce(kafka, topics, write_customers(tmp_path, 31), "--run-id", "once")["sent"] == 31


def test_run_starts_again_when_its_topic_was_recreated(kafka: str, topics: Topics, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 30)
    produce(kafka, topics, path, "--run-id", "mon")
    recreate_topics(kafka, topics)
    result = produce(kafka, topics, path, "--run-id", "mon")
    assert result["sent"] == 30
    assert "deleted and created again" in result["stderr"]
    assert produce(kafka, topics, path, "--run-id", "mon")["sent"] == 0


def test_pass_is_refused_when_its_topic_was_recreated(kafka: str, topics: Topics, tmp_path: Path) -> None:
    path = write_customers(tmp_path, 30)
    produce(kafka, topics, path, "--limit", "10")
    recreate_topics(kafka, topics)
    assert "deleted and created again since row 10" in produce(kafka, topics, path, code=5)["stderr"]
    assert produce(kafka, topics, path, "--restart")["sent"] == 30


def test_mark_is_not_copied_to_answers(kafka: str, topics: Topics, tmp_path: Path) -> None:
    produce(kafka, topics, write_customers(tmp_path, 30))
    assert marks(kafka, topics)
    done = run_in_process("consume", "--mode", "batch", "--quiet", env=topics.env(kafka))
    assert done.code == 0, done.err
    answers = read_topic(kafka, topics.predictions)
    assert len(answers) == 30
    assert not [answer for answer in answers if answer.header(PROGRESS_MARK)]


def recreate_topics(kafka: str, topics: Topics) -> None:
    delete_topics(kafka, topics)
    admin = AdminClient({"bootstrap.servers": kafka})
    wait_until(lambda: topics.raw not in admin.list_topics(timeout=10).topics, 30, "the topic's end")
    create_topics(kafka, topics)
