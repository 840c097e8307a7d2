"""Decides what each column of a CSV file becomes in a contract, from the profiles of the whole file."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from telco_stream.contract.inference.profile import ColumnProfile
from telco_stream.contract.inference.texts import Shape
from telco_stream.contract.rules import snake_case
from telco_stream.contract.schema import (
    LARGEST_INTEGER,
    LARGEST_NUMBER,
    Boolean,
    Category,
    Feature,
    Integer,
    Name,
    Number,
)

#: Values up to which a text column is a category as a whole.
MAX_VALUES = 100
#: Rows that a value of a larger category needs, so as not to count as other.
MIN_ROWS_OF_VALUE = 20
#: Share of the rows whose values must be that frequent, and how many such values a category may have.
_MIN_SHARE, _MAX_FREQUENT = 0.8, 1_000
_OTHER = "other"
#: Rows up to which different texts in all of them say nothing.
_FEW_ROWS = 20
#: Values that too few people share to be personal.
MAX_IMPERSONAL = 12
_LARGEST_FLOAT = 1e308
#: Whole numbers from here on are IDs rather than amounts.
_LARGEST_AMOUNT = 1e15
_MAX_LENGTH = 256

_is_personal = re.compile(
    r"(.*_)?(e_?mail|phone|mobile|msisdn|imsi|imei|ssn|iban|passport|address|street|birth\w*|dob|ip|lat|latitude|lon|"
    r"longitude|(first|last|sur|full|given|family|user|customer|client|person|contact)_?name)(_.*)?|name"
).fullmatch
_is_id = re.compile(r"(.*_)?(id|uuid|guid|key|nr|no|number|index|idx|row|rownames?)|x|unnamed.*").fullmatch
#: Shapes of the texts of a column that would be numbers if they were written differently.
AMOUNTS: frozenset[Shape] = frozenset({"amount", "whole", "number"})
NUMBERS_AS_TEXT = "numbers as text: write them without `,`, `%` and currency, as in 1234.5"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why a column is not a feature."""

    reason: str


def conforms(value: object, kind: object) -> bool:
    """Return whether the value follows the rules of a type of the contract."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def has_valid_name(name: str) -> bool:
    """Return whether a contract can have a column of this name."""
    return conforms(name, Name) and name == name.strip()


def is_id_name(name: str) -> bool:
    """Return whether the name says that the column identifies something."""
    return bool(_is_id(snake_case(name)))


def missing_words(profiles: Collection[ColumnProfile]) -> tuple[str, ...]:
    """Return the texts that mean null in the file, besides blanks."""
    return tuple(sorted({word for profile in profiles for word in profile.nulls - profile.blanks}))


def infer_feature(profile: ColumnProfile, missing: Collection[str]) -> Feature | LeftOut:
    """Return the feature that accepts every text of the column, or why there is none."""
    if reason := _reason_against(profile):
        return LeftOut(reason)
    if profile.is_numeric:
        return _infer_number(profile)
    spellings = {text.strip().lower() for text in profile.values}
    if profile.shapes.keys() == {"truth"} and (spellings <= {"true", "false"} or spellings <= {"t", "f"}):
        return Boolean(name=profile.name, nullable=bool(profile.nulls))
    return _infer_category(profile, missing)


def _reason_against(profile: ColumnProfile) -> str | None:
    """Return why a column of any kind is left out."""
    if not profile.has_more_values_than(0):
        return "always blank"
    is_constant = profile.low == profile.high if profile.is_numeric else not profile.has_more_values_than(1)
    if is_constant and not profile.nulls:
        return "has one value only"
    if not has_valid_name(profile.name):
        return (
            "rename it: its name has quotes, white space at an end or too many characters"
            if profile.name
            else "no name"
        )
    is_fraction = profile.is_numeric and "number" in profile.shapes
    is_varied = profile.has_more_values_than(MAX_IMPERSONAL)
    if _is_personal(snake_case(profile.name)) and is_varied and not is_fraction:
        return "personal, by its name: neither a model nor a prediction needs it"
    return None


def _infer_number(profile: ColumnProfile) -> Feature | LeftOut:
    is_whole = "number" not in profile.shapes
    if is_whole and "code" in profile.shapes:
        if profile.has_more_values_than(MAX_VALUES):
            return LeftOut(f"a code, because it has leading zeros, of more than {MAX_VALUES} values")
        return _category(profile, profile.values)
    if reason := _reason_against_number(profile, is_whole=is_whole):
        return LeftOut(reason)
    nullable, low, high = bool(profile.nulls), _room(-profile.low), _room(profile.high)
    if not is_whole:
        return Number(name=profile.name, minimum=float(-low), maximum=float(high or not low), nullable=nullable)
    low, high = min(low, LARGEST_INTEGER), min(high, LARGEST_INTEGER) or int(not low)
    is_flag = low == 0 and profile.high <= 1
    return Integer(name=profile.name, minimum=-low, maximum=1 if is_flag else high, nullable=nullable)


def _reason_against_number(profile: ColumnProfile, *, is_whole: bool) -> str | None:
    """Return what the numbers are instead, if they are not an amount."""
    largest = max(abs(profile.low), abs(profile.high))
    if is_whole and largest > _LARGEST_AMOUNT:
        return "whole numbers of more than 15 digits: rather a code"
    if _room(largest) > LARGEST_NUMBER:
        return "has numbers that are too large for a model"
    counts_rows = is_id_name(profile.name) or profile.high - profile.low + 1 == profile.total
    if is_whole and counts_rows and profile.total > _FEW_ROWS and profile.is_unique:
        return "numbers the rows"
    return None


def _infer_category(profile: ColumnProfile, missing: Collection[str]) -> Category | LeftOut:
    if reason := _reason_against_category(profile):
        return LeftOut(reason)
    values = profile.values - set(missing) if profile.nulls else profile.values
    if not profile.has_more_values_than(MAX_VALUES):
        return _category(profile, values)
    frequent = {value for value in values if profile.rows_with(value) >= MIN_ROWS_OF_VALUE}
    filled = profile.total - sum(profile.null_rows())
    if len(frequent) <= _MAX_FREQUENT and sum(map(profile.rows_with, frequent)) >= _MIN_SHARE * filled:
        return _category(profile, frequent, other=_OTHER)
    if profile.shapes.keys() <= AMOUNTS:
        return LeftOut(NUMBERS_AS_TEXT)
    return LeftOut("most of its values are rare: free text or a code")


def _reason_against_category(profile: ColumnProfile) -> str | None:
    """Return what the texts are instead, if they are not values of a category."""
    if profile.shapes.keys() == {"time"}:
        return "a time: let `time` of the contract name it, if it is when the event happened"
    if profile.shapes.keys() <= {"date", "time"}:
        return "a date: make a number of it, such as the days since then"
    if profile.shapes["email"] > profile.shapes.total() / 2:
        return "e-mail addresses"
    if profile.longest > _MAX_LENGTH:
        return "free text"
    if profile.is_unique and profile.total > _FEW_ROWS and not profile.shapes.keys() <= AMOUNTS:
        return "another text in each row: an ID or free text"
    return None


def _category(profile: ColumnProfile, values: Collection[str], other: str | None = None) -> Category:
    return Category(name=profile.name, values=tuple(sorted(values)), other=other, nullable=bool(profile.nulls))


def _room(largest: float) -> int:
    """Return a power of ten that is ten to a hundred times as large, or 0 if nothing is above 0."""
    return 10 ** (max(0, math.ceil(math.log10(min(largest, _LARGEST_FLOAT)))) + 1) if largest > 0 else 0
