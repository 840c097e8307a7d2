"""Rows on their way into the raw topic, and the progress that is confirmed with them.

At least once, a flush confirms the rows and the checkpoint file follows. Exactly once, rows and progress are one
transaction: the progress is the committed offset of a group without members, named for file and topic or for the run,
and a mark on the transaction's last record, since Kafka deletes offsets in time.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from confluent_kafka import Consumer, TopicPartition

from telco_stream.errors import DataError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.offsets import ask_committed
from telco_stream.kafka.sink import Sink, delivery_errors
from telco_stream.kafka.transactions import End, transactions_under
from telco_stream.messages.headers import PROGRESS_MARK
from telco_stream.messages.record import Message
from telco_stream.produce.marks import MarkedProgress, find_marked_progress
from telco_stream.produce.progress import PassKey, PassProgress, decode_progress, encode_note
from telco_stream.runtime.signals import Stop


class RowWriter(Protocol):
    """The way out for the rows of one pass."""

    #: Whether Kafka itself keeps the pass's progress.
    stores_progress: bool

    def found(self) -> PassProgress | None:
        """The progress that Kafka keeps; None where it keeps none."""

    def search_marks(self, *, whole: bool) -> MarkedProgress | None:
        """Search the topic's records for progress that Kafka no longer keeps: all of them, or only those old enough."""

    def send(self, topic: str, messages: Sequence[Message]) -> None:
        """Send; nothing is certain before `confirm`."""

    def confirm(self, progress: PassProgress) -> bool:
        """Whether all that was sent, and this progress with it, has arrived; else start again from `found`."""

    def unconfirmed(self) -> int:
        """How many of the messages sent are not confirmed."""


class AtLeastOnceWriter:
    """Confirmed by a flush; the checkpoint file alone keeps the progress."""

    stores_progress = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def found(self) -> PassProgress | None:
        """Kafka keeps nothing here."""
        return None

    def search_marks(self, *, whole: bool) -> None:
        """Nothing is marked here."""

    def send(self, topic: str, messages: Sequence[Message]) -> None:
        """Queue them."""
        with delivery_errors():
            self._sink.send(topic, messages)

    def confirm(self, progress: PassProgress) -> bool:  # noqa: ARG002 - it goes to the checkpoint file, after this
        """Wait until the broker has confirmed each of them."""
        with delivery_errors():
            self._sink.flush()
        return True

    def unconfirmed(self) -> int:
        """How many are still in the queue, or failed."""
        return self._sink.unconfirmed()

    def failed(self) -> int:
        """How many Kafka has refused."""
        return self._sink.failed

    def outcomes(self) -> dict[str, int]:
        """There are no transactions here."""
        return {}


class ExactlyOnceWriter:
    """Confirmed by a transaction that carries the progress."""

    stores_progress = True

    def __init__(self, clients: Clients, wanted: PassKey, stop: Stop) -> None:
        name = self._name = group_of(wanted)
        self._clients = clients
        self._wanted = wanted
        self._topic = wanted.topic
        self._stop = stop
        # The id is the pass's own: whoever starts it anew ends what a killed process has left open.
        self._transactions = transactions_under(name, clients, stop, has_unique_id=False)
        self._group: Consumer = clients.consumer(name)  # polled by nobody: it only answers questions
        self._open = False
        self._unconfirmed = 0
        #: The message sent last, which may become the transaction's last.
        self._last: Sequence[Message] = ()

    def found(self) -> PassProgress | None:
        """The progress that was committed last; raises `DataError` where somebody else has committed something."""
        committed = ask_committed(self._group, self._topic, [0], self._stop)[0]
        if committed.offset < 0:
            return None
        try:
            return decode_progress(committed.metadata or "")
        except ValueError as error:
            raise DataError(
                f"The offset of group {self._name} holds no progress of a pass: was it set by hand? Start over with"
                " --restart"
            ) from error

    def search_marks(self, *, whole: bool) -> MarkedProgress | None:
        """Search the topic's records for the pass's marks."""
        return find_marked_progress(self._clients, self._wanted, self._stop, whole=whole)

    def send(self, topic: str, messages: Sequence[Message]) -> None:
        """Queue them in the transaction, the last of them when it is known whether it gets the mark."""
        if not self._open:
            self._transactions.begin()
            self._open = True
        if messages:
            self._transactions.send(topic, [*self._last, *messages[:-1]])
            self._last = messages[-1:]
            self._unconfirmed += len(messages)

    def confirm(self, progress: PassProgress) -> bool:
        """Commit rows, mark and progress."""
        self.send(progress.of.topic, ())  # the end of a pass is worth a transaction without rows
        mark = PROGRESS_MARK, encode_note(replace(progress, finished=())).encode()
        self._transactions.send(self._topic, [(key, value, [*headers, mark]) for key, value, headers in self._last])
        self._open, self._unconfirmed, self._last = False, 0, ()
        offset = TopicPartition(self._topic, 0, progress.last_processed_index + 1, encode_note(progress))
        return self._transactions.commit([offset], self._group.consumer_group_metadata()) is End.COMMITTED

    def unconfirmed(self) -> int:
        """How many are in the open transaction."""
        return self._unconfirmed

    def failed(self) -> int:
        """How many Kafka has refused; each took its transaction with it."""
        return self._transactions.failed()

    def outcomes(self) -> dict[str, int]:
        """Transactions so far, by how they ended."""
        return self._transactions.outcomes()


def group_of(wanted: PassKey) -> str:
    """The group that keeps a pass's progress, and its producer's transactional id: readable, and one for each key.

    In ASCII: the client commits no offsets for a group of any other name.
    """
    digest = hashlib.sha256("\0".join(wanted.key).encode()).hexdigest()
    name = re.sub(r"[^\w.-]", "_", (wanted.run_id or wanted.file.rsplit("/", 1)[-1])[:60], flags=re.ASCII)
    return f"telco-stream-produce-{name}-{digest[:16]}"
