"""One offset with metadata in a consumer group without members, for progress that commits with a transaction."""

from confluent_kafka import Consumer, TopicPartition

from telco_stream.kafka.clients import Clients
from telco_stream.kafka.offsets import ask_committed
from telco_stream.kafka.transactions import End, Transactions
from telco_stream.runtime.signals import Stop


class StoredOffset:
    """Offset of partition 0 of `topic`, committed by `group`."""

    def __init__(self, clients: Clients, group: str, topic: str, stop: Stop) -> None:
        # This consumer never polls and so never joins the group.
        self._consumer: Consumer = clients.consumer(group)
        self._topic = topic
        self._stop = stop

    def read_metadata(self) -> str | None:
        """Return the metadata of the committed offset, or None without a committed offset."""
        committed = ask_committed(self._consumer, self._topic, [0], self._stop)[0]
        return None if committed.offset < 0 else committed.metadata or ""

    def commit(self, transactions: Transactions, offset: int, metadata: str) -> End:
        """Commit offset and metadata with the open transaction."""
        offsets = [TopicPartition(self._topic, 0, offset, metadata)]
        return transactions.commit(offsets, self._consumer.consumer_group_metadata())
