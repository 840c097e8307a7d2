"""`telco-stream contract infer`: writes a contract that accepts every row of a CSV file."""

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from telco_stream.contract.document import ContractError, decode_contract, encode_contract
from telco_stream.contract.inference.candidates import (
    KeyCandidate,
    LabelCandidate,
    key_candidates,
    label_candidates,
)
from telco_stream.contract.inference.draft import (
    LABEL_VALUES,
    Draft,
    InferredColumn,
    Roles,
    draft_contract,
    label_texts,
    possible_segments,
)
from telco_stream.contract.inference.profile import ColumnProfile
from telco_stream.contract.schema import MAX_FEATURES, MAX_SEGMENTS, Boolean, Category
from telco_stream.csv.infer_options import InferOptions
from telco_stream.csv.profiling import DelimiterError, FileOptions, read_profiles
from telco_stream.errors import DataError, UsageError
from telco_stream.runtime.files import STDOUT, open_output
from telco_stream.runtime.humanize import count_of

#: Values of a column up to which an error names them.
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class Candidates:
    """Columns that could be the key or the label, best first, and the command that names the best ones."""

    file: str
    rows: int
    #: None if the options name the key.
    keys: Sequence[KeyCandidate] | None
    labels: Sequence[LabelCandidate]
    #: The roles that are open, as a phrase.
    missing: str
    command: str


@dataclass(frozen=True, slots=True)
class InferResult:
    """The contract that was written, and what became of each column of the file."""

    file: str
    rows: int
    contract: str
    name: str
    key: str
    label: str
    positive: str
    positive_rows: int
    features: int
    left_out: int
    leaks: int
    possible_segments: Sequence[str]
    columns: Sequence[InferredColumn]


def infer_contract(options: InferOptions, advance: Callable[[int], None]) -> InferResult | Candidates:
    """Write the contract, or return candidates for the roles that the options leave open.

    `advance` gets the number of rows that were read. Raises `UsageError` and `DataError`.
    """
    options.check()
    roles = _roles(options)
    if roles is None:
        return _candidates(options, _read(options, advance))
    with open_output(options.out) as out:
        profiles = _read(options, advance)
        draft = draft_contract(profiles, roles)
        out.write(_encode(options, draft))
    return _result(options, draft, next(profile for profile in profiles if profile.name == roles.label))


def next_steps(options: InferOptions, result: InferResult) -> Iterator[str]:
    """Yield sentences about what to do with the contract."""
    leaks = [column.column for column in result.columns if column.leak]
    if leaks:
        flags = shlex.join(word for name in leaks for word in ("--leave-out", name))
        yield f"A leak gives the label away, perhaps because it is known only after it. To leave it out: {flags}"
    if options.out != STDOUT:
        yield f"Review {options.out}, then train with it: {options.training_command}"


def _read(options: InferOptions, advance: Callable[[int], None]) -> list[ColumnProfile]:
    """Read the file; raise an error if a column cannot have the role that the options give it."""
    file = FileOptions(options.delimiter, options.label, options.positive)
    try:
        profiles = read_profiles(options.path, file, options.check_header, advance)
    except DelimiterError as error:
        raise UsageError(f"{error}: {replace(options, delimiter=error.likely).command}") from None
    for profile in profiles:
        if profile.name == options.label:
            _check_label(options, profile)
        elif profile.name == options.key:
            _check_key(options, profile)
    return profiles


def _check_label(options: InferOptions, profile: ColumnProfile) -> None:
    """Raise an error if the label does not have two values, the positive one among them, or has blanks."""
    texts = label_texts(profile)
    if len(texts) != LABEL_VALUES:
        values = f"{len(texts)} values" if texts else "more than two values"
        named = f" ({', '.join(texts)})" if 0 < len(texts) <= _MAX_NAMED else ""
        raise UsageError(f"`--label`: `{options.label}` has {values}{named}; a label has two")
    if blank := sum(map(profile.rows_with, profile.blanks)):
        raise DataError(f"`{options.label}` is blank in {count_of(blank, 'row')}: fill it in or remove these rows")
    if options.positive is not None and options.positive not in texts:
        raise UsageError(
            f"`--positive`: `{options.label}` has the values {' and '.join(f'`{text}`' for text in texts)}"
        )


