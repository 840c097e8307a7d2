"""Synthetic customers are reproducible, unique and distributed like the public data set."""

import hashlib
import statistics
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from telco_stream.contract.events import Event
from telco_stream.errors import UsageError
from telco_stream.model.artifact import load_scorer
from telco_stream.sample import SampleResult, synthetic, write_sample
from telco_stream.sample.synthetic import synthesize
from tests.support.cli import ROOT
from tests.support.csv_chunks import read_chunks
from tests.support.memory import peak_memory
from tests.support.telco import COLUMNS, FORMAT, decode, encode_row

MODEL = ROOT / "models/churn"
BUNDLED = ROOT / "data/sample_customers.csv"
ADD_ONS = ("OnlineSecurity", "OnlineBackup", "DeviceProtection", "TechSupport", "StreamingTV", "StreamingMovies")


@pytest.fixture(scope="module")
def sample() -> list[dict[str, str]]:
    """Return 20,000 customers."""
    return [dict(zip(COLUMNS, fields, strict=True)) for fields in islice(synthesize(11), 20_000)]


@pytest.fixture(scope="module")
def real(real_data: Path) -> list[dict[str, str]]:
    """Return the public data set; none of its values needs quotes."""
    lines = real_data.read_text(encoding="utf-8").splitlines()[1:]
    return [dict(zip(COLUMNS, line.split(","), strict=True)) for line in lines]


def write(path: Path, rows: int, seed: int = 1) -> SampleResult:
    return write_sample(path, rows, seed, lambda _: None)


def customers(path: Path) -> list[Event]:
    return [
        decode(encode_row(row, "2024-01-01T00:00:00Z")) for chunk in read_chunks(path, 1_000, FORMAT) for row in chunk
    ]


def share(rows: list[dict[str, str]], column: str) -> dict[str, float]:
    return {value: count / len(rows) for value, count in Counter(row[column] for row in rows).items()}


def churn_by(rows: list[dict[str, str]], column: str) -> dict[str, float]:
    return {
        value: share([row for row in rows if row[column] == value], "Churn").get("Yes", 0.0)
        for value in share(rows, column)
    }


def quantiles(rows: list[dict[str, str]], column: str) -> list[float]:
    ordered = sorted(float(row[column]) for row in rows if row[column].strip())
    return [ordered[int(part / 20 * (len(ordered) - 1))] for part in (1, 5, 10, 15, 19)]


def test_write_sample_reproduces_the_bundled_file(tmp_path: Path) -> None:
    result = write(tmp_path / "again.csv", rows=1_000, seed=7)
    assert BUNDLED.read_bytes() == (tmp_path / "again.csv").read_bytes()
    assert result.sha256 == hashlib.sha256(BUNDLED.read_bytes()).hexdigest()


def test_write_sample_depends_on_the_seed_only(tmp_path: Path) -> None:
    """A longer sample begins with the same rows; another seed gives other rows."""
    write(tmp_path / "short.csv", 1_500, 3)
    write(tmp_path / "long.csv", 2_500, 3)
    write(tmp_path / "other.csv", 1_500, 4)
    short = (tmp_path / "short.csv").read_bytes()
    assert (tmp_path / "long.csv").read_bytes().startswith(short)
    assert (tmp_path / "other.csv").read_bytes() != short


def test_write_sample_returns_what_was_written(tmp_path: Path) -> None:
    advances: list[int] = []
    result = write_sample(tmp_path / "s.csv", 2_345, 5, advances.append)
    written = [line.split(",") for line in Path(result.path).read_text(encoding="utf-8").splitlines()]
    assert written[0] == list(COLUMNS)
    assert (len(written) - 1, sum(advances), result.rows, result.seed) == (2_345, 2_345, 2_345, 5)
    assert result.churn_rate == sum(row[-1] == "Yes" for row in written) / 2_345


def test_write_sample_writes_the_header_when_rows_is_0(tmp_path: Path) -> None:
    assert write(tmp_path / "none.csv", 0).churn_rate == 0
    assert (tmp_path / "none.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_write_sample_creates_no_folder_when_it_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the folder .*new does not exist; create it first"):
        write(tmp_path / "new" / "s.csv", 3)
    assert list(tmp_path.iterdir()) == []


def test_write_sample_memory_is_constant_when_rows_grow(tmp_path: Path) -> None:
    few, many = (peak_memory(write, tmp_path / "s.csv", rows) for rows in (2_000, 12_000))
    assert many < 1.2 * few


def test_consumer_accepts_every_synthetic_customer(tmp_path: Path) -> None:
    write(tmp_path / "s.csv", 5_000)
    assert len(customers(tmp_path / "s.csv")) == 5_000


