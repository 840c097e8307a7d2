"""Contracts of unusual shapes, from a CSV to a model that scores alike in both engines."""

import csv
from pathlib import Path
from random import Random
from typing import Any

import pytest

from telco_stream.contract.schema import Boolean, Category, Contract, Feature, Integer, Key, Label, Number, Time
from telco_stream.csv.validation import CsvFormat
from telco_stream.errors import DataError
from telco_stream.messages.codec import compile_contract
from telco_stream.model.artifact import load_scorer, read_contract
from telco_stream.model.labelled import read_labelled_events
from telco_stream.model.training import train

pytestmark = pytest.mark.slow

NOW = "2026-01-02T03:04:05Z"


def number(name: str = "amount", **more: Any) -> Number:
    return Number(name, minimum=0, maximum=1000, **more)


def categories(count: int, **more: Any) -> tuple[Category, ...]:
    return tuple(Category(f"kind {index}", values=("a", "b", "c"), **more) for index in range(count))


#: Features by shape; the texts of some columns are fixed below.
SHAPES: dict[str, tuple[Feature, ...]] = {
    "one number": (number(),),
    "one category": categories(1),
    "one boolean": (Boolean("is new"),),
    "one nullable number": (number(nullable=True),),
    "5 categories": categories(5),
    "40 categories": (*categories(40), number()),
    "nullable categories": (*categories(3, nullable=True, other="rest"), number()),
    "nullable booleans": (Boolean("is new", nullable=True), Boolean("is big", nullable=True, optional=True)),
    "null as a number": (
        number(nullable=True, fill=7.5),
        Integer("count", minimum=0, maximum=9, nullable=True, fill=0),
    ),
    "null is missing": (number(nullable=True), Integer("flag", minimum=0, maximum=1, nullable=True), *categories(2)),
    "constant": (number("constant"), number()),
    "always null": (number("always null", nullable=True), Integer("flag", minimum=0, maximum=1)),
    "only null": (number("always null", nullable=True),),
    "300 columns": (*(number(f"amount {index}") for index in range(260)), *categories(40)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_train_compiles_a_contract_of_any_shape(shape: str, tmp_path: Path) -> None:
    contract = contract_of(SHAPES[shape])
    csv_format = CsvFormat(contract, number_rows=True, requires_label=True)
    source = write_rows(tmp_path / "rows.csv", contract, 120)
    result = train(source, tmp_path / "model", csv_format, created_at=NOW)
    assert result.onnx.refused is None
    assert {candidate.name for candidate in result.candidates} == {"linear", "boosted"}
    assert read_contract(result.path) == contract
    events = read_labelled_events(source, csv_format, compile_contract(contract)).events
    first, second = (load_scorer(result.path, engine).score(events) for engine in ("onnx", "sklearn"))
    assert first == pytest.approx(second, abs=1e-6)


def test_train_accepts_categories_that_are_only_carried(tmp_path: Path) -> None:
    carried = Category("shop", values=("north", "south"))
    contract = contract_of((number(),), carry=(carried,))
    source = write_rows(tmp_path / "rows.csv", contract, 60)
    result = train(source, tmp_path / "model", CsvFormat(contract, number_rows=True), created_at=NOW)
    assert result.onnx.refused is None


@pytest.mark.parametrize("label", ["", " ", "2", "yes", "NA"])
def test_train_names_the_line_when_a_label_is_unknown(label: str, tmp_path: Path) -> None:
    contract = contract_of((number(),), missing=("NA",))
    source = write_rows(tmp_path / "rows.csv", contract, 60)
    lines = source.read_text().splitlines()
    lines[17] = f"{lines[17].rpartition(',')[0]},{label}"
    source.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"line 18: left is neither 1 nor 0; give every row a label") as error:
        train(source, tmp_path / "model", CsvFormat(contract, number_rows=True), created_at=NOW)
    assert error.value.exit_code == 5


def test_train_refuses_many_categories_before_it_reads(tmp_path: Path) -> None:
    values = tuple(f"value {index}" for index in range(1001))
    contract = contract_of((Category("city", values=values), *categories(1)))
    with pytest.raises(DataError, match=r"1,004 values together, .*: city \(1,001\), kind 0 \(3\)\. Keep the frequent"):
        train(tmp_path / "missing.csv", tmp_path / "model", CsvFormat(contract), created_at=NOW)


def contract_of(features: tuple[Feature, ...], **more: Any) -> Contract:
    label = Label("left", positive="1", negative="0")
    return Contract(1, "shape", Key("id"), Time("at"), label, features, **more)


def write_rows(path: Path, contract: Contract, count: int) -> Path:
    """Write random rows with a label that depends on the first feature."""
    random = Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*(column.name for column in contract.columns), "left"])
        for _ in range(count):
            texts = [_text(random, column) for column in contract.columns]
            writer.writerow([*texts, int(random.random() < (0.8 if texts[0] > "5" else 0.3))])
    return path


def _text(random: Random, column: Any) -> str:
    if column.name == "always null" or (column.nullable and random.random() < 0.3):
        return ""
    if column.name == "constant":
        return "3"
    match column:
        case Number():
            return str(round(random.uniform(0, 10), 2))
        case Integer():
            return str(random.randint(column.minimum, column.maximum))
        case Boolean():
            return random.choice(["true", "false"])
    texts: tuple[str, ...] = (*column.values, *(["surprise"] if column.other else []))
    return random.choice(texts)
