"""The dead-letter topic as it stands, and the way back to the raw topic."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from telco_stream.errors import DataError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import read, settled_ends
from telco_stream.kafka.transactions import End, transactions_under
from telco_stream.messages.dead_letter import fingerprint, replay_marker
from telco_stream.messages.record import Outgoing, Record
from telco_stream.runtime.signals import Stop


class DeadLetterTopic:
    """What the topic held when this was made; what comes later, a replay's own failures too, is no part of it."""

    def __init__(self, clients: Clients, cluster: Cluster, stop: Stop) -> None:
        self.name = clients.settings.topics.deadletter
        self._clients = clients
        self._cluster = cluster
        self._stop = stop
        self._ends = cluster.ends(self.name, range(cluster.partitions(self.name)[self.name]))

    def records(self, partition: int | None = None) -> Iterator[Record]:
        """All records, or one partition's; partition after partition, so that the order is always the same."""
        for number, end in sorted(self._ends.items()):
            if partition in {None, number}:
                for batch in read(self._clients, self.name, stop=self._stop, ends={number: end}):
                    yield from batch

    def record_at(self, partition: int, offset: int) -> Record:
        """The record at this place; raises `DataError` where there is none, and says why."""
        bounds = {"starts": {partition: offset}, "ends": {partition: offset + 1}}
        for batch in read(self._clients, self.name, stop=self._stop, **bounds):
            for record in batch:
                return record
        raise DataError(f"{self.name} {partition}:{offset} {self._why_nothing_is_at(partition, offset)}")

    def _why_nothing_is_at(self, partition: int, offset: int) -> str:
        if partition not in self._ends:
            return f"is nowhere: the topic's partitions are 0 to {max(self._ends)}"
        oldest, end = self._cluster.starts(self.name, [partition])[partition], self._ends[partition]
        if offset >= end:
            return f"is beyond the end: partition {partition} ends before offset {end}"
        if offset < oldest:
            return f"is no longer kept: the oldest offset of partition {partition} is {oldest}"
        return "is no record but the mark of a transaction; `telco-stream dlq list` tells where letters are"


class ReplayedLetters:
    """Finds out which letters have been replayed, by the markers that the records of the raw topic carry."""

    def __init__(self, clients: Clients, cluster: Cluster, stop: Stop, topic_id: str | None) -> None:
        self._clients = clients
        self._cluster = cluster
        self._stop = stop
        self._letters = clients.settings.topics.deadletter
        self._letters_id = topic_id
        self._topic = clients.settings.topics.raw
        #: How many partitions the raw topic has.
        self.partitions = cluster.partitions(self._topic)[self._topic]

    def among(self, fingerprints: AbstractSet[bytes], starts: Mapping[int, int] | None) -> set[bytes]:
        """Return those of the fingerprints that belong to replayed letters; waits for transactions that hide any.

        Reads the partitions in `starts` from these offsets on, or without it all of them from the oldest record. A
        record whose marker names a letter but whose key or value differs from the letter's original has another
        fingerprint, so that a forged marker hides no letter.
        """
        ends = settled_ends(self._cluster, self._topic, self.partitions, self._stop)
        batches = read(self._clients, self._topic, stop=self._stop, starts=starts, ends=ends)
        return {found for batch in batches for found in self._replayed(batch) if found in fingerprints}

    def _replayed(self, records: Iterable[Record]) -> Iterator[bytes]:
        """Fingerprints of the letters that the records say they were replayed from."""
        for record in records:
            marker = replay_marker(record)
            if marker is not None and marker.names(self._letters, self._letters_id):
                yield fingerprint(marker.letter.partition, marker.letter.offset, record.key(), record.value())


class ReplayWriter:
    """The way back: one transaction after another, under an id that only one replay of this topic can hold.

    Making one ends what a killed replay has left open, and fences one that is still running.
    """

    def __init__(self, clients: Clients, stop: Stop) -> None:
        name = f"telco-stream-replay-{clients.settings.topics.deadletter}"
        self._topic = clients.settings.topics.raw
        self._transactions = transactions_under(name, clients, stop, has_unique_id=False)

    def send(self, messages: Mapping[int | None, Sequence[Outgoing]]) -> bool:
        """Send messages by partition (None: as the key says), and return whether all are committed.

        If not, they may have been. Raises `FencedError` where another replay has begun.
        """
        self._transactions.begin()
        for partition, of_partition in messages.items():
            self._transactions.send(self._topic, of_partition, partition)
        return self._transactions.commit() is End.COMMITTED
