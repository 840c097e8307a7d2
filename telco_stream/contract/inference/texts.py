"""Shapes of the texts of a CSV column."""

import re
from typing import Literal, TypeAlias

from telco_stream.contract.numbers import match_number
from telco_stream.contract.timestamps import parse_timestamp

#: Texts that mean null in any column, besides `null` in any case.
_NULL_WORDS = frozenset({"NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan"})
#: Texts that mean null among numbers, and among true and false.
_WEAK_NULL_WORDS = frozenset({"None", "?"})
#: Characters of a text that a contract can list as missing.
_MAX_WORD = 32

#: Characters of a text that can have another shape than `text`.
_MAX_SHAPED = 256

#: What a text looks like. A `code` is a whole number with leading zeros, an `amount` has `,`, `%` or a currency sign,
#: and a `time` is as in RFC 3339.
Shape: TypeAlias = Literal["whole", "number", "code", "truth", "amount", "date", "time", "email", "text"]
NUMERIC: frozenset[Shape] = frozenset({"whole", "number", "code"})

is_whole = re.compile(r"\s*[+-]?\d+\s*", re.ASCII).fullmatch
#: Of the shapes that are not numbers, in the order in which they are tried.
_SHAPES: dict[Shape, re.Pattern[str]] = {
    "truth": re.compile(r"\s*(true|false|t|f)\s*", re.ASCII | re.IGNORECASE),
    "date": re.compile(
        r"\s*(\d{4}[-/.](0?[1-9]|1[0-2])([-/.]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d\d))([ T]\d{1,2}:\d.*)?\s*",
        re.ASCII,
    ),
    "amount": re.compile(
        r"\s*[-+]?([$€£¥]\s*)?(\d+|\d{1,3}([,'. ]\d{3})+)([.,]\d+)?\s*([%$€£¥]|EUR|USD)?\s*", re.ASCII
    ),
    "email": re.compile(r"\s*[^@\s]+@[^@\s.]+(\.[^@\s.]+)+\s*"),
}


def null_kind(text: str) -> Literal["blank", "word", "weak word"] | None:
    """Return how a text may mean null: a weak word means it only among numbers, and among true and false."""
    word = text.strip()
    if not word:
        return "blank"
    if len(text) > _MAX_WORD:
        return None
    if word in _NULL_WORDS or word.lower() == "null":
        return "word"
    return "weak word" if word in _WEAK_NULL_WORDS else None


def shape_of(text: str) -> Shape:
    """Return the shape of a text that does not mean null."""
    if match_number(text):
        if not is_whole(text):
            return "number"
        digits = text.strip().lstrip("+-")
        return "code" if digits[0] == "0" and len(digits) > 1 else "whole"
    if len(text) > _MAX_SHAPED:  # free text, on which the patterns would take long
        return "text"
    shape: Shape = next((shape for shape, pattern in _SHAPES.items() if pattern.fullmatch(text)), "text")
    return "time" if shape == "date" and _is_time(text) else shape


def _is_time(text: str) -> bool:
    try:
        parse_timestamp(text)
    except ValueError:
        return False
    return True
