"""How dead letters look: whatever strangers wrote into them, it is read and never acts."""

import json

import pytest
from rich.cells import cell_len

from telco_stream.display.console import Output
from telco_stream.dlq.letters import Letters, Wanted
from telco_stream.dlq.listing import list_letters, show_letter, summarize
from telco_stream.dlq.replay import ReplayResult
from tests.support.desk import Desk
from tests.support.letters import letter
from tests.support.records import good

HOSTILE = [
    b"\x1b[31mred",
    b"\xc2\x9b31m",
    b"a\r\nb\x07",
    "\u202eabc".encode(),
    b"[bold]x[/bold]",
    b"\xff\xfe",
    b"x" * 5_000,
]


def test_letters_are_rows_that_fit_80_columns() -> None:
    topic = [letter(good(tenure="x"), 123_456, error_type="validation", key=b"k" * 100), letter(b"\xff", 7, key=None)]
    told = shown(list_letters(Letters(topic, Wanted())))
    assert max(map(cell_len, told.splitlines())) <= 80
    assert "0:123456" in told
    assert "2026-01-02 00:00:00" in told
    assert "validation: JSON is" in told
    assert len(told.splitlines()) <= 8


def test_letters_as_json_are_lines_with_the_keys_of_the_interface() -> None:
    lines = shown(list_letters(Letters([letter(offset=1), letter(offset=2)], Wanted())), "json").splitlines()
    assert [json.loads(line)["offset"] for line in lines] == [1, 2]
    keys = ["partition", "offset", "key", "error_type", "error_message", "timestamp", "retry_count", "source"]
    assert list(json.loads(lines[0])) == keys


def test_a_letter_is_shown_with_its_original_indented() -> None:
    told = shown(show_letter(letter(good(), 17, headers=[("traceparent", b"00-1")])))
    assert '\n  "customerID": "7590-VHVEG",\n' in told
    for words in ("17", "traceparent", "00-1", "telco.dlq.error.code", "JSON is malformed", "raw/2/41"):
        assert words in told


@pytest.mark.parametrize("value", HOSTILE)
def test_no_original_acts_on_the_terminal(value: bytes) -> None:
    told = shown(show_letter(letter(value, key=value[:99], headers=[("h", value[:99])])))
    assert all(one.isprintable() for line in told.split("\n") for one in line)
    assert max(map(cell_len, told.splitlines())) <= 80


def test_nothing_of_a_long_original_is_left_out() -> None:
    told = shown(show_letter(letter(b"x" * 5_000)))
    assert told.count("x") >= 5_000


def test_an_original_nested_deep_is_shown_as_it_stands() -> None:
    told = shown(show_letter(letter(b"[" * 100_000)))
    assert told.count("[") >= 100_000
    assert len(told) < 200_000


@pytest.mark.parametrize(
    ("value", "limit", "words"),
    [
        (None, 2_097_152, "No original: the record had no value"),
        (b"x" * 50_000, 20_000, "only the beginning is kept"),
        (b"hello", 2_097_152, "Original\nhello"),
    ],
)
def test_what_is_missing_of_an_original_is_said(value: bytes | None, limit: int, words: str) -> None:
    assert words in shown(show_letter(letter(value, limit=limit)))


def test_a_letter_as_json_is_one_object() -> None:
    told = json.loads(shown(show_letter(letter(b"\xff")), "json"))
    assert (told["original_message"], told["original_encoding"]) == ("/w==", "base64")
    assert {"name": "source", "value": "raw/2/41"} in told["headers"]


def test_summary_and_replay_have_the_keys_of_the_interface() -> None:
    assert json.loads(shown(ReplayResult(3, 1, {"truncated": 2}), "json")) == {
        "selected": 3,
        "replayed": 1,
        "skipped": {"truncated": 2},
    }
    assert json.loads(shown(summarize(Letters([letter()], Wanted())), "json")) == {
        "total": 1,
        "by_error_type": {"json": 1},
        "unreadable": 0,
    }
    assert "truncated: 2" in shown(ReplayResult(3, 1, {"truncated": 2}))


def shown(result: object, output: Output = "table") -> str:
    """What stands on stdout."""
    desk = Desk(output, environ={"COLUMNS": "80"})
    desk.screen.show(result)
    return desk.out
