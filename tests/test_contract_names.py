"""Columns with unusual names, from the CSV to the prediction."""

import json

import pytest

from telco_stream.contract.events import BAD_DATA
from telco_stream.csv.validation import CsvFormat, Layout, read_header, validate_rows
from telco_stream.messages.codec import Codec
from telco_stream.messages.prediction import encode_prediction
from tests.support.contracts import UNUSUAL_NAMES, rename, small

NOW = "2026-01-31T12:00:00Z"


@pytest.mark.parametrize("name", UNUSUAL_NAMES)
def test_column_keeps_its_value_from_csv_to_prediction(name: str) -> None:
    contract = small(rename(name))
    layout = read_header(["account_id", "plan", "monthly_fee", "data_gb", name, "device"], CsvFormat(contract))
    assert isinstance(layout, Layout)
    (row,), errors = validate_rows(layout, [["7", "basic", "20.5", "NA", "5", "phone"]])
    value = layout.codec.encode(row, NOW)
    assert (errors, json.loads(value)[name]) == ([], 5)
    codec = Codec(contract)
    event = codec.events.decode(value)
    (prediction,) = codec.build_predictions([event], [0.5], threshold=0.4, processed_at=NOW, model_version="v")
    message = encode_prediction(prediction)
    assert json.loads(message)[name] == 5
    assert codec.predictions.decode(message) == prediction


@pytest.mark.parametrize("name", UNUSUAL_NAMES)
def test_event_error_names_the_column(name: str) -> None:
    codec = Codec(small(rename(name))).events
    fields = {"account_id": 7, "event_ts": NOW, "plan": "basic", "monthly_fee": 1, "data_gb": None, "device": None}
    for wrong, code in (([], "wrong_type"), (101, "out_of_range")):
        value = json.dumps(fields | {name: wrong}).encode()
        with pytest.raises(BAD_DATA) as error:
            codec.decode(value)
        assert codec.explain(value, error.value)[1] == code
        assert codec.explain(value, error.value)[2].endswith(f" - at `$.{name}`")
