"""Batches for a member of a group: what it may answer, and where it goes on from."""

import threading
import time
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, TopicPartition

from telco_stream import errors
from telco_stream.kafka import membership, watermarks
from telco_stream.kafka.offsets import CommitMetadata, encode_commit_metadata
from telco_stream.kafka.source import Source, Subscription
from telco_stream.kafka.starts import TopicToRead
from telco_stream.runtime.signals import Stop, Stopped
from tests.support.fake_messages import ScriptedMessage, end
from tests.support.fakes import FakeConsumer, kafka_exception, offsets


def source_of(consumer: FakeConsumer, *, stop: Stop | None = None, until: dict[int, int] | None = None) -> Source:
    return Source(
        cast("Any", consumer), Subscription(TopicToRead("raw", consumer.ask_offsets)), stop or Stop(), until=until
    )


def at(partition: int, *numbers: int) -> list[ScriptedMessage]:
    return [ScriptedMessage(number, partition) for number in numbers]


def committed(partition: int, offset: int, metadata: str | None = None) -> TopicPartition:
    return TopicPartition("raw", partition, offset, metadata) if metadata else TopicPartition("raw", partition, offset)


def metadata(in_a_row: int, at: int) -> str:
    return encode_commit_metadata(CommitMetadata(dead_letters_in_a_row=in_a_row, at=at))


def test_what_has_arrived_is_one_batch_with_the_groups_view() -> None:
    source = source_of(FakeConsumer([at(0, 0), at(0, 1, 2, 3)]))
    batch = source.poll_batch(10, 0)
    assert offsets(batch.records) == {0: [0, 1, 2, 3]}
    assert batch.group_metadata == "generation 2"


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_batch_never_has_more_than_asked_for(most: int) -> None:
    source = source_of(FakeConsumer([at(0, 0, 1, 2, 3, 4)]))
    assert len(source.poll_batch(most, 0).records) == most


def test_nothing_arrived_is_an_empty_batch() -> None:
    assert source_of(FakeConsumer([])).poll_batch(10, 0).records == []


def test_a_batch_may_be_larger_than_one_call_of_the_client() -> None:
    """It refuses to be asked for more than a million."""
    source = source_of(FakeConsumer([at(0, 0), at(0, 1)]))
    assert len(source.poll_batch(2_000_000, 0).records) == 2


def test_records_of_a_partition_revoked_meanwhile_are_left_to_its_new_owner() -> None:
    def revoked(consumer: FakeConsumer) -> list[ScriptedMessage]:
        consumer.revoke(1)
        return at(0, 1)

    source = source_of(FakeConsumer([[*at(1, 5), *at(0, 0)], revoked], assigned=(0, 1)))
    assert offsets(source.poll_batch(10, 0).records) == {1: [5], 0: [0]}, "nothing has been revoked yet"
    source = source_of(FakeConsumer([at(1, 5), revoked], assigned=(0, 1)))
    assert offsets(source.poll_batch(10, 0).records) == {0: [1]}
    assert source.assigned == {0}


@pytest.mark.parametrize("how", ["revoke", "lose"])
def test_a_partition_that_went_and_came_back_in_one_call_is_read_again_from_the_commit(how: str) -> None:
    """Another may have answered some of it in between."""

    def back_and_forth(consumer: FakeConsumer) -> list[ScriptedMessage]:
        getattr(consumer, how)(0)
        consumer.assign(0)
        return at(0, 8, 9)

    consumer = FakeConsumer([at(0, 7), back_and_forth, at(0, 9)], offsets={0: committed(0, 7)})
    source = source_of(consumer)
    assert source.poll_batch(10, 0).records == []
    consumer.offsets = {0: committed(0, 9)}
    assert offsets(source.poll_batch(10, 0).records) == {0: [9]}
    assert consumer.begun == {0: 9}


def test_a_rebalance_before_the_first_record_costs_nothing() -> None:
    """What poll returns came after it."""

    def first(consumer: FakeConsumer) -> list[ScriptedMessage]:
        consumer.revoke(0)
        consumer.assign(0)
        return at(0, 3)

    assert offsets(source_of(FakeConsumer([first])).poll_batch(10, 0).records) == {0: [3]}


def test_the_groups_view_is_taken_with_the_batch_not_later() -> None:
    consumer = FakeConsumer([at(0, 0)])
    batch = source_of(consumer).poll_batch(10, 0)
    consumer.revoke(0)
    consumer.assign(1)
    assert batch.group_metadata == "generation 2"


