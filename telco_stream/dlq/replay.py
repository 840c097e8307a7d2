"""`dlq replay`: sends letters back to their source topics, each letter at most once.

A source topic itself records which letters were replayed: each replayed record has a header with a marker that names
its letter. So a killed replay can be run again, and because a second, concurrent replay is fenced, no other replay can
send between reading the markers and sending.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from telco_stream.dlq.letters import Letter, LetterFilter, LetterPosition, Letters
from telco_stream.dlq.states import Search, SourceTopic
from telco_stream.messages.dead_letter import replay_headers
from telco_stream.messages.record import ENVELOPE, Headers, Outgoing, Record, size_of
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.scoring import Outcome

#: Reason to skip letters of a topic that is not configured, such as that of another pipeline.
ANOTHER_TOPIC = "another topic"
#: Maximum number and total size in bytes of letters in one transaction, which are kept in memory.
_MAX_LETTERS = 1_000
_MAX_BYTES = 16_777_216


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Numbers of letters that matched, were replayed, and were skipped, by reason.

    In a dry run, the reason `dry run` counts the letters that would be replayed.
    """

    selected: int
    replayed: int
    skipped: dict[str, int]
    dry_run: bool = False

    @property
    def would_replay(self) -> int:
        """Return how many letters a dry run would have sent."""
        return self.skipped.get("dry run", 0)


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Options and limits of a replay."""

    criteria: LetterFilter
    max_retries: int
    #: ID of the dead-letter topic; None if the broker lacks topic IDs.
    topic_id: str | None = None


@dataclass(frozen=True, slots=True)
class ReplayDeps:
    """Dependencies of a replay; without `send` it is a dry run, with `answer` letters are tried before they are sent.

    `records` returns the dead-letter topic's records, the same ones on each call. `topic_of` returns the source topic
    of a letter, and `limit_of` the maximum size of a record in a topic. `find_replayed` returns the fingerprints of the
    replayed ones among the letters of a search. `send` sends messages by topic and partition (None: by key) and returns
    whether they are certainly committed; if not, `find_replayed` shows which ones are. `answer` returns the outcome of
    records from the topic of this name.
    """

    records: Callable[[], Iterable[Record]]
    topic_of: Callable[[Letter], SourceTopic]
    limit_of: Callable[[str], int]
    find_replayed: Callable[[Search], AbstractSet[bytes]]
    send: Callable[[Mapping[tuple[str, int | None], Sequence[Outgoing]]], bool] | None
    answer: Callable[[str, Sequence[Record]], Outcome] | None
    stop: Stop


def replay(options: ReplayOptions, deps: ReplayDeps) -> ReplayResult:
    """Replay the matching letters and count the skipped ones by reason; a stop request ends it after a transaction."""
    counts = _Counts()
    try:
        _replay(options, deps, counts)
    except Stopped:
        counts.skipped["interrupted"] += counts.selected - counts.replayed - counts.skipped.total()
    skipped = dict((+counts.skipped).most_common())
    return ReplayResult(counts.selected, counts.replayed, skipped, dry_run=deps.send is None)


@dataclass(slots=True)
class _Counts:
    """Counts of selected, replayed and skipped letters so far."""

    selected: int = 0
    replayed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def _replay(options: ReplayOptions, deps: ReplayDeps, counts: _Counts) -> None:
    # Search without the limit: the letters that it selects can change between two reads.
    replayed = _find_replayed(Letters(deps.records(), replace(options.criteria, limit=None)), deps)
    if replayed is None:
        return
    for batch in _batches(Letters(deps.records(), options.criteria)):
        counts.selected += len(batch)
        ready = _ready(batch, replayed, options, deps, counts.skipped)
        if deps.send is None:
            counts.skipped["dry run"] += len(ready)
            continue
        while ready and not deps.send(_by_partition(ready, options, deps)):
            committed = _find_replayed(ready, deps) or frozenset()
            counts.replayed += sum(letter.fingerprint in committed for letter in ready)
            ready = [letter for letter in ready if letter.fingerprint not in committed]
        counts.replayed += len(ready)
        if deps.stop.requested:
            raise Stopped


def _find_replayed(letters: Iterable[Letter], deps: ReplayDeps) -> AbstractSet[bytes] | None:
    """Return the fingerprints of the replayed letters; None if there are no letters."""
    searches: dict[str, Search] = {}
    for letter in letters:
        topic = deps.topic_of(letter)
        searches.setdefault(topic.name, Search(topic)).add(letter)
    return frozenset().union(*map(deps.find_replayed, searches.values())) if searches else None


def _by_partition(
    letters: Iterable[Letter], options: ReplayOptions, deps: ReplayDeps
) -> dict[tuple[str, int | None], list[Outgoing]]:
    """Return messages by the partition of their original: a later replay searches for them only there."""
    messages: dict[tuple[str, int | None], list[Outgoing]] = {}
    for letter in letters:
        original = (topic := deps.topic_of(letter)).original_of(letter)
        messages.setdefault((topic.name, original and original.partition), []).append(_message(letter, options))
    return messages


def _batches(letters: Iterable[Letter]) -> Iterator[list[Letter]]:
    batch: list[Letter] = []
    remaining = _MAX_BYTES
    for letter in letters:
        batch.append(letter)
        remaining -= len(letter.original or b"")
        if remaining <= 0 or len(batch) == _MAX_LETTERS:
            yield batch
            batch, remaining = [], _MAX_BYTES
    if batch:
        yield batch


def _ready(
    batch: Sequence[Letter],
    replayed: AbstractSet[bytes],
    options: ReplayOptions,
    deps: ReplayDeps,
    skipped: Counter[str],
) -> list[Letter]:
    """Return the letters of the batch to send; count the others as skipped."""
    reasons = {letter.position: _skip_reason(letter, replayed, options, deps) for letter in batch}
    ready = [letter for letter in batch if not reasons[letter.position]]
    reasons |= dict.fromkeys(_still_failing(ready, options, deps), "still failing")
    skipped.update(filter(None, reasons.values()))
    return [letter for letter in ready if not reasons[letter.position]]


def _skip_reason(letter: Letter, replayed: AbstractSet[bytes], options: ReplayOptions, deps: ReplayDeps) -> str | None:
    """Return the first reason to skip the letter, or None to send it."""
    topic = deps.topic_of(letter)
    if letter.fingerprint in replayed:
        return "already replayed"
    if letter.source_topic not in {None, topic.name, options.criteria.source_topic}:
        return ANOTHER_TOPIC
    if (original := topic.original_of(letter)) and original.offset >= topic.ends[original.partition]:
        # Forged: a replay sent now would be in front of the original, where later replays don't search for it.
        return "original not found"
    if letter.content.truncated:
        return "truncated"
    if letter.content.retry_count >= options.max_retries:
        return "too many retries"
    is_too_large = ENVELOPE + size_of(*_message(letter, options)) > deps.limit_of(topic.name)
    return "too large" if is_too_large else None


def _still_failing(letters: Iterable[Letter], options: ReplayOptions, deps: ReplayDeps) -> set[LetterPosition]:
    """Return the positions of letters whose originals would be dead-lettered again, if they are answered first."""
    if deps.answer is None:
        return set()
    records: dict[str, list[Record]] = {}
    for letter in letters:
        records.setdefault(deps.topic_of(letter).name, []).append(_ReplayedRecord(letter, options))
    outcomes = [deps.answer(topic, of_topic) for topic, of_topic in records.items()]
    return {(rejected.partition, rejected.offset) for outcome in outcomes for rejected in outcome.rejected}


def _message(letter: Letter, options: ReplayOptions) -> Outgoing:
    """Return the original key and value, with headers that name the letter."""
    headers = replay_headers(letter.record, letter.content.retry_count, options.topic_id)
    return letter.record.key(), letter.original, headers


class _ReplayedRecord:
    """Record that a letter would become, at the letter's position, for scoring it before it is sent."""

    def __init__(self, letter: Letter, options: ReplayOptions) -> None:
        self._message = _message(letter, options)
        self.key = letter.record.key
        self.topic = letter.record.topic
        self.partition = letter.record.partition
        self.offset = letter.record.offset
        self.timestamp = letter.record.timestamp

    def value(self) -> bytes | None:
        """Return the value of the original."""
        return self._message[1]

    def headers(self) -> Headers | None:
        """Return the headers that it would be sent with."""
        return self._message[2]
