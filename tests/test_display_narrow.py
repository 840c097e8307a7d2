"""Results on terminals of 40, 60 and 80 columns: every number stands whole."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from telco_stream.checks.ledger import Account
from telco_stream.checks.results import Check, DoctorResult, PartitionLag, StatusResult, TopicStatus
from telco_stream.checks.verdict import Finding, VerifyResult
from telco_stream.dlq.listing import LetterOfAnyState, LetterSummary, ListedLetter, ReasonCount
from telco_stream.model.manifest import Candidate, Decile, EngineReport
from telco_stream.model.results import ChangedRow, ComparedModel, ModelComparison
from telco_stream.registry.results import ListedChange, ListedModel
from telco_stream.report.analytics import PreviousPeriod
from telco_stream.report.customers import ContactPlan
from tests.support.captured_screen import CapturedScreen
from tests.support.report_data import MANIFEST, drift_result, many_predictions, report_data, with_quality

COUNT = 123_456_789
VERSIONS = ["2026-11-28-597d142a", "2026-11-29-0badc0de"]
TIME = "2026-11-28T08:09:10.123Z"
OWNER = "telco-stream-5f3a9c1b-1111-2222-3333-444444444444"
POSITION = f"telco.raw.customers/11/{COUNT}"


def status() -> StatusResult:
    partitions = [
        PartitionLag(number, COUNT + number, COUNT * 10, COUNT * 9 - number, 1_000 + number, OWNER, "10.0.0.1", version)
        for number, version in enumerate(VERSIONS)
    ]
    offsets = {number: COUNT + number for number in range(4)}
    topics = [TopicStatus(f"telco.topic.{name}", 4, dict.fromkeys(range(4), 0), offsets) for name in ("raw", "answers")]
    rates = (86_400.0, 1_234.5, 1_034.5)
    return StatusResult(
        TIME, "g", "stable", 2, COUNT, *rates, 4_321, 98_765.4, VERSIONS, COUNT, 12_345, topics, partitions
    )


def verified() -> VerifyResult:
    counts = (COUNT, COUNT - 6, 1_234, 2_345, 3_456, 4_567, 5_678)
    account = Account(3, *counts, [POSITION], [POSITION], [POSITION], 7_654, 8_765, 9_876)
    finding = Finding("missing", "2,345 inputs have no answer", "a cause", "kcat -o 123456789 -c 1")
    accounts = [account, replace(account, partition=4)]
    verdict = "2,345 inputs have no answer."
    return VerifyResult(verdict, *counts[:5], 5_678, 4_567, 9_876, accounts, 7_654, [], 8_765, [finding])


def letters(kind: type[ListedLetter]) -> list[ListedLetter]:
    message = "Expected `int` <= 1000, got 123456789 - at `$.tenure`"
    return [
        kind(number, COUNT, "0001-A", "validation", message, TIME, 12, source, "code", "tenure", "given_up", "123456")
        for number, source in ((10, POSITION), (11, "telco.churn.outcomes/11/1"))
    ]


def compared() -> ModelComparison:
    a = ComparedModel(VERSIONS[0], 0.3125, 0.84567, 0.13571, COUNT, trained_on_this_file=True)
    row = ChangedRow("0001-A", 0.242, 0.471, "No", "Yes", "No")
    return ModelComparison(COUNT, a, replace(a, version=VERSIONS[1]), 59_123, 33_123, 26_000, -0.0123, 0.2283, [row])


SUMMARY = replace(
    report_data(many_predictions(300)).report.summary,
    lift=MANIFEST.metrics.lift,
    contact_plan=ContactPlan(5, 100, 0.05, 1_234_567, 1_234_567.0, 1e9),
    previous=PreviousPeriod("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", COUNT, COUNT, 123_456.0, 0.4, 12_345, 0.1),
    drift=drift_result(),
)
REASONS = [ReasonCount("validation", "out_of_range", "MonthlyCharges", 1_234_567, COUNT)]
STATES = {"open": COUNT, "replayed": 1_234_567, "answered": 12_345, "given_up": 1_234}
MODEL = ListedModel(VERSIONS[0], "canary", 12.5, ["worker-0", "worker-11"], [], COUNT, TIME, "0" * 64)
CHANGE = ListedChange(TIME, "promote", VERSIONS[0], "canary", 12.5, "worker", "123 of 1,234 failed", False, 1_234)
RESULTS: dict[str, Any] = {
    "status": status(),
    "verify": verified(),
    "report": SUMMARY,
    "dlq list": letters(ListedLetter),
    "dlq list --all": letters(LetterOfAnyState),
    "dlq list --summary": LetterSummary(COUNT, {"validation": COUNT}, 98_765, STATES, REASONS),
    "quality": with_quality(report_data([]), *VERSIONS).quality,
    "drift": drift_result(records=COUNT, rejected=1_234_567, windows=17_636),
    "model list": [MODEL, replace(MODEL, version=VERSIONS[1])],
    "model history": [CHANGE],
    "model compare": compared(),
    "model show": MANIFEST,
    "train": [Candidate("linear", "C=0.0123456", True, 0.41234, 0.84567, 1.2e-7)],
    "import": [EngineReport("onnx", 2.9e-7, 1_234, 12.3, 234.5, 34_567.8, serves=True)],
    "deciles": [Decile(COUNT, 0.1234, 0.2345)],
    "doctor": DoctorResult(False, 3, [Check("broker", "10.0.0.1:9092", "ok", "12 brokers, answered in 1,234 ms")]),
}


@pytest.mark.parametrize("columns", [40, 60, 80])
@pytest.mark.parametrize("command", RESULTS)
def test_table_has_whole_numbers_in_a_narrow_terminal(command: str, columns: int) -> None:
    narrow = shown(RESULTS[command], {"COLUMNS": str(columns)})
    wide = shown(RESULTS[command], {"COLUMNS": "400"})
    missing = {word for word in wide.split() if any(map(str.isdigit, word))} - set(narrow.split())
    assert not missing, narrow
    is_copied = "0123456789abcdef".__contains__  # checksums are longer than the line
    lines = [line for line in narrow.splitlines() if not all(map(is_copied, line.strip()))]
    assert max(map(cell_len, lines)) <= columns, narrow


def shown(result: object, environ: Mapping[str, str]) -> str:
    captured = CapturedScreen(environ=environ)
    captured.screen.show(result)
    return captured.stdout
