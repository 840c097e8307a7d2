"""Columns that could be the key or the label of a file, best first. The user chooses among them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from telco_stream.contract.inference.draft import LABEL_VALUES, label_texts
from telco_stream.contract.inference.features import is_id_name
from telco_stream.contract.inference.profile import ColumnProfile
from telco_stream.contract.rules import snake_case

#: Candidates of each role that are listed.
_LISTED = 8
#: Characters of a key: longer texts are rather free text.
_MAX_KEY = 64
#: Values of a column named like an ID up to which it is rather a code.
_FEW = 12
_is_id_of_many = re.compile(r"(.*_)?(id|uuid|guid)").fullmatch
_is_positive = re.compile(
    r"\s*(yes|true|1|y|t|bad|churn(ed)?|default(ed)?|left|leaves|fraud\w*|positive)\s*", re.IGNORECASE
).fullmatch
_is_label_name = re.compile(
    r"(.*_)?(churn\w*|label|target|class|outcome|default\w*|attrition|status|response|y|left|leaves|leaver|exited|"
    r"cancel\w*|fraud\w*|is_fraud|survived|arrest\w*|creditability|convert\w*|won|lost|bought|subscribed|deposit)"
).fullmatch


@dataclass(frozen=True, slots=True)
class KeyCandidate:
    """A column that could identify whom a row is about; `is_unique` if no two rows have the same text."""

    column: str
    is_unique: bool


@dataclass(frozen=True, slots=True)
class LabelCandidate:
    """A column with two values: each with its rows, the likelier positive one first."""

    column: str
    values: dict[str, int]


def key_candidates(profiles: Sequence[ColumnProfile]) -> list[KeyCandidate]:
    """Return columns without blanks: first those with another text in each row, then others that are named like IDs."""
    candidates = [KeyCandidate(profile.name, profile.is_unique) for profile in profiles if _can_be_key(profile)]
    candidates.sort(key=lambda candidate: (not candidate.is_unique, not is_id_name(candidate.column)))
    return candidates[:_LISTED]


def label_candidates(profiles: Sequence[ColumnProfile]) -> list[LabelCandidate]:
    """Return the columns with two values and no blank, those named like labels first, then the last of the file."""
    binary = [profile for profile in profiles if not profile.blanks and len(label_texts(profile)) == LABEL_VALUES]
    last = profiles[-1] if profiles else None
    binary.sort(key=lambda profile: (not _is_label_name(snake_case(profile.name)), profile is not last))
    return [LabelCandidate(profile.name, positive_candidates(profile)) for profile in binary[:_LISTED]]


def positive_candidates(profile: ColumnProfile) -> dict[str, int]:
    """Return the values of a label with their rows; values that sound positive come first, then rarer ones."""
    texts = sorted(label_texts(profile), key=lambda text: (not _is_positive(text), profile.rows_with(text)))
    return {text: profile.rows_with(text) for text in texts}


def _can_be_key(profile: ColumnProfile) -> bool:
    is_text_or_whole = not profile.shapes.keys() & {"number", "date", "time", "truth", "amount"}
    if profile.nulls or not is_text_or_whole or profile.longest > _MAX_KEY:
        return False
    is_id = _is_id_of_many(snake_case(profile.name)) and profile.has_more_values_than(_FEW)
    return profile.is_unique or bool(is_id)
