"""Drafts a contract from the profiles of a file's columns and the roles that the user has named."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Literal

from telco_stream.contract.inference.features import (
    LeftOut,
    conforms,
    has_valid_name,
    infer_feature,
    missing_words,
)
from telco_stream.contract.inference.leaks import describe_leak
from telco_stream.contract.inference.notes import review_notes
from telco_stream.contract.inference.profile import ColumnProfile
from telco_stream.contract.rules import snake_case
from telco_stream.contract.schema import (
    Boolean,
    Category,
    Contract,
    ContractName,
    Feature,
    Integer,
    Key,
    Label,
    Noun,
    Number,
    Time,
)

#: Key of a file whose rows are numbered.
ROW_ID = "row_id"
#: Values of a label.
LABEL_VALUES = 2
#: Names of the event time; the second one if the file has other texts under the first.
_TIMES = ("event_ts", "event_time", "sent_at")
#: Values that a segment may have for a report to be read easily.
_MAX_SEGMENT_VALUES = 10
#: Digits of a key up to which every program reads it as the same whole number.
_MAX_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Roles:
    """Choices of the user about the columns; without a key the rows are numbered."""

    name: str
    key: str | None
    label: str
    positive: str
    segments: Sequence[str] = ()
    left_out: Sequence[str] = ()
    entity: str = "record"


@dataclass(frozen=True, slots=True)
class InferredColumn:
    """Column of the file with its role, what to review about it, and how it gives the label away, if it does."""

    column: str
    role: Literal["key", "label", "time", "feature", "left out"]
    #: Kind of the column, and what it accepts; for a column that is left out, the reason.
    becomes: str
    notes: Sequence[str] = ()
    leak: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A contract that accepts every row of the file, and what became of each column."""

    contract: Contract
    columns: Sequence[InferredColumn]


def draft_contract(profiles: Sequence[ColumnProfile], roles: Roles) -> Draft:
    """Return the contract and what became of each column, in the order of the file."""
    by_name = {profile.name: profile for profile in profiles}
    time = _time_name(profiles, roles.left_out)
    others = [profile for profile in profiles if profile.name not in {roles.key, roles.label, time, *roles.left_out}]
    missing = missing_words(others)
    negative = next(text for text in label_texts(by_name[roles.label]) if text != roles.positive)
    repeated = {name for name, times in Counter(profile.name for profile in profiles).items() if times > 1}
    features, columns = list[Feature](), list[InferredColumn]()
    for profile in profiles:
        feature = infer_feature(profile, missing)
        if profile.name in repeated:
            feature = LeftOut("another column has its name")
        if profile not in others:
            columns.append(_describe_role(profile, roles))
            continue
        columns.append(_describe_column(profile, feature, (negative, roles.positive)))
        if not isinstance(feature, LeftOut):
            features.append(feature)
    label = Label(roles.label, roles.positive, negative, probability=_probability(roles.label))
    contract = Contract(
        contract=1,
        name=roles.name,
        key=_infer_key(by_name[roles.key]) if roles.key else Key(ROW_ID, kind="integer"),
        time=Time(time),
        label=label,
        features=tuple(features),
        segments=tuple(roles.segments),
        missing=missing,
        entity=roles.entity,
    )
    return Draft(contract, columns)


def _describe_column(profile: ColumnProfile, feature: Feature | LeftOut, labels: tuple[str, str]) -> InferredColumn:
    if isinstance(feature, LeftOut):
        return InferredColumn(profile.name, "left out", feature.reason)
    notes, leak = tuple(review_notes(profile, feature)), describe_leak(profile, feature, labels)
    return InferredColumn(profile.name, "feature", describe_feature(feature), notes, leak)


def label_texts(profile: ColumnProfile) -> list[str]:
    """Return the texts of a label without blanks, the most frequent first; nothing if they are too many to count."""
    rows = profile.counts[0] + profile.counts[1]
    return [] if profile.is_pruned else [text for text, _ in rows.most_common() if text not in profile.blanks]


def is_contract_name(text: str) -> bool:
    """Return whether a contract can have this name."""
    return conforms(text, ContractName)


def is_noun(text: str) -> bool:
    """Return whether a contract can have this entity."""
    return conforms(text, Noun)


def possible_segments(draft: Draft) -> list[str]:
    """Return the columns by which a report could group, those with the fewest values first."""
    leaks = {column.column for column in draft.columns if column.leak}
    sizes = {
        feature.name: len(feature.values) if isinstance(feature, Category) else 2
        for feature in draft.contract.features
        if isinstance(feature, Boolean | Category) and feature.name not in leaks
    }
    return [name for name in sorted(sizes, key=sizes.__getitem__) if sizes[name] <= _MAX_SEGMENT_VALUES]


def describe_feature(feature: Feature) -> str:
    """Return kind and range or number of values: `integer 0 to 1,000 or blank`."""
    blank = " or blank" if feature.nullable else ""
    if isinstance(feature, Category):
        return f"{feature.kind} of {len(feature.values)}{' and other' if feature.other else ''}{blank}"
    if isinstance(feature, Number | Integer):
        return f"{feature.kind} {feature.minimum:,.10g} to {feature.maximum:,.10g}{blank}"
    return f"{feature.kind}{blank}"


def _time_name(profiles: Sequence[ColumnProfile], left_out: Collection[str]) -> str:
    """Return the name of the file's event time, or a name that no column has, under which producers add it."""
    names = Counter(profile.name for profile in profiles)
    for profile in profiles:
        is_time = profile.shapes.keys() == {"time"} and not profile.nulls
        if profile.name == _TIMES[0] and is_time and names[profile.name] == 1 and profile.name not in left_out:
            return profile.name
    return next(name for name in chain(_TIMES, (f"{_TIMES[0]}_{number}" for number in count(2))) if name not in names)


def _infer_key(profile: ColumnProfile) -> Key:
    is_integer = profile.is_plain and profile.longest <= _MAX_DIGITS
    return Key(profile.name, kind="integer" if is_integer else "text")


def _probability(label: str) -> str:
    """Return the name of the probability in a prediction."""
    name = f"{snake_case(label)}_probability"
    return name if has_valid_name(name) else "probability"


def _describe_role(profile: ColumnProfile, roles: Roles) -> InferredColumn:
    """Describe the key, the label, the event time or a column that the user has left out."""
    if profile.name == roles.key:
        notes = () if profile.is_unique else ("several rows have the same key",)
        return InferredColumn(profile.name, "key", f"{_infer_key(profile).kind}", notes)
    if profile.name == roles.label:
        counts = ", ".join(f"{text} {profile.rows_with(text):,}" for text in label_texts(profile))
        return InferredColumn(profile.name, "label", counts)
    if profile.name in roles.left_out:
        return InferredColumn(profile.name, "left out", "as you asked")
    return InferredColumn(profile.name, "time", "time as in RFC 3339")
