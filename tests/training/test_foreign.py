"""Data sets of other schemas, from file to report: infer, train and run the pipeline on a real Kafka."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import joblib
import pandas as pd
import pytest

from telco_stream.contract.document import decode_contract
from telco_stream.csv.infer_options import InferOptions
from telco_stream.csv.inference import infer_contract
from telco_stream.csv.validation import CsvFormat
from telco_stream.messages.dead_letter import decode_dead_letter
from tests.support.broken_records import broken_records
from tests.support.foreign_data import FOREIGN, ForeignData, needs_foreign_data
from tests.support.in_process import run_in_process
from tests.support.quick_model import answer, fit_to_file, values_of
from tests.support.topics import Topics, read_topic

#: Rows of each set that are used, so that training takes seconds.
ROWS = 700
#: Broken records for each set, and how many of them are answered at a time.
BROKEN, BATCH = 5_000, 250
#: Codes of dead letters for records that cannot be decoded.
CODES = {
    *("no_value", "empty_value", "malformed", "too_deep", "not_utf8"),
    *("wrong_type", "missing_field", "unknown_category", "out_of_range", "bad_time"),
}
Run = Callable[..., str]


@pytest.fixture
def run(kafka: str, topics: Topics) -> Run:
    """Return a function that runs a command and returns its stdout."""

    def run_command(line: str) -> str:
        done = run_in_process(*line.split(), "--output", "json", "-q", env=topics.env(kafka))
        assert done.code == 0, f"{line}: {done.err}"
        return done.out

    return run_command


@needs_foreign_data
@pytest.mark.slow
@pytest.mark.parametrize("data", FOREIGN, ids=lambda data: data.name)
def test_commands_score_other_schemas_as_the_pipeline_does(
    data: ForeignData, run: Run, kafka: str, topics: Topics, tmp_path: Path
) -> None:
    rows = write_part(data.path, tmp_path / "data.csv")
    run(f"contract infer data.csv --number-rows --label {data.label} --positive {data.positive}")
    run("train --contract contract.json --number-rows --data-path data.csv --out model")
    sent = run("produce --contract contract.json --number-rows --data-path data.csv --mode batch")
    assert json.loads(sent)["sent"] == rows
    consumed = json.loads(run("consume --model model --mode batch"))
    assert (consumed["predicted"], consumed["dead_lettered"]) == (rows, 0)
    report = json.loads(run("report --model model"))
    assert (report["total"], report["customers"]) == (rows, rows)
    verified = json.loads(run("verify"))
    assert verified["verdict"] == f"Each of {rows:,} inputs has exactly one answer."
    assert run("dlq list") == ""
    field = json.loads(Path("contract.json").read_text())["label"]["probability"]
    predictions = {record.key: record.json()[field] for record in read_topic(kafka, topics.predictions)}
    assert predictions == pytest.approx(probabilities(tmp_path), abs=1e-6)


@needs_foreign_data
@pytest.mark.parametrize("data", FOREIGN, ids=lambda data: data.name)
def test_process_answers_every_broken_record(data: ForeignData, tmp_path: Path) -> None:
    """By a prediction, or by a dead letter with a known code whose text has no value of the record."""
    write_part(data.path, tmp_path / "data.csv")
    options = InferOptions(tmp_path / "data.csv", tmp_path / "contract.json", None, data.label, data.positive, True)
    infer_contract(options, lambda _: None)
    contract = decode_contract((tmp_path / "contract.json").read_bytes())
    csv_format = CsvFormat(contract, number_rows=True)
    scorer = fit_to_file(options.path, csv_format)
    records = broken_records(contract, values_of(options.path, csv_format), Random(1))
    codes, predicted = Counter[str](), 0
    for _ in range(BROKEN // BATCH):
        outcome = answer(scorer, list(islice(records, BATCH)))
        predicted += len(outcome.predictions)
        codes.update(rejected.code for rejected in outcome.rejected)
        for _, value, _ in outcome.prediction_messages:
            assert 0 <= scorer.codec.predictions.decode(value or b"").probability <= 1
        for _, value, _ in outcome.dead_letter_messages:
            assert len(decode_dead_letter(value or b"").error_message) < 200
    assert set(codes) <= CODES
    assert min(predicted, *(codes[code] for code in CODES)) > 0, (predicted, codes)


def write_part(source: Path, target: Path) -> int:
    """Write rows of a file that are spread over it; return their number."""
    with source.open(newline="") as file:
        header, *rows = csv.reader(file)
    part = rows[:: max(1, len(rows) // ROWS)]
    with target.open("w", newline="") as file:
        csv.writer(file).writerows([header, *part])
    return len(part)


def probabilities(folder: Path) -> dict[bytes, float]:
    """Return what the scikit-learn pipeline predicts for each row of the file, by key."""
    contract = json.loads((folder / "contract.json").read_text())
    table = pd.read_csv(folder / "data.csv", dtype=str, keep_default_na=False)
    frame = pd.DataFrame(
        {feature["name"]: column(table[feature["name"]], feature, contract) for feature in contract["features"]}
    )
    pipeline = joblib.load(folder / "model/pipeline.joblib")
    predicted = pipeline.predict_proba(frame[list(pipeline.feature_names_in_)])[:, 1]
    return {b"%d" % number: float(probability) for number, probability in enumerate(predicted, 1)}


def column(texts: "pd.Series[str]", feature: dict[str, Any], contract: dict[str, Any]) -> "pd.Series[Any]":
    """Return the values of a feature as the pipeline reads them."""
    null = ["", *contract.get("missing", [])] if feature.get("nullable") else []
    if feature["kind"] == "category":
        known = [text if text in feature["values"] else feature.get("other") for text in texts]
        values = [None if text in null else value for text, value in zip(texts, known, strict=True)]
        return pd.Series(values, dtype=object)
    if feature["kind"] == "boolean":
        texts = texts.replace({"true": "1", "false": "0"})
    return texts.mask(texts.isin(null), "nan").astype(float)
