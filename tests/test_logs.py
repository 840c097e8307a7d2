"""The log: a line an event, for people or as JSON; a flood is told by its size, and nothing of a customer's is said."""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from telco_stream.contract.error_type import ErrorType
from telco_stream.errors import KafkaError
from telco_stream.messages.record import Rejection
from telco_stream.monitoring.dead_letter_log import DeadLetterLog
from telco_stream.runtime import logs
from telco_stream.scoring import Outcome
from tests.support.cli import RunningCli, run_cli
from tests.support.mock_cluster import MockCluster
from tests.support.records import good
from tests.support.topics import Outgoing, Topics, send

SECRET = "Margot-4711"


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def as_json(lines: list[str]) -> list[str]:
    """Lines of the log, written as JSON."""
    logs.configure(as_json=True)
    logs.divert(lines.append)
    return lines


@pytest.fixture
def as_text(lines: list[str]) -> list[str]:
    """Lines of the log, written for people."""
    logs.configure()
    logs.divert(lines.append)
    return lines


def test_json_has_time_level_event_message_and_the_events_own_facts(as_json: list[str]) -> None:
    logs.log_start("consume", mode="streaming", partitions=[0, 1])
    line = json.loads(as_json[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("ts"))
    assert line.pop("version")
    assert line.pop("message").startswith("started command=consume version=")
    expected = {"level": "info", "event": "started", "command": "consume", "mode": "streaming", "partitions": [0, 1]}
    assert line == expected


def test_a_line_without_an_event_is_named_for_who_wrote_it(as_json: list[str]) -> None:
    logging.getLogger("telco_stream.kafka").warning("x %d", 1)
    line = json.loads(as_json[0])
    assert (line["level"], line["event"], line["message"]) == ("warning", "kafka", "x 1")


def test_text_has_time_level_and_message(as_text: list[str]) -> None:
    logs.log_end("produce", sent=3)
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO stopped command=produce sent=3", as_text[0])


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2J", "a\u2028b", "\x00"])
def test_what_a_broker_says_can_neither_move_the_cursor_nor_begin_a_line(text: str, lines: list[str]) -> None:
    for as_json in (False, True):
        logs.configure(as_json=as_json)
        logs.divert(lines.append)
        logging.getLogger("telco_stream.kafka").warning(text)
    assert all(line.isprintable() for line in lines)
    assert json.loads(lines[1])["message"] == text


def test_quiet_leaves_warnings_and_verbose_adds_the_clients_own_lines(lines: list[str]) -> None:
    seen = {}
    for talk in ({"quiet": True}, {}, {"verbose": True}):
        lines.clear()
        logs.configure(**talk)
        logs.divert(lines.append)
        logging.getLogger("telco_stream.kafka").warning("w")
        logging.getLogger("telco_stream.kafka").info("i")
        logging.getLogger("telco_stream.kafka.client").critical("c")
        seen[next(iter(talk), "")] = "".join(line[-1] for line in lines)
    assert seen == {"quiet": "w", "": "wi", "verbose": "wic"}


def test_a_log_that_nobody_reads_any_more_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """It may be written inside a client's callback, where an exception would lose a record."""

    def broken(_line: str) -> None:
        raise BrokenPipeError

    logs.configure()
    logs.divert(broken)
    logs.log_end("produce")
    assert capsys.readouterr().err == ""


def test_the_error_that_ends_a_command_is_json_where_json_is_expected(as_json: list[str]) -> None:
    assert logs.log_failure(KafkaError("no broker"))
    line = json.loads(as_json[0])
    assert (line["event"], line["level"], line["message"], line["exit_code"]) == ("failed", "critical", "no broker", 3)


def test_the_error_that_ends_a_command_is_left_to_the_screen_otherwise(as_text: list[str]) -> None:
    assert not logs.log_failure(KafkaError("no broker"))
    assert as_text == []


@dataclass
class Clock:
    """Time as the test sets it."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_dead_letter_is_told_by_coordinates_type_and_code(as_json: list[str]) -> None:
    DeadLetterLog().on_committed(letters(1), None)
    line = json.loads(as_json[0])
    told = {name: line[name] for name in ("event", "topic", "partition", "offset", "error_type", "code")}
    expected = {"event": "dead_letter", "topic": "raw", "partition": 1, "offset": 0}
    assert told == {**expected, "error_type": "json", "code": "malformed"}


def test_of_a_flood_the_first_ten_are_told_and_the_rest_counted_once_a_minute(as_json: list[str]) -> None:
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


def test_what_was_not_told_is_counted_at_the_end(as_json: list[str]) -> None:
    log = DeadLetterLog(Clock())
    log.on_committed(letters(12), None)
    log.finish()
    log.finish()
    assert [json.loads(line)["event"] for line in as_json] == ["dead_letter"] * 10 + ["dead_letters"]


def test_an_event_that_comes_again_and_again_is_told_ten_times_and_counted_after_that(as_json: list[str]) -> None:
    """A broker that refuses every transaction refuses several a second, for as long as it likes."""
    for _ in range(500):
        lose_a_transaction()
    logs.log_start("consume")
    assert [json.loads(line)["event"] for line in as_json] == ["transaction_lost"] * 10 + ["started"]


def test_what_is_well_is_never_left_out(as_json: list[str]) -> None:
    """The group's changes are few, and who looks for an owner needs each."""
    for _ in range(50):
        logs.log_start("consume")
    assert len(as_json) == 50


@pytest.mark.parametrize("end", [lambda: logs.log_end("consume"), lambda: logs.log_failure(KafkaError("gone"))])
def test_lines_that_were_left_out_are_counted_at_the_end(as_json: list[str], end: Callable[[], object]) -> None:
    for _ in range(12):
        lose_a_transaction()
    end()
    events = [json.loads(line)["event"] for line in as_json]
    assert events[:11] == ["transaction_lost"] * 10 + ["lines_suppressed"]
    assert events[11] in {"stopped", "failed"}
    suppressed = json.loads(as_json[10])
    assert (suppressed["of"], suppressed["count"]) == ("transaction_lost", 2)
    assert (suppressed["seconds"], suppressed["level"]) == (0, "warning")


def test_nothing_is_left_out_where_everything_was_asked_for(lines: list[str]) -> None:
    logs.configure(verbose=True)
    logs.divert(lines.append)
    for _ in range(50):
        logging.getLogger("telco_stream.kafka.client").critical("c")
    assert len(lines) == 50


def test_dead_letters_are_counted_by_those_who_tell_of_them(as_json: list[str]) -> None:
    """A batch tells of ten; the next minute's ten are not taken for too many."""
    for minute in range(3):
        clock = Clock()
        DeadLetterLog(clock).on_committed(letters(10), None)
        assert len(as_json) == 10 * (minute + 1)


def test_a_whole_run_is_told_in_json_and_says_nothing_of_customers(
    embedded: MockCluster, embedded_topics: Topics, start_cli: Callable[..., RunningCli]
) -> None:
    """Even the clients' own lines, with everything that --verbose adds."""
    bad: list[Outgoing] = [(SECRET.encode(), good(customerID=SECRET, Contract=SECRET), []), (b"a", SECRET.encode(), [])]
    send(embedded.bootstrap, embedded_topics.raw, [*bad, (SECRET.encode(), good(customerID=SECRET), [])])
    options = ("--delivery", "at-least-once", "--log-format", "json", "--verbose", "--max-messages", "3")
    running = start_cli("consume", *options, env=embedded_topics.env(embedded.bootstrap))
    assert running.wait() == 0
    events = [json.loads(line)["event"] for line in running.stderr().splitlines()]
    assert [one for one in events if one not in {"consume", "client"}] == [
        "started",
        "assigned",
        "dead_letter",
        "dead_letter",
        "revoked",
        "stopped",
    ]
    assert SECRET not in running.stderr()


def test_an_unreachable_broker_is_one_line_of_json() -> None:
    done = run_cli("consume", "--broker", "localhost:1", "--timeout", "0.5", "--log-format", "json")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert json.loads(line)["event"] == "failed"


def lose_a_transaction() -> None:
    logging.getLogger("telco_stream.kafka").warning("lost", extra={"event": "transaction_lost", "facts": {}})


def letters(count: int) -> Outcome:
    """A batch of dead letters."""
    rejected = [Rejection("raw", 1, number, ErrorType.JSON, "malformed") for number in range(count)]
    return Outcome([], [], [], rejected, {1: count}, count, count)
