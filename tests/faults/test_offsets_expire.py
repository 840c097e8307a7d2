"""A broker that deletes the offsets of empty groups after a minute instead of seven days."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from telco_stream.consume.run import ConsumeOptions
from telco_stream.csv.reader import fingerprint
from telco_stream.produce.progress import PassKey
from telco_stream.produce.writer import group_of
from tests.conftest import require_containers
from tests.support.cli import run_cli
from tests.support.consumer_harness import RunningConsumer, answers, coordinates, customers, settings_of, sources
from tests.support.kafka_container import SMALL, KafkaContainer
from tests.support.produce_harness import write_customers
from tests.support.run_summary import FULL
from tests.support.topics import Topics, create_topics, fresh_topics, read_topic, send
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.own_broker,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not FULL, reason="waits over a minute for Kafka; runs in the full form (make faults)"),
]


@pytest.fixture
def short_retention_kafka(pytestconfig: pytest.Config) -> Iterator[str]:
    """Yield a real Kafka that deletes offsets after a minute."""
    require_containers(pytestconfig)
    settings = {"offsets_retention_minutes": "1", "offsets_retention_check_interval_ms": "5000"}
    with KafkaContainer(**SMALL, **settings) as container:
        yield container.bootstrap


def test_produce_resumes_a_pass_when_its_offsets_expired(short_retention_kafka: str, tmp_path: Path) -> None:
    """Without a checkpoint file, each row of a named run and of an unfinished pass is sent once."""
    topics = fresh_topics()
    create_topics(short_retention_kafka, topics)
    paths = {name: write_customers(_folder(tmp_path, name), 100) for name in ("completed", "half", "unnamed", "twice")}
    named: dict[str, tuple[str, ...]] = {
        name: ("--run-id", name) if name in {"completed", "half"} else () for name in paths
    }
    limits = {"half": ("--limit", "40"), "unnamed": ("--limit", "70")}
    for name, path in paths.items():
        _produce(short_retention_kafka, topics, path, *named[name], *limits.get(name, ()))
    groups = [
        group_of(PassKey(str(path), fingerprint(path), topics.raw, named[name][1] if named[name] else None))
        for name, path in paths.items()
    ]
    assert all(_has_offset(short_retention_kafka, topics.raw, group) for group in groups)
    wait_until(
        lambda: not any(_has_offset(short_retention_kafka, topics.raw, group) for group in groups),
        180,
        "the expiry of the offsets",
    )
    sent = {name: _produce(short_retention_kafka, topics, path, *named[name]) for name, path in paths.items()}
    assert {name: (result["sent"], result["resumed_from"]) for name, result in sent.items()} == {
        "completed": (0, None),
        "half": (60, 40),
        "unnamed": (30, 70),
        "twice": (100, None),  # a finished unnamed pass starts again
    }
    assert len(read_topic(short_retention_kafka, topics.raw)) == 500


def test_consume_refuses_or_resumes_when_group_offsets_expired(short_retention_kafka: str) -> None:
    """The next run refuses to answer inputs again, and continues with `if_answered="resume"`."""
    topics = fresh_topics()
    create_topics(short_retention_kafka, topics)
    send(short_retention_kafka, topics.raw, customers(range(50)))
    settings = settings_of(short_retention_kafka, topics)
    RunningConsumer(settings, ConsumeOptions("batch", "exactly-once")).result()
    wait_until(
        lambda: not _has_offset(short_retention_kafka, topics.raw, topics.group), 180, "the expiry of the offset"
    )
    refused = run_cli("consume", "--mode", "batch", env=topics.env(short_retention_kafka))
    assert refused.returncode == 5, refused.stderr
    send(short_retention_kafka, topics.raw, customers(range(50, 60)))
    resumed = RunningConsumer(settings, ConsumeOptions("batch", "exactly-once", if_answered="resume")).result()
    assert resumed.consumed == 10
    inputs, answered = read_topic(short_retention_kafka, topics.raw), answers(short_retention_kafka, topics)
    assert sources(answered) == coordinates(inputs)


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def _produce(kafka: str, topics: Topics, path: Path, *options: str) -> dict[str, Any]:
    """Run `produce` without the checkpoint file of the previous run."""
    file = path.parent / "checkpoint.json"
    file.unlink(missing_ok=True)
    files = ("--data-path", str(path), "--checkpoint-file", str(file))
    completed = run_cli("produce", "--mode", "batch", "--output", "json", *files, *options, env=topics.env(kafka))
    assert completed.returncode == 0, completed.stderr
    result: dict[str, Any] = json.loads(completed.stdout)
    return result


def _has_offset(kafka: str, topic: str, group: str) -> bool:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group})
    try:
        return bool(consumer.committed([TopicPartition(topic, 0)], timeout=15)[0].offset >= 0)
    finally:
        consumer.close()
