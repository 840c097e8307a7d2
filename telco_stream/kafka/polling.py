"""Poll a consumer: batches limited by bytes as well as by records, and errors that arrive as messages."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from operator import length_hint
from typing import cast

from confluent_kafka import Consumer, KafkaError, Message

from telco_stream import errors
from telco_stream.kafka.error_policy import consumer_failure, group_error, is_group_refusal
from telco_stream.messages.headers import MAX_HEADER_BYTES, MAX_HEADERS, UNREADABLE, headers_size, limit_headers
from telco_stream.messages.record import Headers

log = logging.getLogger("telco_stream.kafka")

#: Messages of one call: the client holds each of them twice until it returns, and the headers of a record of 1 MB can
#: take 7 MB. Many small messages at a time cost less CPU than a few.
_STEP, _STEP_IF_SMALL = 16, 128
#: Largest average size in bytes of small messages.
_SMALL = 4_096
#: Kafka's header names are bytes. If one is not UTF-8, confluent_kafka returns a list with null pointers *and* sets an
#: exception. `map` raises it; a plain call ignores it once Python has specialized the call, and so does a second call.
#: Reading the null pointers crashes the process.
_headers_of = Message.headers
_key_of = Message.key
#: Seconds in which the same error of the same partition is logged once.
_WARN_INTERVAL = 60.0
#: Bytes of memory for each header, in addition to its name and value.
_HEADER_OVERHEAD = 128


class BoundedPoll:
    """Poll for one batch with a limit on the bytes of keys, values and headers.

    The batch ends after the call that reaches the limit, so that a single message can be larger.
    """

    def __init__(self, consumer: Consumer, max_bytes: int) -> None:
        self._consumer = consumer
        self._max_bytes = max_bytes
        self._bytes = 0
        self._messages = 0

    @property
    def is_full(self) -> bool:
        """True if the batch has reached its limit of bytes."""
        return self._bytes >= self._max_bytes

    def poll(self, timeout: float) -> Message | None:
        """Return one message, or None after `timeout` seconds."""
        message = self._consumer.poll(timeout)
        if message is not None:
            self._count([message])
        return message

    def consume(self, max_messages: int, timeout: float) -> list[Message]:
        """Return up to 128 messages, or 16 if they are large; wait up to `timeout` seconds for them."""
        return self._consume(min(max_messages, self._step()), timeout)

    def consume_arrived(self, max_messages: int) -> list[Message]:
        """Return the messages that have arrived, without waiting."""
        arrived: list[Message] = []
        while len(arrived) < max_messages and not self.is_full:
            step = min(max_messages - len(arrived), self._step())
            messages = self._consume(step, 0)
            arrived += messages
            if len(messages) < step:
                break
        return arrived

    def _consume(self, number: int, timeout: float) -> list[Message]:
        messages = self._consumer.consume(number, timeout)
        self._count(messages)
        return messages

    def _step(self) -> int:
        """Return how many more messages fit, at the average size of the messages so far."""
        most = _STEP_IF_SMALL if 0 < self._bytes <= self._messages * _SMALL else _STEP
        return max(1, min(most, (self._max_bytes - self._bytes) * self._messages // (self._bytes or 1)))

    def _count(self, messages: Sequence[Message]) -> None:
        size = sum(map(len, messages)) + sum(map(len, filter(None, map(_key_of, messages))))
        unread = iter(messages)
        try:
            has_headers = any(map(_headers_of, unread))
        except (SystemError, UnicodeDecodeError):
            messages[len(messages) - length_hint(unread) - 1].set_headers([*UNREADABLE])
            has_headers = True
        self._bytes += size + (_limit_all_headers(messages) if has_headers else 0)
        self._messages += len(messages)


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


def _limit_all_headers(messages: Sequence[Message]) -> int:
    """Replace headers that cannot be decoded, drop headers above the limits; return the bytes that they took."""
    size = 0
    all_headers = map(_headers_of, messages)
    for message in messages:
        try:
            headers = next(all_headers)
        except (SystemError, UnicodeDecodeError):
            message.set_headers([*UNREADABLE])
            continue
        if headers:
            size += _limit_headers(message, cast("Headers", headers))
    return size


def _limit_headers(message: Message, headers: Headers) -> int:
    """Drop headers that exceed the limits; return the bytes of memory that all headers took."""
    size = headers_size(headers)
    if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        message.set_headers(list[tuple[str, str | bytes | None]](limit_headers(headers)))
    return size + _HEADER_OVERHEAD * len(headers)
