"""Fields of any result as text that cannot move a terminal's cursor or set its colours."""

from collections.abc import Mapping
from typing import Any, TypeGuard

from rich.text import Text

from telco_stream.runtime.humanize import escape_unprintable, format_count, format_percent

#: Numbers without thousands separators, so that they can be copied into a command.
_IDENTIFIERS = frozenset({"partition", "offset", "end_offsets", "port", "seed"})
#: Fields that a result has in batch mode only; they are left out when empty. Other empty fields are null or "-".
OPTIONAL_FIELDS = frozenset({"analytics"})


def safe_text(text: str, style: str = "") -> Text:
    """Return the text for rich without interpreting markup or escape codes in it."""
    return Text(escape_unprintable(text), style)


def humanize(name: str) -> str:
    """Convert a field's name to a heading: `dead_lettered` becomes `Dead lettered`."""
    heading = name.removesuffix("_seconds")  # the value has its unit
    return heading[:1].upper() + heading[1:].replace("_", " ")


def format_value(name: str, value: Any) -> str:  # noqa: ANN401 - any result's field
    """Format a field's value by the field's name and the value's type."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {format_value(name, item)}" for key, item in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(format_value(name, item) for item in value) or "-"
    if is_number(value):
        return _format_number(name, value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else escape_unprintable(str(value))


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number; booleans are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _format_number(name: str, value: float) -> str:
    if name.endswith("churn_rate"):
        return format_percent(value)
    if name == "rate":
        return f"{value:,.1f}/s"
    if name.endswith("seconds"):
        return f"{value:,.2f} s"
    if isinstance(value, int):
        return str(value) if name in _IDENTIFIERS else format_count(value)
    return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.2f}"
