"""What one who looks on sees of a consumer, and of several together, from what they say of themselves."""

from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from telco_stream.consume.workers.aggregate import WorkerAggregator
from telco_stream.consume.workers.messages import BatchCommitted, LogLine
from telco_stream.messages.prediction import Prediction
from telco_stream.messages.record import Message
from telco_stream.monitoring.protocols import BatchTimings
from telco_stream.monitoring.snapshot import ConsumerSnapshot, ConsumerStats
from telco_stream.report.analytics import AtRisk
from telco_stream.scoring import Outcome

TIME = "2026-01-01T00:00:00Z"
MESSAGE: Message = ("a", b"", [])


@dataclass
class Partitions:
    """What is seen of whoever reads the topic."""

    answered: dict[int, int] = field(default_factory=dict)
    cached_end_offsets: dict[int, int] = field(default_factory=dict)
    assigned: frozenset[int] = frozenset()
    joined: bool = True
    rebalances: int = 0
    refusal: str | None = None
    expired_unanswered: int = 0


def answer(name: str, prediction: Literal["Yes", "No"] = "Yes") -> Prediction:
    return Prediction(name, 0.75, prediction, TIME, TIME, "v1", "One year", "DSL")


def risky(name: str) -> AtRisk:
    return AtRisk(name, 0.75, "One year", "DSL")


def on_committed(sight: ConsumerStats, *answers: Prediction, letters: int = 0) -> None:
    outcome = Outcome([MESSAGE] * len(answers), [MESSAGE] * letters, list(answers), [], {}, 0, 0)
    sight.on_committed(outcome, BatchTimings(0.0, 0.0))


def nobody() -> None:
    return None


def test_before_anything_is_read_there_is_nothing_to_see() -> None:
    assert ConsumerStats(nobody).snapshot() == ConsumerSnapshot()


def test_what_is_committed_is_counted_and_those_at_risk_are_named_newest_first() -> None:
    sight = ConsumerStats(lambda: 2.5)
    on_committed(sight, answer("a"), answer("b", "No"), letters=1)
    on_committed(sight, answer("c"))
    assert sight.snapshot() == ConsumerSnapshot(
        consumed=4, dead_lettered=1, unavailable_for=2.5, sampled=3, sampled_yes=2, at_risk=(risky("c"), risky("a"))
    )


def test_nobody_is_named_twice() -> None:
    sight = ConsumerStats(nobody)
    on_committed(sight, answer("a"))
    sight.snapshot()
    assert sight.snapshot() == ConsumerSnapshot(consumed=1)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 128, 5_000])
def test_of_a_large_batch_64_are_looked_at_and_the_newest_is_among_them(size: int) -> None:
    sight = ConsumerStats(nobody)
    on_committed(sight, *(answer(str(number)) for number in range(size)))
    seen = sight.snapshot()
    assert min(size, 33) <= seen.sampled <= 64
    assert seen.at_risk[0] == risky(str(size - 1))
    assert len(seen.at_risk) <= 10


def test_a_flood_that_nobody_looks_at_takes_no_memory() -> None:
    sight = ConsumerStats(nobody)
    for number in range(3_000):
        on_committed(sight, answer(str(number)))
    assert sight.snapshot().sampled == 1_024


def test_lag_is_what_lies_between_the_answers_and_the_end_where_both_are_known() -> None:
    sight = ConsumerStats(nobody)
    assigned = frozenset({0, 1, 2, 3})
    sight.attach(Partitions({0: 5, 1: 7, 3: 9}, {0: 8, 2: 4, 3: 9}, assigned))
    seen = sight.snapshot()
    assert seen.lag == {0: 3, 1: None, 2: None, 3: 0}
    assert (seen.reading, seen.joined) == (True, True)


def test_an_end_seen_before_the_newest_answers_makes_no_lag_below_zero() -> None:
    sight = ConsumerStats(nobody)
    sight.attach(Partitions({0: 9}, {0: 8}, frozenset({0})))
    assert sight.snapshot().lag == {0: 0}


def test_several_are_seen_as_one() -> None:
    crowd = WorkerAggregator(lambda _: None)
    one = ConsumerSnapshot(reading=True, lag={0: 3}, sampled=2, sampled_yes=1, at_risk=(risky("a"),))
    crowd.handle(0, one)
    crowd.handle(0, replace(one, joined=True, lag={0: 2}, at_risk=(risky("b"),)))
    crowd.handle(1, replace(one, lag={1: None}, unavailable_for=4.0, at_risk=(risky("c"),)))
    crowd.handle(0, BatchCommitted(10, 8, 2))
    crowd.handle(1, BatchCommitted(5, 5, 0))
    seen = crowd.snapshot()
    assert (seen.consumed, seen.dead_lettered, seen.reading, seen.joined, seen.unavailable_for) == (
        15,
        2,
        True,
        True,
        4.0,
    )
    assert seen.lag == {0: 2, 1: None}
    assert (seen.sampled, seen.sampled_yes) == (6, 3)
    assert seen.at_risk == (risky("b"), risky("a"), risky("c"))
    again = crowd.snapshot()
    assert (again.sampled, again.sampled_yes, again.at_risk, again.lag) == (0, 0, (), {0: 2, 1: None})


def test_one_that_has_ended_is_seen_no_more_but_what_it_did_still_counts() -> None:
    crowd = WorkerAggregator(lambda _: None)
    crowd.handle(0, ConsumerSnapshot(consumed=3, lag={0: 3}))
    crowd.handle(0, BatchCommitted(3, 3, 0))
    crowd.remove(0)
    assert crowd.snapshot() == ConsumerSnapshot(consumed=3)


def test_what_one_of_several_logs_is_passed_on() -> None:
    said: list[str] = []
    WorkerAggregator(said.append).handle(0, LogLine("a line"))
    assert said == ["a line"]
