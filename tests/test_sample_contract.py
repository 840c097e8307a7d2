"""Synthetic rows of any contract: reproducible, accepted by the contract, and with a label that can be learnt."""

import csv
import hashlib
import io
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given

from telco_stream.contract.document import builtin_contract, encode_contract
from telco_stream.contract.schema import Contract
from telco_stream.csv.reader import open_reader
from telco_stream.csv.validation import CsvFormat
from telco_stream.messages.codec import compile_contract
from telco_stream.model.labelled import read_labelled_events
from telco_stream.model.training import train
from telco_stream.runtime.signals import Stop
from telco_stream.sample import write_sample
from telco_stream.sample.contract_rows import draw_rows
from telco_stream.sample.demo import run_demo
from tests.support.any_contract import contracts
from tests.support.cli import ROOT
from tests.support.contracts import edited, small
from tests.support.in_process import run_in_process
from tests.support.records import RuleScorer

#: The sample of the small contract: the same in every version of Python.
SHA256 = "7ba8a51afeb654fd8d030ad2bd70b2fa082cbf0802a19b2ac022523b5bee0e19"
ODD_TEXTS = ['a "quoted" one', "comma, semicolon;", "two\nlines", "two\rlines", "é 🙂", " "]


def sample_of(contract: Contract, path: Path, rows: int = 2_000, seed: int = 7) -> Path:
    write_sample(path, rows, seed, lambda _: None, contract)
    return path


def columns_of(contract: Contract, rows: int = 2_000, seed: int = 7) -> dict[str, list[str]]:
    names = [contract.key.name, *(column.name for column in contract.columns), contract.label.name]
    drawn = zip(*islice(draw_rows(contract, seed), rows), strict=True)
    return dict(zip(names, map(list, drawn), strict=True))


def with_odd_columns() -> Contract:
    """Return a contract with columns at the limits of what a contract can hold."""
    wide = {"kind": "number", "name": "wide, or not", "minimum": -1e37, "maximum": 1e37}
    narrow = {"kind": "number", "name": "narrow", "minimum": 1 / 3, "maximum": 1 / 3 + 1e-9}
    whole = {"kind": "integer", "name": "whole", "minimum": -(2**53), "maximum": 2**53}
    odd = {"kind": "category", "name": "no key: é", "values": ODD_TEXTS, "other": "unknown 1"}
    short = {"kind": "text", "name": "short", "max_length": 1, "nullable": True}
    flag = {"kind": "boolean", "name": "flag", "nullable": True}
    key = {"name": "id"}
    return small(
        lambda d: d.update(
            features=[wide, narrow, whole, odd], carry=[short, flag], segments=[], key=key, charge="narrow"
        )
    )


def test_write_sample_depends_on_contract_and_seed_only(tmp_path: Path) -> None:
    """A longer sample begins with the same rows; another seed gives other rows."""
    path = sample_of(small(), tmp_path / "a.csv", 1_500)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    assert sample_of(small(), tmp_path / "b.csv", 2_500).read_bytes().startswith(path.read_bytes())
    assert sample_of(small(), tmp_path / "c.csv", 1_500, seed=8).read_bytes() != path.read_bytes()


@pytest.mark.parametrize("contract", [small(), with_odd_columns()], ids=["small", "odd"])
def test_contract_accepts_every_row_of_its_sample(tmp_path: Path, contract: Contract) -> None:
    codec, csv_format = compile_contract(contract), CsvFormat(contract)
    path = sample_of(contract, tmp_path / "s.csv")
    data = read_labelled_events(path, csv_format, codec)
    assert len({event.key for event in data.events}) == 2_000
    assert 0.2 < sum(data.positive) / 2_000 < 0.4
    with open_reader(path, csv_format) as reader:
        assert reader.read(2_000).bad == []


@given(contracts())
def test_any_contract_accepts_every_row_of_its_sample(
    tmp_path_factory: pytest.TempPathFactory, contract: Contract
) -> None:
    path = sample_of(contract, tmp_path_factory.getbasetemp() / "any.csv", 40)
    assert len(read_labelled_events(path, CsvFormat(contract), compile_contract(contract)).events) == 40


def test_sample_has_blanks_and_unknown_texts_where_allowed() -> None:
    columns = columns_of(small())
    blank = {name for name, texts in columns.items() if "" in texts}
    assert blank == {"data_gb", "roaming", "device", "region"}
    assert all(20 < columns[name].count("") < 200 for name in blank)
    assert set(columns["device"]) == {"phone", "tablet", "unknown 1", ""}
    assert set(columns["plan"]) == {"prepaid", "basic", "premium"}
    assert set(columns["roaming"]) == {"true", "false", ""}
    assert columns["account_id"][:3] == ["1", "2", "3"]
    assert set(columns["left"]) == {"0", "1"}


def test_sample_has_numbers_of_the_whole_range() -> None:
    columns = columns_of(small())
    for name, maximum in (("monthly_fee", 1_000), ("complaints", 100)):
        numbers = sorted(map(float, columns[name]))
        assert 0 <= numbers[0] < 0.01 * maximum < 0.99 * maximum < numbers[-1] <= maximum
    assert max(len(text.partition(".")[2]) for text in columns["monthly_fee"]) == 2
    assert max(Counter(columns["complaints"]).values()) < 50


def test_sample_quotes_what_would_break_a_row(tmp_path: Path) -> None:
    text = sample_of(with_odd_columns(), tmp_path / "s.csv", 300).read_bytes().decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {row["no key: é"] for row in rows} >= set(ODD_TEXTS)


@pytest.mark.slow
def test_train_learns_from_a_sample(tmp_path: Path) -> None:
    path = sample_of(small(), tmp_path / "s.csv")
    result = train(path, tmp_path / "model", CsvFormat(small()), created_at="2026-01-01T00:00:00Z")
    assert result.metrics.roc_auc > 0.7
    assert result.onnx.refused is None


def test_sample_command_draws_the_columns_of_its_contract(tmp_path: Path) -> None:
    (tmp_path / "contract.json").write_bytes(edited(lambda _: None))
    run = run_in_process("sample", "--contract", "contract.json", "--rows", "3", "--out", "s.csv", env={})
    assert run.code == 0, run.err
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert (lines[0].split(",")[0], len(lines)) == ("account_id", 4)


def test_sample_command_keeps_the_telco_generator(tmp_path: Path) -> None:
    (tmp_path / "contract.json").write_bytes(encode_contract(builtin_contract()))
    for more in ([], ["--contract", "contract.json"]):
        assert run_in_process("sample", "--out", "s.csv", *more, env={}).code == 0
        assert (tmp_path / "s.csv").read_bytes() == (ROOT / "data/sample_customers.csv").read_bytes()


def test_demo_sends_a_sample_of_the_contract_of_the_model() -> None:
    said, scorer = list[str](), RuleScorer(codec=compile_contract(small()))
    result = run_demo(scorer, stop=Stop(), say=said.append, show=lambda _: None)
    assert (result.consume.predicted, result.report.total, result.verify.dead_lettered) == (1_000, 1_000, 5)
    assert "2. Produce: the sample accounts and five broken records." in said
