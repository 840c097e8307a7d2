"""Features of events as arrays, for models."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from telco_stream.contract.events import Event, EventCodec
from telco_stream.contract.schema import Category, Contract

#: Features as [events, features]: numbers, NaN for null, and the codes of categories.
Table: TypeAlias = NDArray[np.float64]


def feature_table(codec: EventCodec, events: Sequence[Event]) -> Table:
    """Return the features of the events, a row for each, in the order of the contract."""
    packed = codec.pack_features(events)
    return np.frombuffer(packed, np.float64).reshape(-1, len(codec.contract.features))


def number_positions(contract: Contract) -> NDArray[np.intp]:
    """Return the columns of the table that a model reads as numbers."""
    return _positions(contract, are_categories=False)


def code_positions(contract: Contract) -> NDArray[np.intp]:
    """Return the columns of the table that a model reads as codes of categories."""
    return _positions(contract, are_categories=True)


def category_texts(codec: EventCodec, category: Category) -> list[str | None]:
    """Return the texts of a category by code, None for null."""
    blank = category.nullable and list(codec.categories[category.name])[-1]
    return [None if value is blank else value.value for value in codec.categories[category.name]]


def _positions(contract: Contract, *, are_categories: bool) -> NDArray[np.intp]:
    kinds = [isinstance(feature, Category) for feature in contract.features]
    return np.flatnonzero(np.array(kinds) == are_categories)
