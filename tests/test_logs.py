"""The log: one line per event, as text or JSON, throttled and without customer data."""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import get_args

import pytest

from telco_stream.consume.counters import StoppedBy
from telco_stream.errors import ErrorType, KafkaError
from telco_stream.messages.record import Message, Rejection
from telco_stream.monitoring import DeadLetterLog
from telco_stream.monitoring.protocols import BatchTimings, PartitionView
from telco_stream.monitoring.snapshot import ProgressLog
from telco_stream.runtime import logs
from telco_stream.scoring import Outcome
from tests.support.cli import RunningCli
from tests.support.in_process import run_in_process
from tests.support.mock_cluster import MockCluster
from tests.support.records import good
from tests.support.topics import Outgoing, Topics, send

SECRET = "Margot-4711"


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def as_json(lines: list[str]) -> list[str]:
    """Collect log lines as JSON."""
    logs.configure(as_json=True)
    logs.divert(lines.append)
    return lines


@pytest.fixture
def as_text(lines: list[str]) -> list[str]:
    """Collect log lines as text."""
    logs.configure()
    logs.divert(lines.append)
    return lines


@pytest.fixture
def as_sentences(lines: list[str]) -> list[str]:
    """Collect log lines as a terminal shows them, without the time."""
    logs.configure(as_sentences=True)
    logs.divert(lambda line: lines.append(re.sub(r"^\d\d:\d\d:\d\d ", "", line)))
    return lines


STARTED = {"raw": "telco.raw.customers", "group": "churn-group", "model_version": "2026-11-23-9cebc992"}


def test_sentence_says_what_is_consumed(as_sentences: list[str]) -> None:
    for mode in ("streaming", "batch"):
        logs.log_start("consume", mode=mode, delivery="exactly-once", **STARTED)
    assert as_sentences == [
        "Consuming telco.raw.customers as churn-group, exactly once, model 2026-11-23-9cebc992",
        "Consuming telco.raw.customers to its end as churn-group, exactly once, model 2026-11-23-9cebc992",
    ]


def test_start_says_that_a_run_ends_only_by_a_signal(lines: list[str]) -> None:
    facts = {"mode": "streaming", "delivery": "exactly-once", "until": "signal"}
    for as_sentences in (True, False):
        logs.configure(as_sentences=as_sentences)
        logs.divert(lines.append)
        logs.log_start("consume", **facts, **STARTED)
        logs.log_start("produce", **facts, topic="raw", run_id=None, file="a.csv")
    assert all(line.endswith("; it runs until SIGTERM or Ctrl-C") for line in lines)
    assert "until=" not in "".join(lines)


def test_sentence_says_what_is_sent(as_sentences: list[str]) -> None:
    facts = {"topic": "raw", "delivery": "at-least-once", "file": "a.csv"}
    logs.log_start("produce", mode="batch", run_id=None, **facts)
    logs.log_start("produce", mode="batch", run_id="monday", **facts)
    logs.log_start("produce", mode="streaming", run_id=None, **facts)
    logs.log_start("outcomes send", mode="batch", run_id=None, **facts)
    logs.log_end("produce", sent=3_000, failed=0, seconds=1.234)
    logs.log_end("outcomes send", sent=1, failed=2, seconds=0.5)
    assert as_sentences == [
        "Sending a.csv to raw, at least once",
        "Sending a.csv to raw as run monday, at least once",
        "Sending random rows of a.csv to raw, at least once",
        "Sending a.csv to raw, at least once",
        "Sent 3,000 rows in 1.2 s",
        "Sent 1 row in 0.5 s; 2 failed",
    ]


def test_sentence_says_which_outcomes_are_checked(as_sentences: list[str]) -> None:
    logs.log_start("outcomes check", group="churn-group-outcomes", outcomes="telco.churn.outcomes", deadletter="dead")
    logs.log_end("outcomes check", stopped_by="end", checked=2_000, dead_lettered=1, seconds=1.234)
    assert as_sentences == [
        "Checking telco.churn.outcomes to its end as churn-group-outcomes",
        "Reached the end of the topic: checked 2,000 records (1 dead letter) in 1.2 s",
    ]


