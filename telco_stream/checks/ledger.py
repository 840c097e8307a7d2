"""Ledger of the raw topic's inputs and their answers, in one byte per offset.

Inputs are entered before answers, so that an answer whose input doesn't exist is recognized when it is entered.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from telco_stream.messages.headers import parse_position, source_of
from telco_stream.messages.record import Record

AnswerKind: TypeAlias = Literal["prediction", "letter"]

#: States of an offset. Transaction markers and aborted records stay `_NOTHING`.
_NOTHING, _INPUT, _PREDICTED, _LETTERED, _TWICE = range(5)
_ANSWERED: dict[AnswerKind, int] = {"prediction": _PREDICTED, "letter": _LETTERED}
#: Maximum number of positions that an account names for each kind of error.
_MAX_NAMED = 5
#: Digits of the largest possible offset.
_MAX_OFFSET_DIGITS = 19


@dataclass(frozen=True, slots=True)
class PartitionRange:
    """Offsets of a partition that are verified: from `start` up to, not including, `end`.

    `latest` is the partition's end offset; no input exists at or above it.
    """

    start: int
    end: int
    latest: int


@dataclass(frozen=True, slots=True)
class Account:
    """Counts of a partition's inputs and answers.

    Each input is counted in one of `predicted`, `dead_lettered`, `missing`, `duplicated` and `expired`. `partition` is
    None for answers that name no partition of the raw topic. Positions are `topic/partition/offset`: of the input if it
    is missing or duplicated, of the answer if it is unexplained.
    """

    partition: int | None
    inputs: int
    predicted: int
    dead_lettered: int
    missing: int
    duplicated: int
    expired: int
    unexplained: int
    first_missing: list[str]
    first_duplicated: list[str]
    first_unexplained: list[str]
    #: Unexplained answers whose input was in an earlier topic with this name, which has been deleted.
    answers_to_earlier_topic: int = 0
    #: Offsets that retention deleted before the group answered them; transaction markers may be among them.
    expired_unanswered: int = 0
    #: Inputs at and above the group's committed offset; they are not verified.
    unanswered: int = 0


class Ledger:
    """Matches inputs and answers; add all inputs first, then all answers, then call `accounts`.

    An answer with a topic ID other than `topic_id` is unexplained. An answer without a topic ID, which older versions
    wrote, is matched by its source position alone. Dead letters of the topic `outcomes` are not counted: they answer
    none of these inputs.
    """

    def __init__(
        self,
        topic: str,
        ranges: Mapping[int, PartitionRange],
        topic_id: str | None = None,
        *,
        outcomes: str | None = None,
    ) -> None:
        self._topic = topic.encode()
        self._outcomes = None if outcomes is None else outcomes.encode()
        self._topic_id = None if topic_id is None else topic_id.encode()
        self._partitions = {
            partition: _PartitionLedger(f"{topic}/{partition}", offsets)
            for partition, offsets in sorted(ranges.items())
        }
        self._by_source = {ledger.name.encode(): (partition, ledger) for partition, ledger in self._partitions.items()}
        #: Collects answers that name no partition of the raw topic.
        self._unmatched = _PartitionLedger("", PartitionRange(0, 0, 0))
        #: Input offset of the first answer, by kind and partition of the answer and partition of the input.
        self.oldest: dict[tuple[AnswerKind, int, int], int] = {}
        #: Time of the first answer in milliseconds, by its kind and partition.
        self.oldest_times: dict[tuple[AnswerKind, int], int] = {}
        #: Some of the other topics that answers name as their source.
        self.other_sources: set[str] = set()

    def add_inputs(self, records: Iterable[Record]) -> None:
        """Add records of the raw topic; those beyond the ranges are only counted as unanswered."""
        partitions = self._partitions
        for record in records:
            ledger, offset = partitions[record.partition()], record.offset()
            if offset < ledger.end:
                ledger.states[offset - ledger.start] = _INPUT
            else:
                ledger.unanswered += 1

    def forget(self, starts: Mapping[int, int]) -> None:
        """Drop the offsets below `starts`: retention may have deleted inputs before they could be added."""
        for partition, start in starts.items():
            self._partitions[partition].begin_at(start)

    def add_answers(self, kind: AnswerKind, records: Iterable[Record]) -> None:
        """Add predictions or dead letters, in offset order within each partition."""
        answered, expected_id = _ANSWERED[kind], self._topic_id
        for record in records:
            position, topic_id = source_of(record)
            source_partition, _, offset = position.rpartition(b"/")
            partition, ledger = self._by_source.get(source_partition, (-1, self._unmatched))
            if ledger is self._unmatched and kind == "letter" and self._is_of_outcomes(source_partition):
                continue
            if topic_id != expected_id and topic_id and expected_id:
                ledger.answers_to_earlier_topic += source_partition.rpartition(b"/")[0] == self._topic
                self._add_unexplained(ledger, record, position)
            elif ledger.add_answer(offset, answered):
                if (kind, record.partition(), partition) not in self.oldest:
                    self.oldest[kind, record.partition(), partition] = int(offset)
                    self.oldest_times.setdefault((kind, record.partition()), record.timestamp()[1])
            else:
                self._add_unexplained(ledger, record, position)

    def accounts(
        self, expired_before: Mapping[int, int], expired_unanswered: Mapping[int, int] | None = None
    ) -> list[Account]:
        """Return an account per partition, and one for unmatched answers if there are any.

        Below `expired_before`, an input without an answer counts as expired, otherwise as missing. `expired_unanswered`
        holds the number of offsets per partition that were deleted without an answer.
        """
        unanswered = expired_unanswered or {}
        accounts = [
            ledger.account(partition, expired_before.get(partition, 0), unanswered.get(partition, 0))
            for partition, ledger in self._partitions.items()
        ]
        return [*accounts, self._unmatched.account(None, 0, 0)] if self._unmatched.unexplained else accounts

    def _is_of_outcomes(self, source_partition: bytes) -> bool:
        topic, _, partition = source_partition.rpartition(b"/")
        return topic == self._outcomes and partition.isdigit()

    def _add_unexplained(self, ledger: "_PartitionLedger", answer: Record, position: bytes) -> None:
        ledger.add_unexplained(answer)
        if ledger is not self._unmatched or len(self.other_sources) >= _MAX_NAMED:
            return
        parsed = parse_position(position)
        if parsed and parsed.topic and parsed.topic.encode() != self._topic:
            self.other_sources.add(parsed.topic)


class _PartitionLedger:
    """States of the inputs of one raw partition."""

    def __init__(self, name: str, offsets: PartitionRange) -> None:
        self.name = name
        self.start = offsets.start
        self.states = bytearray(max(0, offsets.end - offsets.start))
        self.end = offsets.start + len(self.states)
        self.unexplained = self.answers_to_earlier_topic = self.unanswered = 0
        self._latest = offsets.latest
        self._first_unexplained: list[str] = []

    def begin_at(self, start: int) -> None:
        """Drop the states of offsets below `start`."""
        del self.states[: max(0, start - self.start)]
        self.start = max(self.start, start)

    def add_answer(self, text: bytes, answered: int) -> bool:
        """Add an answer to the offset in `text`; return False if no input can have had this offset."""
        if not text.isdigit() or len(text) > _MAX_OFFSET_DIGITS:
            return False
        offset = int(text)
        if not self.start <= offset < self.end:
            return offset < self._latest  # deleted, or not committed yet: not verified
        state = self.states[offset - self.start]
        if state != _NOTHING:
            self.states[offset - self.start] = answered if state == _INPUT else _TWICE
        return state != _NOTHING

    def add_unexplained(self, answer: Record) -> None:
        """Count an answer whose input doesn't exist."""
        self.unexplained += 1
        if len(self._first_unexplained) < _MAX_NAMED:
            self._first_unexplained.append(f"{answer.topic()}/{answer.partition()}/{answer.offset()}")

    def account(self, partition: int | None, expired_before: int, expired_unanswered: int) -> Account:
        """Return the counts of this partition."""
        oldest = min(max(0, expired_before - self.start), len(self.states))
        count = self.states.count
        return Account(
            partition=partition,
            inputs=len(self.states) - count(_NOTHING),
            predicted=count(_PREDICTED),
            dead_lettered=count(_LETTERED),
            missing=count(_INPUT, oldest),
            duplicated=count(_TWICE),
            expired=count(_INPUT, 0, oldest),
            unexplained=self.unexplained,
            first_missing=self._first(_INPUT, oldest),
            first_duplicated=self._first(_TWICE, 0),
            first_unexplained=self._first_unexplained,
            answers_to_earlier_topic=self.answers_to_earlier_topic,
            expired_unanswered=expired_unanswered,
            unanswered=self.unanswered,
        )

    def _first(self, state: int, begin: int) -> list[str]:
        positions: list[str] = []
        index = self.states.find(state, begin)
        while index >= 0 and len(positions) < _MAX_NAMED:
            positions.append(f"{self.name}/{self.start + index}")
            index = self.states.find(state, index + 1)
        return positions
