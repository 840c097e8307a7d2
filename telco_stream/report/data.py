"""What the page of `report --html` shows: the report, and what a reader may want to know beside it."""

from dataclasses import dataclass

from telco_stream.dlq import letters as dead
from telco_stream.dlq.listing import LetterSummary, summarize
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.messages.record import Record
from telco_stream.report.predictions import PredictionFilter, Report, report
from telco_stream.report.run import EMPTY, Audience, OffsetRange, ReportOptions, offset_range_of, records
from telco_stream.report.trends import Trends
from telco_stream.runtime.clock import now
from telco_stream.runtime.signals import Stop

_MODEL_VERSION = "telco.dlq.model.version"


@dataclass(frozen=True, slots=True)
class ReportData:
    """A report, its shapes, the dead letters of the same period and version, and what was read for all of it.

    `as_of` is when the topics ended where they were read to.
    """

    as_of: str
    wanted: PredictionFilter
    report: Report
    trends: Trends
    letters: LetterSummary
    predictions_read: OffsetRange
    letters_read: OffsetRange


def run_report_data(clients: Clients, order: ReportOptions, *, stop: Stop, audience: Audience = EMPTY) -> ReportData:
    """The facts as the topics stand now; each is read once."""
    cluster, topics, wanted, trends = Cluster(clients, stop), clients.settings.topics, order.wanted, Trends()
    read, letters_read = (
        offset_range_of(cluster, topic, wanted.period, stop) for topic in (topics.predictions, topics.deadletter)
    )
    as_of = now()
    found = records(clients, read, stop, audience)
    told = report(found, wanted=wanted, top_k=order.top_k, looks=[trends.add, *audience.looks])
    letters = dead.Letters(
        (one for one in records(clients, letters_read, stop, audience) if _has_version(one, wanted.model_version)),
        dead.LetterFilter(since=wanted.period.since, until=wanted.period.until),
    )
    return ReportData(as_of, wanted, told, trends, summarize(letters), read, letters_read)


def _has_version(letter: Record, version: str | None) -> bool:
    """Whether it was this model's record that failed; a letter says so in a header."""
    headers = letter.headers() or ()
    return version is None or any(name == _MODEL_VERSION and value == version.encode() for name, value in headers)
