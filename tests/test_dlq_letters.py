"""`dlq list` and `dlq show`, without Kafka."""

import json
import tracemalloc
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any

import pytest

from telco_stream.contract.error_type import ErrorType
from telco_stream.dlq.letters import LetterFilter, Letters, parse_letter_position
from telco_stream.dlq.listing import Header, LetterSummary, list_letters, show_letter, summarize
from telco_stream.errors import DataError, UsageError
from telco_stream.messages.original import customer_id, format_original
from tests.support.letters import FOREIGN, letter
from tests.support.records import FakeRecord, good

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_listed_letter_has_the_keys_of_the_interface() -> None:
    lines = list(list_letters(Letters([letter(partition=3, offset=17)], LetterFilter())))
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
        }
    ]


def test_a_letter_that_another_hand_wrote_without_headers_or_key_is_listed_too() -> None:
    bare = FakeRecord(letter().value(), key_=None)
    assert [(line.key, line.source) for line in list_letters(Letters([bare], LetterFilter()))] == [(None, None)]


def test_a_key_that_is_no_text_is_spelt_out() -> None:
    assert next(list_letters(Letters([letter(key=b"a\xff")], LetterFilter()))).key == "a\\xff"


@pytest.mark.parametrize("key", [b"k" * 1_000_000, "é".encode() * 500_000, b"\xff" * 1_000_000, "🙂".encode() * 300])
def test_list_letters_cuts_a_key_when_it_is_long(key: bytes) -> None:
    line = next(list_letters(Letters([letter(key=key)], LetterFilter())))
    text = key.decode(errors="backslashreplace")
    assert line.key == f"{text[:256]}…"
    assert show_letter(letter(key=key)).key == text


@pytest.mark.parametrize("field", ["error_message", "timestamp"])
def test_list_letters_cuts_a_text_when_another_wrote_it(field: str) -> None:
    body = json.loads(letter().value() or b"") | {field: "x" * 1_000_000}
    line = next(list_letters(Letters([FakeRecord(json.dumps(body).encode())], LetterFilter())))
    assert getattr(line, field) == "x" * 256 + "…"


def test_list_letters_cuts_a_source_when_another_wrote_it() -> None:
    foreign = FakeRecord(letter().value(), headers_=[("source", b"x" * 10_000)])
    assert next(list_letters(Letters([foreign], LetterFilter()))).source == "x" * 256 + "…"


