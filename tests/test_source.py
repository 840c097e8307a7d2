"""Batches of a group member: which records it may answer, and at which offsets it continues."""

import threading
import time
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_INVALID, KafkaError, TopicPartition

from telco_stream import errors
from telco_stream.kafka import membership
from telco_stream.kafka.offsets import CommitMetadata, encode_commit_metadata
from telco_stream.kafka.source import KafkaSource, Subscription
from telco_stream.kafka.starts import TopicToRead
from telco_stream.runtime.signals import Stop, Stopped
from tests.support.fake_messages import ScriptedMessage, end
from tests.support.fakes import FakeConsumer, kafka_exception, offsets


def source_of(consumer: FakeConsumer, *, stop: Stop | None = None, until: dict[int, int] | None = None) -> KafkaSource:
    return KafkaSource(
        cast("Any", consumer), Subscription(TopicToRead("raw", consumer.ask_offsets)), stop or Stop(), until=until
    )


def at(partition: int, *numbers: int) -> list[ScriptedMessage]:
    return [ScriptedMessage(number, partition) for number in numbers]


def committed(partition: int, offset: int, metadata: str | None = None) -> TopicPartition:
    return TopicPartition("raw", partition, offset, metadata) if metadata else TopicPartition("raw", partition, offset)


def metadata(in_a_row: int, at: int) -> str:
    return encode_commit_metadata(CommitMetadata(dead_letters_in_a_row=in_a_row, at=at))


def test_poll_batch_returns_what_arrived_with_group_metadata() -> None:
    source = source_of(FakeConsumer([at(0, 0), at(0, 1, 2, 3)]))
    batch = source.poll_batch(10, 0)
    assert offsets(batch.records) == {0: [0, 1, 2, 3]}
    assert batch.group_metadata == "generation 2"


@pytest.mark.parametrize("most", [1, 2, 3])
def test_poll_batch_returns_at_most_max_records(most: int) -> None:
    source = source_of(FakeConsumer([at(0, 0, 1, 2, 3, 4)]))
    assert len(source.poll_batch(most, 0).records) == most


def test_poll_batch_is_empty_when_nothing_arrives() -> None:
    assert source_of(FakeConsumer([])).poll_batch(10, 0).records == []


def test_poll_batch_polls_briefly_until_a_partition_is_fetched() -> None:
    """A poll of the client does not return when the group assigns partitions, and would delay their start."""
    consumer = FakeConsumer([], assigned=())
    source = source_of(consumer)
    source.poll_batch(10, 0.5)
    consumer.assign()
    source.poll_batch(10, 0.5)
    consumer.assign(0)
    source.poll_batch(10, 0.5)
    assert consumer.poll_timeouts == [0.002, 0.05, 0.5]


def test_poll_batch_splits_calls_when_the_batch_is_large() -> None:
    """The client rejects calls for more than a million messages."""
    source = source_of(FakeConsumer([at(0, 0), at(0, 1)]))
    assert len(source.poll_batch(2_000_000, 0).records) == 2


def test_poll_batch_drops_records_when_partition_is_revoked() -> None:
    def revoked(consumer: FakeConsumer) -> list[ScriptedMessage]:
        consumer.revoke(1)
        return at(0, 1)

    source = source_of(FakeConsumer([[*at(1, 5), *at(0, 0)], revoked], assigned=(0, 1)))
    assert offsets(source.poll_batch(10, 0).records) == {1: [5], 0: [0]}, "nothing has been revoked yet"
    source = source_of(FakeConsumer([at(1, 5), revoked], assigned=(0, 1)))
    assert offsets(source.poll_batch(10, 0).records) == {0: [1]}
    assert source.membership.assigned == {0}


@pytest.mark.parametrize("how", ["revoke", "lose"])
def test_poll_batch_rereads_a_partition_when_it_comes_back(how: str) -> None:
    """Another member may have answered some of its records in between."""

    def revoke_and_assign(consumer: FakeConsumer) -> list[ScriptedMessage]:
        getattr(consumer, how)(0)
        consumer.assign(0)
        return at(0, 8, 9)

    consumer = FakeConsumer([at(0, 7), revoke_and_assign, at(0, 9)], offsets={0: committed(0, 7)})
    source = source_of(consumer)
    assert source.poll_batch(10, 0).records == []
    consumer.offsets = {0: committed(0, 9)}
    assert offsets(source.poll_batch(10, 0).records) == {0: [9]}
    assert consumer.begun == {0: 9}


def test_poll_batch_keeps_records_when_the_rebalance_was_before() -> None:
    """`poll` serves the rebalance before it returns a record."""

    def first(consumer: FakeConsumer) -> list[ScriptedMessage]:
        consumer.revoke(0)
        consumer.assign(0)
        return at(0, 3)

    assert offsets(source_of(FakeConsumer([first])).poll_batch(10, 0).records) == {0: [3]}


