"""One run of `report` or `predictions show`, and the output files of `report`.

`report` reads the predictions of the period, and for the HTML page also its dead letters. The output files are opened
before anything is read, and are complete or absent.
"""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from telco_stream.dlq.letters import LetterFilter, Letters
from telco_stream.dlq.listing import LetterSummary, summarize
from telco_stream.dlq.run import StateOptions, read_states
from telco_stream.errors import DataError, UsageError
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.kafka.reading import read, settled_ends, starts_since
from telco_stream.messages.headers import parse_position
from telco_stream.messages.prediction import CONTROL, Prediction, PredictionCodec
from telco_stream.messages.record import Record
from telco_stream.model.quality import QualityResult
from telco_stream.report.lookup import FoundPrediction, Lookup, LookupOptions, Search
from telco_stream.report.predictions import PredictionFilter, Report, ReportOptions, report
from telco_stream.report.trends import Trends
from telco_stream.runtime.clock import utc_timestamp
from telco_stream.runtime.files import STDOUT, open_output
from telco_stream.runtime.period import ALWAYS, Period
from telco_stream.runtime.signals import Stop

_MODEL_VERSION = "telco.dlq.model.version"
#: Predictions of one customer among which that of a record is searched.
_MOST_PREDICTIONS = 10_000
#: Spreadsheets run a text that begins with one of these characters as a formula.
_FORMULA = frozenset("=+-@\t\r\n")


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
    #: Quality by the outcomes of the predictions; None without outcomes.
    quality: QualityResult | None = None


def run_report(clients: Clients, options: ReportOptions, *, stop: Stop) -> Report:
    """Aggregate the matching predictions that the topic holds now."""
    cluster, topic = Cluster(clients, stop), clients.settings.topics.predictions
    offsets = offsets_of(cluster, topic, options.previous or options.criteria.period)
    return report(_records(cluster, offsets, options), options)


def run_lookup(clients: Clients, options: LookupOptions, *, stop: Stop) -> Lookup:
    """Find the customer's newest predictions among the records that the topic holds now."""
    cluster, topic = Cluster(clients, stop), clients.settings.topics.predictions
    offsets = offsets_of(cluster, topic, ALWAYS)
    search = Search(options, offsets.starts, offsets.ends)
    while starts := search.next_block():
        for batch in read(cluster, topic, starts=starts, ends=search.unread):
            search.add(batch)
            options.on_read(len(batch))
        search.end_block(starts)
    return search.result()


def read_source(clients: Clients, source: str, *, stop: Stop) -> Record:
    """Return the record at `TOPIC/PARTITION/OFFSET`; raise `DataError` if the topic does not have it."""
    position = parse_position(source.encode(errors="replace"))
    if position is None or position.topic is None:
        raise UsageError(f"{source} is not a position: give TOPIC/PARTITION/OFFSET, as in the header `source`")
    cluster, topic, partition, offset = Cluster(clients, stop), position.topic, position.partition, position.offset
    if partition < cluster.partitions(topic)[topic]:
        start, end = cluster.starts(topic, [partition])[partition], cluster.ends(topic, [partition])[partition]
        if start <= offset < end:
            for batch in read(cluster, topic, starts={partition: offset}, ends={partition: offset + 1}):
                for record in batch:
                    return record
    raise DataError(f"There is no record at {source}: retention may have deleted it, or it is a transaction marker")


def find_prediction(
    clients: Clients, options: LookupOptions, source: str | None = None, *, stop: Stop
) -> FoundPrediction:
    """Return the newest prediction of the customer, or the newest of this source; raise `DataError` without one."""
    if source is not None:
        options = replace(options, limit=_MOST_PREDICTIONS)
    lookup = run_lookup(clients, options, stop=stop)
    for found in lookup.predictions:
        if source is None or found.source == source:
            return found
    raise DataError(
        f"No prediction of {source or f'{options.contract.entity} {options.customer}'} was found in the"
        f" {'' if lookup.is_complete else 'newest '}{lookup.records:,} records of the topic"
        f"{'' if lookup.is_complete else '; --records 0 searches all of them'}: is it a dead letter"
        " (telco-stream dlq list), or not answered yet?"
    )


