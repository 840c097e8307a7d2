"""Models of any contract that are fitted in a moment, without cross-validation, and the answers that they give."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from telco_stream.csv.reader import open_reader
from telco_stream.csv.validation import CsvFormat
from telco_stream.messages.codec import Codec, compile_contract
from telco_stream.messages.headers import SOURCE
from telco_stream.messages.record import Message
from telco_stream.model.conversion import convert
from telco_stream.model.labelled import LabelledEvents, read_labelled_events
from telco_stream.model.onnx_engine import load_onnx
from telco_stream.model.pipelines import linear
from telco_stream.model.scorer import Scorer
from telco_stream.model.sklearn_engine import frame
from telco_stream.scoring import Limits, Outcome, process
from tests.support.records import FakeRecord


def fit_to_file(path: Path, csv_format: CsvFormat) -> Scorer:
    """Fit the linear pipeline to a labelled file, and compile it."""
    codec = compile_contract(csv_format.contract)
    return fit(codec, read_labelled_events(path, csv_format, codec))


def fit(codec: Codec, data: LabelledEvents) -> Scorer:
    pipeline = linear(codec).fit(frame(codec.events, data.events), np.array(data.positive))
    return load_onnx(convert(pipeline, codec), codec, version="quick-1", threshold=0.5)


def answer(scorer: Scorer, values: Sequence[bytes | None]) -> Outcome:
    """Return the answers to records with these values; fail if one has none, or more than one."""
    records = [FakeRecord(value, offset) for offset, value in enumerate(values)]
    outcome = process(records, scorer, processed_at="2026-01-01T00:00:01Z", limits=Limits())
    answered = [*map(offset_of, outcome.prediction_messages), *map(offset_of, outcome.dead_letter_messages)]
    assert sorted(answered) == list(range(len(values)))
    return outcome


def offset_of(answer_message: Message) -> int:
    """Return the offset of the record that an answer is for."""
    source = dict(answer_message[2])[SOURCE] or b""
    return int(source.rpartition(b"/")[2])


def values_of(path: Path, csv_format: CsvFormat) -> list[bytes]:
    """Return the rows of a file as `produce` sends them."""
    with open_reader(path, csv_format) as reader:
        return [reader.layout.codec.encode(row, "2026-01-01T00:00:00Z") for row in reader.take(1_000).rows]
