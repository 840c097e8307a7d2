"""`verify` on a real Kafka: transactions, aborted answers, retention and groups, as they really look from outside."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from telco_stream import errors
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.offsets import CommitMetadata, encode_commit_metadata
from telco_stream.runtime.signals import Stop
from telco_stream.settings import load
from telco_stream.verify.run import VerifyResult, verify
from tests.support.cli import run_cli
from tests.support.topics import Outgoing, Topics, configure_topic, recreate_topic, send, topic_id

Sources = Iterable[tuple[int, int]]
#: The header of an answer to a topic that isn't here.
_ID = ("source.topic.id", b"J8qXRwI-Q3SPDXpBcbgeBg")


class Pipeline:
    """The three topics of a test, filled by hand."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self.bootstrap = bootstrap
        self.topics = topics

    def send_inputs(self, count: int, partition: int = 0) -> None:
        """Outside of transactions, so that offsets are 0, 1, 2 …"""
        send(self.bootstrap, self.topics.raw, [(b"key", b"{}", [])] * count, partition)

    def predict(self, sources: Sources, partition: int = 0, topic_id: str = "") -> None:
        send(self.bootstrap, self.topics.predictions, self.answers(sources, topic_id), partition)

    def record_crash(self, sources: Sources, topic_id: str = "") -> None:
        """Dead letters."""
        send(self.bootstrap, self.topics.deadletter, self.answers(sources, topic_id), 0)

    def answers(self, sources: Sources, topic_id: str = "") -> list[Outgoing]:
        """Without a topic ID they are as older versions wrote them."""
        identity = [("source.topic.id", topic_id.encode())] if topic_id else []
        return [(b"key", b"{}", [("source", f"{self.topics.raw}/{p}/{o}".encode()), *identity]) for p, o in sources]

    def commit(self, *offsets: int, group: str | None = None) -> None:
        """One offset a partition, from 0 on."""
        client = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group or self.topics.group})
        places = [TopicPartition(self.topics.raw, number, offset) for number, offset in enumerate(offsets)]
        client.commit(offsets=places, asynchronous=False)
        client.close()

    @contextmanager
    def transaction(self, name: str = "") -> Iterator[Producer]:
        """Begun; the block ends it."""
        identity = f"{self.topics.transactional_id}{name}"
        producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": identity})
        producer.init_transactions(15)
        producer.begin_transaction()
        yield producer

    def send_in(self, producer: Producer, topic: str, records: Sequence[Outgoing], partition: int = 0) -> None:
        for key, value, headers in records:
            producer.produce(topic, value, key, partition, headers=list(headers))
        assert producer.flush(15) == 0

    def delete(self, topic: str, partition: int, before: int) -> None:
        """Records before that offset are gone, as by retention."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for done in admin.delete_records([TopicPartition(topic, partition, before)]).values():
            done.result(20)

    def verify(self, group: str | None = None, on_read: Callable[[int], None] = lambda _: None) -> VerifyResult:
        clients = Clients(load({"bootstrap_servers": self.bootstrap, **self._names()}, environ={}))
        return verify(clients, group or self.topics.group, now=time.time(), stop=Stop(), on_read=on_read)

    def _names(self) -> dict[str, str]:
        topics = self.topics
        return {
            "topics.raw": topics.raw,
            "topics.predictions": topics.predictions,
            "topics.deadletter": topics.deadletter,
        }


@pytest.fixture
def pipeline(kafka: str, topics: Topics) -> Pipeline:
    return Pipeline(kafka, topics)


def _all(partition: int, count: int) -> list[tuple[int, int]]:
    return [(partition, offset) for offset in range(count)]


def test_every_input_answered_once_is_clean(pipeline: Pipeline) -> None:
    """By a prediction or a dead letter, in whichever partition."""
    pipeline.send_inputs(5, partition=0)
    pipeline.send_inputs(3, partition=2)
    pipeline.predict(_all(0, 4), partition=1)
    pipeline.predict(_all(2, 3), partition=0)
    pipeline.record_crash([(0, 4)])
    pipeline.commit(5, 0, 3)
    result = pipeline.verify()
    assert (result.inputs, result.predicted, result.dead_lettered) == (8, 7, 1)
    assert [one.inputs for one in result.partitions] == [5, 0, 3]
    assert result.is_clean


def test_verify_counts_inputs_deleted_before_they_were_answered(pipeline: Pipeline) -> None:
    """Those that the group has yet to find out, and those that it found out and moved on from."""
    pipeline.send_inputs(10, partition=0)
    pipeline.send_inputs(10, partition=1)
    pipeline.predict(_all(0, 4))
    pipeline.commit(4)
    pipeline.delete(pipeline.topics.raw, 0, 7)
    assert pipeline.verify().expired_unanswered == 3
    group = Consumer({"bootstrap.servers": pipeline.bootstrap, "group.id": pipeline.topics.group})
    metadata = encode_commit_metadata(CommitMetadata(expired_unanswered=40))
    group.commit(offsets=[TopicPartition(pipeline.topics.raw, 1, 0, metadata)], asynchronous=False)
    group.close()
    result = pipeline.verify()
    assert [one.expired_unanswered for one in result.partitions] == [3, 40, 0]
    assert (result.expired_unanswered, result.missing, result.is_clean) == (43, 0, False)


def test_verify_counts_nothing_expired_when_it_was_answered(pipeline: Pipeline) -> None:
    pipeline.send_inputs(10)
    pipeline.predict(_all(0, 10))
    pipeline.commit(10)
    pipeline.delete(pipeline.topics.raw, 0, 10)
    result = pipeline.verify()
    assert (result.expired_unanswered, result.is_clean) == (0, True)


def test_each_sort_of_offence_is_found_and_named(pipeline: Pipeline) -> None:
    pipeline.send_inputs(6)
    pipeline.predict([(0, 0), (0, 1), (0, 1), (0, 2), (0, 9), (7, 0)])
    pipeline.record_crash([(0, 2), (0, 3)])
    send(pipeline.bootstrap, pipeline.topics.deadletter, [(None, b"{}", []), (None, b"{}", [("source", b"?")])], 0)
    pipeline.commit(6)
    result = pipeline.verify()
    assert (result.inputs, result.predicted, result.dead_lettered) == (6, 1, 1)
    assert (result.missing, result.duplicated, result.unexplained, result.expired) == (2, 2, 4, 0)
    assert not result.is_clean
    raw, first = pipeline.topics.raw, result.partitions[0]
    assert first.first_missing == [f"{raw}/0/4", f"{raw}/0/5"]
    assert first.first_duplicated == [f"{raw}/0/1", f"{raw}/0/2"]
    assert first.first_unexplained == [f"{pipeline.topics.predictions}/0/4"]
    letters, nowhere = pipeline.topics.deadletter, result.partitions[-1]
    assert nowhere.partition is None
    assert nowhere.first_unexplained == [f"{pipeline.topics.predictions}/0/5", f"{letters}/0/2", f"{letters}/0/3"]


def test_markers_and_aborted_records_are_no_inputs_and_aborted_answers_none(pipeline: Pipeline) -> None:
    """Raw: 2 inputs, marker, aborted, marker, 1 input, marker. What was aborted was answered, too, and that aborted."""
    topics = pipeline.topics
    for count, name, aborted in [(2, "a", False), (1, "b", True), (1, "c", False)]:
        with pipeline.transaction(name) as producer:
            pipeline.send_in(producer, topics.raw, [(None, b"{}", [])] * count)
            (producer.abort_transaction if aborted else producer.commit_transaction)(15)
    for sources, name, aborted in [([(0, 0), (0, 1)], "d", True), ([(0, 0), (0, 1), (0, 5)], "e", False)]:
        with pipeline.transaction(name) as producer:
            pipeline.send_in(producer, topics.predictions, pipeline.answers(sources))
            (producer.abort_transaction if aborted else producer.commit_transaction)(15)
    pipeline.commit(6)
    result = pipeline.verify()
    assert (result.inputs, result.predicted) == (3, 3)
    assert result.is_clean
    pipeline.predict([(0, 3)])
    assert pipeline.verify().unexplained == 1


def test_answers_beyond_the_committed_offsets_are_no_offence(pipeline: Pipeline) -> None:
    """A batch in flight at-least-once, or a group that is ahead; but a source that isn't there yet can't be."""
    pipeline.send_inputs(4)
    pipeline.predict(_all(0, 4))
    pipeline.predict([(0, 3)])
    pipeline.commit(2)
    assert pipeline.verify().is_clean
    assert pipeline.verify().inputs == 2
    pipeline.predict([(0, 4)])
    assert pipeline.verify().unexplained == 1


def test_a_replayed_input_is_an_input_of_its_own(pipeline: Pipeline) -> None:
    """Its letter answers the first coordinates, its prediction the second."""
    pipeline.send_inputs(1)
    send(pipeline.bootstrap, pipeline.topics.raw, [(b"key", b"{}", [("telco.dlq.replay_of", b"0/0")])], 0)
    pipeline.record_crash([(0, 0)])
    pipeline.predict([(0, 1)])
    pipeline.commit(2)
    result = pipeline.verify()
    assert (result.inputs, result.predicted, result.dead_lettered) == (2, 1, 1)
    assert result.is_clean


def test_deleted_inputs_are_out_of_scope(pipeline: Pipeline) -> None:
    """Their answers are still there, and explained by nothing that is left."""
    pipeline.send_inputs(6)
    pipeline.predict(_all(0, 6))
    pipeline.predict([(0, 1)])
    pipeline.delete(pipeline.topics.raw, 0, 4)
    pipeline.commit(6)
    result = pipeline.verify()
    assert (result.inputs, result.predicted) == (2, 2)
    assert result.is_clean


def test_inputs_deleted_while_they_are_read_leave_no_answer_unexplained(pipeline: Pipeline) -> None:
    """Retention may be faster than the reader: the answer to an input that was never seen is no offence."""
    topics = pipeline.topics
    send(pipeline.bootstrap, topics.raw, [(None, b"x" * 1_000 + b"%06d" % number, []) for number in range(60_000)], 0)
    pipeline.predict([(0, 59_000), (0, 59_999)])
    pipeline.commit(60_000)
    result = pipeline.verify(on_read=lambda _: pipeline.delete(topics.raw, 0, 59_990))
    assert (result.inputs, result.predicted, result.missing) == (10, 1, 9)
    assert (result.duplicated, result.unexplained) == (0, 0)


def test_inputs_older_than_the_oldest_answer_kept_are_expired_and_younger_ones_missing(pipeline: Pipeline) -> None:
    pipeline.send_inputs(8)
    pipeline.predict([(0, 0), (0, 1), (0, 3), (0, 4), (0, 6), (0, 7)])
    pipeline.commit(8)
    assert pipeline.verify().missing == 2
    pipeline.delete(pipeline.topics.predictions, 0, 3)  # 0, 1 and 3 were answered here
    result = pipeline.verify()
    assert (result.predicted, result.expired, result.missing) == (3, 4, 1)
    assert result.partitions[0].first_missing == [f"{pipeline.topics.raw}/0/5"]


def test_what_one_partition_of_the_answers_has_lost_expires_though_others_keep_all(pipeline: Pipeline) -> None:
    pipeline.send_inputs(6)
    pipeline.predict([(0, 0), (0, 2), (0, 4)], partition=0)
    pipeline.predict([(0, 1), (0, 3), (0, 5)], partition=1)
    pipeline.commit(6)
    pipeline.delete(pipeline.topics.predictions, 1, 2)
    result = pipeline.verify()
    assert (result.predicted, result.expired, result.missing) == (4, 2, 0)


def test_time_tells_what_has_expired_where_no_answer_to_a_partition_is_kept(pipeline: Pipeline) -> None:
    """The letters of partition 0 are deleted; those kept, to partition 1, are younger than its inputs."""
    pipeline.send_inputs(2, partition=0)
    pipeline.send_inputs(2, partition=1)
    pipeline.predict([(0, 0)])
    pipeline.record_crash([(0, 1), (1, 0), (1, 1)])
    pipeline.delete(pipeline.topics.deadletter, 0, 1)
    pipeline.commit(2, 2)
    assert (pipeline.verify().expired, pipeline.verify().missing) == (1, 0)
    pipeline.send_inputs(1, partition=0)
    pipeline.commit(3, 2)
    assert (pipeline.verify().expired, pipeline.verify().missing) == (1, 1)


def test_a_topic_long_empty_excuses_nothing_that_is_younger_than_its_retention(pipeline: Pipeline) -> None:
    """Else one letter that has expired would hide every later loss."""
    pipeline.send_inputs(3)
    pipeline.predict([(0, 0), (0, 1)])
    pipeline.record_crash([(0, 2)])
    pipeline.delete(pipeline.topics.deadletter, 0, 1)
    pipeline.commit(3)
    assert (pipeline.verify().expired, pipeline.verify().missing) == (0, 1)


def test_where_no_answer_is_kept_at_all_every_input_is_expired(pipeline: Pipeline) -> None:
    pipeline.send_inputs(3)
    pipeline.predict(_all(0, 3))
    pipeline.delete(pipeline.topics.predictions, 0, 3)
    pipeline.commit(3)
    result = pipeline.verify()
    assert (result.inputs, result.expired, result.is_clean) == (3, 3, True)


def test_answers_whose_transaction_has_yet_to_become_visible_are_waited_for(pipeline: Pipeline) -> None:
    """A group's offsets can be seen before the answers that were committed with them."""
    pipeline.send_inputs(2)
    pipeline.commit(2)
    with pipeline.transaction() as producer:
        pipeline.send_in(producer, pipeline.topics.predictions, pipeline.answers(_all(0, 2)))
        ending = threading.Timer(1.0, producer.commit_transaction)
        ending.start()
        result = pipeline.verify()
        ending.join()
    assert (result.predicted, result.missing) == (2, 0)