def test_sentence_says_why_a_run_stopped(as_sentences: list[str]) -> None:
    for reason in get_args(StoppedBy):
        logs.log_end("consume", stopped_by=reason, consumed=2_000, predicted=1_995, dead_lettered=5, seconds=1.234)
    logs.log_end("consume", stopped_by="end", consumed=1, predicted=1, dead_lettered=0, seconds=0)
    assert as_sentences[0] == "Stopped as requested: answered 2,000 records (5 dead letters) in 1.2 s"
    assert as_sentences[-1] == "Reached the end of the topic: answered 1 record in 0.0 s"
    assert len({line.split(":")[0] for line in as_sentences}) == 4


def test_sentence_is_the_message_when_it_is_one_already(as_sentences: list[str]) -> None:
    extra = {"event": "stall_resolved", "facts": {"topic": "raw", "partition": 1}}
    logging.getLogger("telco_stream.kafka").info("partition 1 of raw moves again", extra=extra)
    logging.getLogger("telco_stream.kafka").warning("the abort failed: %s", "why")
    assert as_sentences == ["Partition 1 of raw moves again", "Warning: The abort failed: why"]


@pytest.mark.parametrize(
    ("partitions", "listed"),
    [([0, 2], "partitions 0, 2 of raw"), ([1], "partition 1 of raw"), ([], "no further partitions of raw")],
)
def test_sentence_names_partitions(as_sentences: list[str], partitions: list[int], listed: str) -> None:
    for event in ("assigned", "revoked"):
        extra = {"event": event, "facts": {"topic": "raw", "partitions": partitions}}
        logging.getLogger("telco_stream.kafka").info("", extra=extra)
    assert as_sentences == [f"Assigned {listed}", f"Revoked {listed}"]


def test_sentence_names_the_worker(lines: list[str]) -> None:
    logs.configure(as_sentences=True, worker=2)
    logs.divert(lines.append)
    logging.getLogger("telco_stream.kafka").info("got partitions 0 of raw")
    assert re.fullmatch(r"\d\d:\d\d:\d\d worker 2: Got partitions 0 of raw", lines[0])


def test_text_names_no_worker(lines: list[str]) -> None:
    """Scripts read this format."""
    logs.configure(worker=2)
    logs.divert(lines.append)
    logging.getLogger("telco_stream.kafka").info("got partitions 0 of raw")
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO got partitions 0 of raw", lines[0])


def test_sentences_count_dead_letters_and_lag(as_sentences: list[str]) -> None:
    clock = Clock()
    dead_letter_log, progress = DeadLetterLog(clock), ProgressLog(clock)
    progress.attach(lambda: PartitionView(answered={0: 10}, end_offsets={0: 15}, assigned=frozenset({0})))
    dead_letter_log.on_committed(letters(12), None)
    progress.on_committed(batch(predictions=3, letters=1), NO_TIMINGS)
    clock.now = 60.0
    dead_letter_log.finish()
    progress.on_poll()
    assert as_sentences[0] == "Warning: Dead letter for raw/1/0 (json: malformed)"
    assert as_sentences[-2:] == [
        "Warning: 2 more dead letters in 60 s; `telco-stream dlq list` shows them",
        "Answered 4 records (1 dead letter) in 60 s, lag 5",
    ]


def test_sentence_says_how_many_lines_were_left_out(as_sentences: list[str]) -> None:
    for _ in range(12):
        lose_a_transaction()
    logs.log_end("produce", sent=0, failed=0, seconds=0)
    expected = "Warning: 2 more lines about transaction_lost in 0 s were left out; --verbose shows them"
    assert as_sentences[-2] == expected


def test_json_has_time_level_event_message_and_facts(as_json: list[str]) -> None:
    logs.log_start("consume", mode="streaming", partitions=[0, 1])
    line = json.loads(as_json[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("ts"))
    assert line.pop("version")
    assert line.pop("message").startswith("started command=consume version=")
    expected = {"level": "info", "event": "started", "command": "consume", "mode": "streaming", "partitions": [0, 1]}
    assert line == expected


def test_json_event_is_the_logger_when_no_event_is_given(as_json: list[str]) -> None:
    logging.getLogger("telco_stream.kafka").warning("x %d", 1)
    line = json.loads(as_json[0])
    assert (line["level"], line["event"], line["message"]) == ("warning", "kafka", "x 1")


def test_text_has_time_level_and_message(as_text: list[str]) -> None:
    logs.log_end("produce", sent=3)
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO stopped command=produce sent=3", as_text[0])


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "a\u2028b", "\x00"])
def test_log_escapes_control_characters(text: str, lines: list[str]) -> None:
    for as_json in (False, True):
        logs.configure(as_json=as_json)
        logs.divert(lines.append)
        logging.getLogger("telco_stream.kafka").warning(text)
    assert all(line.isprintable() for line in lines)
    assert json.loads(lines[1])["message"] == text


