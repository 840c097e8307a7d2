"""Log lines per event and minute are limited and counted."""

from dataclasses import dataclass

from telco_stream.runtime.logs import LogThrottle, SuppressedLines


@dataclass
class Clock:
    """A clock that the test sets."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_throttle_allows_ten_lines_per_event_and_minute() -> None:
    throttle = LogThrottle(Clock())
    assert [throttle.allows("lost") for _ in range(12)] == [True] * 10 + [False] * 2
    assert throttle.allows("kafka_unavailable"), "another event"


def test_throttle_counts_suppressed_lines_when_minute_ends() -> None:
    throttle = LogThrottle(clock := Clock())
    for _ in range(500):
        throttle.allows("lost")
    clock.now = 59.0
    assert throttle.take_suppressed() == []
    clock.now = 61.0
    assert throttle.take_suppressed() == [SuppressedLines("lost", 490, 61)]
    assert throttle.take_suppressed() == []
    assert throttle.allows("lost"), "a new minute"


def test_throttle_counts_suppressed_lines_when_forced() -> None:
    throttle = LogThrottle(Clock())
    for _ in range(11):
        throttle.allows("lost")
    assert throttle.take_suppressed(force=True) == [SuppressedLines("lost", 1, 0)]


def test_throttle_counts_nothing_when_nothing_was_suppressed() -> None:
    throttle = LogThrottle(clock := Clock())
    for _ in range(10):
        throttle.allows("lost")
    clock.now = 61.0
    assert throttle.take_suppressed() == []
