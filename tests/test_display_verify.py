"""The result of `verify` on a terminal."""

from telco_stream.checks.ledger import Account
from telco_stream.checks.verdict import Finding, VerifyResult
from tests.support.captured_screen import CapturedScreen

COMMAND = (
    "kcat -C -e -q -b broker-1:9092,broker-2:9092 -t telco.churn.predictions -f '%p/%o,%h\\n' | grep 'source=raw/0/1'"
)


def test_verdict_is_the_first_line() -> None:
    lines = shown(result("Each of 3 inputs has exactly one answer.")).splitlines()
    assert lines[0].strip() == "Each of 3 inputs has exactly one answer."
    assert not any("Verdict" in line or "Findings" in line for line in lines)


def test_finding_has_a_command_that_can_be_pasted() -> None:
    """A long command is continued with a backslash, so that the shell joins its lines."""
    text = shown(
        result("1 of 3 inputs has more than one answer.", Finding("duplicated", "1 input", "a cause", COMMAND))
    )
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    first = next(number for number, line in enumerate(lines) if line.startswith(" kcat"))
    assert lines[first].rstrip().endswith("\\")
    pasted = " ".join(line.strip() for line in lines[first:]).replace(" \\ ", " ")
    assert pasted == COMMAND
    assert "a cause" in text


def test_table_has_columns_only_for_what_was_found() -> None:
    clean = shown(result("Each of 3 inputs has exactly one answer."))
    assert "Inputs   Predicted   Dead" in clean
    assert "Twice" not in clean
    finding = Finding("duplicated", "1 of 3 inputs has more than one answer", "a cause", "true")
    assert "Inputs   Predicted   Dead   Twice" in shown(result("1 of 3 inputs has more than one answer.", finding))


def test_table_shows_inputs_that_are_not_answered_yet() -> None:
    account = Account(0, 14, 14, 0, 0, 0, 0, 0, [], [], [], unanswered=1_000)
    text = shown(VerifyResult("A verdict.", 14, 14, 0, 0, 0, 0, 0, 1_000, [account], 0, [], 0, []))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "Not answered yet 1,000" in lines
    assert lines[-1] == "Not answered yet, by partition: 0: 1,000"


def result(verdict: str, *findings: Finding) -> VerifyResult:
    account = Account(0, 3, 3, 0, 0, len(findings), 0, 0, [], [], [])
    return VerifyResult(verdict, 3, 3, 0, 0, len(findings), 0, 0, 0, [account], 0, [], 0, list(findings))


def shown(value: VerifyResult) -> str:
    captured = CapturedScreen(environ={"COLUMNS": "80"})
    captured.screen.show(value)
    return captured.stdout
