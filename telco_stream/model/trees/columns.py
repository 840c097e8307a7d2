"""Columns that a model's trees read, as functions of the features of a contract.

Trees test columns that a pipeline computes: imputed, scaled, one-hot, or coded in the model's own order. As a column
depends on one feature, and rises with it or has few values, each test of a column is a test of its feature.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from math import isnan, nan
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telco_stream.contract.events import EventCodec
from telco_stream.contract.schema import LARGEST_NUMBER, Boolean, Category, Contract, Feature, Integer
from telco_stream.model.features import Table, category_texts, input_order
from telco_stream.model.trees.ensemble import Split, Tree, UnreadableModelError, named_splits

Floats: TypeAlias = NDArray[np.float64]
#: Function of numbers that never falls when they rise, as computed, rounding included.
Rising: TypeAlias = Callable[[Floats], Floats]

#: Largest number of whole numbers in a range that can be coded like a category.
_MAX_VALUES = 1_000
_BITS = 64
_SIGN = np.int64(np.iinfo(np.int64).min)


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """Number that rises with a number of the contract.

    `steps` are the functions that compute it, one after another; `missing` is the column's value where the number is
    NaN, which an imputer may have filled.
    """

    feature: int
    steps: tuple[Rising, ...] = ()
    missing: float = nan

    def then(self, step: Rising) -> "NumberColumn":
        """Return the column after a further step."""
        missing = self.missing if isnan(self.missing) else float(step(np.array([self.missing]))[0])
        return NumberColumn(self.feature, (*self.steps, step), missing)

    def compute(self, inputs: Floats) -> Floats:
        """Return the column for values of the feature."""
        values = inputs
        for step in self.steps:
            values = step(values)
        return np.where(np.isnan(inputs), self.missing, values)


@dataclass(frozen=True, slots=True)
class TableColumn:
    """Any value for each of the few values of a feature: of a category's code, or of a number, NaN included."""

    feature: int
    inputs: tuple[float, ...]
    outputs: tuple[Any, ...]

    def compute(self, inputs: Floats) -> Floats:
        """Return the column, which must hold numbers, for values of the feature."""
        order = np.argsort(self.inputs)  # NaN is last, for `searchsorted` too
        return np.array(self.outputs, np.float64)[order][np.searchsorted(np.array(self.inputs)[order], inputs)]


@dataclass(frozen=True, slots=True)
class UnknownColumn:
    """Column that is computed in another way. A model can be read if no tree splits at it."""

    reason: str


Column: TypeAlias = NumberColumn | TableColumn | UnknownColumn


def in_single_precision(column: Column) -> Column:
    """Return the column as libraries see it that round their input to single precision."""
    match column:
        case NumberColumn():
            return column.then(_rounded)
        case TableColumn():
            return replace(column, outputs=tuple(map(_in_single_precision, column.outputs)))
    return column


def _in_single_precision(value: Any) -> Any:  # noqa: ANN401 - a number or a text
    return float(np.float32(value)) if isinstance(value, int | float) else value


def feature_columns(codec: EventCodec, names: Iterable[str]) -> list[Column]:
    """Return the named features as columns: numbers as they are, and categories as texts, None for null.

    Raise UnreadableModelError if the contract does not have one of them.
    """
    features = {feature.name: feature for feature in codec.contract.features}
    order = input_order(codec.contract)
    columns: list[Column] = []
    for name in names:
        if name not in features:
            raise UnreadableModelError(f"its column {name} is not in the contract")
        feature, position = features[name], order.index(name)
        if isinstance(feature, Category):
            texts = category_texts(codec, feature)
            columns.append(TableColumn(position, tuple(map(float, range(len(texts)))), tuple(texts)))
        else:
            columns.append(NumberColumn(position))
    return columns


def tabulated(column: Column, contract: Contract) -> TableColumn:
    """Return a column as a table; raise UnreadableModelError if it can have more than a thousand values."""
    if isinstance(column, TableColumn):
        return column
    if isinstance(column, UnknownColumn):
        raise UnreadableModelError(column.reason)
    feature = contract.numbers[column.feature]
    inputs = _few_values(feature)
    if inputs is None:
        raise UnreadableModelError(f"it reads {feature.name} as a category, but it is a {feature.kind} in the contract")
    return TableColumn(column.feature, tuple(inputs), tuple(column.compute(np.array(inputs)).tolist()))


def coded(column: Column, known: Sequence[Any] | None, contract: Contract) -> TableColumn:
    """Return a column of values as one of positions in the values that a model knows, NaN for others.

    Without `known` values, the model was fitted to codes in the order of the contract. Raise UnreadableModelError if it
    knows none of the contract's values.
    """
    table = tabulated(column, contract)
    if known is None:
        return replace(table, outputs=table.inputs)
    codes = {value: float(code) for code, value in enumerate(known)}
    outputs = tuple(codes.get(value, nan) for value in table.outputs)
    if all(map(isnan, outputs)):
        name = input_order(contract)[table.feature]
        raise UnreadableModelError(f"it knows none of the values that {name} has in the contract")
    return replace(table, outputs=outputs)


def model_table(columns: Sequence[Column], features: Table) -> Floats:
    """Return the columns of a model as [events, columns] for its library, from the features as `input_table` has them.

    Raise UnreadableModelError if a column is computed in an unknown way.
    """
    table = np.empty((len(features), len(columns)))
    for position, column in enumerate(columns):
        if isinstance(column, UnknownColumn):
            raise UnreadableModelError(column.reason)
        table[:, position] = column.compute(features[:, column.feature])
    return table


