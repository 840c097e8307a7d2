"""Types that decode the columns of a contract.

A category is decoded to a member of an enumeration. A member is the value's code as a float, and has the value as its
text, so neither models nor predictions look anything up.
"""

import enum
import math
from collections.abc import Callable
from typing import Annotated, Any, Self

from msgspec import Meta, ValidationError

from telco_stream.contract.schema import Boolean, Carried, Category, Integer, Number, Text

#: A JSON number or only white space.
_AMOUNT_TEXT = r"^\s*\Z|^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z"
#: true or false as a text, or only white space.
TRUTH_WORDS = "true|false|1|0"
_TRUTH_TEXT = r"^\s*\Z|^(?i:" + TRUTH_WORDS + r")\Z"


class CategoryValue(float, enum.Enum):
    """A value of a category: as a float its code, as an enumeration's `value` its text."""

    def __new__(cls, code: int, text: str) -> Self:
        """Create the member with this code and text."""
        member = float.__new__(cls, code)
        member._value_ = text
        return member

    def __repr__(self) -> str:
        """Return the text in quotes; that of a float would need a number as `value`."""
        return repr(self.value)

    __str__ = __repr__

    @classmethod
    def _missing_(cls, value: object) -> "CategoryValue | None":
        """Return the member for a text that is not one of the values, or None to refuse it."""
        if not isinstance(value, str):
            return None
        special: tuple[CategoryValue | None, CategoryValue | None] = cls.special  # type: ignore[attr-defined]
        blank, other = special
        return blank if blank is not None and not value.strip() else other


def category_type(column: Category) -> type[CategoryValue]:
    """Create the enumeration of a category: its values in their order, then `other` and null if they are not values."""
    texts = list(column.values)
    if column.other is not None and column.other not in texts:
        texts.append(column.other)
    members: dict[str, tuple[int, str]] = {f"value_{code}": (code, text) for code, text in enumerate(texts)}
    if column.nullable:
        members["blank"] = (len(texts), "")
    create: Any = CategoryValue  # called, an enumeration without members makes a new one
    kind = create("CategoryValue", members)
    blank = kind.blank if column.nullable else None
    kind.special = (blank, None if column.other is None else kind(column.other))
    return kind  # type: ignore[no-any-return]


def decoded_type(column: Carried, categories: dict[str, type[CategoryValue]]) -> Any:  # noqa: ANN401 - an annotation
    """Return the type by which msgspec decodes a column."""
    kind: Any
    match column:
        case Number() | Integer():
            number = float if isinstance(column, Number) else int
            kind = Annotated[number, Meta(ge=column.minimum, le=column.maximum)]
            return kind | Annotated[str, Meta(pattern=_AMOUNT_TEXT)] | None if column.nullable else kind
        case Boolean():
            return bool | Annotated[str, Meta(pattern=_TRUTH_TEXT)] | None if column.nullable else bool
        case Category():
            kind = categories[column.name]
        case Text():
            kind = Annotated[str, Meta(max_length=column.max_length)]
    return kind | None if column.nullable else kind


def converter(column: Carried, categories: dict[str, type[CategoryValue]]) -> tuple[type, Callable[[Any], Any]]:
    """Return the type of a nullable column's values, and a function from the other values that were decoded to it.

    The function raises `ValidationError` for a text that holds a number outside the range.
    """
    match column:
        case Number():
            return float, _to_number(column)
        case Integer():
            return int, _to_integer(column)
        case Boolean():
            return bool, _to_boolean
        case Category():
            blank = categories[column.name].special[0]  # type: ignore[attr-defined]
            return categories[column.name], lambda _null: blank
        case Text():
            return str, lambda _null: None


def _to_number(column: Number) -> Callable[[Any], float]:
    name, minimum, maximum = column.name, column.minimum, column.maximum
    blank = math.nan if column.fill is None else column.fill

    def convert(value: float | str | None) -> float:
        number = float(value) if value is not None and str(value).strip() else blank
        if not minimum <= number <= maximum and not math.isnan(number):
            raise ValidationError(f"Expected `float` from {minimum:.15g} to {maximum:.15g} - at `$.{name}`")
        return number

    return convert


def _to_integer(column: Integer) -> Callable[[Any], float]:
    name, minimum, maximum = column.name, column.minimum, column.maximum
    blank = math.nan if column.fill is None else column.fill

    def convert(value: str | None) -> float:
        if value is None or not value.strip():
            return blank
        number = float(value)
        if not math.isfinite(number) or number != math.floor(number):
            raise ValidationError(f"Expected `int`, got `str` - at `$.{name}`")
        if not minimum <= number <= maximum:
            raise ValidationError(f"Expected `int` from {minimum} to {maximum} - at `$.{name}`")
        return int(number)

    return convert


def _to_boolean(value: str | None) -> bool | float:
    return math.nan if value is None or not value.strip() else value.lower() in {"true", "1"}
