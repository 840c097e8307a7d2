"""`outcomes check` on a real Kafka: a dead letter for each record that is not an outcome, exactly once."""

import json
import re
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from telco_stream.dlq.run import StateOptions, count_letters
from telco_stream.kafka.clients import Clients
from telco_stream.kafka.cluster import Cluster
from telco_stream.settings import load
from tests.support.cli import RunningCli
from tests.support.in_process import run_in_process
from tests.support.letters import letter
from tests.support.outcomes import TIME, outcomes_env
from tests.support.records import good
from tests.support.topics import Outgoing, StoredRecord, Topics, read_topic, send

Start = Callable[..., RunningCli]


def outcome(key: str, **changed: Any) -> bytes:
    """Return the value of an outcome; a change to None leaves the field out."""
    fields = {"customerID": key, "Churn": "Yes", "event_ts": TIME} | changed
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


#: Values that are not outcomes, with the type and the code of their letters.
BAD: dict[str, tuple[bytes | None, str, str]] = {
    "none": (None, "empty", "no_value"),
    "empty": (b"", "empty", "empty_value"),
    "bytes": (outcome("x").replace(b"Yes", b"\xff"), "encoding", "not_utf8"),
    "text": (b"hello", "json", "malformed"),
    "deep": (b'{"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json", "too_deep"),
    "unknown": (outcome("x", Churn="maybe"), "validation", "unknown_category"),
    "nobody": (outcome("x", customerID=None), "validation", "missing_field"),
    "blank": (outcome(""), "validation", "out_of_range"),
    "number": (outcome("x", customerID=7), "validation", "wrong_type"),
    "undecided": (outcome("x", Churn=None), "validation", "missing_field"),
    "timeless": (outcome("x", event_ts=None), "validation", "missing_field"),
    "late": (outcome("x", event_ts="2026-11-02 00:00"), "validation", "bad_time"),
}
#: Records of a run that is killed or fenced, and the option to write that many letters.
COUNT, ANY_NUMBER = 1_000, ("--max-consecutive-dead-letters", "0")
#: Records: the bad ones among good ones, each with its name as the key.
RECORDS: list[Outgoing] = [
    pair
    for name, (value, _, _) in BAD.items()
    for pair in ((name, value, [("trace", b"1")]), (f"good-{name}", outcome(f"good-{name}"), []))
]


@pytest.fixture
def env(kafka: str, topics: Topics) -> dict[str, str]:
    return outcomes_env(kafka, topics)


def check(env: dict[str, str], *options: str, code: int = 0) -> Any:
    done = run_in_process("outcomes", "check", "--output", "json", *options, env=env)
    assert done.code == code, done.err
    return json.loads(done.out) if code == 0 else done.err


def letters(env: dict[str, str]) -> list[StoredRecord]:
    return read_topic(env["TELCO_STREAM_BOOTSTRAP_SERVERS"], env["TELCO_STREAM_TOPICS__DEADLETTER"])


def test_outcomes_check_writes_one_letter_for_each_bad_outcome(env: dict[str, str], kafka: str, topics: Topics) -> None:
    """It explains each, and further runs find only what has arrived since."""
    send(kafka, topics.outcomes, RECORDS)
    by_type = Counter(error_type for _, error_type, _ in BAD.values())
    counts = {"checked": len(RECORDS), "valid": len(BAD), "dead_lettered": len(BAD), "by_error_type": dict(by_type)}
    assert check(env) == counts | {"stopped_by": "end", "seconds": ANY}
    written = {(letter.key or b"").decode(): letter for letter in letters(env)}
    assert len(written) == len(letters(env)) == len(BAD)
    codes = {name: (each.json()["error_type"], each.header("telco.dlq.error.code")) for name, each in written.items()}
    assert codes == {name: (error_type, code) for name, (_, error_type, code) in BAD.items()}
    letter = written["unknown"]
    assert letter.json()["original_message"].encode() == BAD["unknown"][0]
    assert letter.json()["error_message"] == "Unknown category - at `$.Churn`"
    assert (letter.header("source") or "").startswith(f"{topics.outcomes}/")
    assert (letter.header("trace"), letter.header("telco.dlq.stage")) == ("1", "validate")
    assert letter.header("telco.dlq.model.version") is None
    nothing = {"checked": 0, "valid": 0, "dead_lettered": 0, "by_error_type": {}}
    assert check(env) == nothing | {"stopped_by": "end", "seconds": ANY}
    send(kafka, topics.outcomes, [("later", b"{}", [])])
    assert (check(env)["checked"], len(letters(env))) == (1, len(BAD) + 1)


def test_outcomes_check_writes_each_letter_once_when_killed(
    env: dict[str, str], kafka: str, topics: Topics, start_cli: Start
) -> None:
    """The next run takes its place at once, and continues after its last transaction."""
    send(kafka, topics.outcomes, [(str(number), b"{}", []) for number in range(COUNT)])
    env["TELCO_STREAM_KAFKA__SESSION__TIMEOUT__MS"] = "45000"
    one_each = {"TELCO_STREAM_CONSUMER__MAX_POLL_RECORDS": "1"}
    running = start_cli("outcomes", "check", *ANY_NUMBER, env=env | one_each)
    running.wait_for_stderr("dead letter for")
    running.signal(signal.SIGKILL)
    running.process.wait()
    before = len(letters(env))
    assert 0 < before < COUNT
    started = time.monotonic()
    assert check(env, *ANY_NUMBER)["checked"] in {COUNT - before, COUNT - before - 1}
    assert time.monotonic() - started < 20  # the broker would end its transaction after 30 s, its membership after 45 s
    assert sorted((letter.key or b"").decode() for letter in letters(env)) == sorted(map(str, range(COUNT)))


def test_outcomes_check_writes_no_letter_again_when_offsets_are_lost(
    env: dict[str, str], kafka: str, topics: Topics
) -> None:
    """Kafka deletes the offsets of a group without members; another group has none either."""
    send(kafka, topics.outcomes, RECORDS)
    assert check(env)["dead_lettered"] == len(BAD)
    send(kafka, topics.outcomes, [("later", b"{}", [])])
    other = check(env, "--group", "another", "--timeout", "20")
    assert (other["dead_lettered"], len(letters(env))) == (1, len(BAD) + 1)


def test_outcomes_check_ends_when_another_one_takes_over(
    env: dict[str, str], kafka: str, topics: Topics, start_cli: Start
) -> None:
    send(kafka, topics.outcomes, [(str(number), b"{}", []) for number in range(COUNT)])
    first = start_cli("outcomes", "check", *ANY_NUMBER, env=env | {"TELCO_STREAM_CONSUMER__MAX_POLL_RECORDS": "1"})
    first.wait_for_stderr("dead letter for")
    check(env, *ANY_NUMBER)
    assert first.wait() == 6
    assert "Another instance has taken over" in first.stderr()
    assert sorted((letter.key or b"").decode() for letter in letters(env)) == sorted(map(str, range(COUNT)))


def test_outcomes_check_stops_at_too_many_consecutive_letters(env: dict[str, str], kafka: str, topics: Topics) -> None:
    """Nothing of the batch is committed: the contract may be that of another model."""
    send(kafka, topics.outcomes, [("k", b"{}", [])] * 5)
    assert "5 consecutive dead letters" in check(env, "--max-consecutive-dead-letters", "5", code=5)
    assert letters(env) == []


def test_quality_counts_the_records_that_get_a_letter(env: dict[str, str], kafka: str, topics: Topics) -> None:
    prediction = {"customerID": "good-none", "churn_probability": 0.5, "prediction": "Yes", "event_ts": TIME}
    prediction |= {"processed_ts": "2026-11-01T00:00:00Z", "model_version": "v", "Contract": "One year"}
    send(kafka, topics.predictions, [("k", json.dumps(prediction | {"InternetService": "DSL"}), [])])
    send(kafka, topics.outcomes, RECORDS)
    done = run_in_process("quality", "--output", "json", env=env)
    coverage = json.loads(done.out)["coverage"]
    assert (coverage["unreadable_outcomes"], coverage["outcomes"], coverage["with_outcome"]) == (len(BAD), len(BAD), 1)
    assert check(env)["dead_lettered"] == len(BAD)
    assert "telco-stream outcomes check" in run_in_process("quality", env=env).out


def test_letters_of_outcomes_stay_apart_from_those_of_customers(
    env: dict[str, str], kafka: str, topics: Topics, tmp_path: Path
) -> None:
    """`verify` ignores them, and `dlq` searches each topic for the replays of its own letters only."""
    send(kafka, topics.raw, [(str(number), good(), []) for number in range(300)] + [("bad", b"{}", [])], partition=0)
    assert run_in_process("consume", "--mode", "batch", env=env).code == 0
    send(kafka, topics.outcomes, RECORDS)
    check(env)
    verified = run_json(env, "verify")
    assert (verified["inputs"], verified["dead_lettered"], verified["unexplained"]) == (301, 1, 0)
    of_raw, of_outcomes = (listed(env, "--source-topic", name) for name in (topics.raw, topics.outcomes))
    assert ([each["key"] for each in of_raw], {each["key"] for each in of_outcomes}) == (["bad"], set(BAD))
    assert {each["source"].split("/")[0] for each in of_outcomes} == {topics.outcomes}
    cluster = Cluster(Clients(load({}, environ=env)))
    assert count_letters(cluster, StateOptions(max_offsets=100)) == (len(BAD) + 1,) * 2
    status = run_json(env, "status")
    assert (status["open_dead_letters"], [topic["topic"] for topic in status["topics"]][3:]) == (
        len(BAD) + 1,
        [topics.outcomes],
    )
    page = tmp_path / "report.html"
    assert run_in_process("report", "--html", str(page), env=env).code == 0
    assert re.findall(r'value="(\d+)" data-name="dead_letters"', page.read_text()) == ["1"]
    assert "from: test-" in run_in_process("dlq", "list", env=env).out
    send(kafka, topics.deadletter, [("k", b"{}", [("source", b"another/0/0")])])
    assert run_in_process("verify", env=env).code == 5


def test_replay_sends_letters_of_outcomes_back_to_their_topic(env: dict[str, str], kafka: str, topics: Topics) -> None:
    """Each once, and those of customers to theirs. What is bad still gets a letter again."""
    fixed = [("source", f"{topics.outcomes}/0/0".encode())]
    content = json.loads(letter().value() or b"") | {"original_message": outcome("fixed").decode()}
    send(kafka, topics.deadletter, [("fixed", json.dumps(content), fixed)])
    send(kafka, topics.raw, [("customer", b"{}", [])])
    assert run_in_process("consume", "--mode", "batch", env=env).code == 0
    send(kafka, topics.outcomes, RECORDS)
    check(env)
    replay = ("dlq", "replay", "--execute")
    assert run_json(env, *replay, "--only-fixed")["skipped"] == {"still failing": len(BAD) + 1}
    assert (keys_after(kafka, topics.outcomes, len(RECORDS)), keys_after(kafka, topics.raw, 1)) == (["fixed"], [])
    assert check(env)["valid"] == 1
    assert run_json(env, *replay) == {"selected": len(BAD) + 2, "replayed": len(BAD) + 1} | {
        "skipped": {"already replayed": 1},
        "dry_run": False,
    }
    assert sorted(keys_after(kafka, topics.outcomes, len(RECORDS) + 1)) == sorted(BAD)
    assert keys_after(kafka, topics.raw, 1) == ["customer"]
    assert Counter(each["state"] for each in listed(env, "--all")) == {"replayed": len(BAD) + 2}
    assert check(env)["dead_lettered"] == len(BAD)
    of_outcomes = Counter((each["state"], each["retry_count"]) for each in listed(env, "--all") if each["key"] in BAD)
    assert of_outcomes == {("given_up", 0): len(BAD), ("open", 1): len(BAD)}


def run_json(env: dict[str, str], *command: str) -> Any:
    done = run_in_process(*command, "--output", "json", env=env)
    assert done.code == 0, done.err
    return json.loads(done.out)


def listed(env: dict[str, str], *options: str) -> list[Any]:
    done = run_in_process("dlq", "list", "--output", "json", *options, env=env)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def keys_after(kafka: str, topic: str, count: int) -> list[str]:
    """Return the keys of the records after the first `count` in the order of time."""
    records = sorted(read_topic(kafka, topic), key=lambda record: record.timestamp)
    return [(record.key or b"").decode() for record in records[count:]]