def on_features(trees: Iterable[Tree], columns: Sequence[Column]) -> tuple[Tree, ...]:
    """Return trees whose splits test features, from trees whose splits test columns by position.

    Raise UnreadableModelError if a split tests a column in a way that the feature does not decide.
    """
    trees = tuple(trees)
    inverses = _inverses(((node.feature, node.test) for node in _splits(trees)), columns)
    return tuple(
        tuple(_on_feature(node, columns, inverses) if isinstance(node, Split) else node for node in tree)
        for tree in trees
    )


def split_inputs(
    splits: Iterable[tuple[int, float]], columns: Sequence[Column], contract: Contract
) -> dict[str, Floats]:
    """Return the numbers of the contract at which trees split, by name, from splits as column and threshold.

    Splits of unknown columns are left out.
    """
    found: dict[int, set[float]] = {}
    for (column, _), value in _inverses(splits, columns).items():
        found.setdefault(columns[column].feature, set()).add(value)  # type: ignore[union-attr] # only NumberColumn
    return named_splits(found, contract)


def _rounded(values: Floats) -> Floats:
    return values.astype(np.float32).astype(np.float64)


#: Largest number up to which a column is at most a threshold, by column and threshold.
_Inverses: TypeAlias = dict[tuple[int, float], float]


def _splits(trees: Iterable[Tree]) -> Iterable[Split]:
    return (node for tree in trees for node in tree if isinstance(node, Split))


def _inverses(splits: Iterable[tuple[int, float | frozenset[float]]], columns: Sequence[Column]) -> _Inverses:
    """Invert all thresholds of a column in one go."""
    thresholds: dict[int, set[float]] = {}
    for position, test in splits:
        if not isinstance(test, frozenset) and isinstance(columns[position], NumberColumn):
            thresholds.setdefault(position, set()).add(test)
    inverses: _Inverses = {}
    for position, values in thresholds.items():
        ordered = np.array(sorted(values))
        column = columns[position]
        inputs = _largest_inputs(column.steps, ordered) if isinstance(column, NumberColumn) else ordered
        inverses |= {(position, value): found for value, found in zip(ordered, inputs.tolist(), strict=True)}
    return inverses


def _largest_inputs(steps: Sequence[Rising], thresholds: Floats) -> Floats:
    """Return the largest number for which the steps give at most the threshold, for each of them, by bisection."""
    if not steps:
        return thresholds
    column = NumberColumn(0, tuple(steps))
    low, high = (np.full(len(thresholds), edge) for edge in (-LARGEST_NUMBER, LARGEST_NUMBER))
    none, every = column.compute(low) > thresholds, column.compute(high) <= thresholds
    below, above = _ranks(low), _ranks(high)
    for _ in range(_BITS):
        middle = (below & above) + ((below ^ above) >> 1)  # their sum could overflow
        is_above = column.compute(_ranked(middle)) > thresholds
        below, above = np.where(is_above, below, middle), np.where(is_above, middle, above)
    found = np.where(every, np.inf, _ranked(below))
    return np.where(none, -np.inf, found)


def _ranks(values: Floats) -> NDArray[np.int64]:
    """Return whole numbers in the order of the values; those of neighbours are neighbours."""
    bits = values.view(np.int64)
    return np.where(bits < 0, _SIGN - bits, bits)


def _ranked(ranks: NDArray[np.int64]) -> Floats:
    """Return the values of these ranks."""
    return np.where(ranks < 0, _SIGN - ranks, ranks).view(np.float64)


def _on_feature(node: Split, columns: Sequence[Column], inverses: _Inverses) -> Split:
    """Return the test of a column as a test of its feature."""
    match columns[node.feature]:
        case UnknownColumn(reason):
            raise UnreadableModelError(reason)
        case NumberColumn(feature, _, filled):
            if isinstance(node.test, frozenset):
                raise UnreadableModelError("it tests a number as if it were a category")
            missing = node.missing if isnan(filled) else filled <= node.test
            return replace(node, feature=feature, test=inverses[node.feature, node.test], missing=bool(missing))
        case TableColumn() as table:
            return _on_values(node, table)


def _on_values(node: Split, table: TableColumn) -> Split:
    """Return the test of a table as that of a set of the feature's values: those that pass, or those that fail."""
    if not all(isinstance(value, float | int) for value in table.outputs):
        raise UnreadableModelError("it reads texts")
    passed = [node.missing if isnan(value) else _passes(value, node.test) for value in table.outputs]
    if sum(passed) * 2 > len(passed):
        node = replace(node, passed=node.failed, failed=node.passed)
        passed = [not has_passed for has_passed in passed]
    inputs = set(compress(table.inputs, passed))
    values = frozenset(value for value in inputs if not isnan(value))
    return replace(node, feature=table.feature, test=values or -np.inf, missing=len(values) < len(inputs))


def _passes(value: float, test: float | frozenset[float]) -> bool:
    return value in test if isinstance(test, frozenset) else value <= test


def _few_values(feature: Feature) -> list[float] | None:
    """Return the values that a number can have, NaN if it can be missing; None if there are too many.

    Whole numbers have one more on either side, on which forms of a model are compared too.
    """
    match feature:
        case Boolean():
            values = [0.0, 1.0]
        case Integer(minimum=minimum, maximum=maximum) if maximum - minimum < _MAX_VALUES:
            values = [float(value) for value in range(minimum - 1, maximum + 2)]
        case _:
            return None
    if feature.nullable:
        fill = getattr(feature, "fill", None)
        values.append(nan if fill is None else float(fill))
    return list(dict.fromkeys(values))
