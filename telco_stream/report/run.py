"""One run of `report`: reads the period's predictions, and for the HTML page also its dead letters."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from telco_stream.dlq import letters as dead_letters
from telco_stream.dlq.listing import LetterSummary, summarize
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import read, settled_ends
from telco_stream.messages.record import Record
from telco_stream.report.predictions import ALL, OnPrediction, PredictionFilter, Report, report
from telco_stream.report.trends import Trends
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.period import Period
from telco_stream.runtime.signals import Stop

#: Maximum difference in milliseconds between the clocks of consumer and broker.
_MAX_CLOCK_SKEW = 60_000
_MODEL_VERSION = "telco.dlq.model.version"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Options of one run of `report`; `on_read` is called with the number of records of each batch."""

    top_k: int = 10
    criteria: PredictionFilter = ALL
    on_prediction: Sequence[OnPrediction] = ()
    on_read: Callable[[int], None] = lambda _records: None


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Offsets that were read of a topic, by partition: from `starts` up to, not including, `ends`."""

    topic: str
    starts: dict[int, int]
    ends: dict[int, int]


@dataclass(frozen=True, slots=True)
class ReportData:
    """Contents of the HTML page; `letters` are of the same period and model version.

    `as_of` is the time at which the end offsets were queried.
    """

    as_of: str
    criteria: PredictionFilter
    report: Report
    trends: Trends
    letters: LetterSummary
    predictions_read: OffsetRange
    letters_read: OffsetRange


def run_report(clients: Clients, options: ReportOptions, *, stop: Stop) -> Report:
    """Aggregate the matching predictions that the topic holds now."""
    topic = clients.settings.topics.predictions
    offsets = _offsets_of(Cluster(clients, stop), topic, options.criteria.period, stop)
    return report(
        _records(clients, offsets, options, stop),
        criteria=options.criteria,
        top_k=options.top_k,
        on_prediction=options.on_prediction,
    )


def run_report_data(clients: Clients, options: ReportOptions, *, stop: Stop) -> ReportData:
    """Collect the contents of the HTML page; each topic is read once."""
    cluster, topics, criteria, trends = Cluster(clients, stop), clients.settings.topics, options.criteria, Trends()
    predictions_read, letters_read = (
        _offsets_of(cluster, topic, criteria.period, stop) for topic in (topics.predictions, topics.deadletter)
    )
    as_of = utc_timestamp()
    result = report(
        _records(clients, predictions_read, options, stop),
        criteria=criteria,
        top_k=options.top_k,
        on_prediction=[trends.add, *options.on_prediction],
    )
    letter_records = _records(clients, letters_read, options, stop)
    letters = dead_letters.Letters(
        (record for record in letter_records if _has_version(record, criteria.model_version)),
        dead_letters.LetterFilter(since=criteria.period.since, until=criteria.period.until),
    )
    return ReportData(as_of, criteria, result, trends, summarize(letters), predictions_read, letters_read)


def _offsets_of(cluster: Cluster, topic: str, period: Period, stop: Stop) -> OffsetRange:
    """Return the offsets that can hold answers of the period; an answer's record is never older than the answer."""
    partitions = cluster.partitions(topic)[topic]
    ends = settled_ends(cluster, topic, partitions, stop)
    starts = cluster.starts(topic, ends)
    # The embedded broker doesn't store record times.
    if period.since is not None and not cluster.is_embedded():
        milliseconds = max(0, int(period.since.timestamp() * 1_000) - _MAX_CLOCK_SKEW)
        offsets = cluster.offsets_at(topic, ends, milliseconds)
        starts = {partition: offset if offset >= 0 else ends[partition] for partition, offset in offsets.items()}
    return OffsetRange(topic, starts, ends)


def _records(clients: Clients, offsets: OffsetRange, options: ReportOptions, stop: Stop) -> Iterator[Record]:
    for batch in read(clients, offsets.topic, stop=stop, starts=offsets.starts, ends=offsets.ends):
        yield from batch
        options.on_read(len(batch))


def _has_version(letter: Record, version: str | None) -> bool:
    """Return whether the letter's header names this model version; without a version, any letter matches."""
    headers = letter.headers() or ()
    return version is None or any(name == _MODEL_VERSION and value == version.encode() for name, value in headers)