def _check_key(options: InferOptions, profile: ColumnProfile) -> None:
    if blank := sum(map(profile.rows_with, profile.blanks)):
        raise DataError(f"`{options.key}` is blank in {count_of(blank, 'row')}: a key identifies every row")


def _candidates(options: InferOptions, profiles: Sequence[ColumnProfile]) -> Candidates:
    """Return the candidates; those for roles that the options name are not listed."""
    keys = None if options.has_key else key_candidates(profiles)
    labels = label_candidates([profile for profile in profiles if options.label in {None, profile.name}])
    best = replace(
        options,
        key=options.key or (keys[0].column if keys else None),
        number_rows=options.number_rows or not (options.key or keys),
        label=options.label or (labels[0].column if labels else "COLUMN"),
        positive=options.positive or (next(iter(labels[0].values)) if labels else "VALUE"),
    )
    roles = {
        "a key": options.has_key,
        "a label": options.label,
        "its positive value": options.positive is not None,
    }
    open_roles = [role for role, is_given in roles.items() if not is_given]
    missing = " and ".join(filter(None, [", ".join(open_roles[:-1]), open_roles[-1]]))
    return Candidates(str(options.path), profiles[0].total, keys, labels, missing, best.command)


def _roles(options: InferOptions) -> Roles | None:
    """Return the roles, or None if the options leave one open."""
    if options.label is None or options.positive is None or not options.has_key:
        return None
    return Roles(
        name=options.name or _contract_name(options.path),
        key=options.key,
        label=options.label,
        positive=options.positive,
        segments=options.segments,
        left_out=options.left_out,
        entity=options.entity or "record",
    )


def _contract_name(path: Path) -> str:
    """Return the name of the file in lower case, with hyphens, a letter first."""
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")
    return (name if name[:1].isalpha() else f"data-{name}".rstrip("-"))[:63].rstrip("-")


def _encode(options: InferOptions, draft: Draft) -> bytes:
    """Return the file's content; raise an error if it would break a rule of contracts."""
    groupable = {feature.name for feature in draft.contract.features if isinstance(feature, Boolean | Category)}
    if other := [name for name in options.segments if name not in groupable]:
        raise UsageError(f"`--segment`: `{other[0]}` is not a category or boolean of this contract")
    if len(options.segments) > MAX_SEGMENTS:
        raise UsageError(f"`--segment`: at most {MAX_SEGMENTS}, because a report counts all their combinations")
    if len(draft.contract.features) > MAX_FEATURES:
        raise DataError(f"{options.path} has more than {MAX_FEATURES} columns to predict from: `--leave-out` some")
    if not draft.contract.features:
        raise DataError(f"{options.path} has no column to predict from: all others are left out")
    content = encode_contract(draft.contract)
    try:
        decode_contract(content)
    except ContractError as error:
        advice = "rename columns, or leave some out with `--leave-out`"
        raise DataError(f"{options.path} cannot become a contract: {error}; {advice}") from None
    return content


def _result(options: InferOptions, draft: Draft, label: ColumnProfile) -> InferResult:
    contract = draft.contract
    return InferResult(
        file=str(options.path),
        rows=label.total,
        contract=str(options.out),
        name=contract.name,
        key=contract.key.name,
        label=contract.label.name,
        positive=contract.label.positive,
        positive_rows=label.rows_with(contract.label.positive),
        features=len(contract.features),
        left_out=sum(column.role == "left out" for column in draft.columns),
        leaks=sum(column.leak is not None for column in draft.columns),
        possible_segments=possible_segments(draft),
        columns=draft.columns,
    )