def test_customer_ids_are_unique_and_have_the_usual_form(sample: list[dict[str, str]]) -> None:
    assert len({row["customerID"] for row in sample}) == len(sample)
    shapes = {"".join("9" if c.isdigit() else "A" if c.isupper() else c for c in row["customerID"]) for row in sample}
    assert shapes == {"9999-AAAAA"}


def test_customer_ids_stay_unique_when_all_forms_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 260,000 forms, each used at least twice; there are 118,813,760,000."""
    monkeypatch.setattr(synthetic, "_IDENTIFIERS", 260_000)
    assert len({synthetic._identifier(12_345, number) for number in range(600_000)}) == 600_000


def test_services_depend_on_internet_and_phone(sample: list[dict[str, str]]) -> None:
    for row in sample:
        assert {row[name] == "No internet service" for name in ADD_ONS} == {row["InternetService"] == "No"}
        assert (row["MultipleLines"] == "No phone service") == (row["PhoneService"] == "No")
        assert row["PhoneService"] == "Yes" or row["InternetService"] == "DSL"


def test_total_follows_from_tenure_and_monthly_charges(sample: list[dict[str, str]]) -> None:
    """Blank at tenure 0, equal to the first bill at tenure 1, about tenure x charges later."""
    assert any(row["tenure"] == "0" for row in sample)
    for row in sample:
        assert (row["TotalCharges"] == " ") == (row["tenure"] == "0")
        if row["tenure"] == "1":
            assert row["TotalCharges"] == row["MonthlyCharges"]
        if int(row["tenure"]) > 20:
            ratio = float(row["TotalCharges"]) / (float(row["MonthlyCharges"]) * int(row["tenure"]))
            assert 0.85 < ratio < 1.15


@pytest.mark.parametrize(
    "column", [name for name in COLUMNS if name not in {"customerID", "tenure"} | {"MonthlyCharges", "TotalCharges"}]
)
def test_shares_equal_those_of_the_public_data(
    sample: list[dict[str, str]], real: list[dict[str, str]], column: str
) -> None:
    """Within 2 points, the churn rate of 26.5 % included."""
    assert share(sample, column) == pytest.approx(share(real, column), abs=0.02)


@pytest.mark.parametrize(
    ("column", "points"),
    [
        ("Contract", 0.02),
        ("InternetService", 0.02),
        ("PaymentMethod", 0.04),
        ("SeniorCitizen", 0.04),
        *((name, 0.03) for name in ("Partner", "Dependents", "PaperlessBilling", *ADD_ONS)),
    ],
)
def test_churn_by_segment_equals_that_of_the_public_data(
    sample: list[dict[str, str]], real: list[dict[str, str]], column: str, points: float
) -> None:
    assert churn_by(sample, column) == pytest.approx(churn_by(real, column), abs=points)


def test_internet_by_contract_equals_the_public_data(sample: list[dict[str, str]], real: list[dict[str, str]]) -> None:
    for contract in share(real, "Contract"):
        shares = [
            share([row for row in rows if row["Contract"] == contract], "InternetService") for rows in (sample, real)
        ]
        assert shares[0] == pytest.approx(shares[1], abs=0.03)


@pytest.mark.parametrize(("column", "near"), [("tenure", 2), ("MonthlyCharges", 2.5), ("TotalCharges", 200)])
def test_quantiles_equal_those_of_the_public_data(
    sample: list[dict[str, str]], real: list[dict[str, str]], column: str, near: float
) -> None:
    """At 5, 25, 50, 75 and 95 %."""
    assert quantiles(sample, column) == pytest.approx(quantiles(real, column), abs=near)


@pytest.mark.parametrize("contract", ["Month-to-month", "One year", "Two year"])
def test_tenure_by_contract_equals_the_public_data(
    sample: list[dict[str, str]], real: list[dict[str, str]], contract: str
) -> None:
    customers_with = [[row for row in rows if row["Contract"] == contract] for rows in (sample, real)]
    assert quantiles(customers_with[0], "tenure") == pytest.approx(quantiles(customers_with[1], "tenure"), abs=3)


def test_mean_probability_equals_that_of_the_public_data(real_data: Path, tmp_path: Path) -> None:
    """Within 2 points, with a model that was trained on the public data set."""
    scorer = load_scorer(MODEL)
    write(tmp_path / "s.csv", 7_000)
    means = [statistics.fmean(scorer.score(customers(path))) for path in (tmp_path / "s.csv", real_data)]
    assert means[0] == pytest.approx(means[1], abs=0.02)


def test_write_sample_keeps_the_old_file_when_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("old")

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(path, 10, 1, stop)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_sample_fails_when_out_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path, tmp_path / "file" / "s.csv"):
        with pytest.raises(UsageError, match="Cannot write"):
            write(out, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
