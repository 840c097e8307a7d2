"""A group's committed offsets: asked for and set, waiting for the broker, with a note beside each."""

import json
from collections.abc import Callable, Iterable
from functools import partial

from confluent_kafka import Consumer, KafkaException, TopicPartition

from telco_stream.kafka.calls import GRACE, finish
from telco_stream.kafka.trouble import complaint, has_moved_on, is_fatal, is_hopeless, member_failure
from telco_stream.stop import Stop, Stopped

#: Seconds that one question may take.
_TIMEOUT = 1.0


def ask_committed(consumer: Consumer, topic: str, partitions: Iterable[int], stop: Stop) -> list[TopicPartition]:
    """What the consumer's group has committed, negative where nothing; waits for the broker until stopped."""
    asked = [TopicPartition(topic, partition) for partition in partitions]
    while asked:
        try:
            return consumer.committed(asked, timeout=_TIMEOUT)
        except KafkaException as error:
            if is_hopeless(error.args[0]):
                raise complaint(error.args[0], "Committed offsets") from error
            _raise_fatal(error)
            if stop.requested:
                raise Stopped from error
    return []


def commit(consumer: Consumer, offsets: list[TopicPartition], stop: Stop, meanwhile: Callable[[], None]) -> bool:
    """Commit, waiting for the broker if need be; false where the group has given the partitions to another.

    While it waits it calls `meanwhile`. After `Stopped`, the call may still be on its way.
    """
    while True:
        try:
            finish(partial(consumer.commit, offsets=offsets, asynchronous=False), stop, meanwhile)
        except KafkaException as error:
            if has_moved_on(error.args[0]):
                return False
            if is_hopeless(error.args[0]):
                raise complaint(error.args[0], "Offsets were not committed") from error
            _raise_fatal(error)
            if stop.overdue(GRACE):
                raise Stopped from error
        else:
            return True


def _raise_fatal(error: KafkaException) -> None:
    """Raise the reason if the client has failed for good: it would give the same answer for ever."""
    failure = member_failure(error.args[0]) if is_fatal(error.args[0]) else None
    if failure is not None:
        raise failure from error


def note(in_a_row: int, milliseconds: int) -> str:
    """What is kept beside an offset: how many dead letters in a row ended the batch, and when that was."""
    return json.dumps({"dead_letters_in_a_row": in_a_row, "at": milliseconds}, separators=(",", ":"))


def newest_count(committed: Iterable[TopicPartition]) -> int:
    """The dead letters in a row of the newest note; 0 where there is none, or somebody else wrote it."""
    return max(map(_note_of, committed), default=(0, 0))[1]


def _note_of(committed: TopicPartition) -> tuple[int, int]:
    """Time and number of a note."""
    try:
        found = json.loads(committed.metadata or "{}")
        return int(found["at"]), int(found["dead_letters_in_a_row"])
    except (ValueError, TypeError, KeyError):
        return 0, 0
