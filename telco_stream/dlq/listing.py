"""Results of `dlq list` and `dlq show`."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from telco_stream.dlq.letters import Letter, Letters, open_letter, text_of
from telco_stream.dlq.states import LetterState, LetterStates
from telco_stream.errors import DataError
from telco_stream.messages.dead_letter import error_code, json_field
from telco_stream.messages.record import Record

#: Maximum length of a text in the list, in characters; `dlq show` shows texts in full.
MAX_LISTED = 256
#: Different reasons that a summary counts; letters of further ones count as `other`.
MAX_REASONS = 100
#: Field that an error message names, at its end or as a missing one; names of a contract have no backticks.
_FIELD = re.compile(r" - at `\$\.([^`]{1,128})`|required field `([^`]{1,128})`")
_CODE = re.compile(r"[a-z0-9_]{1,64}")


@dataclass(frozen=True, slots=True)
class LetterFields:
    """Fields of a letter that both commands show."""

    partition: int
    offset: int
    key: str | None
    error_type: str
    error_message: str
    timestamp: str
    retry_count: int
    source: str | None


@dataclass(frozen=True, slots=True)
class ListedLetter(LetterFields):
    """One letter of the list; `key`, `source`, `error_code` and `field` are None if the letter has none.

    Texts of more than 256 characters are cut and end with `…`. `rejected_value` is the JSON text of the rejected field,
    with `--show-values` only.
    """

    error_code: str | None
    field: str | None
    state: str
    rejected_value: str | None = None


@dataclass(frozen=True, slots=True)
class LetterOfAnyState(ListedLetter):
    """Letter of a list with `--all`, whose table has a column for the state."""


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Letters with the same error, and how many of them are open; `error_code` and `field` are None if unknown."""

    error_type: str
    error_code: str | None
    field: str | None
    open: int
    total: int


@dataclass(frozen=True, slots=True)
class LetterSummary:
    """Numbers of letters in total, by type, by state and by reason, the most frequent first.

    Letters of unknown state count as open in `reasons`. `unreadable` records are not dead letters.
    """

    total: int
    by_error_type: dict[str, int]
    unreadable: int
    by_state: dict[str, int]
    reasons: list[ReasonCount]

    @property
    def open(self) -> int | None:
        """Number of open letters; None if unknown."""
        return None if LetterState.UNKNOWN in self.by_state else self.by_state[LetterState.OPEN]

    @property
    def open_by_error_type(self) -> Counter[str]:
        """Numbers of open letters by type; letters of unknown state count as open."""
        counts: Counter[str] = Counter()
        for reason in self.reasons:
            counts[reason.error_type] += reason.open
        return counts


@dataclass(frozen=True, slots=True)
class Header:
    """Header as text; names can repeat."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class ShownLetter(LetterFields):
    """Complete content of a letter; `original_message` is Base64 if `original_encoding` is `base64`."""

    headers: tuple[Header, ...]
    truncated: bool
    original_bytes: int | None
    original_sha256: str | None
    original_encoding: str | None
    original_message: str | None


def list_letters(
    letters: Iterable[Letter], states: LetterStates, *, all_states: bool = False, show_values: bool = False
) -> Iterator[ListedLetter]:
    """Yield a list entry per letter; the rejected values are customer data."""
    kind = LetterOfAnyState if all_states else ListedLetter
    for letter in letters:
        reason = _reason(letter)
        value = json_field(letter.original or b"", reason.field) if show_values and reason.field else None
        yield kind(
            *_cut_fields(letter),
            reason.code,
            reason.field,
            str(states.of(letter)),
            None if value is None else _cut(value),
        )


def summarize(letters: Letters, states: LetterStates) -> LetterSummary:
    """Count letters by type, state and reason, in constant memory."""
    by_type: Counter[str] = Counter()
    by_state = Counter({str(state): 0 for state in LetterState if state is not LetterState.UNKNOWN})
    totals: Counter[_Reason] = Counter()
    open_letters: Counter[_Reason] = Counter()
    for letter in letters:
        state, reason = states.of(letter), _reason(letter)
        if reason not in totals and len(totals) >= MAX_REASONS:
            reason = _Reason(letter.content.error_type, "other", None)
        by_type[str(letter.content.error_type)] += 1
        by_state[str(state)] += 1
        totals[reason] += 1
        open_letters[reason] += state.is_open
    reasons = [ReasonCount(*reason, open_letters[reason], total) for reason, total in totals.most_common()]
    reasons.sort(key=lambda reason: -reason.open)
    return LetterSummary(by_type.total(), dict(by_type.most_common()), letters.unreadable, dict(by_state), reasons)


def show_letter(record: Record) -> ShownLetter:
    """Return the content of the letter; raise `DataError` if the record is not a dead letter."""
    letter = open_letter(record)
    if letter is None:
        raise DataError(
            f"{record.topic()} {record.partition()}:{record.offset()} is not a dead letter; another program wrote it,"
            " inspect it with kcat or kafka-console-consumer.sh"
        )
    content = letter.content
    return ShownLetter(
        *letter.position,
        text_of(record.key()),
        content.error_type,
        content.error_message,
        content.timestamp,
        content.retry_count,
        letter.source,
        headers=tuple(Header(name, text_of(value)) for name, value in record.headers() or ()),
        truncated=content.truncated,
        original_bytes=_size(letter),
        original_sha256=content.original_sha256,
        original_encoding=content.original_encoding,
        original_message=content.original_message,
    )


class _Reason(NamedTuple):
    """Why a letter was rejected."""

    error_type: str
    code: str | None
    field: str | None


def _reason(letter: Letter) -> _Reason:
    """Return the letter's type, its code from the headers, and the first field that its message names."""
    code, match = error_code(letter.record), _FIELD.search(letter.content.error_message)
    return _Reason(
        str(letter.content.error_type),
        code if code and _CODE.fullmatch(code) else None,
        (match[1] or match[2]) if match else None,
    )


def _cut_fields(letter: Letter) -> tuple[int, int, str | None, str, str, str, int, str | None]:
    content, key = letter.content, letter.record.key()
    return (
        *letter.position,
        None if key is None else _cut(text_of(key[: 4 * MAX_LISTED + 4]) or ""),
        content.error_type,
        _cut(content.error_message),
        _cut(content.timestamp),
        content.retry_count,
        letter.source and _cut(letter.source),
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LISTED else f"{text[:MAX_LISTED]}…"


def _size(letter: Letter) -> int | None:
    """Return the size of the complete original in bytes."""
    if letter.content.truncated or letter.original is None:
        return letter.content.original_bytes
    return len(letter.original)
