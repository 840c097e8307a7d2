"""`verify` on a real Kafka: transactions, aborted answers, retention and groups."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from telco_stream import errors
from telco_stream.checks.verdict import VerifyResult
from telco_stream.checks.verify import verify
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.offsets import CommitMetadata, encode_commit_metadata
from telco_stream.runtime.signals import Stop
from telco_stream.settings import load
from tests.support.in_process import CompletedRun, run_in_process
from tests.support.topics import Outgoing, Topics, configure_topic, recreate_topic, send, topic_id

Sources = Iterable[tuple[int, int]]
#: Header of an answer to a topic that doesn't exist.
_OTHER_TOPIC_ID = ("source.topic.id", b"J8qXRwI-Q3SPDXpBcbgeBg")


class Pipeline:
    """Topics and group of a test, with methods to fill them."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self.bootstrap = bootstrap
        self.topics = topics

    def send_inputs(self, count: int, partition: int = 0) -> None:
        """Send inputs without transactions, so that their offsets are 0, 1, 2 …"""
        send(self.bootstrap, self.topics.raw, [(b"key", b"{}", [])] * count, partition)

    def predict(self, sources: Sources, partition: int = 0, topic_id: str = "") -> None:
        send(self.bootstrap, self.topics.predictions, self.answers(sources, topic_id), partition)

    def dead_letter(self, sources: Sources, topic_id: str = "") -> None:
        """Send dead letters."""
        send(self.bootstrap, self.topics.deadletter, self.answers(sources, topic_id), 0)

    def answers(self, sources: Sources, topic_id: str = "") -> list[Outgoing]:
        """Return answers to these sources; older versions wrote no topic ID."""
        identity = [("source.topic.id", topic_id.encode())] if topic_id else []
        return [(b"key", b"{}", [("source", f"{self.topics.raw}/{p}/{o}".encode()), *identity]) for p, o in sources]

    def commit(self, *offsets: int, group: str | None = None) -> None:
        """Commit one offset per partition, from partition 0 on."""
        client = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group or self.topics.group})
        positions = [TopicPartition(self.topics.raw, number, offset) for number, offset in enumerate(offsets)]
        client.commit(offsets=positions, asynchronous=False)
        client.close()

    @contextmanager
    def transaction(self, name: str = "") -> Iterator[Producer]:
        """Begin a transaction, which the block ends."""
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
        """Delete the records below `before`, as retention does."""
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


def _sources(partition: int, count: int) -> list[tuple[int, int]]:
    return [(partition, offset) for offset in range(count)]


def test_verify_is_clean_when_each_input_has_one_answer(pipeline: Pipeline) -> None:
    """By a prediction or a dead letter in any partition."""
    pipeline.send_inputs(5, partition=0)
    pipeline.send_inputs(3, partition=2)
    pipeline.predict(_sources(0, 4), partition=1)
    pipeline.predict(_sources(2, 3), partition=0)
    pipeline.dead_letter([(0, 4)])
    pipeline.commit(5, 0, 3)
    result = pipeline.verify()
    assert (result.inputs, result.predicted, result.dead_lettered) == (8, 7, 1)
    assert [account.inputs for account in result.partitions] == [5, 0, 3]
    assert result.is_clean


def test_verify_counts_inputs_deleted_before_they_were_answered(pipeline: Pipeline) -> None:
    """Inputs that the group has not noticed yet, and inputs that it has noticed and skipped."""
    pipeline.send_inputs(10, partition=0)
    pipeline.send_inputs(10, partition=1)
    pipeline.predict(_sources(0, 4))
    pipeline.commit(4)
    pipeline.delete(pipeline.topics.raw, 0, 7)
    assert pipeline.verify().expired_unanswered == 3
    group = Consumer({"bootstrap.servers": pipeline.bootstrap, "group.id": pipeline.topics.group})
    metadata = encode_commit_metadata(CommitMetadata(expired_unanswered=40))
    group.commit(offsets=[TopicPartition(pipeline.topics.raw, 1, 0, metadata)], asynchronous=False)
    group.close()
    result = pipeline.verify()
    assert [account.expired_unanswered for account in result.partitions] == [3, 40, 0]
    assert (result.expired_unanswered, result.missing, result.is_clean) == (43, 0, False)


