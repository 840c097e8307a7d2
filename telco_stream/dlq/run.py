"""One run of each `dlq` command, and the derivation of the letters' states for these and other commands."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from telco_stream.dlq.letters import Letter, LetterFilter, LetterPosition, Letters
from telco_stream.dlq.listing import ShownLetter, show_letter
from telco_stream.dlq.replay import ReplayDeps, ReplayOptions, ReplayResult, replay
from telco_stream.dlq.states import MAX_RETRIES, LetterStates, RawTopic, Search, outcomes_of, search_for
from telco_stream.dlq.topics import DeadLetterTopic, RawTopicReader, ReplayWriter
from telco_stream.errors import KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.permissions import require_read, require_write
from telco_stream.kafka.reading import read, starts_since
from telco_stream.messages.record import Record
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits


@dataclass(frozen=True, slots=True)
class StateOptions:
    """Options of the search for replays and their answers.

    `max_offsets` is the largest number of offsets to read, above which the states are unknown; None is any number.
    `on_read` is called with the number of records of each batch.
    """

    max_retries: int = MAX_RETRIES
    max_offsets: int | None = None
    on_read: Callable[[int], object] = lambda _: None


def run_list(
    clients: Clients, criteria: LetterFilter, options: StateOptions, *, only_open: bool, stop: Stop
) -> tuple[Letters, LetterStates]:
    """Return the letters for `list_letters` or `summarize`, and their states.

    Iterating over the letters reads them and may raise `Stopped`.
    """
    topic = DeadLetterTopic(clients, Cluster(clients, stop), stop)
    candidates = Letters(topic.records(criteria.partition), replace(criteria, limit=None))
    _, states = read_states(clients, candidates, topic.ends, options, stop=stop)

    def is_selected(letter: Letter) -> bool:
        return not only_open or states.of(letter).is_open

    return Letters(topic.records(criteria.partition), criteria, is_selected), states


def count_letters(clients: Clients, options: StateOptions, *, stop: Stop) -> tuple[int, int | None]:
    """Return the number of records of the dead-letter topic, and of open letters; the latter is None if unknown."""
    topic = DeadLetterTopic(clients, Cluster(clients, stop), stop)
    letters = Letters(topic.records(), LetterFilter())
    search, states = read_states(clients, letters, topic.ends, options, stop=stop)
    total = len(search.retry_counts) + letters.unreadable
    if states.unknown_because is not None:
        return total, None
    return total, sum(states.of_replays(*letter).is_open for letter in search.retry_counts.items())


def run_show(clients: Clients, position: LetterPosition, *, stop: Stop) -> ShownLetter:
    """Return the letter at this position; raise `DataError` if it is missing."""
    return show_letter(DeadLetterTopic(clients, Cluster(clients, stop), stop).record_at(*position))


def run_replay(  # noqa: PLR0913 - the options of the command
    clients: Clients, criteria: LetterFilter, *, max_retries: int, execute: bool, scorer: Scorer | None, stop: Stop
) -> ReplayResult:
    """Replay the matching letters; without `execute`, only count them. With a scorer, skip letters that still fail."""
    clients.on_refused = stop.fail
    cluster, topics = Cluster(clients, stop), clients.settings.topics
    if execute:
        require_read(cluster, topics.deadletter, topics.raw)
        require_write(cluster, topics.raw)
    letters = DeadLetterTopic(clients, cluster, stop)
    # Its ends are queried after those of the letters, so that the original of each letter is below them.
    raw = RawTopicReader(clients, cluster, stop)
    default = Limits().prediction
    limits = Limits(cluster.largest_message(topics.predictions, default), topics.deadletter_max_message_bytes)
    raw_limit = cluster.largest_message(topics.raw, default)
    options = ReplayOptions(criteria, max_retries, raw_limit, limits, raw.topic, raw.letters_id)
    # The writer fences other replays before anything is read: from here on, only this run adds replayed letters.
    send = ReplayWriter(clients, stop).send if execute else None
    deps = ReplayDeps(lambda: letters.records(criteria.partition), raw.find_replayed, send, scorer, utc_timestamp, stop)
    result = replay(options, deps)
    stop.raise_failure()
    return result


def read_states(
    clients: Clients, letters: Iterable[Letter], ends: Mapping[int, int], options: StateOptions, *, stop: Stop
) -> tuple[Search, LetterStates]:
    """Derive the states of letters, and return them with what was searched for.

    The states are unknown if the raw or predictions topic can't be read, or if `max_offsets` is exceeded.

    `ends` are the end offsets of the dead-letter topic up to which letters and answers count. The search reads the raw
    topic from the original of the oldest letter on, and only if it finds a replay, the answers since that letter.
    """
    cluster, topics = Cluster(clients, stop), clients.settings.topics
    try:
        require_read(cluster, topics.raw, topics.predictions)
        raw = RawTopicReader(clients, cluster, stop, options.on_read)
    except KafkaError as error:
        return search_for(letters, RawTopic(topics.raw, None, {})), LetterStates({}, options.max_retries, str(error))
    search = search_for(letters, raw.topic)
    if not search.retry_counts:
        return search, LetterStates({}, options.max_retries)
    return search, _StateSearch(clients, cluster, raw, search, options, stop).states(ends)


@dataclass(frozen=True, slots=True)
class _StateSearch:
    """Search for the replays of letters and for their answers."""

    clients: Clients
    cluster: Cluster
    raw: RawTopicReader
    search: Search
    options: StateOptions
    stop: Stop

    def states(self, letter_ends: Mapping[int, int]) -> LetterStates:
        """Return the states of the letters."""
        raw, topics, max_retries = self.raw.topic, self.clients.settings.topics, self.options.max_retries
        starts = self.search.starts
        if self._exceeds_limit(self.cluster.starts(raw.name, raw.ends) if starts is None else starts, raw.ends):
            return self._unknown
        replays = list(self.raw.replays(self.search.retry_counts.keys(), starts, raw.ends))
        if not replays:
            return LetterStates({}, max_retries)
        since = min(self.search.since, *(replay.written_at for replay in replays))
        partitions = self.cluster.partitions(topics.predictions)[topics.predictions]
        ends = {
            topics.deadletter: letter_ends,
            topics.predictions: self.cluster.ends(topics.predictions, range(partitions)),
        }
        starts_of = {topic: starts_since(self.cluster, topic, ends[topic], since) for topic in ends}
        if any(self._exceeds_limit(starts_of[topic], ends[topic]) for topic in ends):
            return self._unknown
        letters, predictions = (self._records(topic, starts_of[topic], ends[topic]) for topic in ends)
        return LetterStates(outcomes_of(replays, raw, letters=letters, predictions=predictions), max_retries)

    @property
    def _unknown(self) -> LetterStates:
        limit = f"more than {self.options.max_offsets:,} records would have to be read"
        return LetterStates({}, self.options.max_retries, limit)

    def _exceeds_limit(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> bool:
        limit = self.options.max_offsets
        return limit is not None and sum(max(0, ends[partition] - start) for partition, start in starts.items()) > limit

    def _records(self, topic: str, starts: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Record]:
        for batch in read(self.clients, topic, stop=self.stop, starts=starts, ends=ends):
            self.options.on_read(len(batch))
            yield from batch
