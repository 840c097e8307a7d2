"""What would be said too often is counted, each event by itself."""

from dataclasses import dataclass

from telco_stream.runtime.throttle import LeftOut, LogThrottle


@dataclass
class Clock:
    """Time as the test sets it."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_ten_lines_of_an_event_are_let_through_in_a_minute() -> None:
    throttle = LogThrottle(Clock())
    assert [throttle.allows("lost") for _ in range(12)] == [True] * 10 + [False] * 2
    assert throttle.allows("kafka_unavailable"), "another event"


def test_what_was_left_out_is_told_when_the_minute_is_over_and_once() -> None:
    throttle = LogThrottle(clock := Clock())
    for _ in range(500):
        throttle.allows("lost")
    clock.now = 59.0
    assert throttle.left_out() == []
    clock.now = 61.0
    assert throttle.left_out() == [LeftOut("lost", 490, 61)]
    assert throttle.left_out() == []
    assert throttle.allows("lost"), "a new minute"


def test_at_the_end_nobody_waits_for_the_minute() -> None:
    throttle = LogThrottle(Clock())
    for _ in range(11):
        throttle.allows("lost")
    assert throttle.left_out(at_once=True) == [LeftOut("lost", 1, 0)]


def test_events_that_do_not_flood_leave_nothing_to_tell() -> None:
    throttle = LogThrottle(clock := Clock())
    for _ in range(10):
        throttle.allows("lost")
    clock.now = 61.0
    assert throttle.left_out() == []