def test_batch_keeps_its_metadata_when_the_group_rebalances() -> None:
    consumer = FakeConsumer([at(0, 0)])
    batch = source_of(consumer).poll_batch(10, 0)
    consumer.revoke(0)
    consumer.assign(1)
    assert batch.group_metadata == "generation 2"


def test_rewind_seeks_to_the_commit_when_it_is_past_the_batch() -> None:
    """The commit may have been applied although its response was lost."""
    consumer = FakeConsumer([at(0, 4, 5)], offsets={0: committed(0, 4)})
    source = source_of(consumer)
    source.poll_batch(10, 0)
    consumer.offsets = {0: committed(0, 6)}
    assert source.rewind() == {0: 6}
    assert consumer.sought == [(0, 6)]


def test_rewind_uses_the_last_commit_when_offsets_are_deleted() -> None:
    consumer = FakeConsumer([at(0, 40), at(0, 41)], oldest={0: 40})
    source = source_of(consumer)
    source.poll_batch(1, 0)
    source.poll_batch(1, 0)
    consumer.offsets.clear()
    source.rewind()
    assert consumer.sought == [(0, 40)]


def test_rewind_skips_partitions_when_they_are_not_assigned() -> None:
    consumer = FakeConsumer([at(0, 1)], offsets={0: committed(0, 1), 1: committed(1, 1)})
    source = source_of(consumer)
    source.poll_batch(1, 0)
    assert source.rewind([0, 1]) == {0: 1}


def test_committed_waits_for_the_broker_until_stopped() -> None:
    stop = Stop()
    source = source_of(
        FakeConsumer([], failures=[kafka_exception("_TIMED_OUT")], offsets={0: committed(0, 3)}), stop=stop
    )
    assert source.offsets.committed([0]) == {0: 3}
    stop.request()
    source = source_of(FakeConsumer([], failures=[kafka_exception("_TIMED_OUT")]), stop=stop)
    with pytest.raises(Stopped):
        source.offsets.committed([0])


def test_committed_asks_again_when_one_partition_has_an_error() -> None:
    """Its offset is not known, which differs from a partition without a commit."""

    class Unstable(FakeConsumer):
        def committed(self, partitions: Iterable[TopicPartition], timeout: float) -> list[TopicPartition]:
            answer = super().committed(partitions, timeout)
            if self.log.count("committed") > 1:
                return answer
            error = KafkaError(KafkaError.UNSTABLE_OFFSET_COMMIT)
            return [cast("TopicPartition", SimpleNamespace(partition=0, offset=OFFSET_INVALID, error=error)), answer[1]]

    source = source_of(Unstable([], offsets={0: committed(0, 3), 1: committed(1, 5)}))
    assert source.offsets.committed([0, 1]) == {0: 3, 1: 5}


def test_committed_raises_when_the_group_is_forbidden() -> None:
    source = source_of(FakeConsumer([], failures=[kafka_exception("GROUP_AUTHORIZATION_FAILED")]))
    with pytest.raises(errors.KafkaError, match="GROUP_AUTHORIZATION_FAILED"):
        source.offsets.committed([0])


def test_poll_batch_returns_no_records_for_error_messages() -> None:
    passing = ScriptedMessage(0, code=KafkaError._MAX_POLL_EXCEEDED)
    assert offsets(source_of(FakeConsumer([[passing, *at(0, 0)]])).poll_batch(10, 0).records) == {0: [0]}


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART])
def test_poll_batch_raises_when_topic_is_missing_or_forbidden(code: int) -> None:
    with pytest.raises(errors.KafkaError, match="Topic raw"):
        source_of(FakeConsumer([[ScriptedMessage(0, code=code)]])).poll_batch(10, 0)


UNREADABLE = ScriptedMessage(2, code=KafkaError._BAD_COMPRESSION)


@pytest.mark.parametrize("idle", [0, 60])
def test_poll_batch_returns_records_before_an_unreadable_batch(idle: float) -> None:
    """Otherwise each start would fail before it has answered them, and they would never be answered."""
    consumer = FakeConsumer([[*at(0, 0, 1), *at(1, 5), UNREADABLE, *at(0, 9), *at(1, 6)]], assigned=(0, 1))
    source = source_of(consumer, until={0: 10, 1: 10})
    batch = source.poll_batch(10, 0, idle=idle)
    assert offsets(batch.records) == {0: [0, 1], 1: [5]}
    assert batch.next_positions == {0: 2, 1: 6}, "the partitions go on behind what was taken"
    with pytest.raises(errors.KafkaError, match="Topic raw, partition 0, offset 2"):
        source.poll_batch(10, 0)


