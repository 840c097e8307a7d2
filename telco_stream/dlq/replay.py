"""`dlq replay`: letters back to the raw topic, each at most once, ever.

The raw topic itself says which letters have been replayed: each replayed record carries a marker that names its letter.
So a replay that was killed is simply run again; and because a second one running at the same time is fenced, nothing
can be added between reading those markers and sending.

No clock decides what is read. A letter whose original is in the raw topic goes back to the original's partition, so its
replay can only be behind the original there. For a letter that doesn't say where its original is, or whose original
was in an earlier topic of that name, the whole raw topic is read.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from telco_stream.dlq.letters import Letter, LetterFilter, LetterPosition, Letters
from telco_stream.messages.dead_letter import replay_headers
from telco_stream.messages.record import ENVELOPE, Headers, Outgoing, Record, size_of
from telco_stream.messages.source import Position, parse_position, source_of
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.signals import Stop, Stopped
from telco_stream.scoring import Limits, process

#: Letters, and bytes of them, that go back in one transaction: enough to cost little, few enough to keep in memory.
_LETTERS = 1_000
_BYTES = 16_777_216


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """How many letters were asked for, how many went back, and why the others stayed."""

    selected: int
    replayed: int
    skipped: dict[str, int]


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Which letters may go; bytes that a record of the raw topic may have, and those of its answers, for a trial."""

    wanted: LetterFilter
    max_retries: int
    raw_limit: int
    limits: Limits
    raw: "RawTopic"
    #: ID of the dead-letter topic; None where the broker has none.
    topic_id: str | None = None


@dataclass(frozen=True, slots=True)
class RawTopic:
    """The raw topic as it is now: its name, its ID if the broker has one, and the end of each partition."""

    name: str
    topic_id: str | None
    ends: Mapping[int, int]

    def original_of(self, letter: Letter) -> Position | None:
        """Return the position of the letter's original; None if the letter names none in this very topic."""
        position, topic_id = source_of(letter.record)
        original = parse_position(position)
        if original is None or self.topic_id is None or topic_id != self.topic_id.encode():
            return None
        return original if original.topic == self.name and original.partition in self.ends else None


@dataclass(frozen=True, slots=True)
class ReplayDeps:
    """What a replay works with. Without `send` it is a dry run, without `scorer` no letter is tried first.

    `records` gives the dead-letter topic's records, the same each time. `replayed` gives those of the fingerprints that
    belong to replayed letters; it reads the raw topic's partitions from the given offsets on, or all of it. `send`
    takes the messages by partition (None: any) and says whether all are committed; if not, any part may have been, and
    `replayed` knows.
    """

    records: Callable[[], Iterable[Record]]
    replayed: Callable[[AbstractSet[bytes], Mapping[int, int] | None], AbstractSet[bytes]]
    send: Callable[[Mapping[int | None, Sequence[Outgoing]]], bool] | None
    scorer: Scorer | None
    now: Callable[[], str]
    stop: Stop


def replay(order: ReplayOptions, deps: ReplayDeps) -> ReplayResult:
    """Send the wanted letters back; what stays is counted by its reason. A stop ends it after the batch in hand."""
    counters = _ReplayCounters()
    try:
        # Without the limit: which letters come first may differ from one reading to the next.
        search = _search(Letters(deps.records(), replace(order.wanted, limit=None)), order.raw)
        if search.fingerprints:
            _replay(search, order, deps, counters)
    except Stopped:
        counters.skip("interrupted", counters.selected - counters.settled)
    return counters.result()


class _ReplayCounters:
    """Where the letters have ended up so far."""

    def __init__(self) -> None:
        self.selected = self.replayed = 0
        self._skipped: Counter[str] = Counter()

    @property
    def settled(self) -> int:
        """Letters of which it is known."""
        return self.replayed + self._skipped.total()

    def skip(self, reason: str, letters: int) -> None:
        """So many stayed."""
        self._skipped[reason] += letters

    def result(self) -> ReplayResult:
        """All of it, the most frequent reason first."""
        return ReplayResult(self.selected, self.replayed, {why: n for why, n in self._skipped.most_common() if n})


@dataclass(frozen=True, slots=True)
class _Search:
    """What to look for in the raw topic, and from which offset on in which partitions; None is all of it."""

    fingerprints: AbstractSet[bytes]
    starts: Mapping[int, int] | None