def run_report_data(clients: Clients, options: ReportOptions, *, stop: Stop) -> ReportData:
    """Collect the contents of the HTML page; read the dead letters for their states, and again to count them."""
    cluster, topics, criteria = Cluster(clients, stop), clients.settings.topics, options.criteria
    trends = Trends(options.contract.label.positive)
    predictions_read = offsets_of(cluster, topics.predictions, options.previous or criteria.period)
    letters_read = offsets_of(cluster, topics.deadletter, criteria.period)
    as_of = utc_timestamp()
    with_trends = replace(options, on_prediction=[trends.add, *options.on_prediction])
    result = report(_records(cluster, predictions_read, options), with_trends)
    state_options = StateOptions(on_read=options.on_read)
    candidates = _letters(cluster, letters_read, options)
    _, states = read_states(cluster, candidates, letters_read.ends, state_options)
    letters = summarize(_letters(cluster, letters_read, options), states)
    return ReportData(as_of, criteria, result, trends, letters, predictions_read, letters_read)


@contextmanager
def open_outputs(*paths: Path | None) -> Iterator[list[BinaryIO | None]]:
    """Open a file, or stdout for `-`, for each path.

    Raises `UsageError` if one can't be written or two paths are the same file.
    """
    resolved = [path.resolve() for path in paths if path]
    if len(set(resolved)) < len(resolved):
        name = "stdout (`-`)" if STDOUT in paths else resolved[0]
        raise UsageError(f"Two output files can't both be {name}; give each a different name")
    with ExitStack() as files:
        yield [files.enter_context(open_output(path)) if path else None for path in paths]


class PredictionTable:
    """CSV table of predictions with a header line: RFC 4180 in UTF-8. The last column is `control`, true or empty.

    Nothing is written before the first prediction or `finish`, so that stdout stays empty if the topic can't be read.
    """

    def __init__(self, file: BinaryIO, codec: PredictionCodec) -> None:
        self._names = codec.names if CONTROL in codec.names else (*codec.names, CONTROL)
        self._values_of = attrgetter(*(codec.attributes.get(name, name) for name in self._names))
        self._write = csv.writer(codecs.getwriter("utf-8")(file, "backslashreplace")).writerow
        self._has_header = False

    def add(self, prediction: Prediction, _time: float) -> None:
        """Write a prediction."""
        self.finish()
        self._write([harmless(value) for value in self._values_of(prediction)])

    def finish(self) -> None:
        """Write the header, unless that has been done: a table without predictions has it too."""
        if not self._has_header:
            self._write(self._names)
            self._has_header = True


def harmless(value: str | float) -> str | float:
    """Return the value for a spreadsheet: texts that it would run as a formula get an apostrophe in front.

    Booleans are written as in JSON.
    """
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value


def csv_line(values: Iterable[str | float]) -> str:
    """Return one line of a table without its line end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(map(harmless, values))
    return text.getvalue()


def offsets_of(cluster: Cluster, topic: str, period: Period) -> OffsetRange:
    """Return the offsets that can hold records or answers of the period; an answer's record is never older than it."""
    partitions = cluster.partitions(topic)[topic]
    ends = settled_ends(cluster, topic, partitions)
    if period.since is None:
        starts = cluster.starts(topic, ends)
    else:
        starts = starts_since(cluster, topic, ends, int(period.since.timestamp() * 1_000))
    return OffsetRange(topic, starts, ends)


def _records(cluster: Cluster, offsets: OffsetRange, options: ReportOptions) -> Iterator[Record]:
    for batch in read(cluster, offsets.topic, starts=offsets.starts, ends=offsets.ends):
        yield from batch
        options.on_read(len(batch))


def _letters(cluster: Cluster, offsets: OffsetRange, options: ReportOptions) -> Letters:
    """Return the dead letters of the period and of the model version, without those of outcomes."""
    criteria, outcomes = options.criteria, cluster.clients.settings.topics.outcomes
    records = _records(cluster, offsets, options)
    return Letters(
        (record for record in records if _has_version(record, criteria.model_version)),
        LetterFilter(since=criteria.period.since, until=criteria.period.until),
        lambda letter: letter.source_topic != outcomes,
    )


def _has_version(letter: Record, version: str | None) -> bool:
    """Return whether the letter's header names this model version; without a version, any letter matches."""
    headers = letter.headers() or ()
    return version is None or any(name == _MODEL_VERSION and value == version.encode() for name, value in headers)