def test_verify_counts_nothing_expired_when_it_was_answered(pipeline: Pipeline) -> None:
    pipeline.send_inputs(10)
    pipeline.predict(_sources(0, 10))
    pipeline.commit(10)
    pipeline.delete(pipeline.topics.raw, 0, 10)
    result = pipeline.verify()
    assert (result.expired_unanswered, result.is_clean) == (0, True)


def test_verify_names_missing_duplicated_and_unexplained(pipeline: Pipeline) -> None:
    pipeline.send_inputs(6)
    pipeline.predict([(0, 0), (0, 1), (0, 1), (0, 2), (0, 9), (7, 0)])
    pipeline.dead_letter([(0, 2), (0, 3)])
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
    letters, unmatched = pipeline.topics.deadletter, result.partitions[-1]
    assert unmatched.partition is None
    assert unmatched.first_unexplained == [f"{pipeline.topics.predictions}/0/5", f"{letters}/0/2", f"{letters}/0/3"]


def test_verify_ignores_markers_and_aborted_records(pipeline: Pipeline) -> None:
    """Raw: 2 inputs, marker, aborted record, marker, 1 input, marker. Some answers are aborted too."""
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


def test_verify_ignores_answers_beyond_committed_offsets(pipeline: Pipeline) -> None:
    """A batch can be in flight, or another group can be ahead; but a source above the end is unexplained."""
    pipeline.send_inputs(4)
    pipeline.predict(_sources(0, 4))
    pipeline.predict([(0, 3)])
    pipeline.commit(2)
    result = pipeline.verify()
    assert (result.is_clean, result.inputs, result.unanswered) == (True, 2, 2)
    pipeline.predict([(0, 4)])
    assert pipeline.verify().unexplained == 1


def test_verify_counts_inputs_that_are_not_answered_yet(pipeline: Pipeline) -> None:
    """In partitions with and without a commit, without transaction markers and aborted records."""
    raw = pipeline.topics.raw
    pipeline.send_inputs(3)
    pipeline.predict(_sources(0, 2))
    for name, partition, end in [("a", 0, "commit"), ("b", 0, "abort"), ("c", 2, "commit")]:
        with pipeline.transaction(name) as producer:
            pipeline.send_in(producer, raw, [(None, b"{}", [])] * 5, partition)
            getattr(producer, f"{end}_transaction")(15)
    pipeline.commit(2)
    result = pipeline.verify()
    assert [account.unanswered for account in result.partitions] == [6, 0, 5]
    assert (result.unanswered, result.inputs, result.missing, result.is_clean) == (11, 2, 0, True)
    assert result.verdict == "Each of 2 inputs has exactly one answer; 11 inputs are not answered yet."
    run = run_in_process("verify", "--output", "json", env=pipeline.topics.env(pipeline.bootstrap))
    assert (run.code, json.loads(run.out)["unanswered"]) == (0, 11)


def test_verify_counts_a_replayed_input_separately(pipeline: Pipeline) -> None:
    """The dead letter answers the original, the prediction the replay."""
    pipeline.send_inputs(1)
    send(pipeline.bootstrap, pipeline.topics.raw, [(b"key", b"{}", [("telco.dlq.replay_of", b"0/0")])], 0)
    pipeline.dead_letter([(0, 0)])
    pipeline.predict([(0, 1)])
    pipeline.commit(2)
    result = pipeline.verify()
    assert (result.inputs, result.predicted, result.dead_lettered) == (2, 1, 1)
    assert result.is_clean


