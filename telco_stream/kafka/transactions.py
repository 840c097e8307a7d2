"""One transaction after another, each ended for certain: committed, aborted, or fenced by the next producer."""

import logging
from collections.abc import Callable, Iterable, Sequence
from enum import Enum

from confluent_kafka import KafkaException, Producer, TopicPartition

from telco_stream import errors
from telco_stream.kafka.clients import SLICE
from telco_stream.kafka.sink import GRACE, Sink
from telco_stream.kafka.trouble import Answer, answer_to, complaint, is_hopeless
from telco_stream.records import Outgoing
from telco_stream.stop import Stop, Stopped

log = logging.getLogger("telco_stream.kafka")


class End(Enum):
    """How a transaction ended."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    UNCLEAR = "unclear"  # the commit may have been applied although its answer never came: ask for the offsets


class Transactions:
    """A transactional producer, and the next one where an error asks for it."""

    def __init__(self, make_producer: Callable[[], Producer], stop: Stop, *, own_id: bool) -> None:
        self._make_producer = make_producer
        self._stop = stop
        self._own_id = own_id
        self._failure: KafkaException | None = None
        #: Transactions by how they ended.
        self.ended = dict.fromkeys(End, 0)
        self._failed_before = 0
        self._sink = self._renewed()

    def outcomes(self) -> dict[str, int]:
        """Transactions so far, by how they ended."""
        return {end.value: number for end, number in self.ended.items()}

    def failed(self) -> int:
        """Messages that were refused, or ran out of time, and were sent again if anything was."""
        return self._failed_before + self._sink.failed()

    def begin(self) -> None:
        """Open a transaction."""
        self._try(self._sink.producer.begin_transaction)

    def send(self, topic: str, messages: Iterable[Outgoing]) -> None:
        """Queue messages in the open transaction; what fails, fails the commit."""
        self._try(lambda: self._sink.send(topic, messages))

    def commit(self, offsets: Sequence[TopicPartition] = (), group_metadata: object = None) -> End:
        """Commit messages and offsets together; raises where no repetition would help, or another took over."""
        producer = self._sink.producer
        if offsets:
            self._try(lambda: producer.send_offsets_to_transaction(list(offsets), group_metadata, SLICE))
        self._try(lambda: producer.commit_transaction(SLICE))
        failure, self._failure = self._failure, None
        end = End.COMMITTED if failure is None else self._recover(failure)
        self.ended[end] += 1
        return end

    def _try(self, call: Callable[[], None]) -> None:
        """Call, unless something failed before; a call that ran out of time goes on in the client and is taken up."""
        while self._failure is None:
            try:
                return call()
            except KafkaException as error:
                if not error.args[0].retriable():
                    self._failure = error
                elif self._stop.overdue(GRACE):
                    raise Stopped from error
        return None

    def _recover(self, failure: KafkaException) -> End:
        error = failure.args[0]
        answer = answer_to(error, own_id=self._own_id)
        if answer is Answer.FENCED:
            raise errors.FencedError(
                "Another instance has taken over this transactional id; stop one of them, or give each its own"
            ) from failure
        log.warning("a transaction was not committed, will %s: %s", answer.name.lower(), error.str())
        aborted = answer is not Answer.RENEW and self._abort()
        if answer is Answer.GIVE_UP:
            raise complaint(error, "The batch was not committed") from failure
        if not aborted:
            self._failed_before += self._sink.failed()
            self._sink = self._renewed()
        return End.ABORTED if aborted else End.UNCLEAR

    def _abort(self) -> bool:
        """Whether the abort went through; that can fail too, as fenced."""
        self._try(lambda: self._sink.producer.abort_transaction(SLICE))
        failure, self._failure = self._failure, None
        if failure is not None:
            log.warning("the abort failed: %s", failure.args[0].str())
        return failure is None

    def _renewed(self) -> Sink:
        """A new producer, which ends whatever its id has left open."""
        while True:
            producer = self._make_producer()
            self._try(lambda made=producer: made.init_transactions(SLICE))  # type: ignore[misc]
            failure, self._failure = self._failure, None
            if failure is None:
                return Sink(producer, self._stop)
            if is_hopeless(failure.args[0]):
                raise complaint(failure.args[0], "The transactional producer can't start") from failure
            if self._stop.wait(SLICE):
                raise Stopped
