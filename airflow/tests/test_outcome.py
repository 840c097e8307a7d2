import json

import pytest

from telco_airflow.outcome import Failure, outcome


def ends(code: int, stdout: str = "", last_line: str = "", *, stopped: bool = False) -> object:
    return outcome(["verify", "--group", "g"], code, stdout, last_line, stopped=stopped)


def test_a_result_is_the_commands_json() -> None:
    assert ends(0, json.dumps({"inputs": 3})) == {"inputs": 3}


@pytest.mark.parametrize("code", [2, 4, 5])
def test_wrong_usage_a_refused_model_and_refused_data_are_not_tried_again(code: int) -> None:
    failure = ends(code, "", "Error: The ledger has gaps: 2 missing")
    assert failure == Failure(f"telco-stream verify ended with {code}: The ledger has gaps: 2 missing", hopeless=True)


@pytest.mark.parametrize("code", [1, 3, 6, 130])
def test_a_bug_kafka_fencing_and_an_interrupt_are_tried_again(code: int) -> None:
    failure = ends(code, "", "Kafka doesn't answer")
    assert failure == Failure(f"telco-stream verify ended with {code}: Kafka doesn't answer")


def test_a_kill_is_named() -> None:
    failure = ends(-9)
    assert isinstance(failure, Failure)
    assert "killed by SIGKILL" in failure.message
    assert not failure.hopeless


def test_a_command_that_was_stopped_has_no_result_although_it_ends_well() -> None:
    failure = ends(0, json.dumps({"inputs": 3}), stopped=True)
    assert isinstance(failure, Failure)
    assert "SIGTERM" in failure.message
    assert not failure.hopeless


def test_a_command_that_says_itself_that_it_was_stopped_has_none_either() -> None:
    failure = ends(0, json.dumps({"stopped_by": "signal"}))
    assert isinstance(failure, Failure)
    assert not failure.hopeless


@pytest.mark.parametrize("stdout", ["", "no json", "[1]", '"text"'])
def test_what_is_no_object_is_no_result(stdout: str) -> None:
    failure = ends(0, stdout)
    assert isinstance(failure, Failure)
    assert failure.hopeless
    assert "telco_stream_command" in failure.message


def test_a_command_without_a_word_is_told_by_its_code() -> None:
    assert ends(1) == Failure("telco-stream verify ended with 1: it said nothing")


def test_a_long_complaint_is_cut() -> None:
    failure = ends(1, "", "x" * 10_000)
    assert isinstance(failure, Failure)
    assert len(failure.message) < 600
