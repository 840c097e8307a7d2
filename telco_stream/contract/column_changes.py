"""Compares a column of two contracts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from telco_stream.contract.schema import Carried, Category, Integer, Number, Text

Effect: TypeAlias = Literal["compatible", "needs retraining", "breaking"]
NOT_ACCEPTED = "records that were accepted become dead letters"
UNSEEN = "the model has not learned it"
MORE = "predictions can hold more than before"
ADDED = "predictions have one more field; reports leave out older ones, which lack it"
_NARROWER: tuple[Effect, str] = ("breaking", NOT_ACCEPTED)
#: Values of a change that are quoted, and characters of each.
_QUOTED, _QUOTED_LENGTH = 3, 40


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between two contracts, and its effect."""

    path: str
    change: str
    effect: Effect
    reason: str


class ColumnChanges:
    """A column that both contracts have; `is_read` by the new model, `is_repeated` by old and new predictions."""

    def __init__(self, name: str, before: Carried, after: Carried, *, is_read: bool, is_repeated: bool) -> None:
        self._name, self._before, self._after = name, before, after
        self._is_repeated = is_repeated
        #: Effect and reason if more is accepted than before.
        self._wider: tuple[Effect, str] = ("needs retraining", UNSEEN) if is_read else ("compatible", MORE)

    def __iter__(self) -> Iterator[Change]:
        before, after = self._before, self._after
        if type(before) is not type(after):
            yield self._kind()
        yield from self._flags()
        if isinstance(before, Number | Integer) and isinstance(after, Number | Integer):
            yield from self._range(before, after)
        if isinstance(before, Category) and isinstance(after, Category):
            yield from self._values(before, after)
        if isinstance(before, Text) and isinstance(after, Text) and before.max_length != after.max_length:
            effect = self._wider if after.max_length > before.max_length else _NARROWER
            yield self._change("max_length", f"{before.max_length:,} became {after.max_length:,}", effect)

    def _kind(self) -> Change:
        before, after = self._before, self._after
        effect = _NARROWER
        if isinstance(before, Integer) and isinstance(after, Number):
            effect = ("breaking", "predictions write it with a decimal point") if self._is_repeated else self._wider
        elif isinstance(before, Category) and isinstance(after, Text) and _fits(before, after):
            effect = ("compatible", "any text is accepted, and predictions can hold it")
        return self._change("kind", f"{before.kind} became {after.kind}", effect)

    def _flags(self) -> Iterator[Change]:
        """Compare `nullable` and `optional`."""
        before, after = self._before, self._after
        if before.nullable != after.nullable:
            text = "null is accepted" if after.nullable else "null is refused"
            yield self._change("nullable", text, self._null() if after.nullable else _NARROWER)
        if before.optional != after.optional:
            text = "may be absent" if after.optional else "must be present"
            yield self._change("optional", text, self._wider if after.optional else _NARROWER)

    def _range(self, before: Number | Integer, after: Number | Integer) -> Iterator[Change]:
        for key, low, high in (
            ("minimum", after.minimum, before.minimum),
            ("maximum", before.maximum, after.maximum),
        ):
            if low != high:
                text = f"{_number(getattr(before, key))} became {_number(getattr(after, key))}"
                yield self._change(key, text, self._wider if low < high else _NARROWER)
        if before.fill != after.fill and before.nullable and after.nullable:
            text = f"{_number(before.fill)} became {_number(after.fill)}"
            effect: tuple[Effect, str] = (self._wider[0], "null counts as another number")
            yield self._change("fill", text, self._null() if after.fill is None else effect)

    def _null(self) -> tuple[Effect, str]:
        """Return the effect of accepting null without replacing it by a number."""
        has_null = not isinstance(self._after, Category) and getattr(self._after, "fill", None) is None
        return ("breaking", "predictions can hold null") if has_null and self._is_repeated else self._wider

    def _values(self, before: Category, after: Category) -> Iterator[Change]:
        old, new = set(before.values), set(after.values)
        if removed := [value for value in before.values if value not in new]:
            reason = NOT_ACCEPTED if after.other is None else f"they count as {quote([after.other])}"
            yield self._change("values", f"removed {quote(removed)}", ("breaking", reason))
        kept = tuple(value for value in before.values if value in new)
        if after.values[: len(kept)] != kept:
            reason = "the model reads positions: append new values, and keep the order of the others"
            yield self._change("values", "at other positions", ("breaking", reason))
        if added := [value for value in after.values if value not in old]:
            yield self._change("values", f"added {quote(added)}", self._wider)
        if before.other != after.other:
            yield self._other(before.other, after.other)

    def _other(self, before: str | None, after: str | None) -> Change:
        if after is None:
            return self._change("other", "removed", _NARROWER)
        if before is None:
            return self._change("other", f"added {quote([after])}", self._wider)
        effect: tuple[Effect, str] = ("breaking", "predictions have another word for unknown values")
        text = f"{quote([before])} became {quote([after])}"
        return self._change("other", text, effect if self._is_repeated else self._wider)

    def _change(self, key: str, text: str, effect: tuple[Effect, str]) -> Change:
        return Change(f"{self._name}.{key}", text, *effect)


def quote(texts: Sequence[str]) -> str:
    """Return the first texts, shortened, and how many more there are."""
    quoted = [repr(text if len(text) <= _QUOTED_LENGTH else f"{text[:_QUOTED_LENGTH]}…") for text in texts[:_QUOTED]]
    more = [f"{len(texts) - _QUOTED:,} more"] if len(texts) > _QUOTED else []
    return ", ".join([*quoted, *more])


def _fits(category: Category, text: Text) -> bool:
    """Return whether a text accepts all that the category did, and predictions hold the same; null is not the same."""
    is_open, longest = category.other is not None, max(map(len, category.values))
    return not is_open and longest <= text.max_length and not category.nullable


def _number(number: float | None) -> str:
    return "nothing" if number is None else f"{number:,.10g}"
