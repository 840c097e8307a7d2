"""Polling a consumer in small steps, so that a batch is limited by bytes and not only by the number of its records."""

from collections.abc import Sequence
from typing import cast

from confluent_kafka import Consumer, Message

from telco_stream.messages.headers import MAX_HEADER_BYTES, MAX_HEADERS, UNREADABLE, bytes_of, limit_headers
from telco_stream.messages.record import Headers

#: Messages of one call into the client, which holds each of them twice until it returns: a record of 1 MB may have
#: headers that take 7 MB there. More at once are no faster.
_STEP = 16
#: For Kafka the names of headers are bytes, and where they are not UTF-8 the binding returns a list with null pointers
#: *and* sets an exception. `map` checks for that; a plain call does not once Python has specialized it, and a second
#: call returns the list. Whoever reads the pointers crashes.
_headers_of = Message.headers
#: Bytes that a header takes in memory beside its name and its value.
_HEADER_OVERHEAD = 128


class BoundedPoll:
    """Polls for the messages of one batch, which has room for `max_bytes` of keys, values and headers.

    The call that crosses the limit is the last: a single message may be larger than the limit.
    """

    def __init__(self, consumer: Consumer, max_bytes: int) -> None:
        self._consumer = consumer
        self._max_bytes = max_bytes
        self._bytes = 0
        self._messages = 0

    @property
    def is_full(self) -> bool:
        """Whether the bytes are used up."""
        return self._bytes >= self._max_bytes

    def poll(self, timeout: float) -> Message | None:
        """Return one message, or nothing after `timeout` seconds without any."""
        message = self._consumer.poll(timeout)
        if message is not None:
            self._count([message])
        return message

    def consume(self, max_messages: int, timeout: float) -> list[Message]:
        """Return up to 16 messages; wait up to `timeout` seconds for them."""
        return self._take(min(max_messages, self._step()), timeout)

    def consume_arrived(self, max_messages: int) -> list[Message]:
        """Return what has arrived, without waiting."""
        arrived: list[Message] = []
        while len(arrived) < max_messages and not self.is_full:
            asked = min(max_messages - len(arrived), self._step())
            messages = self._take(asked, 0)
            arrived += messages
            if len(messages) < asked:
                break
        return arrived

    def _take(self, number: int, timeout: float) -> list[Message]:
        messages = self._consumer.consume(number, timeout)
        self._count(messages)
        return messages

    def _step(self) -> int:
        """Return how many more messages fit if they are as large as those so far."""
        return max(1, min(_STEP, (self._max_bytes - self._bytes) * self._messages // (self._bytes or 1)))

    def _count(self, messages: Sequence[Message]) -> None:
        size = 0
        all_headers = map(_headers_of, messages)
        for message in messages:
            try:
                headers = next(all_headers)
            except (SystemError, UnicodeDecodeError):
                message.set_headers([*UNREADABLE])
                headers = None
            if headers:
                size += _limit_headers(message, cast("Headers", headers))
            size += len(message) + len(message.key() or b"")
        self._bytes += size
        self._messages += len(messages)


def _limit_headers(message: Message, headers: Headers) -> int:
    """Drop headers where there are too many; return the bytes that they took in memory before that."""
    size = bytes_of(headers)
    if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        message.set_headers(list[tuple[str, str | bytes | None]](limit_headers(headers)))
    return size + _HEADER_OVERHEAD * len(headers)
