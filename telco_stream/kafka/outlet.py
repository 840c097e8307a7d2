"""Rows on their way into the raw topic, and the progress that is confirmed with them.

At least once, a flush confirms the rows and the checkpoint file follows. Exactly once, rows and progress are one
transaction: the progress is the committed offset of a group that is named for file and topic and has no members.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from confluent_kafka import Consumer, TopicPartition

from telco_stream.contracts.progress import Pass, Progress, decode_progress, encode_progress
from telco_stream.errors import DataError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.committed import ask_committed
from telco_stream.kafka.sink import Sink, undelivered
from telco_stream.kafka.transactions import End, transactions_under
from telco_stream.records import Message
from telco_stream.stop import Stop


class Outlet(Protocol):
    """The way out for the rows of one pass."""

    #: Whether Kafka itself keeps the pass's progress.
    keeps_progress: bool

    def found(self) -> Progress | None:
        """The progress that Kafka keeps; None where it keeps none."""

    def send(self, topic: str, messages: Sequence[Message]) -> None:
        """Send; nothing is certain before `confirm`."""

    def confirm(self, progress: Progress) -> bool:
        """Whether all that was sent, and this progress with it, has arrived; else start again from `found`."""

    def unconfirmed(self) -> int:
        """How many of the messages sent are not confirmed."""


class AtLeastOnceOutlet:
    """Confirmed by a flush; the checkpoint file alone keeps the progress."""

    keeps_progress = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def found(self) -> Progress | None:
        """Kafka keeps nothing here."""
        return None

    def send(self, topic: str, messages: Sequence[Message]) -> None:
        """Queue them."""
        with undelivered():
            self._sink.send(topic, messages)

    def confirm(self, progress: Progress) -> bool:  # noqa: ARG002 - it goes to the checkpoint file, after this
        """Wait until the broker has confirmed each of them."""
        with undelivered():
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


class ExactlyOnceOutlet:
    """Confirmed by a transaction that carries the progress."""

    keeps_progress = True

    def __init__(self, clients: Clients, wanted: Pass, stop: Stop) -> None:
        name = self._name = group_of(wanted)
        self._topic = wanted.topic
        self._stop = stop
        # The id is the pass's own: whoever starts it anew ends what a killed process has left open.
        self._transactions = transactions_under(name, clients, stop, own_id=False)
        self._group: Consumer = clients.consumer(name)  # polled by nobody: it only answers questions
        self._open = False
        self._unconfirmed = 0

    def found(self) -> Progress | None:
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

    def send(self, topic: str, messages: Sequence[Message]) -> None:
        """Queue them in the transaction."""
        if not self._open:
            self._transactions.begin()
            self._open = True
        self._transactions.send(topic, messages)
        self._unconfirmed += len(messages)

    def confirm(self, progress: Progress) -> bool:
        """Commit rows and progress."""
        self.send(progress.of.topic, ())  # the end of a pass is worth a transaction without rows
        self._open, self._unconfirmed = False, 0
        note = encode_progress(replace(progress, finished_runs=()))  # the broker takes 4 KiB, and this is one run's own
        offset = TopicPartition(self._topic, 0, progress.last_processed_index + 1, note)
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


def group_of(wanted: Pass) -> str:
    """The group that keeps a pass's progress, and its producer's transactional id: readable, and one for each pass.

    In ASCII: the client commits no offsets for a group of any other name.
    """
    digest = hashlib.sha256("\0".join((wanted.file, wanted.topic, wanted.run_id or "")).encode()).hexdigest()
    name = re.sub(r"[^\w.-]", "_", wanted.file.rsplit("/", 1)[-1][:60], flags=re.ASCII)
    return f"telco-stream-produce-{name}-{digest[:16]}"
