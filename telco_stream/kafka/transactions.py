"""Transactional producer with recovery: each transaction is committed, aborted, or fenced by the next producer."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from telco_stream import errors
from telco_stream.kafka.blocking_calls import (
    MAX_CALL_SECONDS,
    SHUTDOWN_GRACE_SECONDS,
    Deadline,
    retry,
    run_interruptible,
)
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.error_policy import Recovery, is_permanent, recovery_for, user_error
from telco_stream.kafka.offsets import GroupOffsets
from telco_stream.kafka.sink import Sink
from telco_stream.messages.record import Outgoing
from telco_stream.runtime.signals import Stop, Stopped

log = logging.getLogger("telco_stream.kafka")

#: Seconds for one step of a transaction. The coordinator aborts a transaction sooner; resuming a call does not help if
#: the client has lost its request internally.
_STEP_TIMEOUT = 60.0
#: Seconds after which `send_offsets_to_transaction` is abandoned. After an outage of the group coordinator it may never
#: return (librdkafka issues 5456 and 5511). A new producer ends the transaction safely.
_OFFSETS_TIMEOUT = 10.0
#: Seconds of the first call of `init_transactions`, and the growth of the next ones. If no broker is connected yet, the
#: client asks for the coordinator again after 500 ms, but at once when a call is resumed.
_FIRST_CALL_SECONDS, _GROWTH = 0.02, 1.5
#: Seconds for an abort. The next producer would end the transaction too, and after a fatal error an abort can wait for
#: messages that the client never sends.
_ABORT_TIMEOUT = 5.0
#: Error message of a process whose transactional ID another one has taken over.
_FENCED = "Another instance has taken over; stop one of them"


class End(Enum):
    """Outcome of a transaction."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    UNCLEAR = "unclear"  # the commit may have been applied although its response was lost: read the offsets


def transactions_under(  # noqa: PLR0913 - runs differ in each of these
    name: str,
    clients: Clients,
    stop: Stop,
    *,
    has_unique_id: bool,
    fenced: str = _FENCED,
    largest_batch: int | None = None,
) -> "Transactions":
    """Create a transactional producer with this id, which is then to be started.

    `fenced` is the error message if another process takes over the id; `largest_batch` is as in `Clients.producer`.
    """
    return Transactions(
        lambda: clients.producer(name, largest_batch),
        stop,
        has_unique_id=has_unique_id,
        timeout=clients.timeout,
        lifetime=clients.transaction_lifetime(),
        starting=f"Transactional id {name} can't be used",
        fenced=fenced,
    )


