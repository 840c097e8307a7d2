"""`outcomes send` on a real Kafka: exactly once, resumed, and with every unusable row reported."""

import json
from pathlib import Path
from typing import Any

import pytest

from telco_stream.contract.document import builtin_contract
from telco_stream.csv.reader import open_reader
from telco_stream.csv.validation import outcome_format
from tests.support.in_process import run_in_process
from tests.support.outcomes import TIME, outcomes_env
from tests.support.topics import Topics, read_topic


def write_outcomes(folder: Path, count: int, *, header: str = "customer,outcome,time") -> Path:
    rows = [f"{number:04}-TEST,{'Yes' if number % 3 else 'No'},{TIME}" for number in range(count)]
    path = folder / "outcomes.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def env(kafka: str, topics: Topics) -> dict[str, str]:
    return outcomes_env(kafka, topics)


def send(env: dict[str, str], path: Path, *options: str, code: int = 0) -> Any:
    done = run_in_process("outcomes", "send", str(path), "--output", "json", *options, env=env)
    assert done.code == code, done.err
    return json.loads(done.out) if code == 0 else done.err


def sent(env: dict[str, str]) -> list[Any]:
    return [
        record.json()
        for record in read_topic(env["TELCO_STREAM_BOOTSTRAP_SERVERS"], env["TELCO_STREAM_TOPICS__OUTCOMES"])
    ]


def test_outcomes_send_resumes_after_the_last_confirmed_row(env: dict[str, str], tmp_path: Path) -> None:
    path = write_outcomes(tmp_path, 500)
    first = run_in_process("outcomes", "send", str(path), "--limit", "120", "--run-id", "week-1", env=env)
    assert (first.code, "started command=outcomes send" in first.err) == (0, True)
    result = send(env, path, "--run-id", "week-1")
    assert (result["sent"], result["resumed_from"], result["topic"]) == (380, 120, env["TELCO_STREAM_TOPICS__OUTCOMES"])
    assert send(env, path, "--run-id", "week-1")["stopped_by"] == "already-complete"
    assert sorted(value["customerID"] for value in sent(env)) == [f"{number:04}-TEST" for number in range(500)]
    assert sent(env)[0].keys() == {"customerID", "Churn", "event_ts"}
    assert (tmp_path / "checkpoints/outcomes.json").exists()


@pytest.mark.parametrize(("row", "reason"), [
    (f"1-TEST,maybe,{TIME}", "outcome is not Yes or No"),
    ("1-TEST,Yes,yesterday", "time is not a time as in RFC 3339"),
    (f" ,Yes,{TIME}", "no customer"),
])  # fmt: skip
def test_outcomes_send_reports_each_row_that_is_unusable(
    env: dict[str, str], tmp_path: Path, row: str, reason: str
) -> None:
    """It is refused before a row of its chunk is sent, or skipped and written to a file with its line and reason."""
    path = write_outcomes(tmp_path, 5)
    path.write_text(f"{path.read_text()}{row}\n")
    assert f"line 7: {reason}" in send(env, path, code=5)
    assert sent(env) == []
    bad = tmp_path / "bad.csv"
    result = send(env, path, "--bad-rows", str(bad))
    assert (result["sent"], result["bad_rows"], len(sent(env))) == (5, 1, 5)
    assert bad.read_text().splitlines()[1].startswith(f"7,{reason}")
    bad.write_text(f"line,reason,customer,outcome,time\n7,x,1-TEST,Yes,{TIME}\n")
    assert send(env, bad)["sent"] == 1


def test_outcomes_send_accepts_the_names_of_the_contract(env: dict[str, str], tmp_path: Path) -> None:
    assert send(env, write_outcomes(tmp_path, 3, header="customerID,Churn,event_ts"))["sent"] == 3
    assert {value["event_ts"] for value in sent(env)} == {TIME}


def test_outcomes_send_names_the_option_when_the_topic_is_missing(kafka: str, topics: Topics, tmp_path: Path) -> None:
    assert "topics init --outcomes" in send(topics.env(kafka), write_outcomes(tmp_path, 3), code=3)


def test_outcome_format_prefers_the_column_named_by_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    path.write_text(f"customerID,outcome,Churn,time\n1-TEST,kept,Yes,{TIME}\n")
    with open_reader(path, outcome_format(builtin_contract())) as reader:
        (row,) = reader.read(10).rows
    assert (row.key, row.label) == ("1-TEST", "Yes")
