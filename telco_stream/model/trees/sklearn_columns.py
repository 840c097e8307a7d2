"""Columns that the steps of a scikit-learn pipeline compute from the features, for those that work column by column.

The steps themselves are called with the few values of a feature, so that their options need no second implementation.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from math import isnan, nan
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from telco_stream.contract.schema import Contract
from telco_stream.messages.codec import Codec
from telco_stream.model.features import selected_positions
from telco_stream.model.sklearn_engine import knows_nan
from telco_stream.model.trees.columns import (
    Column,
    Floats,
    NumberColumn,
    TableColumn,
    UnknownColumn,
    feature_columns,
    tabulated,
)
from telco_stream.model.trees.ensemble import UnreadableModelError

#: Prefix that `SimpleImputer` gives to the names of columns that indicate missing values.
_INDICATOR = "missingindicator_"
_ENCODERS = (OneHotEncoder, OrdinalEncoder, TargetEncoder)
_SCALERS = (MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler)


def sklearn_columns(model: Any, codec: Codec) -> list[Column]:  # noqa: ANN401 - a fitted model of any type
    """Return the columns that the last step of a pipeline reads, or a model without steps.

    Raise UnreadableModelError if a step computes them in another way than column by column.
    """
    if not hasattr(model, "feature_names_in_"):
        raise UnreadableModelError("it was fitted to a table without names of columns: fit it to a data frame")
    columns = feature_columns(codec.events, model.feature_names_in_)
    for _, step in model.steps[:-1] if isinstance(model, Pipeline) else ():
        columns = transformed(step, columns, codec.contract)
    return columns


def transformed(step: Any, columns: Sequence[Column], contract: Contract) -> list[Column]:  # noqa: ANN401 - a step of any type
    """Return the columns that a fitted step computes; raise UnreadableModelError as above."""
    match step:
        case "passthrough" | FunctionTransformer(func=None):
            return list(columns)
        case Pipeline():
            for _, part in step.steps:
                columns = transformed(part, columns, contract)
            return list(columns)
        case ColumnTransformer():
            return _side_by_side(step, columns, contract)
        case SimpleImputer():
            return _imputed(step, columns)
    if isinstance(step, _ENCODERS):
        return _encoded(step, [tabulated(column, contract) for column in columns])
    if isinstance(step, _SCALERS):
        return [_scaled(step, columns, position) for position in range(len(columns))]
    raise UnreadableModelError(f"a {type(step).__name__} computes its columns")


def _side_by_side(step: ColumnTransformer, columns: Sequence[Column], contract: Contract) -> list[Column]:
    results: list[Column] = []
    for name, part, _ in step.transformers_:
        selected = [columns[position] for position in selected_positions(step, name)]
        if part == "drop" or not selected:
            continue
        try:
            results += transformed(part, selected, contract)
        except UnreadableModelError as error:
            span = step.output_indices_[name]
            results += [UnknownColumn(str(error))] * (span.stop - span.start)
    return results


def _encoded(step: Any, tables: Sequence[TableColumn]) -> list[Column]:  # noqa: ANN401 - one of the encoders
    null = nan if knows_nan(step) else None  # as the data frame that the model gets has it
    values = _transform(step, [[null if value is None else value for value in table.outputs] for table in tables])
    widths = step._n_features_outs if isinstance(step, OneHotEncoder) else [1] * len(tables)  # noqa: SLF001
    results: list[Column] = []
    for table, width in zip(tables, widths, strict=True):
        results += [_table(table, values[:, len(results) + number]) for number in range(width)]
    return results


def _imputed(step: SimpleImputer, columns: Sequence[Column]) -> list[Column]:
    """Return columns without missing values, and the indicators of missing ones, if the step adds them."""
    numbers = [position for position, column in enumerate(columns) if isinstance(column, NumberColumn)]
    if numbers and not (isinstance(step.missing_values, float) and isnan(step.missing_values)):
        raise UnreadableModelError(f"a SimpleImputer replaces {step.missing_values} instead of missing numbers")
    values = _transform(step, [column.outputs if isinstance(column, TableColumn) else (nan,) for column in columns])
    names = list(getattr(step, "feature_names_in_", (f"x{position}" for position in range(len(columns)))))
    results: list[Column] = []
    for output, name in enumerate(step.get_feature_names_out()):
        is_indicator = name not in names
        column = columns[names.index(name.removeprefix(_INDICATOR) if is_indicator else name)]
        results.append(_filled(column, values[:, output], is_indicator=is_indicator))
    return results


def _filled(column: Column, outputs: Any, *, is_indicator: bool) -> Column:  # noqa: ANN401 - an array of any type
    """Return a column that an imputer has filled, or its indicator, from its outputs; of a number, where it is NaN."""
    match column:
        case NumberColumn():
            missing = float(outputs[0])
            if not isnan(column.missing):
                missing = 0.0 if is_indicator else column.missing
            return NumberColumn(column.feature, (np.zeros_like,) if is_indicator else column.steps, missing)
        case TableColumn():
            return _table(column, outputs)
    return column


def _scaled(step: Any, columns: Sequence[Column], position: int) -> Column:  # noqa: ANN401 - one of the scalers
    def scale(values: Any) -> Floats:  # noqa: ANN401 - numbers
        table = _transform(step, [values if other == position else (0.0,) for other in range(len(columns))])
        return np.asarray(table[:, position], np.float64)

    match columns[position]:
        case NumberColumn() as number:
            return number.then(scale)
        case TableColumn() as table:
            return _table(table, scale(table.outputs))
        case unknown:
            return unknown


def _table(table: TableColumn, outputs: Any) -> TableColumn:  # noqa: ANN401 - an array, which may be longer
    return replace(table, outputs=tuple(outputs[: len(table.inputs)].tolist()))


def _transform(step: Any, columns: Sequence[Sequence[Any]]) -> Any:  # noqa: ANN401 - any step, an array of any type
    """Call a step with columns of different lengths, which are repeated; raise UnreadableModelError if it fails."""
    rows = max(map(len, columns))
    names = getattr(step, "feature_names_in_", range(len(columns)))
    table = {name: _series(list(islice(cycle(column), rows))) for name, column in zip(names, columns, strict=True)}
    frame = pd.DataFrame(table)
    try:
        values = step.transform(frame if hasattr(step, "feature_names_in_") else frame.to_numpy())
    except ValueError as error:
        raise UnreadableModelError(f"a {type(step).__name__} refuses values of the contract ({error})") from error
    return values.toarray() if hasattr(values, "toarray") else np.asarray(values)


def _series(values: Sequence[Any]) -> "pd.Series[Any]":
    return pd.Series(values, dtype=float if all(isinstance(value, float) for value in values) else object)
