"""Snapshots of a running consumer, for the live view or a log line a minute: cheap, without requests to a broker."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from telco_stream.messages.codec import Codec
from telco_stream.messages.prediction import Prediction, main_reason, main_reason_label
from telco_stream.model.reasons.sentences import Sentences, sentence_about
from telco_stream.monitoring.protocols import BatchTimings, PartitionView, RunObserver, ViewPartitions, sample_batch
from telco_stream.report.customers import AtRisk, segment_name
from telco_stream.runtime.logs import MINUTE, list_facts, log
from telco_stream.scoring import Outcome

#: Samples kept until the next snapshot.
_MAX_KEPT = 1_024
#: Flagged predictions in a snapshot.
AT_RISK = 10


@dataclass(frozen=True, slots=True)
class ConsumerSnapshot:
    """State of a consumer, or of several together."""

    consumed: int = 0
    dead_lettered: int = 0
    #: Whether the consumer exists, and whether the group has assigned its partitions.
    reading: bool = False
    joined: bool = False
    #: Offsets between the end and the last answer of each assigned partition; None if unknown.
    lag: Mapping[int, int | None] = field(default_factory=dict)
    #: Seconds for which Kafka has been unavailable.
    unavailable_for: float | None = None
    #: Predictions of the positive label.
    flagged: int = 0
    #: Newest of those predictions that were sampled since the last snapshot, newest first.
    at_risk: tuple[AtRisk, ...] = ()
    #: Versions of the model by role, if the run follows a topic of models.
    versions: Mapping[str, str] = field(default_factory=dict)


class ConsumerStats(RunObserver):
    """Observer that takes snapshots of a consumer; one other thread may take them."""

    def __init__(
        self,
        codec: Codec,
        unavailable_for: Callable[[], float | None],
        versions: Callable[[], Mapping[str, str]] = dict,
        sentences: Callable[[], Mapping[str, Sentences]] = dict,
    ) -> None:
        """Take snapshots; `versions` returns the followed versions of the model by role.

        `sentences` returns what the reasons of the serving version say, by feature.
        """
        self._codec, self._unavailable_for = codec, unavailable_for
        self._versions, self._sentences = versions, sentences
        self._partitions: ViewPartitions | None = None
        self._consumed = self._dead_lettered = self._flagged = 0
        self._predictions: deque[Prediction] = deque(maxlen=_MAX_KEPT)

    def attach(self, partitions: ViewPartitions) -> None:
        """Include lag and assignment in the snapshots."""
        self._partitions = partitions

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:  # noqa: ARG002 - the protocol's parameters
        """Count the batch, and sample its predictions."""
        self._consumed += outcome.consumed
        self._dead_lettered += len(outcome.dead_letter_messages)
        self._flagged += outcome.flagged
        self._predictions.extend(reversed(sample_batch(outcome.predictions[::-1])))  # including the newest

    def snapshot(self) -> ConsumerSnapshot:
        """Return the current state, with the samples since the last call."""
        predictions = [self._predictions.popleft() for _ in range(len(self._predictions))]
        positive = self._codec.contract.label.positive
        flagged = [prediction for prediction in reversed(predictions) if prediction.prediction == positive]
        view = self._partitions() if self._partitions else None
        return ConsumerSnapshot(
            consumed=self._consumed,
            dead_lettered=self._dead_lettered,
            reading=view is not None,
            joined=view is not None and view.joined,
            lag=_lag(view) if view else {},
            unavailable_for=self._unavailable_for(),
            flagged=self._flagged,
            at_risk=tuple(map(self._at_risk, flagged[:AT_RISK])),
            versions=self._versions(),
        )

    def _at_risk(self, prediction: Prediction) -> AtRisk:
        attributes = self._codec.predictions.attributes
        segments = {name: segment_name(getattr(prediction, attributes[name])) for name in self._codec.contract.segments}
        reason = main_reason(prediction, flagged=True)
        meaning = sentence_about(self._sentences(), reason.feature, reason.contribution) if reason else ""
        return AtRisk(prediction.key, prediction.probability, segments, main_reason_label(prediction), meaning)


class ProgressLog(RunObserver):
    """Observer that logs each minute how many records were answered, how many of them are dead letters, and the lag."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minute_started = clock()
        self._partitions: ViewPartitions | None = None
        self._answered = self._dead_lettered = 0

    def attach(self, partitions: ViewPartitions) -> None:
        """Include the lag."""
        self._partitions = partitions

    def on_poll(self) -> None:
        """Log the last minute when it is over."""
        now = self._clock()
        seconds = round(now - self._minute_started)
        if now - self._minute_started < MINUTE:
            return
        lags = list(_lag(self._partitions()).values()) if self._partitions else []
        lag = sum(filter(None, lags)) if None not in lags else None
        facts = {"answered": self._answered, "dead_lettered": self._dead_lettered, "lag": lag, "seconds": seconds}
        log.info("progress %s", list_facts(facts), extra={"event": "progress", "facts": facts})
        self._minute_started, self._answered, self._dead_lettered = now, 0, 0

    def on_committed(self, outcome: Outcome, timings: BatchTimings) -> None:  # noqa: ARG002 - the protocol's parameters
        """Count the batch."""
        self._answered += outcome.consumed
        self._dead_lettered += len(outcome.dead_letter_messages)


def _lag(view: PartitionView) -> dict[int, int | None]:
    answered, ends = view.answered, view.end_offsets
    known = answered.keys() & ends.keys()
    return {
        partition: max(0, ends[partition] - answered[partition]) if partition in known else None
        for partition in sorted(view.assigned)
    }
