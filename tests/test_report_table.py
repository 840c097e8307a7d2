"""`report --csv`, read with `csv.reader`."""

import csv
import io

import pytest

from telco_stream.messages.prediction import Prediction
from telco_stream.report.run import PredictionTable, harmless
from tests.support.telco import CODEC, prediction_of

STRANGE = ["a,b", 'a"b', "a\nb", "  a ", "مرحبا", "<script>alert(1)</script>", "\u202eabc", "\x00", "😀", "7590-VHVEG"]


def test_table_has_a_header_and_a_line_per_prediction() -> None:
    assert written(answer("a", 0.25)) == (
        "customerID,churn_probability,prediction,event_ts,processed_ts,model_version,Contract,InternetService,control\r\n"
        "a,0.25,No,2026-01-01T00:00:00Z,2026-01-02T00:00:00Z,v1,One year,DSL,\r\n"
    )


def test_table_has_only_a_header_without_predictions() -> None:
    assert written().count("\n") == 1


@pytest.mark.parametrize("name", STRANGE)
def test_table_quotes_any_id(name: str) -> None:
    rows = list(csv.reader(io.StringIO(written(answer(name, 1 / 3)), newline="")))
    assert rows[1][:2] == [name, repr(1 / 3)]


def test_table_has_probabilities_with_all_digits() -> None:
    shares = [0.1, 1 / 3, 5e-324, 1.0, 0.0]
    text = written(*(answer(str(number), share) for number, share in enumerate(shares)))
    assert [float(row["churn_probability"]) for row in csv.DictReader(io.StringIO(text))] == shares


@pytest.mark.parametrize("formula", ["=1+1", "+491701234", "-2", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("x")'])
def test_table_defuses_formulas(formula: str) -> None:
    rows = list(csv.reader(io.StringIO(written(answer(formula, 0.5)), newline="")))
    assert rows[1][0] == f"'{formula}"


def test_harmless_keeps_a_number_when_it_is_negative() -> None:
    assert harmless(-1.5) == -1.5


def written(*answers: Prediction) -> str:
    file = io.BytesIO()
    table = PredictionTable(file, CODEC.predictions)
    for prediction in answers:
        table.add(prediction, 0.0)
    table.finish()
    return file.getvalue().decode()


def answer(name: str, share: float) -> Prediction:
    churns = share >= 0.5
    times = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    return prediction_of(name, share, "Yes" if churns else "No", *times, "v1", "One year", "DSL")