def test_configure_selects_lines_when_quiet_or_verbose(lines: list[str]) -> None:
    levels = {}
    for options in ({"quiet": True}, {}, {"verbose": True}):
        lines.clear()
        logs.configure(**options)
        logs.divert(lines.append)
        logging.getLogger("telco_stream.kafka").warning("w")
        logging.getLogger("telco_stream.kafka").info("i")
        logging.getLogger("telco_stream.kafka.client").critical("c")
        levels[next(iter(options), "")] = "".join(line[-1] for line in lines)
    assert levels == {"quiet": "w", "": "wi", "verbose": "wic"}


def test_log_ignores_errors_when_its_stream_is_closed(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception inside a callback of the client would lose a record."""

    def broken(_line: str) -> None:
        raise BrokenPipeError

    logs.configure()
    logs.divert(broken)
    logs.log_end("produce")
    assert capsys.readouterr().err == ""


def test_log_failure_logs_the_error_when_json(as_json: list[str]) -> None:
    assert logs.log_failure(KafkaError("no broker"))
    line = json.loads(as_json[0])
    assert (line["event"], line["level"], line["message"], line["exit_code"]) == ("failed", "critical", "no broker", 3)


def test_log_failure_logs_nothing_when_text(as_text: list[str]) -> None:
    assert not logs.log_failure(KafkaError("no broker"))
    assert as_text == []


@dataclass
class Clock:
    """A clock that the test sets."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_dead_letter_log_has_coordinates_type_and_code(as_json: list[str]) -> None:
    DeadLetterLog().on_committed(letters(1), None)
    line = json.loads(as_json[0])
    facts = {name: line[name] for name in ("event", "topic", "partition", "offset", "error_type", "code")}
    expected = {"event": "dead_letter", "topic": "raw", "partition": 1, "offset": 0}
    assert facts == {**expected, "error_type": "json", "code": "malformed"}


def test_dead_letter_log_counts_letters_when_more_than_ten(as_json: list[str]) -> None:
    clock = Clock()
    log = DeadLetterLog(clock)
    log.on_committed(letters(7), None)
    log.on_committed(letters(5_000), None)
    assert len(as_json) == 10
    clock.now = 59.0
    log.on_poll()
    assert len(as_json) == 10
    clock.now = 61.0
    log.on_poll()
    line = json.loads(as_json[10])
    assert (line["event"], line["count"], line["seconds"]) == ("dead_letters", 4_997, 61)
    log.on_committed(letters(3), None)
    assert len(as_json) == 14, "a new minute"


def test_dead_letter_log_counts_suppressed_when_it_finishes(as_json: list[str]) -> None:
    log = DeadLetterLog(Clock())
    log.on_committed(letters(12), None)
    log.finish()
    log.finish()
    assert [json.loads(line)["event"] for line in as_json] == ["dead_letter"] * 10 + ["dead_letters"]


def test_progress_log_writes_a_line_each_minute(as_json: list[str]) -> None:
    clock = Clock()
    log = ProgressLog(clock)
    log.attach(lambda: PartitionView(answered={0: 10, 1: 7}, end_offsets={0: 15, 1: 7}, assigned=frozenset({0, 1})))
    log.on_committed(batch(predictions=3, letters=1), NO_TIMINGS)
    log.on_committed(batch(predictions=2, letters=0), NO_TIMINGS)
    for clock.now in (59.0, 61.0, 62.0, 121.0):
        log.on_poll()
    facts = ("event", "level", "answered", "dead_lettered", "lag", "seconds")
    assert [[json.loads(line)[fact] for fact in facts] for line in as_json] == [
        ["progress", "info", 6, 1, 5, 61],
        ["progress", "info", 0, 0, 5, 60],
    ]


def test_progress_log_has_no_lag_when_an_end_is_unknown(as_text: list[str]) -> None:
    clock = Clock()
    log = ProgressLog(clock)
    log.attach(lambda: PartitionView(answered={0: 10}, end_offsets={0: 15}, assigned=frozenset({0, 1})))
    clock.now = 60.0
    log.on_poll()
    assert as_text[0].endswith("INFO progress answered=0 dead_lettered=0 lag=None seconds=60")


def test_log_writes_ten_lines_when_an_event_repeats(as_json: list[str]) -> None:
    """A broker can refuse several transactions a second."""
    for _ in range(500):
        lose_a_transaction()
    logs.log_start("consume")
    assert [json.loads(line)["event"] for line in as_json] == ["transaction_lost"] * 10 + ["started"]


def test_log_is_not_throttled_when_level_is_info(as_json: list[str]) -> None:
    """Rebalances are few, and each is needed to find the owner of a partition."""
    for _ in range(50):
        logs.log_start("consume")
    assert len(as_json) == 50


@pytest.mark.parametrize("end", [lambda: logs.log_end("consume"), lambda: logs.log_failure(KafkaError("gone"))])
def test_log_counts_suppressed_lines_when_a_command_ends(as_json: list[str], end: Callable[[], object]) -> None:
    for _ in range(12):
        lose_a_transaction()
    end()
    events = [json.loads(line)["event"] for line in as_json]
    assert events[:11] == ["transaction_lost"] * 10 + ["lines_suppressed"]
    assert events[11] in {"stopped", "failed"}
    suppressed = json.loads(as_json[10])
    assert (suppressed["of"], suppressed["count"]) == ("transaction_lost", 2)
    assert (suppressed["seconds"], suppressed["level"]) == (0, "warning")


def test_log_is_not_throttled_when_verbose(lines: list[str]) -> None:
    logs.configure(verbose=True)
    logs.divert(lines.append)
    for _ in range(50):
        logging.getLogger("telco_stream.kafka.client").critical("c")
    assert len(lines) == 50


def test_log_does_not_throttle_dead_letters(as_json: list[str]) -> None:
    """`DeadLetterLog` limits them per minute; the ten lines of the next minute are not suppressed."""
    for minute in range(3):
        clock = Clock()
        DeadLetterLog(clock).on_committed(letters(10), None)
        assert len(as_json) == 10 * (minute + 1)


def test_log_has_no_customer_data_when_verbose(
    embedded: MockCluster, embedded_topics: Topics, start_cli: Callable[..., RunningCli]
) -> None:
    """Including librdkafka's lines, which --verbose adds."""
    bad: list[Outgoing] = [(SECRET.encode(), good(customerID=SECRET, Contract=SECRET), []), (b"a", SECRET.encode(), [])]
    send(embedded.bootstrap, embedded_topics.raw, [*bad, (SECRET.encode(), good(customerID=SECRET), [])])
    options = ("--delivery", "at-least-once", "--log-format", "json", "--verbose", "--max-messages", "3")
    running = start_cli("consume", *options, env=embedded_topics.env(embedded.bootstrap))
    assert running.wait() == 0
    events = [json.loads(line)["event"] for line in running.stderr().splitlines()]
    assert [event for event in events if event not in {"versions", "settings", "model", "reading", "client"}] == [
        "started",
        "assigned",
        "dead_letter",
        "dead_letter",
        "revoked",
        "stopped",
    ]
    assert SECRET not in running.stderr()


def test_log_is_one_json_line_when_broker_is_unreachable() -> None:
    done = run_in_process("consume", "--broker", "localhost:1", "--timeout", "0.5", "--log-format", "json")
    assert done.code == 3
    (line,) = done.err.splitlines()
    assert json.loads(line)["event"] == "failed"


def lose_a_transaction() -> None:
    logging.getLogger("telco_stream.kafka").warning("lost", extra={"event": "transaction_lost", "facts": {}})


def test_model_errors_are_logged_once_per_cause(caplog: pytest.LogCaptureFixture) -> None:
    dead_letter_log = DeadLetterLog()
    for errors in (("KeyError: …",), ("KeyError: …", "ValueError: too large"), ("ValueError: too large",)):
        dead_letter_log.on_committed(replace(letters(0), model_errors=errors), NO_TIMINGS)
    logged = [record.__dict__["facts"] for record in caplog.records if record.__dict__.get("event") == "model_error"]
    assert logged == [{"error": "KeyError: …"}, {"error": "ValueError: too large"}]


def letters(count: int) -> Outcome:
    """Return the outcome of a batch with this many dead letters."""
    rejected = [Rejection("raw", 1, number, ErrorType.JSON, "malformed") for number in range(count)]
    return Outcome([], [], [], rejected, {1: count}, "Yes", count, count)


NO_TIMINGS = BatchTimings(0.0, 0.0)


def batch(*, predictions: int, letters: int) -> Outcome:
    message: Message = ("", b"", [])
    return Outcome([message] * predictions, [message] * letters, [], [], {}, "Yes", 0, 0)