@pytest.mark.parametrize(
    ("wanted", "offsets"),
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
def test_filters_choose_letters(wanted: dict[str, Any], offsets: list[int]) -> None:
    topic = [
        letter(b"hello", 0, at="2026-01-01T00:00:00Z", error_type=ErrorType.JSON),
        letter(good(tenure="x"), 1, at="2026-01-02T00:00:00Z", error_type=ErrorType.VALIDATION, key=b"by-key"),
        letter(good(customerID="by-id"), 2, at="2026-01-03T00:00:00Z", error_type=ErrorType.SCORING, key=None),
        letter(good(customerID=17), 3, at="2026-01-03T01:00:00+01:00", partition=1),
    ]
    assert [one.record.offset() for one in Letters(topic, LetterFilter(**wanted))] == offsets


@pytest.mark.parametrize("told", ["", "yesterday", "2026-01-01T00:00:00"])
def test_a_letter_without_a_usable_time_has_the_time_of_its_record(told: str) -> None:
    topic = [letter(at=told)]
    assert len(list(Letters(topic, LetterFilter(since=NEW_YEAR + timedelta(days=1))))) == 1
    assert list(Letters(topic, LetterFilter(since=NEW_YEAR + timedelta(days=1, seconds=1)))) == []


@pytest.mark.parametrize("milliseconds", [-1, 0, 2**63 - 1])
def test_a_record_may_claim_any_time(milliseconds: int) -> None:
    assert len(list(Letters([letter(at="", timestamp_=milliseconds)], LetterFilter(since=NEW_YEAR)))) == (
        milliseconds > 0
    )


@pytest.mark.parametrize("value", FOREIGN)
def test_what_is_no_letter_is_counted_and_passed_over(value: bytes | None) -> None:
    letters = Letters([letter(offset=0), FakeRecord(value, 1), letter(offset=2)], LetterFilter())
    assert [one.record.offset() for one in letters] == [0, 2]
    assert letters.unreadable == 1


def test_the_summary_counts_by_type_the_most_frequent_first() -> None:
    topic = [
        letter(error_type=ErrorType.JSON),
        letter(error_type=ErrorType.SCORING),
        letter(error_type=ErrorType.SCORING),
        FakeRecord(b"?"),
    ]
    told = summarize(Letters(topic, LetterFilter()))
    assert told == LetterSummary(total=3, by_error_type={"scoring": 2, "json": 1}, unreadable=1)
    assert list(told.by_error_type) == ["scoring", "json"]


def test_memory_does_not_grow_with_the_letters() -> None:
    one = letter(b"x" * 10_000)
    tracemalloc.start()
    try:
        assert summarize(Letters(repeat(one, 2_000), LetterFilter())).total == 2_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_show_tells_all_that_a_letter_holds() -> None:
    shown = show_letter(letter(good(tenure="x"), 17, headers=[("a", b"1"), ("a", b"\xff"), ("b", None)]))  # type: ignore[list-item]
    assert (shown.partition, shown.offset, shown.key, shown.source) == (0, 17, "7590-VHVEG", "raw/2/41")
    assert shown.headers[:3] == (Header("a", "1"), Header("a", "\\xff"), Header("b", None))
    assert Header("telco.dlq.error.code", "malformed") in shown.headers
    assert (shown.truncated, shown.original_bytes) == (False, len(good(tenure="x")))
    assert shown.original_message == good(tenure="x").decode()


@pytest.mark.parametrize(
    ("value", "size", "encoding"), [(None, None, None), (b"", 0, None), (b"\xff", 1, "base64"), (b"x" * 9, 9, None)]
)
def test_show_tells_the_size_of_the_original(value: bytes | None, size: int | None, encoding: str | None) -> None:
    shown = show_letter(letter(value))
    assert (shown.original_bytes, shown.original_encoding) == (size, encoding)


def test_show_says_that_an_original_was_cut() -> None:
    shown = show_letter(letter(b"x" * 50_000, limit=20_000))
    assert (shown.truncated, shown.original_bytes) == (True, 50_000)
    assert shown.original_sha256


@pytest.mark.parametrize("value", FOREIGN)
def test_show_refuses_what_is_no_letter(value: bytes | None) -> None:
    with pytest.raises(DataError, match=r"dead 1:5 is no dead letter"):
        show_letter(FakeRecord(value, 5, 1, topic_="dead"))


@pytest.mark.parametrize(
    ("original", "told"),
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
def test_an_original_is_indented_where_it_is_json(original: bytes, told: str) -> None:
    assert format_original(original) == told


def test_deep_json_is_left_as_it_stands() -> None:
    """Indented it would be a thousand times as long; beyond the parser's depth it can't be."""
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
def test_an_original_may_still_tell_whose_it_is(original: bytes, customer: str | None) -> None:
    assert customer_id(original) == customer


@pytest.mark.parametrize(("text", "place"), [("0:0", (0, 0)), ("3:9223372036854775807", (3, 2**63 - 1))])
def test_a_place_is_partition_and_offset(text: str, place: tuple[int, int]) -> None:
    assert parse_letter_position(text) == place


@pytest.mark.parametrize(
    "text", ["", "5", ":", "1:", ":1", "-1:0", "0:-1", "a:b", "0:1:2", "0/1", "0:²", "0:" + "1" * 40]
)
def test_what_is_no_place_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="PARTITION:OFFSET"):
        parse_letter_position(text)


def test_letters_survive_the_way_through_json() -> None:
    """As the display writes them: nothing in a letter can't be written."""
    for value in (None, b"", b"\xff", good(), b"\x1b[31m"):
        assert json.loads(json.dumps(asdict(show_letter(letter(value)))))["error_type"] == "json"
