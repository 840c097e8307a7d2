"""One run of each `dlq` command, its reader of the dead-letter topic, and its access to replays in the raw topic."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from telco_stream.dlq.letters import LetterFilter, LetterPosition, Letters, ShownLetter, show_letter
from telco_stream.dlq.replay import RawTopic, ReplayDeps, ReplayOptions, ReplayResult, replay
from telco_stream.errors import DataError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.permissions import require_read, require_write
from telco_stream.kafka.reading import read, settled_ends
from telco_stream.kafka.transactions import End, transactions_under
from telco_stream.messages.dead_letter import letter_fingerprint, replay_marker
from telco_stream.messages.record import Outgoing, Record
from telco_stream.model.scorer import Scorer
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.signals import Stop
from telco_stream.scoring import Limits


def run_list(clients: Clients, criteria: LetterFilter, *, stop: Stop) -> Letters:
    """Return the matching letters for `list_letters` or `summarize`; iterating reads them and may raise `Stopped`."""
    topic = DeadLetterTopic(clients, Cluster(clients, stop), stop)
    return Letters(topic.records(criteria.partition), criteria)


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
    topic_ids = cluster.topic_ids(topics.raw, topics.deadletter)
    replayed = ReplayedLetters(clients, cluster, stop, topic_ids[topics.deadletter])
    # The ends are queried after those of the letters, so that the original of each letter is below them.
    raw = RawTopic(topics.raw, topic_ids[topics.raw], cluster.ends(topics.raw, range(replayed.partitions)))
    default = Limits().prediction
    limits = Limits(cluster.largest_message(topics.predictions, default), topics.deadletter_max_message_bytes)
    raw_limit = cluster.largest_message(topics.raw, default)
    options = ReplayOptions(criteria, max_retries, raw_limit, limits, raw, topic_ids[topics.deadletter])
    # The writer fences other replays before anything is read: from here on, only this run adds replayed letters.
    send = ReplayWriter(clients, stop).send if execute else None
    deps = ReplayDeps(lambda: letters.records(criteria.partition), replayed.find, send, scorer, utc_timestamp, stop)
    result = replay(options, deps)
    stop.raise_failure()
    return result


class DeadLetterTopic:
    """Contents of the topic when this object was created; later letters, as from a replay's failures, are left out."""

    def __init__(self, clients: Clients, cluster: Cluster, stop: Stop) -> None:
        self.name = clients.settings.topics.deadletter
        self._clients = clients
        self._cluster = cluster
        self._stop = stop
        self._ends = cluster.ends(self.name, range(cluster.partitions(self.name)[self.name]))

    def records(self, partition: int | None = None) -> Iterator[Record]:
        """Yield the records of all partitions or of one; the order is always the same."""
        for number, end in sorted(self._ends.items()):
            if partition in {None, number}:
                for batch in read(self._clients, self.name, stop=self._stop, ends={number: end}):
                    yield from batch

    def record_at(self, partition: int, offset: int) -> Record:
        """Return the record at this position; raise `DataError` if it is missing."""
        bounds = {"starts": {partition: offset}, "ends": {partition: offset + 1}}
        for batch in read(self._clients, self.name, stop=self._stop, **bounds):
            for record in batch:
                return record
        raise DataError(f"{self.name} {partition}:{offset} {self._explain_missing(partition, offset)}")

    def _explain_missing(self, partition: int, offset: int) -> str:
        if partition not in self._ends:
            return f"doesn't exist: the topic's partitions are 0 to {max(self._ends)}"
        oldest, end = self._cluster.starts(self.name, [partition])[partition], self._ends[partition]
        if offset >= end:
            return f"is beyond the end: partition {partition} ends before offset {end}"
        if offset < oldest:
            return f"has been deleted: the oldest offset of partition {partition} is {oldest}"
        return "is a transaction marker, not a record; `telco-stream dlq list` shows the positions of letters"


class ReplayedLetters:
    """Finds replayed letters by the markers in the headers of the raw topic's records."""

    def __init__(self, clients: Clients, cluster: Cluster, stop: Stop, topic_id: str | None) -> None:
        self._clients = clients
        self._cluster = cluster
        self._stop = stop
        self._letters = clients.settings.topics.deadletter
        self._letters_id = topic_id
        self._topic = clients.settings.topics.raw
        #: Number of partitions of the raw topic.
        self.partitions = cluster.partitions(self._topic)[self._topic]

    def find(self, fingerprints: AbstractSet[bytes], starts: Mapping[int, int] | None) -> set[bytes]:
        """Return the fingerprints that belong to replayed letters; wait for open transactions that could hide any.

        Read the partitions in `starts` from these offsets on; if None, all partitions from the oldest record on. If a
        marker names a letter but key or value differ from the letter's original, the fingerprint differs too, so a
        forged marker doesn't hide a letter.
        """
        ends = settled_ends(self._cluster, self._topic, self.partitions, self._stop)
        batches = read(self._clients, self._topic, stop=self._stop, starts=starts, ends=ends)
        return {replayed for batch in batches for replayed in self._fingerprints(batch) if replayed in fingerprints}

    def _fingerprints(self, records: Iterable[Record]) -> Iterator[bytes]:
        """Yield the fingerprints of the letters that the records' markers name."""
        for record in records:
            marker = replay_marker(record)
            if marker is not None and marker.matches_topic(self._letters, self._letters_id):
                yield letter_fingerprint(marker.letter.partition, marker.letter.offset, record.key(), record.value())


#: Error message of a replay that another one has fenced.
_FENCED = "Another instance has taken over: a second dlq replay has started; when it has ended, run this command again"


class ReplayWriter:
    """Transactional writer to the raw topic; each dead-letter topic has one transactional ID.

    Creating a writer aborts the open transaction of a killed replay, and fences a replay that is still running.
    """

    def __init__(self, clients: Clients, stop: Stop) -> None:
        name = f"telco-stream-replay-{clients.settings.topics.deadletter}"
        self._topic = clients.settings.topics.raw
        self._transactions = transactions_under(name, clients, stop, has_unique_id=False, fenced=_FENCED)

    def send(self, messages: Mapping[int | None, Sequence[Outgoing]]) -> bool:
        """Send messages by partition (None: by key) in one transaction, and return whether it is certainly committed.

        If it is not certain, it may be committed all the same. Raises `FencedError` if another replay has started.
        """
        self._transactions.begin()
        for partition, of_partition in messages.items():
            self._transactions.send(self._topic, of_partition, partition)
        return self._transactions.commit() is End.COMMITTED
