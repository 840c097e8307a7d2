"""What one batch may hold: records, bytes, headers."""

from typing import Any, cast

import pytest
from confluent_kafka import Message

from telco_stream.kafka.polling import BoundedPoll
from telco_stream.messages.headers import DROPPED, MAX_HEADER_BYTES, MAX_HEADERS, limit_headers
from telco_stream.messages.record import Headers

LIMIT = 100_000


class Queue:
    """A client's queue; keeps how many messages each call asked for."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.asked: list[int] = []

    def poll(self, _timeout: float) -> Message | None:
        return self.messages.pop(0) if self.messages else None

    def consume(self, number: int, _timeout: float) -> list[Message]:
        self.asked.append(number)
        taken, self.messages[:] = self.messages[:number], self.messages[number:]
        return taken


def record(value: bytes = b"", key: bytes = b"", headers: Headers | None = None) -> Message:
    return Message("raw", value=value, key=key, headers=cast("Any", headers))


def taken(queue: Queue, most: int = 1_000) -> list[Message]:
    polling = BoundedPoll(cast("Any", queue), LIMIT)
    first = polling.poll(0)
    return [] if first is None else [first, *polling.consume_arrived(most - 1)]


def test_bounded_poll_takes_all_when_records_are_small() -> None:
    queue = Queue(*(record(b"x" * 50) for _ in range(1_000)))
    assert len(taken(queue)) == 1_000
    assert queue.asked == [128] * 7 + [103]


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
    assert 3 <= len(taken(Queue(*(record(**parts) for _ in range(100))))) <= 5


def test_bounded_poll_takes_one_when_it_is_larger_than_the_limit() -> None:
    queue = Queue(record(b"x" * 10 * LIMIT), record())
    assert len(taken(queue)) == 1
    assert queue.asked == []


def test_bounded_poll_asks_for_few_when_records_are_large() -> None:
    """A call returns all its messages at once, however large they are."""
    queue = Queue(*(record(b"x" * 30_000) for _ in range(100)))
    taken(queue)
    assert max(queue.asked) <= 3


def test_bounded_poll_never_takes_more_records_than_asked_for() -> None:
    assert [len(taken(Queue(*[record()] * 40), most)) for most in (1, 2, 17, 18)] == [1, 2, 17, 18]


def test_bounded_poll_drops_headers_when_there_are_too_many() -> None:
    (message,) = taken(Queue(record(headers=[("h", b"")] * 99_000)))
    headers = cast("Headers", message.headers())
    assert len(headers) < MAX_HEADERS
    assert int(dict(headers)[DROPPED]) + len(headers) - 1 == 99_000


@pytest.mark.parametrize(
    "headers",
    [[("trace", b"1")] * MAX_HEADERS, [("trace", b"x" * (MAX_HEADER_BYTES - 5))], [("trace", None)]],
    ids=["as many as may be", "as large as may be", "no value"],
)
def test_bounded_poll_leaves_headers_when_they_are_within_limits(headers: Headers) -> None:
    (message,) = taken(Queue(record(headers=headers)))
    assert message.headers() == headers


def test_limit_headers_keeps_the_first_and_the_last() -> None:
    """The last are this project's own, by which an answer names its input."""
    many: Headers = [(f"h{number}", b"x") for number in range(1_000)]
    kept = limit_headers([*many, ("source", b"raw/0/1"), ("telco.dlq.topic", b"raw")])
    assert kept[0] == many[0]
    assert kept[-2:] == [("source", b"raw/0/1"), ("telco.dlq.topic", b"raw")]
    assert (DROPPED, str(1_002 - (len(kept) - 1)).encode()) in kept


@pytest.mark.parametrize("place", [0, 1, 2])
def test_limit_headers_drops_one_when_it_is_too_large(place: int) -> None:
    headers: Headers = [("a", b"1"), ("b", b"2")]
    headers.insert(place, ("large", b"x" * MAX_HEADER_BYTES))
    assert limit_headers(headers) == [*headers[:place], (DROPPED, b"1"), *headers[place + 1 :]]
