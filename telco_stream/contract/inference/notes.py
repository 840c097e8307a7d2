"""Notes on features for the reviewer of a contract."""

import re
from collections.abc import Iterator

from telco_stream.contract.inference.features import AMOUNTS, MAX_IMPERSONAL, MIN_ROWS_OF_VALUE, NUMBERS_AS_TEXT
from telco_stream.contract.inference.profile import ColumnProfile
from telco_stream.contract.rules import snake_case
from telco_stream.contract.schema import Category, Feature, Integer, Number

#: Values with fewer rows are reported.
_RARE = 5

_is_code = re.compile(r"(.*_)?(code|zip|id|key|area|type|class|region|group|kind|category|status)(_.*)?").fullmatch


def review_notes(profile: ColumnProfile, feature: Feature) -> Iterator[str]:
    """Yield what a reviewer of the contract should know about a feature."""
    if nulls := sum(profile.null_rows()):
        words = ", ".join(f"`{word}`" for word in sorted(profile.nulls - profile.blanks))
        yield f"{nulls / profile.total:.1%} blank" + (f" ({words} counts as blank)" if words else "")
    if isinstance(feature, Number | Integer):
        yield from _notes_on_number(profile)
        return
    if isinstance(feature, Category):
        yield from _notes_on_category(profile, feature)


def _notes_on_number(profile: ColumnProfile) -> Iterator[str]:
    is_whole = "number" not in profile.shapes
    if is_whole and profile.high - profile.low == 1:
        return
    yield f"{profile.low:,.10g} to {profile.high:,.10g} seen"
    if is_whole and not profile.has_more_values_than(MAX_IMPERSONAL) and _is_code(snake_case(profile.name)):
        yield "reads like a code: make it a category, if its order means nothing"


def _notes_on_category(profile: ColumnProfile, feature: Category) -> Iterator[str]:
    if feature.other is not None:
        yield f"values with fewer than {MIN_ROWS_OF_VALUE} rows, and new ones, count as `{feature.other}`"
    elif rare := sum(profile.rows_with(value) < _RARE for value in feature.values):
        yield f"{rare} of {len(feature.values)} values have fewer than {_RARE} rows"
    if any(value != value.strip() for value in feature.values):
        yield "values with white space at an end"
    if "code" in profile.shapes:
        yield "leading zeros, so it is a code"
    elif profile.shapes.keys() <= AMOUNTS:
        yield NUMBERS_AS_TEXT
