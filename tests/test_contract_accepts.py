"""A contract accepts every row of the file that it was inferred from: read as CSV, encoded, and decoded as an event."""

import csv
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telco_stream.contract.document import decode_contract
from telco_stream.contract.events import BAD_DATA, EventCodec
from telco_stream.contract.inference import features, profile
from telco_stream.contract.schema import Contract
from telco_stream.csv.infer_options import InferOptions
from telco_stream.csv.inference import InferResult, infer_contract
from telco_stream.csv.reader import open_reader
from telco_stream.csv.validation import CsvFormat
from tests.support.foreign_data import FOREIGN, TELCO, ForeignData, needs_foreign_data, needs_telco_data

NOW = "2026-01-31T12:00:00Z"
#: Texts on the borders between kinds.
TRICKY = [
    *("NA", "None", "?", "null", "Null", "nan", " NA", "", "  ", "\t", "\xa0", "\x1f", "\u2028", "a\nb", 'a "b"'),
    *("0", "1", "01", "00", "-0", "-1", "+5", " 7 ", "\uff11", "1_000", "1,000", "5%", "Infinity", "-0.0", ".5", "5."),
    *("1.5", "1e5", "1e400", "1e-400", "12345678901234567890", "9007199254740993", "true", "False", "T", "f"),
    *("a", "b", "other", "2026-01-31", "2026-01-31T10:00:00Z", "x@example.org", "\xe9", "e\u0301"),
]
TEXTS = (
    st.sampled_from(TRICKY)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
    | st.integers(-(10**17), 10**17).map(str)
    | st.floats().map(str)
)
#: Columns of 6 rows, each with few texts, so that some are of one kind.
COLUMNS = st.lists(TEXTS, min_size=1, max_size=3).flatmap(
    lambda texts: st.lists(st.sampled_from(texts), min_size=6, max_size=6)
)


def infer(path: Path, folder: Path, **options: object) -> Contract:
    arguments = {"path": path, "out": folder / "contract.json", "replace": True, **options}
    assert isinstance(infer_contract(InferOptions(**arguments), lambda _rows: None), InferResult)  # type: ignore[arg-type]
    return decode_contract((folder / "contract.json").read_bytes())


def refused(path: Path, contract: Contract, *, number_rows: bool) -> list[tuple[str, str]]:
    """Return code and text of the errors of the rows; fail if there are no rows."""
    codec, errors, rows = EventCodec(contract), [], 0
    with open_reader(path, CsvFormat(contract, number_rows=number_rows, requires_label=True)) as reader:
        while chunk := reader.take(1_000).rows:
            for row in chunk:
                value = reader.layout.codec.encode(row, NOW)
                try:
                    codec.decode(value)
                except BAD_DATA as error:
                    errors.append(codec.explain(value, error)[1:])
            rows += len(chunk)
    assert rows
    return errors


@given(
    columns=st.lists(COLUMNS, min_size=1, max_size=4),
    names=st.permutations(["x", "event_ts", "model_version", "__class__", "a `name`"]),
    counted=st.sampled_from([3, 20_000]),
)
@example(columns=[["0", "1000000000000000"] * 3], names=["x"], counted=20_000)
@example(columns=[["a", "None", ""] * 2, ["1", "None", "2"] * 2], names=["x", "y"], counted=20_000)
@example(columns=[["-5", "3"] * 3, ["Null", "a", ""] * 2], names=["x", "y"], counted=20_000)
@example(columns=[["2026-01-31T10:00:00Z", ""] * 3], names=["event_ts"], counted=20_000)
def test_contract_accepts_every_row_of_any_file(
    tmp_path_factory: pytest.TempPathFactory, columns: list[list[str]], names: list[str], counted: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    header = [*names[: len(columns)], "number", "left"]
    rows = [
        [*texts, number % 2, "yes" if number % 3 else "no"] for number, texts in enumerate(zip(*columns, strict=True))
    ]
    with (folder / "any.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile, "MAX_COUNTED", counted)
        if counted < len(rows):  # so that texts count as other
            patch.setattr(features, "MAX_VALUES", 1)
            patch.setattr(features, "MIN_ROWS_OF_VALUE", 2)
        contract = infer(folder / "any.csv", folder, number_rows=True, label="left", positive="yes")
    assert refused(folder / "any.csv", contract, number_rows=True) == []


@needs_foreign_data
@pytest.mark.parametrize("data", FOREIGN, ids=lambda data: data.name)
def test_contract_accepts_every_row_of_foreign_data(data: ForeignData, tmp_path: Path) -> None:
    contract = infer(data.path, tmp_path, number_rows=True, label=data.label, positive=data.positive)
    assert refused(data.path, contract, number_rows=True) == []


@needs_telco_data
def test_contract_accepts_every_row_of_telco(tmp_path: Path) -> None:
    contract = infer(TELCO, tmp_path, key="customerID", label="Churn", positive="Yes")
    assert refused(TELCO, contract, number_rows=False) == []
