"""Start offset of a partition, chosen from its commit and its oldest record, without a client or a broker."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_INVALID, TopicPartition

from telco_stream import errors
from telco_stream.kafka import starts
from telco_stream.kafka.offsets import CommitMetadata, decode_commit_metadata, encode_commit_metadata
from telco_stream.kafka.starts import Reason, Reset, Start, StartFinder, TopicToRead, choose_start
from tests.support.fakes import FakeConsumer, kafka_exception, known_offsets

ID, EARLIER = "ABCDEFGHIJKLMNOPQRSTUV", "abcdefghijklmnopqrstuv"
FIRST = Start(7, CommitMetadata(topic_id=ID), Reason.FIRST)


def choose(
    committed: int, metadata: CommitMetadata | None = None, *, oldest: int = 0, is_out_of_range: bool = False
) -> Start:
    metadata = CommitMetadata(topic_id=ID) if metadata is None else metadata
    return choose_start(committed, metadata, oldest=oldest, first=FIRST, topic_id=ID, is_out_of_range=is_out_of_range)


def finder(consumer: FakeConsumer, reset: Reset, partitions: int = 3) -> StartFinder:
    return StartFinder(cast("Any", consumer), TopicToRead("raw", consumer.ask_offsets, ID, partitions, reset))


def commit(partition: int, offset: int, **metadata: Any) -> TopicPartition:
    fields: Any = {"topic_id": ID} | metadata
    return TopicPartition("raw", partition, offset, encode_commit_metadata(CommitMetadata(**fields)))


def test_choose_start_takes_the_commit_when_its_record_is_kept() -> None:
    start = choose(5, oldest=5)
    assert (start.offset, start.reason, start.is_committed) == (5, Reason.COMMITTED, True)


def test_choose_start_takes_the_first_start_without_a_commit() -> None:
    assert choose(-1001) == FIRST


def test_choose_start_adds_the_id_when_a_commit_has_none() -> None:
    """Offsets of earlier versions, and offsets set by Kafka's own tools, stay valid."""
    start = choose(5, CommitMetadata(dead_letters_in_a_row=3))
    assert (start.offset, start.is_committed) == (5, False)
    assert start.metadata == CommitMetadata(dead_letters_in_a_row=3, topic_id=ID)


def test_choose_start_counts_what_retention_deleted_unanswered() -> None:
    start = choose(5, CommitMetadata(topic_id=ID, expired_unanswered=2), oldest=9)
    assert (start.offset, start.reason, start.expired, start.is_committed) == (9, Reason.EXPIRED, 4, False)
    assert start.metadata.expired_unanswered == 6


def test_choose_start_ignores_a_commit_of_an_earlier_topic() -> None:
    start = choose(5, CommitMetadata(topic_id=EARLIER, dead_letters_in_a_row=9, expired_unanswered=9))
    assert (start.offset, start.reason, start.is_committed) == (0, Reason.RECREATED, False)
    assert start.metadata == CommitMetadata(topic_id=ID)


@pytest.mark.parametrize("committed", [500, -1001])
def test_choose_start_takes_the_oldest_when_out_of_range(committed: int) -> None:
    """Under either reset policy, available records are never skipped."""
    assert choose(committed, oldest=3, is_out_of_range=True).offset == 3


def test_metadata_survives_being_encoded() -> None:
    metadata = CommitMetadata(3, 1_700_000_000_000, ID, 12, 3)
    assert decode_commit_metadata(encode_commit_metadata(metadata)) == metadata


@pytest.mark.parametrize("text", [None, "", "null", "[]", "7", "{not ours", '{"at":[]}', '{"at":1e999}', '{"at":"x"}'])
def test_metadata_is_empty_when_another_program_wrote_it(text: str | None) -> None:
    assert decode_commit_metadata(text) == CommitMetadata()


@pytest.mark.parametrize(("reset", "offset"), [("earliest", 4), ("latest", 9)])
def test_find_follows_the_policy_when_the_group_is_new(reset: Reset, offset: int) -> None:
    consumer = FakeConsumer([], oldest={0: 4}, latest={0: 9})
    start = finder(consumer, reset).find({0}, set())[0]
    assert (start.offset, start.reason, start.is_committed) == (offset, Reason.FIRST, False)