class Transactions:
    """Transactional producer that is replaced by a new one when an error requires it.

    `timeout` is the time in seconds for the first producer to start. `has_unique_id` is as in `recovery_for`.
    `lifetime` is the transaction timeout in seconds: a fencing error after it means that the broker has aborted the
    transaction. `starting` begins the error message if the first producer cannot start; `fenced` is the error message
    if another process takes over.
    """

    def __init__(  # noqa: PLR0913 - runs differ in each of these
        self,
        make_producer: Callable[[], Producer],
        stop: Stop,
        *,
        has_unique_id: bool,
        timeout: float = 10.0,
        lifetime: float = math.inf,
        starting: str = "The transactional producer can't start",
        fenced: str = _FENCED,
    ) -> None:
        self._make_producer = make_producer
        self._starting = starting
        self._fenced = fenced
        self._stop = stop
        self._has_unique_id = has_unique_id
        self._lifetime = lifetime
        self._begun_at = math.inf
        self._failure: KafkaException | None = None
        #: Number of transactions by how they ended.
        self.ended = dict.fromkeys(End, 0)
        self._failed_before = 0
        self._timeout = timeout
        self._sink = Sink(make_producer(), stop)

    def start(self) -> None:
        """Start the first producer: the broker aborts an open transaction of its ID, and fences earlier producers.

        Raises `errors.KafkaError` if it does not start within the timeout.
        """
        self._sink = self._start(self._sink.producer, self._timeout)

    def outcomes(self) -> dict[str, int]:
        """Return the number of transactions by how they ended."""
        return {end.value: count for end, count in self.ended.items()}

    def failed(self) -> int:
        """Return the number of messages that failed; each of them failed its transaction."""
        return self._failed_before + self._sink.failed

    def begin(self) -> None:
        """Begin a transaction."""
        self._sink.take_failure()
        self._begun_at = time.monotonic()
        self._try(self._sink.producer.begin_transaction)

    def send(self, topic: str, messages: Iterable[Outgoing], partition: int | None = None) -> None:
        """Queue messages in the open transaction; a failure fails the commit."""
        self._try(lambda: self._sink.send(topic, messages, partition))

    def drain(self) -> None:
        """Wait until each message was delivered or has failed; a failure fails the commit."""
        self._try(self._sink.drain)

    def commit(self, offsets: Sequence[TopicPartition] = (), group_metadata: object = None) -> End:
        """Commit messages and offsets together; raise after a permanent error, or if another process has taken over."""
        producer = self._sink.producer
        if offsets:
            send = partial(producer.send_offsets_to_transaction, list(offsets), group_metadata, MAX_CALL_SECONDS)
            # If the coordinator is killed during this call, the client may wait forever.
            self._try(lambda: run_interruptible(send, self._stop, self._sink.serve, _OFFSETS_TIMEOUT))
        self._try(lambda: producer.commit_transaction(MAX_CALL_SECONDS))
        failure, self._failure = self._failure, None
        end = End.COMMITTED if failure is None else self._recover(failure)
        self.ended[end] += 1
        return end

    def _try(self, call: Callable[[], None], timeout: float | None = None) -> None:
        """Run the call unless an earlier one has failed; keep its error in `_failure`.

        A call that times out continues in the client, and the next call resumes it ("retry call to resume"): a repeated
        commit does not commit twice.
        """
        if self._failure is not None:
            return
        deadline = Deadline(timeout or _STEP_TIMEOUT)
        try:
            retry(call, deadline, self._stop, lambda error: not error.retriable(), grace=SHUTDOWN_GRACE_SECONDS)
        except KafkaException as error:
            self._failure = error

    def _recover(self, failure: KafkaException) -> End:
        error = self._cause(failure.args[0])
        recovery = self._recovery_for(error)
        unresolved = self._abort() if recovery in {Recovery.ABORT, Recovery.GIVE_UP} else error
        if recovery is Recovery.ABORT:
            error = unresolved or self._cause(error)  # the cause of a failed delivery may be known only now
            recovery = self._recovery_for(error)
        if recovery is Recovery.FENCED:
            raise errors.FencedError(self._fenced) from failure
        if recovery is Recovery.GIVE_UP:
            raise user_error(error, "The batch was not committed") from failure
        _log_lost(error, recovery)
        if unresolved is None:
            return End.ABORTED
        self._failed_before += self._sink.failed
        self._sink = self._start(self._make_producer())
        return End.UNCLEAR

    def _recovery_for(self, error: KafkaError) -> Recovery:
        """Return the recovery; a fencing error after the transaction's lifetime counts as its timeout.

        If another process has in fact taken over, the next transaction fails with the same error before its lifetime.
        """
        has_expired = time.monotonic() - self._begun_at > self._lifetime
        return recovery_for(error, has_unique_id=self._has_unique_id or has_expired)

    def _cause(self, error: KafkaError) -> KafkaError:
        """Return a permanent delivery error if there is one: it is more specific than "messages failed delivery"."""
        cause = self._sink.failure_cause()
        return cause if cause is not None and is_permanent(cause) else error

    def _abort(self) -> KafkaError | None:
        """Abort the transaction; return the error if this fails."""
        self._try(lambda: self._sink.producer.abort_transaction(MAX_CALL_SECONDS), _ABORT_TIMEOUT)
        failure, self._failure = self._failure, None
        if failure is None:
            return None
        log.warning("the abort failed: %s", failure.args[0].str())
        error: KafkaError = failure.args[0]
        return error

    def _start(self, producer: Producer, timeout: float | None = None) -> Sink:
        """Start a producer, which ends an open transaction of its ID; without a timeout, retry with new ones."""
        while True:
            self._initialize(producer, timeout)
            failure, self._failure = self._failure, None
            if failure is None:
                return Sink(producer, self._stop)
            if timeout and failure.args[0].code() == KafkaError._TIMED_OUT:  # noqa: SLF001 - the client's public name
                raise errors.KafkaError(
                    f"{self._starting}: no answer within {timeout:g} s; are enough brokers running for the broker's"
                    " transaction.state.log.replication.factor?"
                ) from failure
            if timeout or is_permanent(failure.args[0]):
                raise user_error(failure.args[0], self._starting) from failure
            if self._stop.wait(MAX_CALL_SECONDS):
                raise Stopped
            producer = self._make_producer()

    def _initialize(self, producer: Producer, timeout: float | None) -> None:
        """Initialize the producer, with calls of growing length: each resumes the one before."""
        limits = _growing_limits()
        self._try(lambda: producer.init_transactions(next(limits)), timeout)


class StoredOffset:
    """Offset of partition 0 of `topic`, with metadata, committed by a `group` without members.

    For progress that commits with a transaction.
    """

    def __init__(self, clients: Clients, group: str, topic: str, stop: Stop) -> None:
        # This consumer never polls and so never joins the group.
        self._consumer = clients.consumer(group)
        self._topic = topic
        self._offsets = GroupOffsets(self._consumer, topic, stop)

    def read_metadata(self) -> str | None:
        """Return the metadata of the committed offset, or None without a committed offset."""
        return self._offsets.committed_metadata(0)

    def commit(self, transactions: Transactions, offset: int, metadata: str) -> End:
        """Commit offset and metadata with the open transaction."""
        offsets = [TopicPartition(self._topic, 0, offset, metadata)]
        return transactions.commit(offsets, self._consumer.consumer_group_metadata())


def _growing_limits() -> Iterator[float]:
    """Yield limits in seconds for the calls of `init_transactions`."""
    seconds = _FIRST_CALL_SECONDS
    while True:
        yield seconds
        seconds = min(seconds * _GROWTH, MAX_CALL_SECONDS)


def _log_lost(error: KafkaError, recovery: Recovery) -> None:
    name = recovery.name.lower()
    extra = {"event": "transaction_lost", "facts": {"answer": name, "error": error.name()}}
    log.warning(
        "a transaction was not committed, its batch is processed again (%s): %s", name, error.str(), extra=extra
    )
