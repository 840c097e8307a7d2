"""The topics of `dlq`: the letters, their replays in the source topics, and the writer of replays."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from telco_stream.dlq.letters import Letter
from telco_stream.dlq.states import Replay, Search, SourceTopic
from telco_stream.errors import DataError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.permissions import require_read, require_write
from telco_stream.kafka.reading import read, settled_ends
from telco_stream.kafka.transactions import End, transactions_under
from telco_stream.messages.dead_letter import letter_fingerprint, replay_marker
from telco_stream.messages.record import Outgoing, Record
from telco_stream.runtime.signals import Stop
from telco_stream.settings import TopicSettings


class DeadLetterTopic:
    """Contents of the topic when this object was created; later letters, as from a replay's failures, are left out."""

    def __init__(self, cluster: Cluster) -> None:
        self.name = cluster.clients.settings.topics.deadletter
        self._cluster = cluster
        #: End offsets by partition.
        self.ends = cluster.ends(self.name, range(cluster.partitions(self.name)[self.name]))

    def records(self, partition: int | None = None) -> Iterator[Record]:
        """Yield the records of all partitions or of one; the order is always the same."""
        for number, end in sorted(self.ends.items()):
            if partition in {None, number}:
                for batch in read(self._cluster, self.name, ends={number: end}):
                    yield from batch

    def record_at(self, partition: int, offset: int) -> Record:
        """Return the record at this position; raise `DataError` if it is missing."""
        bounds = {"starts": {partition: offset}, "ends": {partition: offset + 1}}
        for batch in read(self._cluster, self.name, **bounds):
            for record in batch:
                return record
        raise DataError(f"{self.name} {partition}:{offset} {self._explain_missing(partition, offset)}")

    def _explain_missing(self, partition: int, offset: int) -> str:
        if partition not in self.ends:
            return f"doesn't exist: the topic's partitions are 0 to {max(self.ends)}"
        oldest, end = self._cluster.starts(self.name, [partition])[partition], self.ends[partition]
        if offset >= end:
            return f"is beyond the end: partition {partition} ends before offset {end}"
        if offset < oldest:
            return f"has been deleted: the oldest offset of partition {partition} is {oldest}"
        return "is a transaction marker, not a record; `telco-stream dlq list` shows the positions of letters"


class SourceReader:
    """Source topic when this object was created, and the replays in it, which the markers in their headers name.

    `on_read` is called with the number of records of each batch.
    """

    def __init__(self, cluster: Cluster, name: str, on_read: Callable[[int], object]) -> None:
        self._cluster = cluster
        self._on_read = on_read
        self._letters = cluster.clients.settings.topics.deadletter
        partitions = range(cluster.partitions(name)[name])
        ids = cluster.topic_ids(name, self._letters)
        #: ID of the dead-letter topic; None if the broker lacks topic IDs.
        self.letters_id = ids[self._letters]
        self.topic = SourceTopic(name, ids[name], cluster.ends(name, partitions))

    def find_replayed(self, fingerprints: AbstractSet[bytes], starts: Mapping[int, int] | None) -> set[bytes]:
        """Return the fingerprints that belong to replayed letters; wait for open transactions that could hide any."""
        ends = settled_ends(self._cluster, self.topic.name, len(self.topic.ends))
        return {replay.fingerprint for replay in self.replays(fingerprints, starts, ends)}

    def replays(
        self, fingerprints: AbstractSet[bytes], starts: Mapping[int, int] | None, ends: Mapping[int, int]
    ) -> Iterator[Replay]:
        """Yield the replays of these letters, up to the ends.

        Read the partitions in `starts` from these offsets on; if None, all partitions from the oldest record on. If a
        marker names a letter but key or value differ from the letter's original, the fingerprint differs too, so a
        forged marker doesn't hide a letter.
        """
        for batch in read(self._cluster, self.topic.name, starts=starts, ends=ends):
            self._on_read(len(batch))
            for record in batch:
                marker = replay_marker(record)
                if marker is None or not marker.matches_topic(self._letters, self.letters_id):
                    continue
                letter = marker.letter
                fingerprint = letter_fingerprint(letter.partition, letter.offset, record.key(), record.value())
                if fingerprint in fingerprints:
                    yield Replay(fingerprint, record.partition(), record.offset(), record.timestamp()[1])


def source_name(letter: Letter, topics: TopicSettings) -> str:
    """Return the name of the letter's source topic, even if the letter names another one or none."""
    return topics.outcomes if letter.source_topic == topics.outcomes else topics.raw


class SourceReaders:
    """Readers of the source topics, each created for the first letter of its topic.

    Its ends are then above the original of each letter that was read up to ends queried earlier. Raises `KafkaError`
    for a topic that is missing or that this user may not read, and with `is_written`, write.
    """

    def __init__(
        self, cluster: Cluster, on_read: Callable[[int], object] = lambda _: None, *, is_written: bool = False
    ) -> None:
        self._cluster, self._on_read, self._is_written = cluster, on_read, is_written
        self._readers: dict[str, SourceReader] = {}

    def reader(self, name: str) -> SourceReader:
        """Return the reader of this topic."""
        if name not in self._readers:
            require_read(self._cluster, name)
            if self._is_written:
                require_write(self._cluster, name)
            self._readers[name] = SourceReader(self._cluster, name, self._on_read)
        return self._readers[name]

    def topic_of(self, letter: Letter) -> SourceTopic:
        """Return the letter's source topic."""
        return self.reader(source_name(letter, self._cluster.clients.settings.topics)).topic

    def find_replayed(self, search: Search) -> set[bytes]:
        """Return the fingerprints of the replayed ones among the letters."""
        return self.reader(search.topic.name).find_replayed(search.retry_counts.keys(), search.starts)


#: Error message of a replay that another one has fenced.
_FENCED = "Another instance has taken over: a second dlq replay has started; when it has ended, run this command again"


class ReplayWriter:
    """Transactional writer to the source topics; each dead-letter topic has one transactional ID.

    Creating a writer aborts the open transaction of a killed replay, and fences a replay that is still running.
    """

    def __init__(self, clients: Clients, stop: Stop, largest_batch: int | None = None) -> None:
        name = f"telco-stream-replay-{clients.settings.topics.deadletter}"
        self._transactions = transactions_under(
            name, clients, stop, has_unique_id=False, fenced=_FENCED, largest_batch=largest_batch
        )
        self._transactions.start()

    def send(self, messages: Mapping[tuple[str, int | None], Sequence[Outgoing]]) -> bool:
        """Send messages by topic and partition (None: by key) in one transaction.

        Returns whether it is certainly committed. If it is not certain, it may be committed all the same. Raises
        `FencedError` if another replay has started.
        """
        self._transactions.begin()
        for (topic, partition), of_partition in messages.items():
            self._transactions.send(topic, of_partition, partition)
        return self._transactions.commit() is End.COMMITTED