def test_verify_ignores_inputs_when_they_were_deleted(pipeline: Pipeline) -> None:
    """Their answers are still in the topic, but don't count as unexplained."""
    pipeline.send_inputs(6)
    pipeline.predict(_sources(0, 6))
    pipeline.predict([(0, 1)])
    pipeline.delete(pipeline.topics.raw, 0, 4)
    pipeline.commit(6)
    result = pipeline.verify()
    assert (result.inputs, result.predicted) == (2, 2)
    assert result.is_clean


def test_verify_ignores_inputs_when_deleted_during_the_run(pipeline: Pipeline) -> None:
    """Retention can be faster than the reader."""
    topics = pipeline.topics
    send(pipeline.bootstrap, topics.raw, [(None, b"x" * 1_000 + b"%06d" % number, []) for number in range(60_000)], 0)
    pipeline.predict([(0, 59_000), (0, 59_999)])
    pipeline.commit(60_000)
    result = pipeline.verify(on_read=lambda _: pipeline.delete(topics.raw, 0, 59_990))
    assert (result.inputs, result.predicted, result.missing) == (10, 1, 9)
    assert (result.duplicated, result.unexplained) == (0, 0)


def test_verify_counts_inputs_below_the_oldest_answer_as_expired(pipeline: Pipeline) -> None:
    pipeline.send_inputs(8)
    pipeline.predict([(0, 0), (0, 1), (0, 3), (0, 4), (0, 6), (0, 7)])
    pipeline.commit(8)
    assert pipeline.verify().missing == 2
    pipeline.delete(pipeline.topics.predictions, 0, 3)  # the answers to 0, 1 and 3
    result = pipeline.verify()
    assert (result.predicted, result.expired, result.missing) == (3, 4, 1)
    assert result.partitions[0].first_missing == [f"{pipeline.topics.raw}/0/5"]


def test_verify_counts_expired_when_one_partition_lost_answers(pipeline: Pipeline) -> None:
    pipeline.send_inputs(6)
    pipeline.predict([(0, 0), (0, 2), (0, 4)], partition=0)
    pipeline.predict([(0, 1), (0, 3), (0, 5)], partition=1)
    pipeline.commit(6)
    pipeline.delete(pipeline.topics.predictions, 1, 2)
    result = pipeline.verify()
    assert (result.predicted, result.expired, result.missing) == (4, 2, 0)


def test_verify_compares_times_when_no_answer_is_left(pipeline: Pipeline) -> None:
    """The letters of partition 0 are deleted; the letters left, of partition 1, are younger than its inputs."""
    pipeline.send_inputs(2, partition=0)
    pipeline.send_inputs(2, partition=1)
    pipeline.predict([(0, 0)])
    pipeline.dead_letter([(0, 1), (1, 0), (1, 1)])
    pipeline.delete(pipeline.topics.deadletter, 0, 1)
    pipeline.commit(2, 2)
    assert (pipeline.verify().expired, pipeline.verify().missing) == (1, 0)
    pipeline.send_inputs(1, partition=0)
    pipeline.commit(3, 2)
    assert (pipeline.verify().expired, pipeline.verify().missing) == (1, 1)


def test_verify_counts_missing_when_younger_than_the_retention(pipeline: Pipeline) -> None:
    """Otherwise one expired letter would hide all later losses."""
    pipeline.send_inputs(3)
    pipeline.predict([(0, 0), (0, 1)])
    pipeline.dead_letter([(0, 2)])
    pipeline.delete(pipeline.topics.deadletter, 0, 1)
    pipeline.commit(3)
    assert (pipeline.verify().expired, pipeline.verify().missing) == (0, 1)


def test_verify_counts_all_inputs_as_expired_without_answers(pipeline: Pipeline) -> None:
    pipeline.send_inputs(3)
    pipeline.predict(_sources(0, 3))
    pipeline.delete(pipeline.topics.predictions, 0, 3)
    pipeline.commit(3)
    result = pipeline.verify()
    assert (result.inputs, result.expired, result.is_clean) == (3, 3, True)