def test_going_back_goes_to_the_commit_not_to_the_batchs_start() -> None:
    """The commit may have been applied although its answer was lost."""
    consumer = FakeConsumer([at(0, 4, 5)], offsets={0: committed(0, 4)})
    source = source_of(consumer)
    source.poll_batch(10, 0)
    consumer.offsets = {0: committed(0, 6)}
    assert source.rewind() == {0: 6}
    assert consumer.sought == [(0, 6)]


def test_rewind_goes_to_the_last_commit_when_the_group_lost_its_offsets() -> None:
    consumer = FakeConsumer([at(0, 40), at(0, 41)], oldest={0: 40})
    source = source_of(consumer)
    source.poll_batch(1, 0)
    source.poll_batch(1, 0)
    consumer.offsets.clear()
    source.rewind()
    assert consumer.sought == [(0, 40)]


def test_only_what_is_owned_is_rewound() -> None:
    consumer = FakeConsumer([at(0, 1)], offsets={0: committed(0, 1), 1: committed(1, 1)})
    source = source_of(consumer)
    source.poll_batch(1, 0)
    assert source.rewind([0, 1]) == {0: 1}


def test_committed_offsets_are_waited_for_until_somebody_stops() -> None:
    stop = Stop()
    source = source_of(
        FakeConsumer([], failures=[kafka_exception("_TIMED_OUT")], offsets={0: committed(0, 3)}), stop=stop
    )
    assert source.committed([0]) == {0: 3}
    stop.request()
    source = source_of(FakeConsumer([], failures=[kafka_exception("_TIMED_OUT")]), stop=stop)
    with pytest.raises(Stopped):
        source.committed([0])


def test_a_forbidden_group_is_told_in_the_brokers_words() -> None:
    source = source_of(FakeConsumer([], failures=[kafka_exception("GROUP_AUTHORIZATION_FAILED")]))
    with pytest.raises(errors.KafkaError, match="GROUP_AUTHORIZATION_FAILED"):
        source.committed([0])


def test_errors_that_arrive_as_messages_are_no_records() -> None:
    passing = ScriptedMessage(0, code=KafkaError._MAX_POLL_EXCEEDED)
    assert offsets(source_of(FakeConsumer([[passing, *at(0, 0)]])).poll_batch(10, 0).records) == {0: [0]}