def test_poll_batch_does_not_end_when_later_records_are_unread() -> None:
    source = source_of(FakeConsumer([[*at(0, 0, 1), UNREADABLE, end(10)]]), until={0: 10})
    source.poll_batch(10, 0)
    assert not source.ended


def test_poll_batch_ends_a_window_when_the_group_refuses() -> None:
    """The client reports it as if it were about partition 0."""
    refused = ScriptedMessage(0, code=KafkaError.INCONSISTENT_GROUP_PROTOCOL, topic=None)
    consumer = FakeConsumer([[refused], []])
    source = source_of(consumer, until={0: 10})
    assert source.poll_batch(10, 0, idle=60).records == []
    assert "group protocol" in (source.refusal or "")
    source.poll_batch(10, 0)
    assert "unassign 0" not in consumer.log


def test_poll_batch_does_not_fill_a_window_without_a_record() -> None:
    """The loop runs in between, so that it can end the run."""
    source = source_of(FakeConsumer([[end(0)], [], at(0, 0)]), until={0: 10})
    assert source.poll_batch(10, 0, idle=0.5).records == []
    assert offsets(source.poll_batch(1, 0, idle=0.5).records) == {0: [0]}


def test_source_has_not_joined_when_partitions_are_lost() -> None:
    consumer = FakeConsumer([])
    source = source_of(consumer)
    consumer.lose(0)
    assert not source.membership.joined
    consumer.assign()
    assert source.membership.joined, "a member without partitions has joined too"


def test_poll_batch_fills_a_window_over_many_calls() -> None:
    source = source_of(FakeConsumer([at(0, 0), [], at(0, 1), [], [], at(0, 2)]), until={0: 100})
    assert len(source.poll_batch(3, 0, idle=60).records) == 3


def test_poll_batch_ends_when_idle() -> None:
    """An open transaction can hide the records after it for minutes."""
    source = source_of(FakeConsumer([at(0, 0)]), until={0: 100})
    assert len(source.poll_batch(10, 0, idle=0.01).records) == 1


def test_poll_batch_ends_when_the_partitions_have_ended() -> None:
    source = source_of(FakeConsumer([at(0, 0, 1), [end(2)]]), until={0: 2})
    assert len(source.poll_batch(10, 0, idle=60).records) == 2
    assert source.ended


def test_poll_batch_ends_when_stopped() -> None:
    stop = Stop()
    stop.request()
    assert len(source_of(FakeConsumer([at(0, 0)]), stop=stop, until={0: 9}).poll_batch(10, 0, idle=60).records) == 1


def test_ended_compares_positions_when_markers_follow() -> None:
    """Partitions end with markers and aborted records, and some are empty."""
    source = source_of(
        FakeConsumer([at(0, 0), [], [end(2)]], assigned=(0, 1)),
        until={0: 2, 1: 0},
    )
    source.poll_batch(10, 0)
    assert not source.ended, "the marker of the last transaction has not been read"
    source.poll_batch(10, 0)
    assert source.ended


def test_ended_is_false_when_a_partition_was_rewound() -> None:
    consumer = FakeConsumer([[*at(0, 0), end(1)]], offsets={0: committed(0, 0)})
    source = source_of(consumer, until={0: 1})
    source.poll_batch(10, 0)
    assert source.ended
    source.rewind()
    assert not source.ended


def test_ended_is_false_when_the_group_has_not_answered() -> None:
    source = source_of(FakeConsumer([], assigned=()), until={})
    assert not source.membership.joined
    assert not source.ended


