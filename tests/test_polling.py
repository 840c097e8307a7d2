"""Limits of one batch: records, bytes, headers."""

from typing import Any, cast

import pytest
from confluent_kafka import Message

from telco_stream.kafka.polling import BoundedPoll
from telco_stream.messages.headers import DROPPED, MAX_HEADER_BYTES, MAX_HEADERS, limit_headers
from telco_stream.messages.record import Headers

LIMIT = 100_000


class Queue:
    """Fake consumer that records how many messages each call requests."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.requested: list[int] = []

    def poll(self, _timeout: float) -> Message | None:
        return self.messages.pop(0) if self.messages else None

    def consume(self, number: int, _timeout: float) -> list[Message]:
        self.requested.append(number)
        poll_all, self.messages[:] = self.messages[:number], self.messages[number:]
        return poll_all


def record(value: bytes = b"", key: bytes = b"", headers: Headers | None = None) -> Message:
    return Message("raw", value=value, key=key, headers=cast("Any", headers))


def poll_all(queue: Queue, most: int = 1_000) -> list[Message]:
    polling = BoundedPoll(cast("Any", queue), LIMIT)
    first = polling.poll(0)
    return [] if first is None else [first, *polling.consume_arrived(most - 1)]


def test_bounded_poll_returns_all_when_records_are_small() -> None:
    queue = Queue(*(record(b"x" * 50) for _ in range(1_000)))
    assert len(poll_all(queue)) == 1_000
    assert queue.requested == [128] * 7 + [103]


@pytest.mark.parametrize(
    "parts",
    [
        {"value": b"x" * 30_000},
        {"key": b"k" * 30_000},
        {"headers": [("h", b"x" * 30_000)]},
        {"headers": [("h", b"")] * 230},
    ],
    ids=["values", "keys", "a large header", "many headers"],
)
def test_bounded_poll_ends_the_batch_when_bytes_are_used_up(parts: dict[str, Any]) -> None:
    assert 3 <= len(poll_all(Queue(*(record(**parts) for _ in range(100))))) <= 5


def test_bounded_poll_returns_one_when_it_exceeds_the_limit() -> None:
    queue = Queue(record(b"x" * 10 * LIMIT), record())
    assert len(poll_all(queue)) == 1
    assert queue.requested == []


def test_bounded_poll_requests_few_when_records_are_large() -> None:
    """A call returns all its messages at once, even if they are large."""
    queue = Queue(*(record(b"x" * 30_000) for _ in range(100)))
    poll_all(queue)
    assert max(queue.requested) <= 3


def test_bounded_poll_returns_at_most_max_records() -> None:
    assert [len(poll_all(Queue(*[record()] * 40), most)) for most in (1, 2, 17, 18)] == [1, 2, 17, 18]


def test_bounded_poll_drops_headers_when_there_are_too_many() -> None:
    (message,) = poll_all(Queue(record(headers=[("h", b"")] * 99_000)))
    headers = cast("Headers", message.headers())
    assert len(headers) < MAX_HEADERS
    assert int(dict(headers)[DROPPED]) + len(headers) - 1 == 99_000


@pytest.mark.parametrize(
    "headers",
    [[("trace", b"1")] * MAX_HEADERS, [("trace", b"x" * (MAX_HEADER_BYTES - 5))], [("trace", None)]],
    ids=["as many as may be", "as large as may be", "no value"],
)
def test_bounded_poll_leaves_headers_when_they_are_within_limits(headers: Headers) -> None:
    (message,) = poll_all(Queue(record(headers=headers)))
    assert message.headers() == headers


def test_limit_headers_keeps_the_first_and_the_last() -> None:
    """The last headers name the input of an answer."""
    many: Headers = [(f"h{number}", b"x") for number in range(1_000)]
    kept = limit_headers([*many, ("source", b"raw/0/1"), ("telco.dlq.topic", b"raw")])
    assert kept[0] == many[0]
    assert kept[-2:] == [("source", b"raw/0/1"), ("telco.dlq.topic", b"raw")]
    assert (DROPPED, str(1_002 - (len(kept) - 1)).encode()) in kept


@pytest.mark.parametrize("index", [0, 1, 2])
def test_limit_headers_drops_one_when_it_is_too_large(index: int) -> None:
    headers: Headers = [("a", b"1"), ("b", b"2")]
    headers.insert(index, ("large", b"x" * MAX_HEADER_BYTES))
    assert limit_headers(headers) == [*headers[:index], (DROPPED, b"1"), *headers[index + 1 :]]