def test_verify_waits_when_a_transaction_is_open(pipeline: Pipeline) -> None:
    """Committed offsets can become visible before the answers of the same transaction."""
    pipeline.send_inputs(2)
    pipeline.commit(2)
    with pipeline.transaction() as producer:
        pipeline.send_in(producer, pipeline.topics.predictions, pipeline.answers(_sources(0, 2)))
        ending = threading.Timer(1.0, producer.commit_transaction)
        ending.start()
        result = pipeline.verify()
        ending.join()
    assert (result.predicted, result.missing) == (2, 0)


def test_verify_counts_duplicates_when_groups_share_a_topic(pipeline: Pipeline) -> None:
    other = f"{pipeline.topics.group}-other"
    pipeline.send_inputs(4)
    pipeline.predict(_sources(0, 4))
    pipeline.predict(_sources(0, 1))
    pipeline.commit(4)
    pipeline.commit(1, group=other)
    assert (pipeline.verify().duplicated, pipeline.verify(other).duplicated) == (1, 1)
    assert (pipeline.verify().inputs, pipeline.verify(other).inputs) == (4, 1)


def test_finding_names_the_group_that_writes_to_the_same_topic(pipeline: Pipeline) -> None:
    """Not a group that has not reached the input with two answers, or that holds the progress of `produce`."""
    other, behind = f"{pipeline.topics.group}-other", f"{pipeline.topics.group}-behind"
    pipeline.send_inputs(4)
    pipeline.predict([*_sources(0, 4), (0, 2)])
    pipeline.commit(4)
    pipeline.commit(4, group=other)
    pipeline.commit(2, group=behind)
    pipeline.commit(4, group=f"telco-stream-produce-{other}")
    result = pipeline.verify()
    assert result.verdict == "1 of 4 inputs has more than one answer."
    (finding,) = result.findings
    assert finding.kind == "duplicated"
    assert finding.likely_cause == f"group `{other}` also writes to the same predictions topic"
    assert finding.investigate == f"telco-stream status --broker {pipeline.bootstrap} --group {other}"


def test_finding_names_the_topic_whose_answers_are_mixed_in(pipeline: Pipeline) -> None:
    pipeline.send_inputs(1)
    pipeline.predict([(0, 0)])
    source = ("source", b"another.raw.topic/0/3")
    send(pipeline.bootstrap, pipeline.topics.predictions, [(b"key", b"{}", [source])], 0)
    pipeline.commit(1)
    (finding,) = pipeline.verify().findings
    assert (finding.kind, finding.finding) == ("unexplained", "1 answer has no input")
    assert "topic `another.raw.topic`" in finding.likely_cause
    assert f"-t {pipeline.topics.predictions} -p 0 -o 1 " in finding.investigate


def test_findings_share_a_cause_when_the_topic_was_recreated(pipeline: Pipeline) -> None:
    pipeline.predict(_sources(0, 1), topic_id=topic_id(pipeline.bootstrap, pipeline.topics.raw))
    recreate_topic(pipeline.bootstrap, pipeline.topics.raw)
    pipeline.send_inputs(1)
    pipeline.commit(1)
    missing, unexplained = pipeline.verify().findings
    assert (missing.kind, unexplained.kind) == ("missing", "unexplained")
    assert all("was deleted and created again" in finding.likely_cause for finding in (missing, unexplained))


def test_verify_raises_usage_error_when_the_group_is_unknown(pipeline: Pipeline) -> None:
    assert pipeline.verify("unknown").inputs == 0
    pipeline.send_inputs(1)
    with pytest.raises(errors.UsageError, match=r"Group unknown has committed no offsets .* check --group"):
        pipeline.verify("unknown")


def test_verify_reports_each_record_that_it_reads(pipeline: Pipeline) -> None:
    pipeline.send_inputs(3)
    pipeline.predict(_sources(0, 3))
    pipeline.commit(3)
    counts: list[int] = []
    pipeline.verify(on_read=counts.append)
    assert sum(counts) == 6


