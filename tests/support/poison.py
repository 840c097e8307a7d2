"""Hypothesis strategies for records that must be rejected."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.support.records import GOOD, good, raw, without
from tests.support.telco import CATEGORIES, COLUMNS, NUMBERS

#: The fields that the codec reads.
READ = (*COLUMNS[:-1], "event_ts")
_BOUNDARIES = [
    *("1e400", "-1e400", "1e309", "1e39", "-1", "-1e-9", "10001", "10000.0000001", "1e8", "9" * 400),
    *("9223372036854775808", "-9223372036854775809", "18446744073709551616", "NaN", "Infinity", "-Infinity"),
    *(
        '"NaN"',
        '"Infinity"',
        '"-Infinity"',
        '"1e400"',
        '"0x10"',
        '"1_0"',
        '"-1"',
        '"٣"',
        "0x10",
        "01",
        "+1",
        ".5",
        "1.",
    ),
]
_ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "cp037"]


def truncations() -> st.SearchStrategy[bytes]:
    """Draw truncated records."""
    whole = good()
    return st.integers(0, len(whole) - 1).map(lambda end: whole[:end])


@st.composite
def bit_flips(draw: st.DrawFn) -> bytes:
    """Draw a record with up to three flipped bits; it may still be valid."""
    value = bytearray(good(customerID="Жanna"))
    for bit in draw(st.lists(st.integers(0, len(value) * 8 - 1), min_size=1, max_size=3)):
        value[bit // 8] ^= 1 << bit % 8
    return bytes(value)


@st.composite
def type_swaps(draw: st.DrawFn) -> bytes:
    """Draw a record with a field of a wrong type."""
    name = draw(st.sampled_from(READ))
    wrong: list[Any] = [True, False, [], {}, [1], {"a": 1}]
    wrong += ["text"] if name in NUMBERS else [1, 1.5]
    wrong += [] if name == "TotalCharges" else [None]
    return good(**{name: draw(st.sampled_from(wrong))})


@st.composite
def boundary_numbers(draw: st.DrawFn) -> bytes:
    """Draw a record with a number that is out of range or malformed."""
    return raw(draw(st.sampled_from(["tenure", "MonthlyCharges", "SeniorCitizen"])), draw(st.sampled_from(_BOUNDARIES)))


@st.composite
def unknown_categories(draw: st.DrawFn) -> bytes:
    """Draw a record with an unknown category."""
    name = draw(st.sampled_from(sorted(CATEGORIES)))
    return good(**{name: draw(st.text().filter(lambda text: text not in CATEGORIES[name]))})


@st.composite
def bad_bytes(draw: st.DrawFn) -> bytes:
    """Draw a record with a value that is not UTF-8."""
    broken = draw(
        st.sampled_from([b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x28\xa1", b"\x80"])
    )
    return raw(draw(st.sampled_from(["customerID", "event_ts", *sorted(CATEGORIES)])), b'"' + broken + b'"')


def other_encodings() -> st.SearchStrategy[bytes]:
    """Draw a record in another encoding than UTF-8."""
    return st.sampled_from(_ENCODINGS).map(lambda name: json.dumps(GOOD).encode(name))


@st.composite
def deep_nesting(draw: st.DrawFn) -> bytes:
    """Draw nesting beyond the parser's depth, closed or not, as the record or in a field."""
    depth = draw(st.integers(20_000, 100_000))
    opened, inner, closed = draw(st.sampled_from([("[", "", "]"), ('{"a":', "1", "}"), ('[{"a":', "1", "}]")]))
    nest = opened * depth + inner + closed * (depth if draw(st.booleans()) else 0)
    return draw(st.sampled_from([nest.encode(), raw(draw(st.sampled_from(COLUMNS)), nest)]))


@st.composite
def oversize(draw: st.DrawFn) -> bytes:
    """Draw up to a megabyte that is not a customer."""
    length = draw(st.integers(100_000, 1_000_000))
    unit = draw(st.sampled_from([b"x", b"\x00", b"\xff", b'"', b"\\", b" ", b"1", "Ж".encode(), b'{"a":1}']))
    field = draw(st.sampled_from(["Contract", "tenure", "event_ts"]))
    text = unit.decode(errors="ignore") or "y"
    return draw(st.sampled_from([unit * (length // len(unit)), good(**{field: text * (length // len(text.encode()))})]))


def missing_fields() -> st.SearchStrategy[bytes]:
    """Draw a record without some of the fields that the codec reads."""
    missing = st.sets(st.sampled_from(READ), min_size=1)
    return missing.map(lambda names: without(*names))


#: Strategies by name; every drawn record must be rejected.
POISONS: dict[str, st.SearchStrategy[bytes | None]] = {
    "truncations": truncations(),
    "type swaps": type_swaps(),
    "boundary numbers": boundary_numbers(),
    "unknown categories": unknown_categories(),
    "bad bytes": bad_bytes(),
    "other encodings": other_encodings(),
    "deep nesting": deep_nesting(),
    "oversize": oversize(),
    "missing fields": missing_fields(),
    "noise": st.none() | st.binary(max_size=300) | st.text(max_size=100).map(str.encode),
}
