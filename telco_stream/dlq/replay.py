"""`dlq replay`: sends letters back to the raw topic, each letter at most once.

The raw topic itself records which letters were replayed: each replayed record has a header with a marker that names its
letter. So a killed replay can be run again, and because a second, concurrent replay is fenced, no other replay can send
between reading the markers and sending.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from telco_stream.dlq.letters import Letter, LetterFilter, LetterPosition, Letters
from telco_stream.dlq.states import RawTopic, search_for
from telco_stream.messages.dead_letter import replay_headers
from telco_stream.messages.record import ENVELOPE, Headers, Outgoing, Record, size_of
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.scoring import Limits, process

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
    #: Maximum size of a record in the raw topic, in bytes.
    raw_limit: int
    #: Limits of the answers, for scoring letters before they are sent.
    limits: Limits
    raw: RawTopic
    #: ID of the dead-letter topic; None if the broker lacks topic IDs.
    topic_id: str | None = None


@dataclass(frozen=True, slots=True)
class ReplayDeps:
    """Dependencies of a replay; without `send` it is a dry run, with `scorer` letters are scored before they are sent.

    `records` returns the dead-letter topic's records, the same ones on each call. `find_replayed` returns the given
    fingerprints that belong to replayed letters; it reads the raw topic's partitions from the given offsets on, or the
    whole topic if they are None. `send` sends messages by partition (None: by key) and returns whether they are
    certainly committed; if not, `find_replayed` shows which ones are.
    """

    records: Callable[[], Iterable[Record]]
    find_replayed: Callable[[AbstractSet[bytes], Mapping[int, int] | None], AbstractSet[bytes]]
    send: Callable[[Mapping[int | None, Sequence[Outgoing]]], bool] | None
    scorer: Scorer | None
    utc_timestamp: Callable[[], str]
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
    search = search_for(Letters(deps.records(), replace(options.criteria, limit=None)), options.raw)
    if not search.retry_counts:
        return
    replayed = deps.find_replayed(search.retry_counts.keys(), search.starts)
    for batch in _batches(Letters(deps.records(), options.criteria)):
        counts.selected += len(batch)
        ready = _ready(batch, replayed, options, deps, counts.skipped)
        if deps.send is None:
            counts.skipped["dry run"] += len(ready)
            continue
        while ready and not deps.send(_by_partition(ready, options)):
            committed = deps.find_replayed({letter.fingerprint for letter in ready}, search.starts)
            counts.replayed += sum(letter.fingerprint in committed for letter in ready)
            ready = [letter for letter in ready if letter.fingerprint not in committed]
        counts.replayed += len(ready)
        if deps.stop.requested:
            raise Stopped


def _by_partition(letters: Iterable[Letter], options: ReplayOptions) -> dict[int | None, list[Outgoing]]:
    """Return messages by the partition of their original: a later replay searches for them only there."""
    messages: dict[int | None, list[Outgoing]] = {}
    for letter in letters:
        original = options.raw.original_of(letter)
        messages.setdefault(original and original.partition, []).append(_message(letter, options))
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
    reasons = {letter.position: _skip_reason(letter, replayed, options) for letter in batch}
    ready = [letter for letter in batch if not reasons[letter.position]]
    if deps.scorer is not None:
        failing = _still_failing(ready, deps.scorer, deps.utc_timestamp(), options)
        reasons |= dict.fromkeys(failing, "still failing")
    skipped.update(filter(None, reasons.values()))
    return [letter for letter in ready if not reasons[letter.position]]


def _skip_reason(letter: Letter, replayed: AbstractSet[bytes], options: ReplayOptions) -> str | None:
    """Return the first reason to skip the letter, or None to send it."""
    if letter.fingerprint in replayed:
        return "already replayed"
    if (original := options.raw.original_of(letter)) and original.offset >= options.raw.ends[original.partition]:
        # Forged: a replay sent now would be in front of the original, where later replays don't search for it.
        return "original not found"
    if letter.content.truncated:
        return "truncated"
    if letter.content.retry_count >= options.max_retries:
        return "too many retries"
    if ENVELOPE + size_of(*_message(letter, options)) > options.raw_limit:
        return "too large"
    return None


def _still_failing(
    letters: Sequence[Letter], scorer: Scorer, processed_at: str, options: ReplayOptions
) -> set[LetterPosition]:
    """Return the positions of letters whose originals would be dead-lettered again."""
    outcome = process(
        [_ReplayedRecord(letter, options) for letter in letters],
        scorer,
        processed_at=processed_at,
        limits=options.limits,
    )
    return {(rejected.partition, rejected.offset) for rejected in outcome.rejected}


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
