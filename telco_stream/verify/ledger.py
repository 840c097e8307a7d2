"""The ledger: each input of the raw topic against its answers, in one byte an offset.

Inputs are entered first, so that an answer whose source doesn't exist is known by its own coordinates.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from telco_stream.messages.record import Record
from telco_stream.messages.source import source_of

Kind: TypeAlias = Literal["prediction", "letter"]

#: What is known of an offset. One that stays `_NOTHING` is a transaction's marker, or was aborted.
_NOTHING, _INPUT, _PREDICTED, _LETTERED, _TWICE = range(5)
_ANSWERED: dict[Kind, int] = {"prediction": _PREDICTED, "letter": _LETTERED}
#: How many offenders of each sort a partition names.
_NAMED = 5
#: Digits of the largest offset there can be.
_LONGEST_OFFSET = 19


@dataclass(frozen=True, slots=True)
class Scope:
    """What is judged of a partition, `start` up to `end`; a source at `latest` or above can't exist."""

    start: int
    end: int
    latest: int


@dataclass(frozen=True, slots=True)
class Account:
    """What became of a partition's inputs: each is counted in one of the five fields that follow `inputs`.

    `partition` is None for answers that name no partition of the raw topic. Offenders are `topic/partition/offset`: of
    the input where it is missing or duplicated, of the answer where it is unexplained.
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
    #: Of the unexplained: those whose input was in an earlier topic of this name, which has been deleted.
    answers_to_earlier_topic: int = 0
    #: Offsets that retention deleted before the group answered them; transaction markers may be among them.
    expired_unanswered: int = 0


class Ledger:
    """Enter all inputs, then all answers, then ask for the accounts.

    An answer that carries another topic ID than `topic_id` has no input here; one that carries none, which older
    versions wrote, is judged by its source alone.
    """

    def __init__(self, topic: str, scopes: Mapping[int, Scope], topic_id: str | None = None) -> None:
        self._topic = topic.encode()
        self._topic_id = None if topic_id is None else topic_id.encode()
        self._pages = {number: _PartitionLedger(f"{topic}/{number}", scope) for number, scope in sorted(scopes.items())}
        self._by_source = {page.name.encode(): (number, page) for number, page in self._pages.items()}
        self._nowhere = _PartitionLedger("", Scope(0, 0, 0))
        #: The first source found, by kind and partition of the answer and partition of the input.
        self.oldest: dict[tuple[Kind, int, int], int] = {}
        #: Time of the first answer found, in milliseconds, by its kind and partition.
        self.oldest_times: dict[tuple[Kind, int], int] = {}

    def add_inputs(self, records: Iterable[Record]) -> None:
        """Enter records of the raw topic."""
        pages = self._pages
        for record in records:
            page = pages[record.partition()]
            page.states[record.offset() - page.start] = _INPUT

    def forget(self, starts: Mapping[int, int]) -> None:
        """Inputs below these offsets have been deleted, perhaps before they could be entered: judge them no more."""
        for number, start in starts.items():
            self._pages[number].begin_at(start)

    def add_answers(self, kind: Kind, records: Iterable[Record]) -> None:
        """Enter predictions or dead letters, those of a partition in their order."""
        answered, expected_id = _ANSWERED[kind], self._topic_id
        for record in records:
            position, topic_id = source_of(record)
            place, _, offset = position.rpartition(b"/")
            number, page = self._by_source.get(place, (-1, self._nowhere))
            if topic_id != expected_id and topic_id and expected_id:
                page.answers_to_earlier_topic += place.rpartition(b"/")[0] == self._topic
                page.add_unexplained(record)
            elif page.answer(offset, answered):
                if (kind, record.partition(), number) not in self.oldest:
                    self.oldest[kind, record.partition(), number] = int(offset)
                    self.oldest_times.setdefault((kind, record.partition()), record.timestamp()[1])
            else:
                page.add_unexplained(record)

    def accounts(
        self, expired_before: Mapping[int, int], expired_unanswered: Mapping[int, int] | None = None
    ) -> list[Account]:
        """An account a partition; an input without an answer is expired below these offsets, and missing elsewhere.

        `expired_unanswered` is how many offsets of each partition are known to have been deleted without an answer.
        """
        unanswered = expired_unanswered or {}
        accounts = [
            page.account(number, expired_before.get(number, 0), unanswered.get(number, 0))
            for number, page in self._pages.items()
        ]
        return [*accounts, self._nowhere.account(None, 0, 0)] if self._nowhere.unexplained else accounts


class _PartitionLedger:
    """One partition of the raw topic."""

    __slots__ = (
        "_end",
        "_first_unexplained",
        "_latest",
        "answers_to_earlier_topic",
        "name",
        "start",
        "states",
        "unexplained",
    )

    def __init__(self, name: str, scope: Scope) -> None:
        self.name = name
        self.start = scope.start
        self.states = bytearray(max(0, scope.end - scope.start))
        self.unexplained = self.answers_to_earlier_topic = 0
        self._end = scope.start + len(self.states)
        self._latest = scope.latest
        self._first_unexplained: list[str] = []

    def begin_at(self, start: int) -> None:
        """What is below has been deleted."""
        del self.states[: max(0, start - self.start)]
        self.start = max(self.start, start)

    def answer(self, text: bytes, answered: int) -> bool:
        """Enter an answer to the offset in `text`; false where that can't have been an input."""
        if not text.isdigit() or len(text) > _LONGEST_OFFSET:
            return False
        offset = int(text)
        if not self.start <= offset < self._end:
            return offset < self._latest  # deleted, or not committed yet: out of the ledger's scope
        state = self.states[offset - self.start]
        if state != _NOTHING:
            self.states[offset - self.start] = answered if state == _INPUT else _TWICE
        return state != _NOTHING

    def add_unexplained(self, answer: Record) -> None:
        """Enter an answer whose source doesn't exist."""
        self.unexplained += 1
        if len(self._first_unexplained) < _NAMED:
            self._first_unexplained.append(f"{answer.topic()}/{answer.partition()}/{answer.offset()}")

    def account(self, number: int | None, expired_before: int, expired_unanswered: int) -> Account:
        """The sums."""
        oldest = min(max(0, expired_before - self.start), len(self.states))
        count = self.states.count
        return Account(
            partition=number,
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
        )

    def _first(self, state: int, begin: int) -> list[str]:
        found: list[str] = []
        place = self.states.find(state, begin)
        while place >= 0 and len(found) < _NAMED:
            found.append(f"{self.name}/{self.start + place}")
            place = self.states.find(state, place + 1)
        return found
