"""One run of `drift`: compares a period of the raw topic with the records that the model was trained on."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from telco_stream.contract.events import BAD_DATA, Event, EventBatch
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import read
from telco_stream.messages.record import Record
from telco_stream.model.drift.estimate import expected_quality
from telco_stream.model.drift.results import MIN_RECORDS, DriftResult, ExpectedQuality, FeatureDrift
from telco_stream.model.drift.tracking import DriftTracker
from telco_stream.model.drift.windows import BLOCK, Block, windows
from telco_stream.model.features import feature_table
from telco_stream.model.manifest import Metrics
from telco_stream.model.scorer import Scorer, score_each
from telco_stream.report.run import offsets_of
from telco_stream.runtime.clock import rfc3339
from telco_stream.runtime.humanize import to_datetime
from telco_stream.runtime.period import Period, to_timestamp
from telco_stream.runtime.signals import Stop


@dataclass(frozen=True, slots=True)
class DriftOptions:
    """Options of one run of `drift`; `on_read` is called with the number of records of each batch."""

    period: Period
    #: Metrics of the model in training.
    metrics: Metrics
    #: Largest number of records of a window; None for that of the baseline.
    window: int | None = None
    on_read: Callable[[int], None] = lambda _records: None


def run_drift(
    clients: Clients, scorer: Scorer, tracker: DriftTracker, options: DriftOptions, *, stop: Stop
) -> DriftResult:
    """Compare the records of the period window by window."""
    counts, metrics = _BlockCounts(scorer, tracker, options.period), options.metrics
    for records in _read(clients, options, stop):
        counts.add(records)
    blocks = counts.finish()
    size = min(options.window or tracker.largest_window, tracker.largest_window)
    compared = [window for window in windows(blocks, size) if window.records >= MIN_RECORDS]
    features: dict[str, FeatureDrift] = {}
    for window in compared:
        for feature in tracker.add(window.counts, window.started).features:
            features[feature.feature] = _choose(features.get(feature.feature, feature), feature, window.started)
    return DriftResult(
        model_version=scorer.version,
        baseline_records=tracker.largest_window,
        records=sum(block.records for block in blocks),
        rejected=counts.rejected,
        first=rfc3339(to_datetime(min(block.started for block in blocks))) if blocks else None,
        windows=len(compared),
        window_records=max((window.records for window in compared), default=0),
        drifted=[feature.feature for feature in features.values() if feature.drifted],
        features=sorted(features.values(), key=lambda feature: (-feature.windows, -feature.psi / feature.limit)),
        quality=expected_quality(counts.scores, scorer.threshold) if compared and counts.scores else None,
        quality_in_training=ExpectedQuality(metrics.roc_auc, metrics.precision, metrics.recall, metrics.brier),
    )


def _choose(before: FeatureDrift, now: FeatureDrift, started: float) -> FeatureDrift:
    """Return the feature in the window that began at `started`, or in the last one of a drift that has ended."""
    if now.drifted or not before.drifted:
        return now
    return replace(before, until=before.until or rfc3339(to_datetime(started)))


class _BlockCounts:
    """Decodes and scores records, and counts them by bin in blocks of one partition."""

    def __init__(self, scorer: Scorer, tracker: DriftTracker, period: Period) -> None:
        self._scorer, self._tracker, self._bounds = scorer, tracker, period.bounds()
        self._pending: defaultdict[int, list[tuple[float, Event]]] = defaultdict(list)
        self._blocks: list[Block] = []
        #: Probabilities of all records.
        self.scores = array("d")
        #: Records of the period that don't follow the contract.
        self.rejected = 0

    def add(self, records: Sequence[Record]) -> None:
        """Count the records of the period."""
        decode, (first, last) = self._scorer.codec.events.decode, self._bounds
        for record in records:
            written = _time_of(record)
            if written is not None and not first <= written < last:
                continue
            try:
                event = decode(record.value())
            except BAD_DATA:
                self.rejected += 1
                continue
            time = to_timestamp(event.event_ts) if written is None else written
            if first <= time < last:
                pending = self._pending[record.partition()]
                pending.append((time, event))
                if len(pending) == BLOCK:
                    self._count(record.partition())

    def finish(self) -> list[Block]:
        """Count the records that do not fill a block, and return all blocks."""
        for partition in list(self._pending):
            self._count(partition)
        return self._blocks

    def _count(self, partition: int) -> None:
        pending = self._pending.pop(partition)
        events = EventBatch(event for _, event in pending)
        table = feature_table(self._scorer.codec.events, events)
        scores = score_each(self._scorer, events)
        self.scores.extend(score for score in scores if 0.0 <= score <= 1.0)
        counts = self._tracker.counter.count([table], scores)
        self._blocks.append(Block(min(time for time, _ in pending), len(pending), counts))


def _read(clients: Clients, options: DriftOptions, stop: Stop) -> Iterator[list[Record]]:
    """Yield the records of the raw topic that may have been written in the period."""
    cluster = Cluster(clients, stop)
    offsets = offsets_of(cluster, clients.settings.topics.raw, options.period)
    for batch in read(cluster, offsets.topic, starts=offsets.starts, ends=offsets.ends):
        yield batch
        options.on_read(len(batch))


def _time_of(record: Record) -> float | None:
    """Return the time of the record in seconds since 1970, None if the broker stores none."""
    kind, milliseconds = record.timestamp()
    return milliseconds / 1_000 if kind else None
