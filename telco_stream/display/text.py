"""Values as text that is safe on a terminal: what strangers wrote can't move the cursor or set colours."""

from collections.abc import Mapping
from typing import Any, TypeGuard

from rich.text import Text

#: Code points of one value that are shown; characters without width would fit into any column by the thousand.
LONGEST = 1_000
#: Numbers that are names of places, so that they can be copied into a command.
_PLACES = frozenset({"partition", "offset", "end_offsets", "port", "seed"})
#: Fields that a result has in one mode only; without a value they are left out, where any other is null or "-".
OF_ONE_MODE = frozenset({"analytics"})


def visible(text: str) -> str:
    """The text with each character that is not printable (escape codes, line ends, bidirectional marks) spelt out."""
    if len(text) > LONGEST:
        text = text[:LONGEST] + "…"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def safe(text: str, style: str = "") -> Text:
    """The text for rich, which reads no markup in it."""
    return Text(visible(text), style)


def words(name: str) -> str:
    """A field's name for people: `dead_lettered` becomes `Dead lettered`."""
    told = name.removesuffix("_seconds")  # the value has its unit
    return told[:1].upper() + told[1:].replace("_", " ")


def count(number: int) -> str:
    """A whole number with thousands separators."""
    return f"{number:,}"


def percent(share: float) -> str:
    """A share from 0 to 1 as a percentage with one decimal."""
    return f"{share:.1%}"


def percent_of(share: float, whole: int) -> str:
    """The share as a percentage; of nothing there is none."""
    return percent(share) if whole else "-"


def value_text(name: str, value: Any) -> str:  # noqa: ANN401 - any result's field
    """A field's value in the form that its name and type ask for."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {value_text(name, one)}" for key, one in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return ", ".join(value_text(name, one) for one in value) or "-"
    if is_number(value):
        return _number_text(name, value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else visible(str(value))


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is counted or measured; yes and no are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number_text(name: str, value: float) -> str:
    if name.endswith("churn_rate"):
        return percent(value)
    if name == "rate":
        return f"{value:,.1f}/s"
    if name.endswith("seconds"):
        return f"{value:,.2f} s"
    if isinstance(value, int):
        return str(value) if name in _PLACES else count(value)
    return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.2f}"
