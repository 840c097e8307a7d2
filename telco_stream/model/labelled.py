"""Labelled events: the rows of a CSV file with a label in each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from telco_stream.contract.events import BAD_DATA, Event
from telco_stream.contract.rows import Row, RowCodec
from telco_stream.csv.header import log_ignored_columns
from telco_stream.csv.reader import STRIDE, count_lines_after_header, fingerprint, open_reader
from telco_stream.csv.validation import CsvFormat
from telco_stream.errors import DataError
from telco_stream.messages.codec import Codec

#: Called with the name of the stage, the number of completed steps, and the number of all steps.
ReportStage: TypeAlias = Callable[[str, int, int], None]

#: The model does not use the time of the event, but the decoder requires one.
_EVENT_TS = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class LabelledEvents:
    """Events, whether each of them has the positive label, and the sha256 of the file."""

    events: list[Event]
    positive: list[bool]
    sha256: str


def read_labelled_events(
    path: Path, csv_format: CsvFormat, codec: Codec, progress: ReportStage = lambda *_: None
) -> LabelledEvents:
    """Read all rows of the file; raises DataError with the line of a malformed or unlabelled row."""
    total = count_lines_after_header(path, csv_format.delimiter)
    progress("reading", 0, total)
    data = LabelledEvents([], [], fingerprint(path))
    with open_reader(path, csv_format) as reader:
        log_ignored_columns(reader.layout, csv_format)
        while (chunk := reader.take(STRIDE)).rows:
            decode = partial(_decode, path, reader.layout.codec, codec)
            data.events.extend(map(decode, chunk.lines, chunk.rows))
            data.positive.extend(row.label == codec.contract.label.positive for row in chunk.rows)
            progress("reading", len(data.events), total)
    return data


def _decode(path: Path, rows: RowCodec, codec: Codec, line: int, row: Row) -> Event:
    label, value = codec.contract.label, rows.encode(row, _EVENT_TS)
    if row.label not in {label.positive, label.negative}:
        raise DataError(
            f"{path}, line {line}: {label.name} is neither {label.positive} nor {label.negative}; give "
            "every row a label"
        )
    try:
        return codec.events.decode(value)
    except BAD_DATA as error:
        raise DataError(f"{path}, line {line}: {codec.events.explain(value, error)[2]}") from None