def test_a_group_that_shares_the_predictions_makes_duplicates_of_what_both_have_answered(pipeline: Pipeline) -> None:
    other = f"{pipeline.topics.group}-other"
    pipeline.send_inputs(4)
    pipeline.predict(_all(0, 4))
    pipeline.predict(_all(0, 1))
    pipeline.commit(4)
    pipeline.commit(1, group=other)
    assert (pipeline.verify().duplicated, pipeline.verify(other).duplicated) == (1, 1)
    assert (pipeline.verify().inputs, pipeline.verify(other).inputs) == (4, 1)


def test_a_group_without_commits_is_a_wrong_name_unless_there_is_nothing_to_answer(pipeline: Pipeline) -> None:
    assert pipeline.verify("nobody").inputs == 0
    pipeline.send_inputs(1)
    with pytest.raises(errors.UsageError, match=r"Group nobody has committed nothing .* is --group right"):
        pipeline.verify("nobody")


def test_whoever_watches_hears_of_every_record(pipeline: Pipeline) -> None:
    pipeline.send_inputs(3)
    pipeline.predict(_all(0, 3))
    pipeline.commit(3)
    handle: list[int] = []
    pipeline.verify(on_read=handle.append)
    assert sum(handle) == 6


@pytest.mark.parametrize("count", [3, 4, 9], ids=["fewer", "as many", "more"])
def test_verify_tells_answers_to_an_earlier_topic(pipeline: Pipeline, count: int) -> None:
    """The topic created again has inputs at the same offsets, and none of them is answered."""
    earlier = topic_id(pipeline.bootstrap, pipeline.topics.raw)
    pipeline.predict(_all(0, 3), topic_id=earlier)
    pipeline.record_crash([(0, 3)], topic_id=earlier)
    recreate_topic(pipeline.bootstrap, pipeline.topics.raw)
    pipeline.send_inputs(count)
    pipeline.commit(count)
    result = pipeline.verify()
    assert (result.inputs, result.missing, result.predicted, result.duplicated) == (count, count, 0, 0)
    assert (result.unexplained, result.answers_to_earlier_topic) == (4, 4)
    pipeline.predict(_all(0, count), topic_id=topic_id(pipeline.bootstrap, pipeline.topics.raw))
    result = pipeline.verify()
    assert (result.predicted, result.missing, result.duplicated, result.unexplained) == (count, 0, 0, 4)


