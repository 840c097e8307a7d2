"""One transaction after another, each ended for certain: committed, aborted, or fenced by the next producer."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from telco_stream import errors
from telco_stream.kafka.background import SHUTDOWN_GRACE_SECONDS, run_interruptible
from telco_stream.kafka.clients import MAX_CALL_SECONDS, Clients
from telco_stream.kafka.error_policy import Recovery, is_permanent, recovery_for, user_error
from telco_stream.kafka.sink import Sink
from telco_stream.messages.record import Outgoing
from telco_stream.runtime.signals import Stop, Stopped

log = logging.getLogger("telco_stream.kafka")

#: Seconds that one step of a transaction may take. The coordinator ends a transaction by itself sooner; and a request
#: that the client has given up on inside is never answered, however often the call is taken up.
_PATIENCE = 60.0
#: Seconds after which a call that doesn't come back is given up. In a client whose group coordinator was away for a
#: while it never does (librdkafka issues 5456 and 5511); to make a new producer, which ends the transaction, is safe.
_LONGEST_CALL = 10.0
#: Seconds for an abort; the next producer would end the transaction too, and in a client that has failed for good an
#: abort may wait for messages that nobody sends any more.
_ABORTING = 5.0


class End(Enum):
    """How a transaction ended."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    UNCLEAR = "unclear"  # the commit may have been applied although its answer never came: ask for the offsets


def transactions_under(name: str, clients: Clients, stop: Stop, *, has_unique_id: bool) -> "Transactions":
    """The transactions under this id; what a process before has left open under it is ended."""
    return Transactions(
        lambda: clients.producer(name),
        stop,
        has_unique_id=has_unique_id,
        timeout=clients.timeout,
        lifetime=clients.transaction_lifetime(),
        starting=f"Transactional id {name} can't be used",
    )


class Transactions:
    """A transactional producer, and the next one where an error asks for it.

    `timeout` is how many seconds the first may take to start; `own_id` is as in `answer_to`; `lifetime` is how many
    seconds the broker leaves a transaction open: being fenced after that is its word for the end of it. `starting` is
    what a user reads it was doing where it can't start.
    """

    def __init__(  # noqa: PLR0913 - in these one run's transactions differ from another's
        self,
        make_producer: Callable[[], Producer],
        stop: Stop,
        *,
        has_unique_id: bool,
        timeout: float = 10.0,
        lifetime: float = math.inf,
        starting: str = "The transactional producer can't start",
    ) -> None:
        self._make_producer = make_producer
        self._starting = starting
        self._stop = stop
        self._own_id = has_unique_id
        self._lifetime = lifetime
        self._begun = math.inf
        self._failure: KafkaException | None = None
        #: Transactions by how they ended.
        self.ended = dict.fromkeys(End, 0)
        self._failed_before = 0
        self._sink = self._started(timeout)

    def outcomes(self) -> dict[str, int]:
        """Transactions so far, by how they ended."""
        return {end.value: number for end, number in self.ended.items()}

    def failed(self) -> int:
        """Messages that were refused, or ran out of time; each took its transaction with it."""
        return self._failed_before + self._sink.failed

    def begin(self) -> None:
        """Open a transaction."""
        self._sink.take_failure()
        self._begun = time.monotonic()
        self._try(self._sink.producer.begin_transaction)

    def send(self, topic: str, messages: Iterable[Outgoing], partition: int | None = None) -> None:
        """Queue messages in the open transaction; what fails, fails the commit."""
        self._try(lambda: self._sink.send(topic, messages, partition))

    def commit(self, offsets: Sequence[TopicPartition] = (), group_metadata: object = None) -> End:
        """Commit messages and offsets together; raises where no repetition would help, or another took over."""
        producer = self._sink.producer
        if offsets:
            send = partial(producer.send_offsets_to_transaction, list(offsets), group_metadata, MAX_CALL_SECONDS)
            # A coordinator that was killed in the middle of it may leave the client waiting for ever.
            self._try(lambda: run_interruptible(send, self._stop, self._sink.serve, _LONGEST_CALL))
        self._try(lambda: producer.commit_transaction(MAX_CALL_SECONDS))
        failure, self._failure = self._failure, None
        end = End.COMMITTED if failure is None else self._recover(failure)
        self.ended[end] += 1
        return end

    def _try(self, call: Callable[[], None], patience: float | None = None) -> None:
        """Call, unless something failed before.

        A call that only ran out of its time goes on in the client, and calling again takes it up where it is: that is
        the client's own word for it, "retry call to resume", and no second commit.
        """
        deadline = time.monotonic() + (patience or _PATIENCE)
        while self._failure is None:
            try:
                return call()
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    self._failure = error
                elif self._stop.overdue(SHUTDOWN_GRACE_SECONDS):
                    raise Stopped from error
        return None

    def _recover(self, failure: KafkaException) -> End:
        error = self._cause(failure.args[0])
        answer = self._recovery_for(error)
        refusal = self._abort() if answer in {Recovery.ABORT, Recovery.GIVE_UP} else error
        if answer is Recovery.ABORT:
            error = refusal or self._cause(error)  # why a delivery failed may be known only now
            answer = self._recovery_for(error)
        if answer is Recovery.FENCED:
            raise errors.FencedError(
                "Another instance has taken over this transactional id; stop one of them, or give each its own"
            ) from failure
        if answer is Recovery.GIVE_UP:
            raise user_error(error, "The batch was not committed") from failure
        _tell(error, answer)
        if refusal is None:
            return End.ABORTED
        self._failed_before += self._sink.failed
        self._sink = self._started()
        return End.UNCLEAR

    def _recovery_for(self, error: KafkaError) -> Recovery:
        """If another has taken over all the same, it will say so of the next transaction, which is young."""
        outlived = time.monotonic() - self._begun > self._lifetime
        return recovery_for(error, has_unique_id=self._own_id or outlived)

    def _cause(self, error: KafkaError) -> KafkaError:
        """A delivery that failed for good tells more than the client's "messages failed delivery"."""
        delivery = self._sink.why()
        return delivery if delivery is not None and is_permanent(delivery) else error

    def _abort(self) -> KafkaError | None:
        """Abort; if that fails, why."""
        self._try(lambda: self._sink.producer.abort_transaction(MAX_CALL_SECONDS), _ABORTING)
        failure, self._failure = self._failure, None
        if failure is None:
            return None
        log.warning("the abort failed: %s", failure.args[0].str())
        error: KafkaError = failure.args[0]
        return error

    def _started(self, timeout: float | None = None) -> Sink:
        """A new producer, which ends whatever its id has left open; without a timeout it is waited for."""
        while True:
            producer = self._make_producer()
            self._try(lambda made=producer: made.init_transactions(MAX_CALL_SECONDS), timeout)  # type: ignore[misc]
            failure, self._failure = self._failure, None
            if failure is None:
                return Sink(producer, self._stop)
            if timeout or is_permanent(failure.args[0]):
                raise user_error(failure.args[0], self._starting) from failure
            if self._stop.wait(MAX_CALL_SECONDS):
                raise Stopped


def _tell(error: KafkaError, answer: Recovery) -> None:
    asked = answer.name.lower()
    facts = {"answer": asked, "error": error.name()}
    words = "a transaction was not committed, its batch is done again (%s): %s"
    log.warning(words, asked, error.str(), extra={"event": "transaction_lost", "facts": facts})
