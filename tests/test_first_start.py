"""A group without committed offsets whose topic has answers: Kafka has deleted its offsets, or it is new."""

import pytest
from confluent_kafka.admin import AdminClient

from telco_stream import errors
from telco_stream.consume.run import ConsumeOptions
from tests.support.cli import run_cli
from tests.support.consumer_harness import RunningConsumer, answers, coordinates, customers, settings_of, sources
from tests.support.in_process import run_in_process
from tests.support.topics import Topics, read_topic, recreate_topic, send
from tests.support.waiting import wait_until

BATCH = ConsumeOptions("batch", "exactly-once")


@pytest.fixture
def forgotten(kafka: str, topics: Topics) -> Topics:
    """Topics with 20 answers, whose group has no offsets any more, as after a week without members."""
    send(kafka, topics.raw, [*customers(range(19)), ("bad", b"not JSON", [])])
    RunningConsumer(settings_of(kafka, topics), BATCH).result()
    forget(kafka, topics)
    return topics


def forget(kafka: str, topics: Topics) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_consumer_groups([topics.group])[topics.group].result(20)


def test_consume_refuses_when_the_group_has_no_offsets(kafka: str, forgotten: Topics) -> None:
    """Nothing is answered again; the message names both ways to continue."""
    done = run_in_process("consume", "--mode", "batch", env=forgotten.env(kafka))
    assert done.code == 5
    (line,) = [line for line in done.err.splitlines() if forgotten.group in line]
    assert "offsets.retention.minutes" in line
    assert "--resume-from-answers" in line
    assert "--restart" in line
    assert len(answers(kafka, forgotten)) == 20


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_consume_resumes_after_the_newest_answers(kafka: str, forgotten: Topics, reset: str) -> None:
    send(kafka, forgotten.raw, customers(range(20, 30)))
    settings = settings_of(kafka, forgotten, auto_offset_reset=reset)
    result = RunningConsumer(settings, ConsumeOptions("batch", "exactly-once", if_answered="resume")).result()
    assert result.consumed == 10
    assert sources(answers(kafka, forgotten)) == coordinates(read_topic(kafka, forgotten.raw))


def test_consume_starts_over_when_restart_is_given(kafka: str, forgotten: Topics) -> None:
    """Only once: with commits, the option has no effect, so that it can stay in a supervisor's command."""
    order = ConsumeOptions("batch", "exactly-once", if_answered="restart")
    consumed = [RunningConsumer(settings_of(kafka, forgotten), order).result().consumed for _ in range(2)]
    assert consumed == [20, 0]


def test_workers_refuse_once_when_the_group_has_no_offsets(kafka: str, forgotten: Topics) -> None:
    done = run_cli("consume", "--workers", "2", env=forgotten.env(kafka))
    assert done.returncode == 5
    assert done.stderr.count("--restart") == 1


def test_consume_refuses_when_only_dead_letters_are_left(kafka: str, topics: Topics) -> None:
    """The dead-letter topic counts as well as the predictions."""
    send(kafka, topics.raw, [("bad", b"not JSON", [])])
    RunningConsumer(settings_of(kafka, topics), BATCH).result()
    forget(kafka, topics)
    with pytest.raises(errors.DataError):
        RunningConsumer(settings_of(kafka, topics), BATCH).result()


def test_consume_starts_when_the_answers_are_of_another_topic(kafka: str, topics: Topics) -> None:
    header = [("source", b"another/0/7"), ("source.topic.id", b"J8qXRwI-Q3SPDXpBcbgeBg")]
    send(kafka, topics.predictions, [("c", b"{}", header)])
    send(kafka, topics.raw, customers(range(5)))
    assert RunningConsumer(settings_of(kafka, topics), BATCH).result().consumed == 5


def test_latest_skips_nothing_of_a_recreated_topic(kafka: str, topics: Topics) -> None:
    """Kafka deletes the offsets with the topic; the answers show that the group is not new."""
    settings = settings_of(kafka, topics, auto_offset_reset="latest")
    first = RunningConsumer(settings, ConsumeOptions("streaming", "exactly-once"))
    first.wait_for_start(0, 1, 2)
    send(kafka, topics.raw, customers(range(5)))
    first.wait_for(5)
    first.end()
    recreate_topic(kafka, topics.raw)
    send(kafka, topics.raw, customers(range(40)))
    assert RunningConsumer(settings, BATCH).result().consumed == 40


def test_two_members_start_a_new_group_at_the_same_time(kafka: str, topics: Topics) -> None:
    """The second member may see the answers of the first before the group's commits."""
    settings, order = settings_of(kafka, topics), ConsumeOptions("streaming", "exactly-once")
    send(kafka, topics.raw, customers(range(200)))
    members = [RunningConsumer(settings, order) for _ in range(2)]
    wait_for_all(members, 1)  # either may have all partitions first
    members.append(RunningConsumer(settings, order))
    wait_for_all(members, 200)
    for member in members:
        member.end()
    assert sources(answers(kafka, topics)) == coordinates(read_topic(kafka, topics.raw))


def wait_for_all(members: list[RunningConsumer], count: int) -> None:
    wait_until(lambda: sum(member.consumed for member in members) >= count, 30, f"{count} answers")


def test_consume_refuses_both_options_at_once() -> None:
    done = run_in_process("consume", "--restart", "--resume-from-answers")
    assert done.code == 2