@pytest.mark.parametrize("code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.UNKNOWN_TOPIC_OR_PART])
def test_a_topic_that_is_gone_or_forbidden_ends_the_run(code: int) -> None:
    with pytest.raises(errors.KafkaError, match="Topic raw"):
        source_of(FakeConsumer([[ScriptedMessage(0, code=code)]])).poll_batch(10, 0)


UNREADABLE = ScriptedMessage(2, code=KafkaError._BAD_COMPRESSION)


@pytest.mark.parametrize("idle", [0, 60])
def test_records_before_an_unreadable_batch_are_taken_first(idle: float) -> None:
    """Otherwise each start would fail before it has answered them, and they would never be answered."""
    consumer = FakeConsumer([[*at(0, 0, 1), *at(1, 5), UNREADABLE, *at(0, 9), *at(1, 6)]], assigned=(0, 1))
    source = source_of(consumer, until={0: 10, 1: 10})
    batch = source.poll_batch(10, 0, idle=idle)
    assert offsets(batch.records) == {0: [0, 1], 1: [5]}
    assert batch.next_positions == {0: 2, 1: 6}, "the partitions go on behind what was taken"
    with pytest.raises(errors.KafkaError, match="Topic raw, partition 0, offset 2"):
        source.poll_batch(10, 0)


def test_run_is_not_ended_when_records_behind_a_batch_are_unread() -> None:
    source = source_of(FakeConsumer([[*at(0, 0, 1), UNREADABLE, end(10)]]), until={0: 10})
    source.poll_batch(10, 0)
    assert not source.ended


def test_group_refusal_ends_a_window_and_restarts_no_partition() -> None:
    """The client reports it as if it were about partition 0."""
    refused = ScriptedMessage(0, code=KafkaError.INCONSISTENT_GROUP_PROTOCOL, topic=None)
    consumer = FakeConsumer([[refused], []])
    source = source_of(consumer, until={0: 10})
    assert source.poll_batch(10, 0, idle=60).records == []
    assert "group protocol" in (source.refusal or "")
    source.poll_batch(10, 0)
    assert "unassign 0" not in consumer.log


def test_window_does_not_wait_when_it_has_no_record() -> None:
    """The loop has its turn in between, so that it can end the run."""
    source = source_of(FakeConsumer([[end(0)], [], at(0, 0)]), until={0: 10})
    assert source.poll_batch(10, 0, idle=0.5).records == []
    assert offsets(source.poll_batch(1, 0, idle=0.5).records) == {0: [0]}


def test_source_is_outside_of_the_group_when_partitions_are_lost() -> None:
    consumer = FakeConsumer([])
    source = source_of(consumer)
    consumer.lose(0)
    assert not source.joined
    consumer.assign()
    assert source.joined, "a member without partitions is one too"


def test_a_batch_with_a_lull_is_filled_over_many_calls() -> None:
    source = source_of(FakeConsumer([at(0, 0), [], at(0, 1), [], [], at(0, 2)]), until={0: 100})
    assert len(source.poll_batch(3, 0, idle=60).records) == 3


def test_a_lull_ends_a_batch_that_nothing_comes_for() -> None:
    """An open transaction may hide what stands behind it for minutes."""
    source = source_of(FakeConsumer([at(0, 0)]), until={0: 100})
    assert len(source.poll_batch(10, 0, idle=0.01).records) == 1


def test_the_end_of_the_partitions_ends_a_batch() -> None:
    source = source_of(FakeConsumer([at(0, 0, 1), [end(2)]]), until={0: 2})
    assert len(source.poll_batch(10, 0, idle=60).records) == 2
    assert source.ended


def test_a_wish_to_stop_ends_a_batch() -> None:
    stop = Stop()
    stop.request()
    assert len(source_of(FakeConsumer([at(0, 0)]), stop=stop, until={0: 9}).poll_batch(10, 0, idle=60).records) == 1


def test_the_end_is_a_position_not_a_record() -> None:
    """Markers and aborted records stand at the end of partitions, and some are empty."""
    source = source_of(
        FakeConsumer([at(0, 0), [], [end(2)]], assigned=(0, 1)),
        until={0: 2, 1: 0},
    )
    source.poll_batch(10, 0)
    assert not source.ended, "the marker of the last transaction has not been read"
    source.poll_batch(10, 0)
    assert source.ended


def test_a_partition_that_was_rewound_has_not_ended() -> None:
    consumer = FakeConsumer([[*at(0, 0), end(1)]], offsets={0: committed(0, 0)})
    source = source_of(consumer, until={0: 1})
    source.poll_batch(10, 0)
    assert source.ended
    source.rewind()
    assert not source.ended


def test_before_the_group_has_answered_nothing_has_ended() -> None:
    source = source_of(FakeConsumer([], assigned=()), until={})
    assert not source.joined
    assert not source.ended


def test_a_member_that_shares_the_topic_waits_until_the_partitions_have_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In between they are on their way and belong to nobody; were all to leave, nobody would answer them."""
    consumer = FakeConsumer([[end(0)]], assigned=(0, 1))
    source = source_of(consumer, until={0: 0, 1: 9})
    consumer.revoke(1)
    source.poll_batch(1, 0)
    assert not source.ended
    assert consumer.log == ["committed", "commit", "assign 0"]
    monkeypatch.setattr(membership, "_SETTLED", 0.0)
    assert source.ended


def test_the_newest_note_says_how_many_dead_letters_came_last() -> None:
    notes = {
        0: committed(0, 5, metadata(3, 1_000)),
        1: committed(1, 5, metadata(70, 2_000)),
        2: committed(2, 5, "{not ours"),
    }
    consumer = FakeConsumer([[*at(0, 5), *at(1, 5), *at(2, 5)], at(0, 6)], assigned=(0, 1, 2), offsets=notes)
    source = source_of(consumer)
    source.poll_batch(10, 0)
    assert source.dead_letters_in_a_row() == 70
    source.poll_batch(10, 0)
    assert source.dead_letters_in_a_row() is None
    assert consumer.log.count("committed") == 1, "asked once for partitions that came"


@pytest.mark.parametrize("words", ["null", "[]", '{"at":1}', '{"at":"x","dead_letters_in_a_row":1}', "7"])
def test_a_note_of_somebody_else_counts_nothing(words: str) -> None:
    source = source_of(FakeConsumer([at(0, 5)], offsets={0: committed(0, 5, words)}))
    source.poll_batch(10, 0)
    assert source.dead_letters_in_a_row() is None


@pytest.mark.parametrize("name", ["ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS"])
def test_a_commit_refused_after_a_rebalance_is_a_no(name: str) -> None:
    assert source_of(FakeConsumer([], failures=[kafka_exception(name)])).commit([committed(0, 3)], _nothing) is False


def test_a_commit_waits_for_a_broker_that_is_away() -> None:
    consumer = FakeConsumer([], failures=[kafka_exception("_WAIT_COORD"), kafka_exception("_TRANSPORT")])
    assert source_of(consumer).commit([committed(0, 3)], _nothing)
    assert consumer.log == ["commit", "commit", "commit"]


def test_a_commit_that_is_forbidden_ends_the_run() -> None:
    with pytest.raises(errors.KafkaError, match="Offsets were not committed"):
        source_of(FakeConsumer([], failures=[kafka_exception("GROUP_AUTHORIZATION_FAILED")])).commit(
            [committed(0, 3)], _nothing
        )


def test_a_stop_leaves_a_commit_that_gets_no_answer_and_with_it_the_consumer() -> None:
    """To close what another thread still calls into would crash the process."""
    over, stop, consumer = threading.Event(), Stop(), FakeConsumer([])
    cast("Any", consumer).commit = lambda **_: over.wait(30)
    source = source_of(consumer, stop=stop)
    stop.request()
    stop._since -= 60
    with pytest.raises(Stopped):
        source.commit([committed(0, 3)], _nothing)
    source.close()
    over.set()
    assert consumer.log == []


def test_the_group_is_left_and_a_broker_that_stands_still_is_not_waited_for() -> None:
    over, consumer = threading.Event(), FakeConsumer([])
    source_of(consumer).close()
    assert consumer.log == ["close"]
    cast("Any", consumer).close = lambda: over.wait(30)
    started = time.monotonic()
    source_of(consumer).close()
    over.set()
    assert time.monotonic() - started < 3


def test_a_partition_that_the_client_has_forgotten_is_assigned_again_where_it_stood() -> None:
    """The client says so once, and may never fetch it again."""
    lost = ScriptedMessage(-1001, 1, KafkaError.NOT_LEADER_FOR_PARTITION)
    consumer = FakeConsumer([[*at(0, 4), *at(1, 6), lost], at(1, 7)], assigned=(0, 1))
    source = source_of(consumer, until={0: 9, 1: 9})
    assert offsets(source.poll_batch(10, 0, idle=60).records) == {0: [4], 1: [6]}, "a window doesn't wait for it"
    consumer.log.clear()
    assert offsets(source.poll_batch(10, 0).records) == {1: [7]}
    assert consumer.log == ["unassign 1", "assign 1"]
    assert consumer.begun == {0: 0, 1: 7}


def _nothing() -> None:
    """Nobody has anything to do meanwhile."""


def test_the_ends_of_what_is_owned_are_seen_by_the_way_where_the_client_knows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Partition 1 has not been fetched yet, and the client has just dropped partition 2."""
    monkeypatch.setattr(watermarks, "_INTERVAL", 0)
    consumer = FakeConsumer([], assigned=(0, 1), ends={0: 7})
    source = source_of(consumer)
    assert source.cached_end_offsets == {}
    consumer.assign(2)
    source.poll_batch(1, 0)
    assert source.cached_end_offsets == {0: 7}


def test_the_ends_are_looked_at_now_and_then_and_not_with_each_batch() -> None:
    consumer = FakeConsumer([], ends={0: 7})
    source = source_of(consumer)
    source.poll_batch(1, 0)
    consumer.ends = {0: 8}
    source.poll_batch(1, 0)
    assert source.cached_end_offsets == {0: 7}


def test_a_batch_says_where_each_partition_goes_on_behind_it() -> None:
    source = source_of(FakeConsumer([[*at(0, 3, 4), *at(1, 7)], at(0, 5)], assigned=(0, 1)))
    assert [source.poll_batch(4, 0).next_positions for _ in range(2)] == [{0: 5, 1: 8}, {0: 6, 1: 8}]


def test_a_batch_holds_until_the_source_goes_back_to_the_commit() -> None:
    source = source_of(FakeConsumer([at(0, 3), at(0, 3)], {0: TopicPartition("raw", 0, 3)}))
    before = source.poll_batch(10, 0)
    assert source.is_current(before)
    source.rewind()
    after = source.poll_batch(10, 0)
    assert (source.is_current(before), source.is_current(after)) == (False, True)
