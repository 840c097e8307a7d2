"""`dlq list` and `dlq show`, without Kafka."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any

import pytest

from telco_stream.dlq.letters import LetterFilter, Letters, parse_letter_position
from telco_stream.dlq.listing import (
    Header,
    LetterSummary,
    ListedLetter,
    ReasonCount,
    list_letters,
    show_letter,
    summarize,
)
from telco_stream.dlq.states import LetterStates
from telco_stream.errors import DataError, ErrorType, UsageError
from telco_stream.messages.dead_letter import field_as_text, format_original
from tests.support.contracts import UNUSUAL_NAMES
from tests.support.letters import FOREIGN, letter
from tests.support.memory import peak_memory
from tests.support.records import FakeRecord, good

#: States of letters of which none was replayed.
NO_REPLAYS = LetterStates({})
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def test_list_letters_returns_the_keys_of_the_interface() -> None:
    lines = list(listed(Letters([letter(partition=3, offset=17)], LetterFilter())))
    assert [asdict(line) for line in lines] == [
        {
            "partition": 3,
            "offset": 17,
            "key": "7590-VHVEG",
            "error_type": "json",
            "error_message": "JSON is malformed",
            "timestamp": "2026-01-02T00:00:00.000Z",
            "retry_count": 0,
            "source": "raw/2/41",
            "error_code": "malformed",
            "field": None,
            "state": "open",
            "rejected_value": None,
        }
    ]


def test_list_letters_returns_none_when_key_and_source_lack() -> None:
    bare = FakeRecord(letter().value(), key_=None)
    assert [(line.key, line.source) for line in listed(Letters([bare], LetterFilter()))] == [(None, None)]


def test_list_letters_escapes_a_key_when_it_is_not_utf8() -> None:
    assert next(listed(Letters([letter(key=b"a\xff")], LetterFilter()))).key == "a\\xff"


@pytest.mark.parametrize("key", [b"k" * 1_000_000, "é".encode() * 500_000, b"\xff" * 1_000_000, "🙂".encode() * 300])
def test_list_letters_cuts_a_key_when_it_is_long(key: bytes) -> None:
    line = next(listed(Letters([letter(key=key)], LetterFilter())))
    text = key.decode(errors="backslashreplace")
    assert line.key == f"{text[:256]}…"
    assert show_letter(letter(key=key)).key == text


@pytest.mark.parametrize("field", ["error_message", "timestamp"])
def test_list_letters_cuts_a_text_when_another_wrote_it(field: str) -> None:
    body = json.loads(letter().value() or b"") | {field: "x" * 1_000_000}
    line = next(listed(Letters([FakeRecord(json.dumps(body).encode())], LetterFilter())))
    assert getattr(line, field) == "x" * 256 + "…"


def test_list_letters_cuts_a_source_when_another_wrote_it() -> None:
    foreign = FakeRecord(letter().value(), headers_=[("source", b"x" * 10_000)])
    assert next(listed(Letters([foreign], LetterFilter()))).source == "x" * 256 + "…"


@pytest.mark.parametrize(
    ("criteria", "offsets"),
    [
        ({}, [0, 1, 2, 3]),
        ({"error_types": frozenset({"validation"})}, [1]),
        ({"error_types": frozenset({"validation", "scoring"})}, [1, 2]),
        ({"since": NEW_YEAR + timedelta(days=1)}, [1, 2, 3]),
        ({"until": NEW_YEAR + timedelta(days=1)}, [0]),
        ({"since": NEW_YEAR, "until": NEW_YEAR + timedelta(days=2)}, [0, 1]),
        ({"customer": "by-key"}, [1]),
        ({"customer": "by-id"}, [2]),
        ({"customer": "17"}, [3]),
        ({"customer": "nobody"}, []),
        ({"partition": 1}, [3]),
        ({"partition": 7}, []),
        ({"limit": 2}, [0, 1]),
        ({"limit": 0}, []),
        ({"limit": 1, "since": NEW_YEAR + timedelta(days=2)}, [2]),
        ({"error_types": frozenset({"json"}), "partition": 1}, [3]),
    ],
)
def test_letters_are_those_that_match_the_filter(criteria: dict[str, Any], offsets: list[int]) -> None:
    topic = [
        letter(b"hello", 0, at="2026-01-01T00:00:00Z", error_type=ErrorType.JSON),
        letter(good(tenure="x"), 1, at="2026-01-02T00:00:00Z", error_type=ErrorType.VALIDATION, key=b"by-key"),
        letter(good(customerID="by-id"), 2, at="2026-01-03T00:00:00Z", error_type=ErrorType.SCORING, key=None),
        letter(good(customerID=17), 3, at="2026-01-03T01:00:00+01:00", partition=1),
    ]
    assert [
        selected.record.offset() for selected in Letters(topic, LetterFilter(**criteria, key_name="customerID"))
    ] == offsets


@pytest.mark.parametrize("time", ["", "yesterday", "2026-01-01T00:00:00"])
def test_letter_has_its_record_time_when_its_own_is_invalid(time: str) -> None:
    topic = [letter(at=time)]
    assert len(list(Letters(topic, LetterFilter(since=NEW_YEAR + timedelta(days=1))))) == 1
    assert list(Letters(topic, LetterFilter(since=NEW_YEAR + timedelta(days=1, seconds=1)))) == []


@pytest.mark.parametrize("milliseconds", [-1, 0, 2**63 - 1])
def test_letter_accepts_any_record_time(milliseconds: int) -> None:
    assert len(list(Letters([letter(at="", timestamp_=milliseconds)], LetterFilter(since=NEW_YEAR)))) == (
        milliseconds > 0
    )


@pytest.mark.parametrize("value", FOREIGN)
def test_letters_skip_and_count_a_record_when_unreadable(value: bytes | None) -> None:
    letters = Letters([letter(offset=0), FakeRecord(value, 1), letter(offset=2)], LetterFilter())
    assert [selected.record.offset() for selected in letters] == [0, 2]
    assert letters.unreadable == 1


def test_summarize_orders_types_by_frequency() -> None:
    topic = [
        letter(error_type=ErrorType.JSON),
        letter(error_type=ErrorType.SCORING),
        letter(error_type=ErrorType.SCORING),
        FakeRecord(b"?"),
    ]
    summary = summarize(Letters(topic, LetterFilter()), NO_REPLAYS)
    assert summary == LetterSummary(
        total=3,
        by_error_type={"scoring": 2, "json": 1},
        unreadable=1,
        by_state={"open": 3, "replayed": 0, "answered": 0, "given_up": 0},
        reasons=[ReasonCount("scoring", "malformed", None, 2, 2), ReasonCount("json", "malformed", None, 1, 1)],
    )
    assert list(summary.by_error_type) == ["scoring", "json"]


@pytest.mark.parametrize("name", [*UNUSUAL_NAMES, "x" * 128])
@pytest.mark.parametrize("message", ["Expected `int`, got `array` - at `$.{}`", "Object missing required field `{}`"])
def test_summarize_names_any_field_of_a_contract(name: str, message: str) -> None:
    topic = [letter(error_type=ErrorType.VALIDATION, message=message.format(name))]
    (reason,) = summarize(Letters(topic, LetterFilter()), NO_REPLAYS).reasons
    assert reason == ReasonCount("validation", "malformed", name, 1, 1)


def test_summarize_uses_constant_memory() -> None:
    assert peak_memory(summarize_many) < 1_000_000


def summarize_many() -> None:
    record = letter(b"x" * 10_000)
    assert summarize(Letters(repeat(record, 2_000), LetterFilter()), NO_REPLAYS).total == 2_000


def test_show_letter_returns_the_whole_content() -> None:
    shown = show_letter(letter(good(tenure="x"), 17, headers=[("a", b"1"), ("a", b"\xff"), ("b", None)]))  # type: ignore[list-item]
    assert (shown.partition, shown.offset, shown.key, shown.source) == (0, 17, "7590-VHVEG", "raw/2/41")
    assert shown.headers[:3] == (Header("a", "1"), Header("a", "\\xff"), Header("b", None))
    assert Header("telco.dlq.error.code", "malformed") in shown.headers
    assert (shown.truncated, shown.original_bytes) == (False, len(good(tenure="x")))
    assert shown.original_message == good(tenure="x").decode()


@pytest.mark.parametrize(
    ("value", "size", "encoding"), [(None, None, None), (b"", 0, None), (b"\xff", 1, "base64"), (b"x" * 9, 9, None)]
)
def test_show_letter_returns_the_size_of_the_original(
    value: bytes | None, size: int | None, encoding: str | None
) -> None:
    shown = show_letter(letter(value))
    assert (shown.original_bytes, shown.original_encoding) == (size, encoding)


def test_show_letter_is_truncated_when_the_original_was_cut() -> None:
    shown = show_letter(letter(b"x" * 50_000, limit=20_000))
    assert (shown.truncated, shown.original_bytes) == (True, 50_000)
    assert shown.original_sha256


@pytest.mark.parametrize("value", FOREIGN)
def test_show_letter_refuses_a_record_when_unreadable(value: bytes | None) -> None:
    with pytest.raises(DataError, match=r"dead 1:5 is not a dead letter"):
        show_letter(FakeRecord(value, 5, 1, topic_="dead"))


@pytest.mark.parametrize(
    ("original", "text"),
    [
        (b'{"a":1,"a":[2]}', '{\n  "a": 1,\n  "a": [\n    2\n  ]\n}'),
        (b"hello", "hello"),
        (b'{"a":', '{"a":'),
        (b"", ""),
        (b"\xff\x00", "\\xff\x00"),
        (b'{"a":"\xff"}', '{\n  "a": "\\xff"\n}'),
        (b'{"n": 1e400}', '{\n  "n": 1e400\n}'),
    ],
)
def test_format_original_indents_an_original_when_it_is_json(original: bytes, text: str) -> None:
    assert format_original(original) == text


def test_format_original_keeps_json_when_it_is_nested_deeply() -> None:
    """Indentation would make it a thousand times as long; the parser refuses deeper nesting."""
    for depth in (600, 100_000):
        nested = b"[" * depth + b"]" * depth
        assert (format_original(nested) == nested.decode()) is True, depth


@pytest.mark.parametrize(
    ("original", "customer"),
    [
        (good(), "7590-VHVEG"),
        (good(customerID="Ж"), "Ж"),
        (good(customerID=17), "17"),
        (b'{"customerID":"a","customerID":"b"}', "b"),
        (b'{"customerID":"\xff"}', '"�"'),
        (b'{"customerID":"a"', None),
        (b"{}", None),
        (b"[1]", None),
        (b"", None),
        (b"[" * 100_000, None),
        (b'{"a":' + b"[" * 100_000, None),
    ],
)
def test_field_as_text_returns_the_id_when_readable(original: bytes, customer: str | None) -> None:
    assert field_as_text(original, "customerID") == customer


@pytest.mark.parametrize(("text", "position"), [("0:0", (0, 0)), ("3:9223372036854775807", (3, 2**63 - 1))])
def test_parse_letter_position_returns_partition_and_offset(text: str, position: tuple[int, int]) -> None:
    assert parse_letter_position(text) == position


@pytest.mark.parametrize(
    "text", ["", "5", ":", "1:", ":1", "-1:0", "0:-1", "a:b", "0:1:2", "0/1", "0:²", "0:" + "1" * 40]
)
def test_parse_letter_position_refuses_a_text_when_invalid(text: str) -> None:
    with pytest.raises(UsageError, match="PARTITION:OFFSET"):
        parse_letter_position(text)


def test_show_letter_returns_values_that_json_can_encode() -> None:
    """The display writes them as JSON."""
    for value in (None, b"", b"\xff", good(), b"\x1b[31m"):
        assert json.loads(json.dumps(asdict(show_letter(letter(value)))))["error_type"] == "json"


def listed(letters: Letters) -> Iterator[ListedLetter]:
    """List letters of which none was replayed."""
    return list_letters(letters, NO_REPLAYS)
