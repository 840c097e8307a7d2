"""The sentence that `verify` ends with, and what it says about the cause of a finding."""

import pytest

from telco_stream.checks.verdict import Evidence, FindingKind, list_findings, state_verdict

COUNTS = ("inputs", "missing", "duplicated", "unexplained", "expired", "expired_unanswered", "unanswered")
NOTHING = dict.fromkeys(COUNTS, 0)
FIRST: dict[FindingKind, str] = {"missing": "raw/0/4", "duplicated": "raw/0/1", "unexplained": "answers/2/7"}
EVIDENCE = Evidence("localhost:9092", "churn", "raw", "answers", FIRST)


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ({"inputs": 220_598}, "Each of 220,598 inputs has exactly one answer."),
        ({"inputs": 1}, "The only input has exactly one answer."),
        ({}, "The group has not answered any input that is still in the topic; there is nothing to verify."),
        (
            {"inputs": 5_000, "expired": 1_000},
            (
                "Each of 4,000 inputs has exactly one answer; 1,000 older inputs cannot be checked, because retention "
                "has deleted the answers."
            ),
        ),
        (
            {"inputs": 1, "expired": 1},
            "1 older input cannot be checked, because retention has deleted the answers.",
        ),
        (
            {"inputs": 14, "unanswered": 1_000},
            "Each of 14 inputs has exactly one answer; 1,000 inputs are not answered yet.",
        ),
        ({"inputs": 1, "unanswered": 1}, "1 input has exactly one answer; 1 input is not answered yet."),
        (
            {"unanswered": 20},
            "The group has not answered any input that is still in the topic; 20 inputs are not answered yet.",
        ),
        ({"inputs": 6, "missing": 1}, "1 of 6 inputs has no answer."),
        ({"inputs": 6, "missing": 1, "unanswered": 2}, "1 of 6 inputs has no answer; 2 inputs are not answered yet."),
        (
            {"inputs": 6_000, "missing": 2, "duplicated": 3, "unexplained": 1},
            "2 of 6,000 inputs have no answer; 3 of 6,000 inputs have more than one answer; 1 answer has no input.",
        ),
        (
            {"inputs": 6_000, "expired_unanswered": 1_234},
            "Up to 1,234 records were deleted before being answered.",
        ),
    ],
)
def test_verdict_is_one_sentence(counts: dict[str, int], verdict: str) -> None:
    assert state_verdict(NOTHING | counts) == verdict


def test_findings_are_empty_when_all_is_well() -> None:
    assert list_findings(NOTHING | {"inputs": 3}, EVIDENCE) == []
