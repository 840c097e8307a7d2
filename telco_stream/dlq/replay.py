"""`dlq replay`: letters back to the raw topic, each at most once, ever.

What has gone back already stands in the raw topic itself, in the headers of the records that came back. So a replay
that was killed is simply run again; and because a second one running at the same time is fenced, nothing can be added
between reading those headers and sending.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from telco_stream.batch import Limits, process
from telco_stream.contracts.deadletter import headers_back
from telco_stream.contracts.scoring import Scorer
from telco_stream.dlq.letters import Letter, Letters, Place, Wanted
from telco_stream.records import ENVELOPE, Headers, Outgoing, Record, size_of
from telco_stream.stop import Stop, Stopped

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
class ReplayOrder:
    """Which letters may go; bytes that a record of the raw topic may have, and those of its answers, for a trial."""

    wanted: Wanted
    max_retries: int
    raw_limit: int
    limits: Limits


@dataclass(frozen=True, slots=True)
class ReplayDoors:
    """What a replay works with. Without `send` it is a dry run, without `scorer` no letter is tried first.

    `records` gives the dead-letter topic's records, the same each time. `gone` gives the letters that have come back
    to the raw topic since that time (milliseconds), none left out. `send` says whether all has been committed; if
    not, any part may have been, and `gone` knows.
    """

    records: Callable[[], Iterable[Record]]
    gone: Callable[[int], AbstractSet[Place]]
    send: Callable[[Sequence[Outgoing]], bool] | None
    scorer: Scorer | None
    now: Callable[[], str]
    stop: Stop


def replay(order: ReplayOrder, doors: ReplayDoors) -> ReplayResult:
    """Send the wanted letters back; what stays is counted by its reason. A stop ends it after the batch in hand."""
    tally = _Tally()
    try:
        # Without the limit: which letters come first may differ from one reading to the next.
        oldest = _oldest(Letters(doors.records(), replace(order.wanted, limit=None)))
        if oldest is not None:
            _replay_since(oldest, order, doors, tally)
    except Stopped:
        tally.stay("interrupted", tally.selected - tally.settled)
    return tally.result()


class _Tally:
    """Where the letters have ended up so far."""

    def __init__(self) -> None:
        self.selected = self.replayed = 0
        self._stayed: Counter[str] = Counter()

    @property
    def settled(self) -> int:
        """Letters of which it is known."""
        return self.replayed + self._stayed.total()

    def stay(self, reason: str, letters: int) -> None:
        """So many stayed."""
        self._stayed[reason] += letters

    def result(self) -> ReplayResult:
        """All of it, the most frequent reason first."""
        return ReplayResult(self.selected, self.replayed, {why: n for why, n in self._stayed.most_common() if n})


def _replay_since(oldest: int, order: ReplayOrder, doors: ReplayDoors, tally: _Tally) -> None:
    gone = doors.gone(oldest)
    for batch in _batches(Letters(doors.records(), order.wanted)):
        tally.selected += len(batch)
        ready = _ready(batch, gone, order, doors, tally)
        if doors.send is None:
            tally.stay("dry run", len(ready))
            continue
        while ready and not doors.send([_way_back(letter) for letter in ready]):
            back = doors.gone(oldest)
            tally.replayed += sum(letter.place in back for letter in ready)
            ready = [letter for letter in ready if letter.place not in back]
        tally.replayed += len(ready)
        if doors.stop.requested:
            raise Stopped


def _oldest(letters: Letters) -> int | None:
    """When the oldest letter was written, in milliseconds; None where there are no letters."""
    return min((letter.record.timestamp()[1] for letter in letters), default=None)


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
    batch: Sequence[Letter], gone: AbstractSet[Place], order: ReplayOrder, doors: ReplayDoors, tally: _Tally
) -> list[Letter]:
    """The letters of the batch that may go; for the others the reason is counted."""
    reasons = {letter.place: _why_not(letter, gone, order) for letter in batch}
    ready = [letter for letter in batch if not reasons[letter.place]]
    if doors.scorer is not None:
        failing = _still_failing(ready, doors.scorer, doors.now(), order.limits)
        reasons |= dict.fromkeys(failing, "still failing")
    for why, count in Counter(filter(None, reasons.values())).items():
        tally.stay(why, count)
    return [letter for letter in ready if not reasons[letter.place]]


def _why_not(letter: Letter, gone: AbstractSet[Place], order: ReplayOrder) -> str | None:
    """The first reason that keeps the letter here, if there is one."""
    if letter.place in gone:
        return "already replayed"
    if letter.content.truncated:
        return "truncated"
    if letter.content.retry_count >= order.max_retries:
        return "too many retries"
    if ENVELOPE + size_of(*_way_back(letter)) > order.raw_limit:
        return "too large"
    return None


def _still_failing(letters: Sequence[Letter], scorer: Scorer, now: str, limits: Limits) -> set[Place]:
    """The letters whose originals would get another letter today."""
    outcome = process([_Returned(letter) for letter in letters], scorer, now=now, limits=limits)
    return {(one.record.partition(), one.record.offset()) for one in outcome.rejected}


def _way_back(letter: Letter) -> Outgoing:
    """The original as it came, and in its headers where it comes from now."""
    return letter.record.key(), letter.original, headers_back(letter.record, letter.content.retry_count)


class _Returned:
    """The record that a letter would become, at the letter's own place."""

    def __init__(self, letter: Letter) -> None:
        self._returned = _way_back(letter)
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