def test_verify_judges_answers_without_an_id_by_source(pipeline: Pipeline) -> None:
    """As older versions wrote them; and of an answer that names another topic it says only that it has no input."""
    pipeline.send_inputs(4)
    current = topic_id(pipeline.bootstrap, pipeline.topics.raw)
    pipeline.predict(_all(0, 2))
    pipeline.predict([(0, 2), (0, 3)], topic_id=current)
    pipeline.commit(4)
    assert pipeline.verify().is_clean
    send(pipeline.bootstrap, pipeline.topics.predictions, [(b"k", b"{}", [("source", b"x/0/0"), _ID])], 0)
    assert (pipeline.verify().unexplained, pipeline.verify().answers_to_earlier_topic) == (1, 0)


def test_verify_command_explains_answers_to_earlier_topic(pipeline: Pipeline) -> None:
    pipeline.send_inputs(2)
    pipeline.predict(_all(0, 2), topic_id="J8qXRwI-Q3SPDXpBcbgeBg")
    pipeline.commit(2)
    run = run_cli("verify", "--output", "json", env=pipeline.topics.env(pipeline.bootstrap))
    assert run.returncode == 5
    assert "2 answers belong to an earlier raw topic of the same name" in run.stderr
    found = json.loads(run.stdout)
    assert (found["unexplained"], found["answers_to_earlier_topic"], found["missing"]) == (2, 2, 2)


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
@pytest.mark.parametrize("kind", ["predictions", "deadletter", "raw"])
def test_verify_names_topics_that_are_compacted(pipeline: Pipeline, kind: str, policy: str) -> None:
    topic = getattr(pipeline.topics, kind)
    configure_topic(pipeline.bootstrap, topic, "cleanup.policy", policy)
    assert pipeline.verify().compacted_topics == [topic]


def test_verify_command_warns_when_a_topic_is_compacted(pipeline: Pipeline) -> None:
    """When it is clean too: Kafka compacts later."""
    predictions = pipeline.topics.predictions
    configure_topic(pipeline.bootstrap, predictions, "cleanup.policy", "compact")
    pipeline.send_inputs(2)
    pipeline.predict([(0, 0)])
    pipeline.commit(1)
    clean, gap = (_verified(pipeline, offset) for offset in (1, 2))
    assert (clean.returncode, gap.returncode) == (0, 5)
    assert f"Topic {predictions} is compacted" in clean.stderr
    assert f"(topic {predictions} is compacted" in gap.stderr


def _verified(pipeline: Pipeline, offset: int) -> subprocess.CompletedProcess[str]:
    pipeline.commit(offset)
    return run_cli("verify", env=pipeline.topics.env(pipeline.bootstrap))
