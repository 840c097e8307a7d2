"""Dead letters on a terminal: shown in full, and escaped whatever they hold."""

import json

import pytest
from rich.cells import cell_len

from telco_stream.dlq.letters import LetterFilter, Letters
from telco_stream.dlq.listing import list_letters, show_letter, summarize
from telco_stream.dlq.replay import ReplayResult
from telco_stream.dlq.states import LetterStates
from telco_stream.errors import ErrorType
from telco_stream.runtime.choices import Output
from tests.support.captured_screen import CapturedScreen
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


def test_letter_table_fits_80_columns() -> None:
    topic = [
        letter(good(tenure="x"), 123_456, error_type=ErrorType.VALIDATION, key=b"k" * 100),
        letter(b"\xff", 7, key=None),
    ]
    text = shown(list_letters(Letters(topic, LetterFilter()), LetterStates({})))
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "0:123456" in text
    assert "2026-01-02 00:00:00" in text
    assert "validation: JSON is" in text
    assert len(text.splitlines()) <= 10
    assert text.splitlines()[-1].strip() == "From raw", "the topic is named once"


def test_letters_have_the_documented_keys_when_json() -> None:
    lines = shown(
        list_letters(Letters([letter(offset=1), letter(offset=2)], LetterFilter()), LetterStates({})), "json"
    ).splitlines()
    assert [json.loads(line)["offset"] for line in lines] == [1, 2]
    keys = ["partition", "offset", "key", "error_type", "error_message", "timestamp", "retry_count", "source"]
    assert list(json.loads(lines[0])) == [*keys, "error_code", "field", "state"]


def test_letter_shows_its_original_indented() -> None:
    text = shown(show_letter(letter(good(), 17, headers=[("traceparent", b"00-1")])))
    assert '\n  "customerID": "7590-VHVEG",\n' in text
    for part in ("17", "traceparent", "00-1", "telco.dlq.error.code", "JSON is malformed", "raw/2/41"):
        assert part in text


@pytest.mark.parametrize("value", HOSTILE)
def test_letter_is_escaped_when_its_original_is_hostile(value: bytes) -> None:
    text = shown(show_letter(letter(value, key=value[:99], headers=[("h", value[:99])])))
    assert all(char.isprintable() for line in text.split("\n") for char in line)
    assert max(map(cell_len, text.splitlines())) <= 80


def test_letter_is_shown_in_full_when_it_is_long() -> None:
    text = shown(show_letter(letter(b"x" * 5_000)))
    assert text.count("x") >= 5_000


def test_letter_is_shown_verbatim_when_nested_deeply() -> None:
    text = shown(show_letter(letter(b"[" * 100_000)))
    assert text.count("[") >= 100_000
    assert len(text) < 200_000


@pytest.mark.parametrize(
    ("value", "limit", "title"),
    [
        (None, 2_097_152, "No original: the record had no value"),
        (b"x" * 50_000, 20_000, "Original (truncated)"),
        (b"hello", 2_097_152, "Original\nhello"),
    ],
)
def test_letter_says_when_its_original_is_incomplete(value: bytes | None, limit: int, title: str) -> None:
    assert title in shown(show_letter(letter(value, limit=limit)))


def test_letter_is_one_object_when_json() -> None:
    text = json.loads(shown(show_letter(letter(b"\xff")), "json"))
    assert (text["original_message"], text["original_encoding"]) == ("/w==", "base64")
    assert {"name": "source", "value": "raw/2/41"} in text["headers"]


def test_summary_and_replay_have_the_documented_keys() -> None:
    assert json.loads(shown(ReplayResult(3, 1, {"truncated": 2}), "json")) == {
        "selected": 3,
        "replayed": 1,
        "skipped": {"truncated": 2},
        "dry_run": False,
    }
    assert json.loads(shown(summarize(Letters([letter()], LetterFilter()), LetterStates({})), "json")) == {
        "total": 1,
        "by_error_type": {"json": 1},
        "unreadable": 0,
        "by_state": {"open": 1, "replayed": 0, "answered": 0, "given_up": 0},
        "reasons": [{"error_type": "json", "error_code": "malformed", "field": None, "open": 1, "total": 1}],
    }
    assert "truncated: 2" in shown(ReplayResult(3, 1, {"truncated": 2}))


def test_replay_says_what_it_would_replay_when_dry() -> None:
    text = " ".join(shown(ReplayResult(7, 0, {"dry run": 5, "truncated": 2}, dry_run=True)).split())
    assert text == "Selected 7 Would replay 5 Skipped truncated: 2"
    text = " ".join(shown(ReplayResult(2, 0, {"still failing": 2}, dry_run=True)).split())
    assert text == "Selected 2 Would replay 0 Skipped still failing: 2"


def shown(result: object, output: Output = "table") -> str:
    """Return what is written to stdout."""
    captured = CapturedScreen(output, environ={"COLUMNS": "80"})
    captured.screen.show(result)
    return captured.stdout
