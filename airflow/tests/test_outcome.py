import json

import pytest

from telco_airflow.outcome import Failure, outcome


def outcome_of(code: int, stdout: str = "", last_line: str = "", *, stopped: bool = False) -> object:
    return outcome(["verify", "--group", "g"], code, stdout, last_line, stopped=stopped)


def test_outcome_returns_the_commands_json() -> None:
    assert outcome_of(0, json.dumps({"inputs": 3})) == {"inputs": 3}


@pytest.mark.parametrize("code", [2, 4, 5])
def test_outcome_is_not_retried_for_a_permanent_exit_code(code: int) -> None:
    failure = outcome_of(code, "", "Error: The ledger has gaps: 2 missing")
    assert failure == Failure(
        f"telco-stream verify exited with {code}: The ledger has gaps: 2 missing", is_permanent=True
    )


@pytest.mark.parametrize("code", [1, 3, 6, 130])
def test_outcome_is_retried_for_a_temporary_exit_code(code: int) -> None:
    failure = outcome_of(code, "", "Kafka doesn't answer")
    assert failure == Failure(f"telco-stream verify exited with {code}: Kafka doesn't answer")


def test_outcome_names_a_signal() -> None:
    failure = outcome_of(-9)
    assert isinstance(failure, Failure)
    assert "killed by SIGKILL" in failure.message
    assert not failure.is_permanent


def test_outcome_has_no_result_when_the_command_was_stopped() -> None:
    failure = outcome_of(0, json.dumps({"inputs": 3}), stopped=True)
    assert isinstance(failure, Failure)
    assert "SIGTERM" in failure.message
    assert not failure.is_permanent


def test_outcome_has_no_result_when_stopped_by_is_a_signal() -> None:
    failure = outcome_of(0, json.dumps({"stopped_by": "signal"}))
    assert isinstance(failure, Failure)
    assert not failure.is_permanent


@pytest.mark.parametrize("stdout", ["", "no json", "[1]", '"text"'])
def test_outcome_fails_when_stdout_is_not_a_json_object(stdout: str) -> None:
    failure = outcome_of(0, stdout)
    assert isinstance(failure, Failure)
    assert failure.is_permanent
    assert "telco_stream_command" in failure.message


def test_outcome_names_the_exit_code_when_stderr_is_empty() -> None:
    assert outcome_of(1) == Failure("telco-stream verify exited with 1: no error message")


def test_outcome_truncates_a_long_error() -> None:
    failure = outcome_of(1, "", "x" * 10_000)
    assert isinstance(failure, Failure)
    assert len(failure.message) < 600