def test_ended_waits_for_a_stable_assignment_when_shared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before that, a partition can be without an owner; if all members ended, its records would stay unanswered."""
    consumer = FakeConsumer([[end(0)]], assigned=(0, 1))
    source = source_of(consumer, until={0: 0, 1: 9})
    consumer.revoke(1)
    source.poll_batch(1, 0)
    assert not source.ended
    assert consumer.log == ["committed", "commit", "assign 0"]
    monkeypatch.setattr(membership, "_SETTLED", 0.0)
    assert source.ended


def test_consecutive_dead_letters_come_from_the_newest_commit() -> None:
    notes = {
        0: committed(0, 5, metadata(3, 1_000)),
        1: committed(1, 5, metadata(70, 2_000)),
        2: committed(2, 5, "{not ours"),
    }
    consumer = FakeConsumer([[*at(0, 5), *at(1, 5), *at(2, 5)], at(0, 6)], assigned=(0, 1, 2), offsets=notes)
    source = source_of(consumer)
    source.poll_batch(10, 0)
    assert source.consecutive_dead_letters() == 70
    source.poll_batch(10, 0)
    assert source.consecutive_dead_letters() is None
    assert consumer.log.count("committed") == 1, "one request for the assigned partitions"


@pytest.mark.parametrize("text", ["null", "[]", '{"at":1}', '{"at":"x","dead_letters_in_a_row":1}', "7"])
def test_consecutive_dead_letters_ignore_foreign_metadata(text: str) -> None:
    source = source_of(FakeConsumer([at(0, 5)], offsets={0: committed(0, 5, text)}))
    source.poll_batch(10, 0)
    assert source.consecutive_dead_letters() is None


@pytest.mark.parametrize("name", ["ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS"])
def test_commit_is_false_when_the_generation_is_stale(name: str) -> None:
    source = source_of(FakeConsumer([], failures=[kafka_exception(name)]))
    assert source.offsets.commit([committed(0, 3)], _nothing) is False


def test_commit_waits_when_the_broker_is_away() -> None:
    consumer = FakeConsumer([], failures=[kafka_exception("_WAIT_COORD"), kafka_exception("_TRANSPORT")])
    assert source_of(consumer).offsets.commit([committed(0, 3)], _nothing)
    assert consumer.log == ["commit", "commit", "commit"]


def test_commit_raises_when_it_is_forbidden() -> None:
    with pytest.raises(errors.KafkaError, match="Offsets were not committed"):
        source_of(FakeConsumer([], failures=[kafka_exception("GROUP_AUTHORIZATION_FAILED")])).offsets.commit(
            [committed(0, 3)], _nothing
        )


def test_close_leaves_the_consumer_when_a_commit_is_pending() -> None:
    """Closing a consumer while another thread calls it would crash the process."""
    over, stop, consumer = threading.Event(), Stop(), FakeConsumer([])
    cast("Any", consumer).commit = lambda **_: over.wait(30)
    source = source_of(consumer, stop=stop)
    stop.request()
    stop._since -= 60
    with pytest.raises(Stopped):
        source.offsets.commit([committed(0, 3)], _nothing)
    source.close()
    over.set()
    assert consumer.log == []


def test_close_leaves_the_group_when_the_broker_hangs() -> None:
    over, consumer = threading.Event(), FakeConsumer([])
    source_of(consumer).close()
    assert consumer.log == ["close"]
    cast("Any", consumer).close = lambda: over.wait(30)
    started = time.monotonic()
    source_of(consumer).close()
    over.set()
    assert time.monotonic() - started < 3


def test_poll_batch_assigns_a_partition_again_after_an_error() -> None:
    """The client reports the error once, and may never fetch the partition again."""
    lost = ScriptedMessage(-1001, 1, KafkaError.NOT_LEADER_FOR_PARTITION)
    consumer = FakeConsumer([[*at(0, 4), *at(1, 6), lost], at(1, 7)], assigned=(0, 1))
    source = source_of(consumer, until={0: 9, 1: 9})
    assert offsets(source.poll_batch(10, 0, idle=60).records) == {0: [4], 1: [6]}, "a window doesn't wait for it"
    consumer.log.clear()
    assert offsets(source.poll_batch(10, 0).records) == {1: [7]}
    assert consumer.log == ["unassign 1", "assign 1"]
    assert consumer.begun == {0: 0, 1: 7}


def _nothing() -> None:
    """Do nothing while a commit waits."""


def test_cached_end_offsets_are_those_the_client_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Partition 1 has not been fetched yet, and the client has just dropped partition 2."""
    monkeypatch.setattr(membership, "_REFRESH_INTERVAL", 0)
    consumer = FakeConsumer([], assigned=(0, 1), ends={0: 7})
    source = source_of(consumer)
    assert source.membership.end_offsets == {}
    consumer.assign(2)
    source.poll_batch(1, 0)
    assert source.membership.end_offsets == {0: 7}


def test_cached_end_offsets_are_refreshed_at_intervals() -> None:
    consumer = FakeConsumer([], ends={0: 7})
    source = source_of(consumer)
    source.poll_batch(1, 0)
    consumer.ends = {0: 8}
    source.poll_batch(1, 0)
    assert source.membership.end_offsets == {0: 7}


def test_batch_has_the_next_position_of_each_partition() -> None:
    source = source_of(FakeConsumer([[*at(0, 3, 4), *at(1, 7)], at(0, 5)], assigned=(0, 1)))
    assert [source.poll_batch(4, 0).next_positions for _ in range(2)] == [{0: 5, 1: 8}, {0: 6, 1: 8}]


def test_is_current_is_false_when_the_source_was_rewound() -> None:
    source = source_of(FakeConsumer([at(0, 3), at(0, 3)], {0: TopicPartition("raw", 0, 3)}))
    before = source.poll_batch(10, 0)
    assert source.is_current(before)
    source.rewind()
    after = source.poll_batch(10, 0)
    assert (source.is_current(before), source.is_current(after)) == (False, True)