def test_find_starts_an_added_partition_at_its_first_record() -> None:
    """With `latest` too: the group is older than the partition."""
    consumer = FakeConsumer([], offsets={0: commit(0, 50, initial_partitions=3)}, latest={3: 9})
    assert finder(consumer, "latest").find({3}, set())[3].offset == 0


def test_find_starts_at_the_end_when_another_member_was_first() -> None:
    """Two members of a new group: one has committed its starts, the other is about to."""
    consumer = FakeConsumer([], offsets={0: commit(0, 50, initial_partitions=3)}, latest={1: 9})
    start = finder(consumer, "latest").find({1}, set())[1]
    assert start.offset == 9
    assert start.metadata.initial_partitions == 3


@pytest.mark.parametrize("metadata", [{"topic_id": EARLIER, "initial_partitions": 3}, {"topic_id": None}])
def test_find_starts_at_the_first_record_when_in_doubt(metadata: dict[str, Any]) -> None:
    """The group has commits of a deleted topic or of an earlier version, so it is not new."""
    consumer = FakeConsumer([], offsets={0: commit(0, 50, **metadata)}, latest={1: 9})
    assert finder(consumer, "latest").find({1}, set())[1].offset == 0


def test_find_asks_one_by_one_after_a_failure() -> None:
    """One partition without a leader fails the request for all."""
    consumer = FakeConsumer([], offsets={partition: commit(partition, partition) for partition in range(3)})
    start_finder, partitions = finder(consumer, "earliest"), {0, 1, 2}
    consumer.failures = [kafka_exception("_TIMED_OUT")]
    assert start_finder.find(partitions, set()) == {}
    batches = [set(start_finder.find(partitions, set())) for _ in range(3)]
    assert sorted(map(list, batches)) == [[0], [1], [2]]
    assert start_finder.find({2}, set()).keys() == {2}
    assert start_finder.find(partitions, set()).keys() == partitions, "as soon as all starts are known"


def test_find_skips_a_partition_when_its_leader_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "MAX_CALL_SECONDS", 0.01)
    consumer = FakeConsumer(
        [], offsets={partition: commit(partition, partition) for partition in range(3)}, oldest={1: -1}
    )
    start_finder = finder(consumer, "earliest")
    assert start_finder.find({0, 1, 2}, set()).keys() == {0, 2}
    assert start_finder.find({1}, set()) == {}
    consumer.oldest = {}
    assert start_finder.find({1}, set()).keys() == {1}


def test_find_skips_a_partition_when_its_offset_is_listed_as_unknown() -> None:
    """The client reports a leader that did not answer as success."""
    answers: list[dict[int, Future[Any]]] = [known_offsets([0, 1], {}), known_offsets([1], {})]
    answers[0][1] = Future()
    answers[0][1].set_result(SimpleNamespace(offset=OFFSET_INVALID))
    topic = TopicToRead("raw", lambda *_: answers.pop(0))
    start_finder = StartFinder(cast("Any", FakeConsumer([])), topic)
    assert start_finder.find({0, 1}, set()).keys() == {0}
    assert start_finder.find({1}, set())[1].offset == 0


@pytest.mark.parametrize("name", ["_TIMED_OUT", "NOT_COORDINATOR", "UNSTABLE_OFFSET_COMMIT", "UNKNOWN_TOPIC_OR_PART"])
def test_find_finds_nothing_while_the_broker_has_no_answer(name: str) -> None:
    consumer = FakeConsumer([], offsets={0: TopicPartition("raw", 0, 3)})
    consumer.failures = [kafka_exception(name)]
    assert finder(consumer, "earliest").find({0}, set()) == {}


def test_find_raises_when_the_group_is_forbidden() -> None:
    consumer = FakeConsumer([])
    consumer.failures = [kafka_exception("GROUP_AUTHORIZATION_FAILED")]
    with pytest.raises(errors.KafkaError) as raised:
        finder(consumer, "earliest").find({0}, set())
    assert raised.value.exit_code == 3
