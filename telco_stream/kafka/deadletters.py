"""The dead-letter topic as it stands, and the way back to the raw topic."""

from collections.abc import Iterator, Sequence

from telco_stream.contracts.deadletter import replay_of
from telco_stream.errors import DataError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import read, settled_ends
from telco_stream.kafka.transactions import End, transactions_under
from telco_stream.records import Outgoing, Record
from telco_stream.stop import Stop

#: Milliseconds by which the clock of whoever sent a letter back may have been behind that of the letter's writer.
_SKEW = 60_000


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
    """Which letters have come back to the raw topic, by its own word."""

    def __init__(self, clients: Clients, cluster: Cluster, stop: Stop) -> None:
        self._clients = clients
        self._cluster = cluster
        self._stop = stop
        self._topic = clients.settings.topics.raw
        self._partitions = range(cluster.partitions(self._topic)[self._topic])

    def since(self, milliseconds: int) -> set[tuple[int, int]]:
        """Partition and offset of each letter that has come back since; waits for transactions that hide any."""
        # In this order: behind an open transaction not even offsets can be found.
        ends = settled_ends(self._cluster, self._topic, len(self._partitions), self._stop)
        starts = self._cluster.offsets_at(self._topic, self._partitions, max(0, milliseconds - _SKEW))
        batches = read(self._clients, self._topic, stop=self._stop, starts=starts, ends=ends)
        return {place for batch in batches for record in batch if (place := replay_of(record))}


class ReplayOutlet:
    """The way back: one transaction after another, under an id that only one replay of this topic can hold.

    Making one ends what a killed replay has left open, and fences one that is still running.
    """

    def __init__(self, clients: Clients, stop: Stop) -> None:
        name = f"telco-stream-replay-{clients.settings.topics.deadletter}"
        self._topic = clients.settings.topics.raw
        self._transactions = transactions_under(name, clients, stop, own_id=False)

    def send(self, messages: Sequence[Outgoing]) -> bool:
        """Whether all is committed; if not, it may have been. Raises `FencedError` where another replay has begun."""
        self._transactions.begin()
        self._transactions.send(self._topic, messages)
        return self._transactions.commit() is End.COMMITTED