def _search(letters: Iterable[Letter], raw: RawTopic) -> _Search:
    fingerprints: set[bytes] = set()
    starts: dict[int, int] = {}
    is_bounded = True
    for letter in letters:
        fingerprints.add(letter.fingerprint)
        if original := raw.original_of(letter):
            behind = original.offset + 1
            starts[original.partition] = min(behind, starts.get(original.partition, behind))
        else:
            is_bounded = False
    return _Search(fingerprints, starts if is_bounded else None)


def _replay(search: _Search, order: ReplayOptions, deps: ReplayDeps, counters: _ReplayCounters) -> None:
    replayed = deps.replayed(search.fingerprints, search.starts)
    for batch in _batches(Letters(deps.records(), order.wanted)):
        counters.selected += len(batch)
        ready = _ready(batch, replayed, order, deps, counters)
        if deps.send is None:
            counters.skip("dry run", len(ready))
            continue
        while ready and not deps.send(_by_partition(ready, order)):
            committed = deps.replayed({letter.fingerprint for letter in ready}, search.starts)
            counters.replayed += sum(letter.fingerprint in committed for letter in ready)
            ready = [letter for letter in ready if letter.fingerprint not in committed]
        counters.replayed += len(ready)
        if deps.stop.requested:
            raise Stopped


def _by_partition(letters: Iterable[Letter], order: ReplayOptions) -> dict[int | None, list[Outgoing]]:
    """The messages by the partition of their original, where alone a later replay looks for them."""
    messages: dict[int | None, list[Outgoing]] = {}
    for letter in letters:
        original = order.raw.original_of(letter)
        messages.setdefault(original and original.partition, []).append(_message(letter, order))
    return messages


def _batches(letters: Iterable[Letter]) -> Iterator[list[Letter]]:
    batch: list[Letter] = []
    room = _BYTES
    for letter in letters:
        batch.append(letter)
        room -= len(letter.original or b"")
        if room <= 0 or len(batch) == _LETTERS:
            yield batch
            batch, room = [], _BYTES
    if batch:
        yield batch


def _ready(
    batch: Sequence[Letter],
    replayed: AbstractSet[bytes],
    order: ReplayOptions,
    deps: ReplayDeps,
    counters: _ReplayCounters,
) -> list[Letter]:
    """The letters of the batch that may go; for the others the reason is counted."""
    reasons = {letter.place: _skip_reason(letter, replayed, order) for letter in batch}
    ready = [letter for letter in batch if not reasons[letter.place]]
    if deps.scorer is not None:
        failing = _still_failing(ready, deps.scorer, deps.now(), order)
        reasons |= dict.fromkeys(failing, "still failing")
    for why, count in Counter(filter(None, reasons.values())).items():
        counters.skip(why, count)
    return [letter for letter in ready if not reasons[letter.place]]


def _skip_reason(letter: Letter, replayed: AbstractSet[bytes], order: ReplayOptions) -> str | None:
    """The first reason that keeps the letter here, if there is one."""
    if letter.fingerprint in replayed:
        return "already replayed"
    if (original := order.raw.original_of(letter)) and original.offset >= order.raw.ends[original.partition]:
        # Forged: a replay of today would be before the original, where no later one looks for it.
        return "original not found"
    if letter.content.truncated:
        return "truncated"
    if letter.content.retry_count >= order.max_retries:
        return "too many retries"
    if ENVELOPE + size_of(*_message(letter, order)) > order.raw_limit:
        return "too large"
    return None


def _still_failing(letters: Sequence[Letter], scorer: Scorer, now: str, order: ReplayOptions) -> set[LetterPosition]:
    """The letters whose originals would get another letter today."""
    outcome = process([_Returned(letter, order) for letter in letters], scorer, now=now, limits=order.limits)
    return {(one.partition, one.offset) for one in outcome.rejected}


def _message(letter: Letter, order: ReplayOptions) -> Outgoing:
    """The original as it came, and in its headers where it comes from now."""
    headers = replay_headers(letter.record, letter.content.retry_count, order.topic_id)
    return letter.record.key(), letter.original, headers


class _Returned:
    """The record that a letter would become, at the letter's own place."""

    def __init__(self, letter: Letter, order: ReplayOptions) -> None:
        self._returned = _message(letter, order)
        self.key = letter.record.key
        self.topic = letter.record.topic
        self.partition = letter.record.partition
        self.offset = letter.record.offset
        self.timestamp = letter.record.timestamp

    def value(self) -> bytes | None:
        """Value of the original."""
        return self._returned[1]

    def headers(self) -> Headers | None:
        """Headers that it would come back with."""
        return self._returned[2]
