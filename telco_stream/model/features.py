"""Features of events as arrays, for models."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telco_stream.contract.events import Event, EventCodec
from telco_stream.contract.schema import Category, Contract

#: Features as [events, features]: numbers, NaN for null, and the codes of categories.
Table: TypeAlias = NDArray[np.float64]


def feature_table(codec: EventCodec, events: Sequence[Event]) -> Table:
    """Return the features of the events, a row for each, in the order of the contract.

    The table is read-only. That of an `EventBatch` is computed once, so it costs nothing to ask for it again.
    """
    packed = codec.pack_features(events)
    return np.frombuffer(packed, np.float64).reshape(-1, len(codec.contract.features))


def input_table(codec: EventCodec, events: Sequence[Event]) -> Table:
    """Return the features of the events in the order of the inputs of a graph: numbers, and then codes."""
    order = np.concatenate([number_positions(codec.contract), code_positions(codec.contract)])
    return feature_table(codec, events).take(order, axis=1)


def number_positions(contract: Contract) -> NDArray[np.intp]:
    """Return the columns of the table that a model reads as numbers."""
    return _positions(contract, are_categories=False)


def code_positions(contract: Contract) -> NDArray[np.intp]:
    """Return the columns of the table that a model reads as codes of categories."""
    return _positions(contract, are_categories=True)


def input_order(contract: Contract) -> list[str]:
    """Return the names of the features as the inputs of a graph have them: numbers, and then codes of categories."""
    return [feature.name for feature in (*contract.numbers, *contract.categories)]


def selected_names(columns: Any, step: str) -> list[str]:  # noqa: ANN401 - a ColumnTransformer, which serving may lack
    """Return the names of the columns that a step of a fitted `ColumnTransformer` takes."""
    return [str(columns.feature_names_in_[position]) for position in selected_positions(columns, step)]


def selected_positions(columns: Any, step: str) -> list[int]:  # noqa: ANN401 - as above
    """Return the positions of the columns that a step of a fitted `ColumnTransformer` takes, however they are given."""
    return [int(position) for position in columns._transformer_to_input_indices[step]]  # noqa: SLF001


def category_codes(codec: EventCodec) -> dict[str, dict[str | None, int]]:
    """Return the code of each text of each category of the contract, by the category's name."""
    return {
        category.name: {text: code for code, text in enumerate(category_texts(codec, category))}
        for category in codec.contract.categories
    }


def category_texts(codec: EventCodec, category: Category) -> list[str | None]:
    """Return the texts of a category by code, None for null."""
    blank = category.nullable and list(codec.categories[category.name])[-1]
    return [None if value is blank else value.value for value in codec.categories[category.name]]


def _positions(contract: Contract, *, are_categories: bool) -> NDArray[np.intp]:
    kinds = [isinstance(feature, Category) for feature in contract.features]
    return np.flatnonzero(np.array(kinds) == are_categories)
