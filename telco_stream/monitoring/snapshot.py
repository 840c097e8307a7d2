"""What a consumer at work looks like, for whoever draws it: next to nothing for each batch, no question to a broker."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from telco_stream.messages.prediction import CHURN, Prediction
from telco_stream.monitoring.health import PartitionView
from telco_stream.monitoring.protocols import BatchTimings
from telco_stream.report.analytics import AtRisk
from telco_stream.scoring import Outcome

#: Answers of a batch that are looked at, and the most that wait to be.
_SAMPLES = 64
_WAITING = 1_024
#: Customers at risk in one glimpse.
AT_RISK = 10


class ConsumerView(PartitionView, Protocol):
    """What can be seen of whoever reads the topic."""

    @property
    def cached_end_offsets(self) -> Mapping[int, int]:
        """Where they end, as far as that is known without asking."""


@dataclass(frozen=True, slots=True)
class ConsumerSnapshot:
    """One look at a consumer, or at several together."""

    consumed: int = 0
    dead_lettered: int = 0
    #: Whether the topic is being read, and whether the group has given out its partitions.
    reading: bool = False
    joined: bool = False
    #: Offsets between the end and what is answered, of each partition owned; None where that is unknown.
    lag: Mapping[int, int | None] = field(default_factory=dict)
    #: Seconds for which Kafka has been away.
    unavailable_for: float | None = None
    #: Of some answers since the last look: how many, how many of them Yes, and the newest of these, newest first.
    sampled: int = 0
    sampled_yes: int = 0
    at_risk: tuple[AtRisk, ...] = ()


class ConsumerStats:
    """Looks on at one consumer; may be asked for a glimpse from another thread, by one who asks."""

    def __init__(self, unavailable_for: Callable[[], float | None]) -> None:
        self._away = unavailable_for
        self._source: ConsumerView | None = None
        self._consumed = self._dead_lettered = 0
        self._answers: deque[Prediction] = deque(maxlen=_WAITING)

    def on(self, source: ConsumerView) -> None:
        """The topic is read from there."""
        self._source = source

    def on_poll(self) -> None:
        """Nothing new."""

    def on_committed(self, outcome: Outcome, seconds: BatchTimings) -> None:  # noqa: ARG002 - as `consume` calls it
        """A batch is committed."""
        self._consumed += outcome.consumed
        self._dead_lettered += len(outcome.dead_letter_messages)
        self._answers.extend(_spaced(outcome.predictions))

    def snapshot(self) -> ConsumerSnapshot:
        """How it looks now."""
        answers = [self._answers.popleft() for _ in range(len(self._answers))]
        yes = [one for one in reversed(answers) if one.prediction == CHURN]
        source = self._source
        return ConsumerSnapshot(
            consumed=self._consumed,
            dead_lettered=self._dead_lettered,
            reading=source is not None,
            joined=source is not None and source.joined,
            lag=_lag(source) if source else {},
            unavailable_for=self._away(),
            sampled=len(answers),
            sampled_yes=len(yes),
            at_risk=tuple(map(_at_risk, yes[:AT_RISK])),
        )


def _spaced(answers: Sequence[Prediction]) -> Sequence[Prediction]:
    """Up to 64 of them, evenly spaced, the newest among them."""
    step = -(-len(answers) // _SAMPLES) or 1
    return answers[(len(answers) - 1) % step :: step]


def _lag(source: ConsumerView) -> dict[int, int | None]:
    assigned = source.assigned
    answered, ends = source.answered, source.cached_end_offsets
    known = answered.keys() & ends.keys()
    return {one: max(0, ends[one] - answered[one]) if one in known else None for one in sorted(assigned)}


def _at_risk(answer: Prediction) -> AtRisk:
    return AtRisk(answer.customerID, answer.churn_probability, answer.Contract, answer.InternetService)
