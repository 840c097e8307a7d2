"""The holdout: which keys are marked as control, and what `report` and `predictions show` make of the mark."""

import csv
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from telco_stream.contract.document import encode_contract
from telco_stream.contract.schema import Text
from telco_stream.messages.prediction import CONTROL, Holdout, PredictionCodec, encode_prediction
from telco_stream.model.serving import CanaryModel
from telco_stream.report.predictions import ContactCosts, ReportOptions, report
from telco_stream.scoring import Limits, process
from tests.support.cli import ROOT
from tests.support.in_process import run_in_process
from tests.support.model_folder import copy_model, replace_artifact
from tests.support.records import FakeRecord, RuleScorer, good
from tests.support.telco import CONTRACT
from tests.support.topics import Topics, read_topic

ANSWER = ("7", 0.25, "No", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "v1", "One year", "DSL")
SAMPLE = ROOT / "data/sample_customers.csv"
KEYS = [f"c{number}" for number in range(10_000)]


def test_holdout_is_a_stable_share_that_grows() -> None:
    """The keys are written here: a release that chose others would contact customers of the control group."""
    assert [key for key in KEYS[:120] if Holdout(5).takes(key)] == ["c48", "c68", "c115"]
    small, large = ({key for key in KEYS if Holdout(percent).takes(key)} for percent in (5, 20))
    assert small < large
    assert len(small) == pytest.approx(500, abs=70)
    assert len(large) == pytest.approx(2_000, abs=120)
    assert not any(Holdout(0).takes(key) for key in KEYS)


def test_holdout_is_independent_of_the_canary() -> None:
    of_canary = [key for key in KEYS if zlib.crc32(key.encode()) % 10_000 < 2_000]
    in_both = sum(Holdout(50).takes(key) for key in of_canary)
    assert in_both / len(of_canary) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("has_canary", [False, True])
def test_process_marks_the_holdout_only(has_canary: bool) -> None:
    """Other predictions have the same bytes as without a holdout."""
    records = [FakeRecord(good(customerID=key), number) for number, key in enumerate(KEYS[:200])]
    canary = CanaryModel(RuleScorer(version="b"), lambda key: zlib.crc32(key) % 2 == 0) if has_canary else None
    plain, marked = (
        process(records, RuleScorer(), processed_at="2026", limits=Limits(), canary=canary, holdout=holdout)
        for holdout in (None, Holdout(20))
    )
    is_control = [Holdout(20).takes(key) for key in KEYS[:200]]
    assert 10 < sum(is_control) < 80
    assert [value for _, value, _ in marked.prediction_messages] == [
        value[:-1] + b',"control":true}' if control else value
        for (_, value, _), control in zip(plain.prediction_messages, is_control, strict=True)
    ]
    assert [prediction.control is True for prediction in marked.predictions] == is_control


@pytest.mark.parametrize("value", [b'"yes"', b"1", b"null", b"[]", b"false"])
def test_prediction_with_another_control_is_read(value: bytes) -> None:
    """Another program may write the field for its own purpose."""
    message = encode_prediction(PredictionCodec(CONTRACT).type(*ANSWER))
    decoded = PredictionCodec(CONTRACT, [CONTROL]).decode(message[:-1] + b',"control":' + value + b"}")
    assert decoded.key == "7"
    assert decoded.control is not True
    assert PredictionCodec(CONTRACT).decode(message[:-1] + b',"control":' + value + b"}").control is None


def test_column_named_control_is_not_the_mark() -> None:
    contract = replace(CONTRACT, carry=(*CONTRACT.carry, Text(name=CONTROL)))
    codec = PredictionCodec(contract, [CONTROL])
    message = encode_prediction(codec.type(*ANSWER, "north"))
    assert msgspec.json.decode(message)[CONTROL] == "north"
    assert codec.decode(message).control is None


def test_report_leaves_the_control_group_out_of_contacts() -> None:
    result = report(records_of(("a", 0.9, True), ("b", 0.8, None), ("c", 0.7, True), ("d", 0.1, None)), OPTIONS)
    summary = result.summary
    assert [customer.key for customer in summary.top] == ["b", "d"]
    assert (summary.control, summary.customers) == (2, 4)
    assert summary.expected_leavers == pytest.approx(2.5)
    assert summary.contact_plan is not None
    assert (summary.contact_plan.customers, summary.contact_plan.expected_leavers) == (1, 0.8)


OPTIONS = ReportOptions(contact_costs=ContactCosts(10, 20))


def test_report_goes_by_the_newest_prediction() -> None:
    """The mark of an earlier prediction no longer counts."""
    result = report(records_of(("a", 0.9, True), ("a", 0.9, None)), OPTIONS)
    assert (result.summary.control, len(result.summary.top)) == (0, 1)


def records_of(*answers: tuple[str, float, bool | None]) -> Iterator[FakeRecord]:
    codec = PredictionCodec(CONTRACT)
    for key, share, control in answers:
        values = (key, share, "Yes", *ANSWER[3:])
        made = codec.type(*values) if control is None else codec.type_with([CONTROL])(*values, control)
        yield FakeRecord(encode_prediction(made))


def test_consume_marks_the_same_customers_in_any_partition(kafka: str, topics: Topics, tmp_path: Path) -> None:
    env = topics.env(kafka)
    table = tmp_path / "predictions.csv"
    run("produce", "--mode", "batch", "--data-path", str(SAMPLE), "--limit", "100", env=env)
    result = run("consume", "--mode", "batch", "--holdout-percent", "20", env=env)
    messages = [record.json() for record in read_topic(kafka, topics.predictions)]
    marked = {message["customerID"]: message.get(CONTROL) for message in messages}
    control = {key for key in marked if Holdout(20).takes(key)}
    assert {key for key, mark in marked.items() if mark is True} == control
    assert {marked[key] for key in marked if key not in control} == {None}
    assert result["analytics"]["control"] == len(control) > 5
    assert not control & {customer["customerID"] for customer in result["analytics"]["top"]}
    summary = run("report", "--top-k", "100", "--csv", str(table), env=env)
    assert {customer["customerID"] for customer in summary["top"]} == set(marked) - control
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {row["customerID"] for row in rows if row[CONTROL] == "true"} == control
    assert {row[CONTROL] for row in rows} == {"true", ""}
    shown = run("predictions", "show", min(control), env=env)
    assert shown[CONTROL] is True


def test_consume_exits_with_2_when_the_contract_has_the_column(tmp_path: Path) -> None:
    folder = copy_model(tmp_path)
    contract = replace(CONTRACT, carry=(*CONTRACT.carry, Text(name=CONTROL)))
    replace_artifact(folder, "contract.json", encode_contract(contract))
    done = run_in_process("consume", "--model", str(folder), "--holdout-percent", "5", env=NO_BROKER)
    assert done.code == 2, done.err
    assert "--holdout-percent: predictions have the field control already" in done.err


NO_BROKER = {"TELCO_STREAM_BOOTSTRAP_SERVERS": "localhost:1"}


def run(*command: str, env: dict[str, str]) -> Any:
    done = run_in_process(*command, "--output", "json", env=env)
    assert done.code == 0, done.err
    return json.loads(done.out)
