"""Explains the header of a CSV file that lacks columns: misspelt names, another delimiter, another contract."""

import csv
import logging
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from telco_stream.csv.validation import CsvFormat, Layout, list_names, missing_columns
from telco_stream.errors import UsageError

log = logging.getLogger("telco_stream.csv")

#: Delimiters that a header is searched for.
_DELIMITERS = ",;\t|"
#: Characters of a header that are searched; the fields of a longer one may exceed the limit of csv.
_MAX_HEADER = 65_536
#: Columns that are named as ignored.
_MAX_IGNORED = 10
#: Columns up to which one of them may be the key.
_MAX_CANDIDATES = 3
#: Similarity of names from 0 to 1, from which one is taken for a misspelling of the other.
_SIMILAR = 0.75


def parse_delimiter(text: str) -> str:
    """Return the delimiter that an option names; raise `UsageError` if it is not one character."""
    delimiter = "\t" if text in {"tab", "\\t"} else text
    if len(delimiter) != 1 or delimiter in '"\r\n ' or not delimiter.isascii():
        raise UsageError("`--delimiter`: use one character such as `;`, or the word `tab`")
    return delimiter


def format_delimiter(delimiter: str) -> str:
    """Return the delimiter as it is typed after `--delimiter`."""
    return "tab" if delimiter == "\t" else f"'{delimiter}'"


def similar_name(name: str, names: Iterable[str], similarity: float = _SIMILAR) -> str | None:
    """Return the most similar of the names, regardless of case and blanks around them."""
    by_lower_case = {other.strip().lower(): other for other in names}
    similar = get_close_matches(name.strip().lower(), by_lower_case, n=1, cutoff=similarity)
    return by_lower_case[similar[0]] if similar else None


def count_columns(header: str, delimiter: str, expected: Iterable[str] = ()) -> tuple[int, int]:
    """Return how many of the expected columns a header line has with this delimiter, and how many columns in total."""
    names = next(csv.reader(header[:_MAX_HEADER].splitlines(keepends=True), delimiter=delimiter), [])
    return len(set(expected).intersection(names)), len(names)


def likely_delimiter(header: str, delimiter: str, expected: Iterable[str] = ()) -> str | None:
    """Return a delimiter with which the header line has more of the expected columns, or more columns in total."""
    counts = {other: count_columns(header, other, expected) for other in (delimiter, *_DELIMITERS)}
    likely = max(counts, key=counts.__getitem__)
    return likely if counts[likely] > counts[delimiter] else None


def explain_missing(header: str, names: Sequence[str], csv_format: CsvFormat) -> str:
    """Return what to do about a header line that lacks columns, given the names of its columns.

    A name of the file is quoted only if it resembles a column, or if all other columns are there: without a header
    line, the names would be a customer's data.
    """
    contract = csv_format.contract
    missing = [csv_format.alias_of(name) for name in missing_columns(names, csv_format)]
    expected = {contract.key.name, contract.label.name, *(column.name for column in contract.columns)}
    others = [name for name in names if name not in expected]
    if likely := likely_delimiter(header, csv_format.delimiter, expected):
        separator = "tabs" if likely == "\t" else f"`{likely}`"
        return f"is the file separated by {separator}? Use --delimiter {format_delimiter(likely)}"
    similar = {name: other for name in missing if (other := similar_name(name, others)) is not None}
    if 2 * len(similar) >= len(missing):
        present, meant = (list_names(list(group), "`") for group in (similar.values(), similar))
        return f"the file has {present}: did you mean {meant}? Names must match exactly"
    if csv_format.aliases:
        return f"give it {list_aliases(csv_format)}"
    if missing == [contract.key.name]:
        hint = f" ({list_names(others, '`')}?)" if 0 < len(others) <= _MAX_CANDIDATES else ""
        return f"rename the column that identifies a {contract.entity}{hint}, or number the rows with --number-rows"
    them = "it" if len(missing) == 1 else "them"
    return f"the contract {contract.name} requires {them}. Is the file of another contract? Use --contract FILE"


def list_aliases(csv_format: CsvFormat) -> str:
    """Return the other names of the columns, as in `the columns customer, outcome, time`."""
    return f"the columns {list_names([alias for alias, _ in csv_format.aliases])}"


def log_ignored_columns(layout: Layout, csv_format: CsvFormat) -> None:
    """Log the columns of the file that are not in the contract, and which column of it they could be meant for."""
    if not layout.ignored:
        return
    contract = csv_format.contract
    absent = {contract.label.name, contract.time.name, *(column.name for column in contract.columns)}
    absent -= set(layout.codec.names)
    shown = [
        f"{name} (did you mean `{meant}`?)" if (meant := similar_name(name, absent)) else name
        for name in layout.ignored[:_MAX_IGNORED]
    ]
    more = len(layout.ignored) - len(shown)
    columns = ", ".join(shown) + (f" and {more} more" if more else "")
    log.info("ignored columns: %s", columns, extra={"event": "ignored_columns", "facts": {"columns": columns}})
