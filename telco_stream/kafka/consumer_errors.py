"""Errors that a consumer returns from `poll` as messages instead of records."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable

from confluent_kafka import KafkaError, Message

from telco_stream import errors
from telco_stream.kafka.error_policy import consumer_failure, group_error, is_group_refusal

log = logging.getLogger("telco_stream.kafka")

#: Seconds in which the same error of the same partition is logged once.
_WARN_INTERVAL = 60.0


class ConsumerErrors:
    """Error messages of one consumer: logs them, and keeps a permanent error for `raise_failure`.

    `join_timeout` is the time in seconds for which the group may refuse the member. `counts` gets the number of errors
    by name. `too_large` returns the error of a response that exceeds the client's size limit: the client reports it for
    the connection, not as a message of a partition.
    """

    def __init__(
        self,
        join_timeout: float = math.inf,
        *,
        counts: Counter[str] | None = None,
        too_large: Callable[[], KafkaError | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._join_timeout = join_timeout
        self._counts = Counter[str]() if counts is None else counts
        self.too_large = too_large
        self._clock = clock
        self._warned: dict[tuple[int, str | None, int | None], float] = {}
        self._refused_at = math.inf
        #: The error that ends the run; messages after it must not be processed.
        self.failure: errors.TelcoStreamError | None = None
        #: The group's latest refusal of this member; None once it has joined.
        self.refusal: KafkaError | None = None

    @property
    def pending(self) -> bool:
        """True if no records can be expected: an error will end the run, or the group refuses the member."""
        return self.failure is not None or self.refusal is not None or self.too_large() is not None

    def add(self, message: Message) -> bool:
        """Handle an error message; return whether its partition has to be assigned again to recover."""
        error = message.error()
        if error is None or self.failure is not None:
            return False
        self._counts[error.name()] += 1
        self.failure = consumer_failure(message)
        if self.failure is not None:
            return False
        if message.topic() is None and is_group_refusal(error):
            self._refused_at = min(self._refused_at, self._clock())
            self.refusal = error
        self._warn(error, message)
        return message.topic() is not None

    def on_joined(self) -> None:
        """Clear the group's refusal."""
        self._refused_at, self.refusal = math.inf, None

    def raise_failure(self) -> None:
        """Raise the error that ends the run, or do nothing without such an error."""
        if self.failure is not None:
            raise self.failure
        if self.refusal is not None and self._clock() - self._refused_at >= self._join_timeout:
            raise group_error(self.refusal)

    def _warn(self, error: KafkaError, message: Message) -> None:
        key, now = (error.code(), message.topic(), message.partition()), self._clock()
        if now - self._warned.get(key, -math.inf) < _WARN_INTERVAL:
            return
        self._warned[key] = now
        topic, partition = message.topic(), message.partition()
        if topic is not None:
            facts = {"error": error.name(), "topic": topic, "partition": partition}
            extra = {"event": "partition_error", "facts": facts}
            log.warning("topic %s, partition %s: %s", topic, partition, error.str(), extra=extra)
        else:
            text = str(group_error(error)) if is_group_refusal(error) else error.str()
            log.warning("%s", text, extra={"event": "group_error", "facts": {"error": error.name()}})
