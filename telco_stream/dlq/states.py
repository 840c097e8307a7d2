"""States of letters, derived from their replays and from the answers to these; no state is stored.

A letter of an outcome goes back to the outcomes topic, any other one to the raw topic: to its source topic, in the
names of this package. A replay names its letter in a header. The offsets to search for replays don't depend on clocks:
a letter whose original is in the source topic goes back to the original's partition, so its replay can only be behind
the original there. If a letter doesn't name its original, or the original was in an earlier topic with the same name,
the whole source topic is searched.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from telco_stream.dlq.letters import Letter, open_letter
from telco_stream.messages.headers import Position, parse_position, source_of
from telco_stream.messages.record import Record

#: Replays after which a letter is given up: the default of `--max-retries`.
MAX_RETRIES = 3


class LetterState(StrEnum):
    """State of a letter; `LetterStates.of` defines each one."""

    OPEN = "open"
    REPLAYED = "replayed"
    ANSWERED = "answered"
    GIVEN_UP = "given_up"
    UNKNOWN = "unknown"

    @property
    def is_open(self) -> bool:
        """Return whether the letter may still need attention."""
        return self in {LetterState.OPEN, LetterState.UNKNOWN}


@dataclass(frozen=True, slots=True)
class LetterStates:
    """States of letters by the outcome of their replays, which `outcomes` holds by the letters' fingerprints."""

    outcomes: Mapping[bytes, LetterState]
    max_retries: int = MAX_RETRIES
    #: Why no state is known, or None.
    unknown_because: str | None = None

    def of(self, letter: Letter) -> LetterState:
        """Return the letter's state.

        - `answered`: its replay has a prediction.
        - `given_up`: its replay became a dead letter again, which carries on with a higher retry count; or the letter
          was not replayed and its retry count has reached `max_retries`, so that no replay will send it.
        - `replayed`: its replay is not answered yet, or the answer was deleted, or it is a valid outcome.
        - `open`: it was not replayed.
        - `unknown`: the topics could not be searched.
        """
        return self.of_replays(letter.fingerprint, letter.content.retry_count)

    def of_replays(self, fingerprint: bytes, retry_count: int) -> LetterState:
        """Return the state of the letter with this fingerprint and retry count."""
        if self.unknown_because is not None:
            return LetterState.UNKNOWN
        if outcome := self.outcomes.get(fingerprint):
            return outcome
        return LetterState.GIVEN_UP if retry_count >= self.max_retries else LetterState.OPEN


@dataclass(frozen=True, slots=True)
class SourceTopic:
    """Name, ID (None if the broker lacks topic IDs) and end offsets of a topic to which letters go back."""

    name: str
    topic_id: str | None
    ends: Mapping[int, int]

    def original_of(self, letter: Letter) -> Position | None:
        """Return the position of the letter's original, or None if the letter names none in this topic."""
        position, topic_id = source_of(letter.record)
        original = parse_position(position)
        if original is None or self.topic_id is None or topic_id != self.topic_id.encode():
            return None
        return original if original.topic == self.name and original.partition in self.ends else None

    def may_have_id(self, topic_id: bytes) -> bool:
        """Return whether this may be the topic's ID; an unknown ID counts as equal."""
        return not topic_id or self.topic_id is None or topic_id == self.topic_id.encode()


class Search:
    """Letters of one source topic whose replays to search for, and where these and their answers can be."""

    def __init__(self, topic: SourceTopic) -> None:
        self.topic = topic
        #: Retry counts of the letters by fingerprint.
        self.retry_counts: dict[bytes, int] = {}
        #: Record time of the oldest letter in milliseconds.
        self.since: float = math.inf
        self._starts: dict[int, int] = {}
        self._is_bounded = True

    @property
    def starts(self) -> Mapping[int, int] | None:
        """Offsets of the topic by partition from which replays can be; None is the whole topic."""
        return self._starts if self._is_bounded else None

    def add(self, letter: Letter) -> None:
        """Add a letter of the topic."""
        self.retry_counts[letter.fingerprint] = letter.content.retry_count
        self.since = min(self.since, letter.record.timestamp()[1])
        if original := self.topic.original_of(letter):
            behind = original.offset + 1
            self._starts[original.partition] = min(behind, self._starts.get(original.partition, behind))
        else:
            self._is_bounded = False


class Replay(NamedTuple):
    """Replayed record in a source topic: its letter's fingerprint, its position, and its time in milliseconds."""

    fingerprint: bytes
    partition: int
    offset: int
    written_at: int


def outcomes_of(
    replays: Iterable[Replay], topic: SourceTopic, *, letters: Iterable[Record], predictions: Iterable[Record]
) -> dict[bytes, LetterState]:
    """Return what became of the replays, by the fingerprints of their letters.

    Of several outcomes, a prediction counts first, then a dead letter. Records of the dead-letter topic that are not
    dead letters don't count.
    """
    replays = list(replays)
    outcomes = {replay.fingerprint: LetterState.REPLAYED for replay in replays}
    inputs = {f"{topic.name}/{replay.partition}/{replay.offset}".encode(): replay.fingerprint for replay in replays}
    for state, answers in ((LetterState.GIVEN_UP, letters), (LetterState.ANSWERED, predictions)):
        for answer in answers:
            position, topic_id = source_of(answer)
            fingerprint = inputs.get(position)
            if fingerprint is None or not topic.may_have_id(topic_id):
                continue
            if state is LetterState.ANSWERED or open_letter(answer):
                outcomes[fingerprint] = state
    return outcomes