@pytest.mark.parametrize("count", [3, 4, 9], ids=["fewer", "as many", "more"])
def test_verify_counts_answers_to_an_earlier_topic(pipeline: Pipeline, count: int) -> None:
    """The recreated topic has unanswered inputs at the same offsets."""
    earlier = topic_id(pipeline.bootstrap, pipeline.topics.raw)
    pipeline.predict(_sources(0, 3), topic_id=earlier)
    pipeline.dead_letter([(0, 3)], topic_id=earlier)
    recreate_topic(pipeline.bootstrap, pipeline.topics.raw)
    pipeline.send_inputs(count)
    pipeline.commit(count)
    result = pipeline.verify()
    assert (result.inputs, result.missing, result.predicted, result.duplicated) == (count, count, 0, 0)
    assert (result.unexplained, result.answers_to_earlier_topic) == (4, 4)
    pipeline.predict(_sources(0, count), topic_id=topic_id(pipeline.bootstrap, pipeline.topics.raw))
    result = pipeline.verify()
    assert (result.predicted, result.missing, result.duplicated, result.unexplained) == (count, 0, 0, 4)


def test_verify_matches_answers_by_source_without_an_id(pipeline: Pipeline) -> None:
    """Older versions wrote no ID. An answer that names another topic is unexplained, but not of an earlier topic."""
    pipeline.send_inputs(4)
    current = topic_id(pipeline.bootstrap, pipeline.topics.raw)
    pipeline.predict(_sources(0, 2))
    pipeline.predict([(0, 2), (0, 3)], topic_id=current)
    pipeline.commit(4)
    assert pipeline.verify().is_clean
    send(pipeline.bootstrap, pipeline.topics.predictions, [(b"k", b"{}", [("source", b"x/0/0"), _OTHER_TOPIC_ID])], 0)
    assert (pipeline.verify().unexplained, pipeline.verify().answers_to_earlier_topic) == (1, 0)


def test_verify_command_explains_answers_to_earlier_topic(pipeline: Pipeline) -> None:
    pipeline.send_inputs(2)
    pipeline.predict(_sources(0, 2), topic_id="J8qXRwI-Q3SPDXpBcbgeBg")
    pipeline.commit(2)
    run = run_in_process("verify", "--output", "json", env=pipeline.topics.env(pipeline.bootstrap))
    assert run.code == 5
    assert "2 of 2 inputs have no answer; 2 answers have no input. Likely cause: topic " in run.err
    assert "was deleted and created again" in run.err
    result = json.loads(run.out)
    assert result["verdict"] == "2 of 2 inputs have no answer; 2 answers have no input."
    assert (result["unexplained"], result["answers_to_earlier_topic"], result["missing"]) == (2, 2, 2)


@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
@pytest.mark.parametrize("kind", ["predictions", "deadletter", "raw"])
def test_verify_names_topics_that_are_compacted(pipeline: Pipeline, kind: str, policy: str) -> None:
    topic = getattr(pipeline.topics, kind)
    configure_topic(pipeline.bootstrap, topic, "cleanup.policy", policy)
    assert pipeline.verify().compacted_topics == [topic]


def test_verify_command_warns_when_a_topic_is_compacted(pipeline: Pipeline) -> None:
    """Also if the result is clean, because Kafka compacts later."""
    predictions = pipeline.topics.predictions
    configure_topic(pipeline.bootstrap, predictions, "cleanup.policy", "compact")
    pipeline.send_inputs(2)
    pipeline.predict([(0, 0)])
    pipeline.commit(1)
    clean, gap = (_verified(pipeline, offset) for offset in (1, 2))
    assert (clean.code, gap.code) == (0, 5)
    assert f"Topic {predictions} is compacted" in clean.err
    assert "1 input has exactly one answer; 1 input is not answered yet." in clean.out
    assert f"Likely cause: topic {predictions} is compacted" in gap.err


def _verified(pipeline: Pipeline, offset: int) -> CompletedRun:
    pipeline.commit(offset)
    return run_in_process("verify", env=pipeline.topics.env(pipeline.bootstrap))
