"""One run of each `dlq` command, and the derivation of the letters' states for these and other commands."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain

from telco_stream.contract.events import EventCodec
from telco_stream.contract.outcomes import outcome_contract
from telco_stream.dlq.letters import Letter, LetterFilter, LetterPosition, Letters
from telco_stream.dlq.listing import ShownLetter, show_letter
from telco_stream.dlq.replay import ReplayDeps, ReplayOptions, ReplayResult, replay
from telco_stream.dlq.states import (
    MAX_RETRIES,
    LetterState,
    LetterStates,
    Search,
    SourceTopic,
    outcomes_of,
)
from telco_stream.dlq.topics import DeadLetterTopic, ReplayWriter, SourceReader, SourceReaders, source_name
from telco_stream.errors import KafkaError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.permissions import require_read
from telco_stream.kafka.reading import read, starts_since
from telco_stream.messages.record import Record
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits, Outcome, check_outcomes, process
from telco_stream.settings import TopicSettings


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
    cluster = Cluster(clients, stop)
    topic = DeadLetterTopic(cluster)
    candidates = Letters(topic.records(criteria.partition), replace(criteria, limit=None))
    _, states = read_states(cluster, candidates, topic.ends, options)

    def is_selected(letter: Letter) -> bool:
        return not only_open or states.of(letter).is_open

    return Letters(topic.records(criteria.partition), criteria, is_selected), states


def count_letters(cluster: Cluster, options: StateOptions) -> tuple[int, int | None]:
    """Return the number of records of the dead-letter topic, and of open letters; the latter is None if unknown."""
    topic = DeadLetterTopic(cluster)
    letters = Letters(topic.records(), LetterFilter())
    retry_counts, states = read_states(cluster, letters, topic.ends, options)
    total = len(retry_counts) + letters.unreadable
    if states.unknown_because is not None:
        return total, None
    return total, sum(states.of_replays(*letter).is_open for letter in retry_counts.items())


def run_show(clients: Clients, position: LetterPosition, *, stop: Stop) -> ShownLetter:
    """Return the letter at this position; raise `DataError` if it is missing."""
    return show_letter(DeadLetterTopic(Cluster(clients, stop)).record_at(*position))


def run_replay(  # noqa: PLR0913 - the options of the command
    clients: Clients, criteria: LetterFilter, *, max_retries: int, execute: bool, scorer: Scorer | None, stop: Stop
) -> ReplayResult:
    """Replay the matching letters; without `execute`, only count them. With a scorer, skip letters that still fail."""
    clients.on_refused = stop.fail
    cluster, topics = Cluster(clients, stop), clients.settings.topics
    require_read(cluster, topics.deadletter)
    letters = DeadLetterTopic(cluster)
    sources = SourceReaders(cluster, is_written=execute)
    if criteria.source_topic != topics.outcomes:
        sources.reader(topics.raw)  # fails even if there are no letters
    default = Limits().prediction
    limits = Limits(cluster.largest_message(topics.predictions, default), topics.deadletter_max_message_bytes)
    options = ReplayOptions(criteria, max_retries, cluster.topic_ids(letters.name)[letters.name])
    limit_of = cache(lambda topic: cluster.largest_message(topic, default))
    # The writer fences other replays before anything is read: from here on, only this run adds replayed letters.
    deps = ReplayDeps(
        records=lambda: letters.records(criteria.partition),
        topic_of=sources.topic_of,
        limit_of=limit_of,
        find_replayed=sources.find_replayed,
        send=ReplayWriter(clients, stop, _largest_batch(cluster, topics, limit_of)).send if execute else None,
        answer=_answer_with(scorer, topics, limits) if scorer else None,
        stop=stop,
    )
    result = replay(options, deps)
    stop.raise_failure()
    return result


def _largest_batch(cluster: Cluster, topics: TopicSettings, limit_of: Callable[[str], int]) -> int:
    """Return the size in bytes of the largest batch that the existing source topics accept."""
    return min(map(limit_of, {topics.raw, topics.outcomes} & cluster.topics().keys()))


def _answer_with(scorer: Scorer, topics: TopicSettings, limits: Limits) -> Callable[[str, Sequence[Record]], Outcome]:
    """Return a function that answers records of a topic of this name as `consume` or `outcomes check` would."""
    codec = EventCodec(outcome_contract(scorer.codec.contract))

    def answer(topic: str, records: Sequence[Record]) -> Outcome:
        if topic == topics.outcomes:
            return check_outcomes(records, codec, processed_at=utc_timestamp(), limits=limits)
        return process(records, scorer, processed_at=utc_timestamp(), limits=limits)

    return answer


def read_states(
    cluster: Cluster, letters: Iterable[Letter], ends: Mapping[int, int], options: StateOptions
) -> tuple[Mapping[bytes, int], LetterStates]:
    """Derive the states of letters, and return them with the letters' retry counts by fingerprint.

    The states are unknown if a topic can't be read that is needed for them, or if `max_offsets` is exceeded.

    `ends` are the end offsets of the dead-letter topic up to which letters and answers count. The search reads each
    source topic from the original of its oldest letter on, and only if it finds a replay, the answers since that
    letter.
    """
    topics = cluster.clients.settings.topics
    sources, searches = SourceReaders(cluster, options.on_read), dict[str, Search]()
    unknown_because = None
    for letter in letters:
        name = source_name(letter, topics)
        if name not in searches:
            try:
                if name == topics.raw:
                    require_read(cluster, topics.predictions)
                searches[name] = Search(sources.reader(name).topic)
            except KafkaError as error:
                unknown_because = str(error)
                searches[name] = Search(SourceTopic(name, None, {}))
        searches[name].add(letter)
    retry_counts = {letter: count for search in searches.values() for letter, count in search.retry_counts.items()}
    outcomes: dict[bytes, LetterState] = {}
    for name, search in searches.items():
        if unknown_because is None:
            states = _StateSearch(cluster, sources.reader(name), search, options).states(ends)
            outcomes |= states.outcomes
            unknown_because = states.unknown_because
    return retry_counts, LetterStates(outcomes, options.max_retries, unknown_because)


@dataclass(frozen=True, slots=True)
class _StateSearch:
    """Search for the replays of the letters of one source topic, and for their answers."""

    cluster: Cluster
    source: SourceReader
    search: Search
    options: StateOptions

    def states(self, letter_ends: Mapping[int, int]) -> LetterStates:
        """Return the states of the letters."""
        topic, topics, max_retries = self.source.topic, self.cluster.clients.settings.topics, self.options.max_retries
        starts = self.search.starts
        if self._exceeds_limit(self.cluster.starts(topic.name, topic.ends) if starts is None else starts, topic.ends):
            return self._unknown
        replays = list(self.source.replays(self.search.retry_counts.keys(), starts, topic.ends))
        if not replays:
            return LetterStates({}, max_retries)
        since = min(int(self.search.since), *(replay.written_at for replay in replays))
        ends = {topics.deadletter: letter_ends}
        if topic.name == topics.raw:
            partitions = self.cluster.partitions(topics.predictions)[topics.predictions]
            ends[topics.predictions] = self.cluster.ends(topics.predictions, range(partitions))
        starts_of = {name: starts_since(self.cluster, name, ends[name], since) for name in ends}
        if any(self._exceeds_limit(starts_of[name], ends[name]) for name in ends):
            return self._unknown
        letters, *predictions = (self._records(name, starts_of[name], ends[name]) for name in ends)
        answers = {"letters": letters, "predictions": chain.from_iterable(predictions)}
        return LetterStates(outcomes_of(replays, topic, **answers), max_retries)

    @property
    def _unknown(self) -> LetterStates:
        limit = f"more than {self.options.max_offsets:,} records would have to be read"
        return LetterStates({}, self.options.max_retries, limit)

    def _exceeds_limit(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> bool:
        limit = self.options.max_offsets
        return limit is not None and sum(max(0, ends[partition] - start) for partition, start in starts.items()) > limit

    def _records(self, topic: str, starts: Mapping[int, int], ends: Mapping[int, int]) -> Iterator[Record]:
        for batch in read(self.cluster, topic, starts=starts, ends=ends):
            self.options.on_read(len(batch))
            yield from batch
