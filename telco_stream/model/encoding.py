"""Encoding of customers as the two input arrays of the compiled pipeline: numbers, and codes of categories.

A code is the category's position in the contract. Columns are encoded in groups: looking up a tuple of five values
takes less time than five look-ups (`docs/performance.md`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, product
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telco_stream.contract.customer import CATEGORIES, NUMBERS, Customer

#: Columns of the numbers, followed by the columns of the codes.
ORDER = (*NUMBERS, *CATEGORIES)
#: Columns per group. Tables for five have at most 243 rows; tables for eight would save 50 ns per customer with 3,240.
_GROUP_SIZE = 5

Floats: TypeAlias = NDArray[np.float32]
Codes: TypeAlias = NDArray[np.int64]


def number_columns(customers: Sequence[Customer]) -> Floats:
    """Return the numbers as [customers, 4], NaN for a blank TotalCharges."""
    flat = chain.from_iterable(map(_numbers_of, customers))
    return np.fromiter(flat, np.float32, len(customers) * len(NUMBERS)).reshape(-1, len(NUMBERS))


def code_columns(customers: Sequence[Customer]) -> Codes:
    """Return the codes of the categories as [customers, 15]; raise KeyError for a value outside the contract."""
    return np.hstack([group.codes(customers) for group in _GROUPS])


@dataclass(frozen=True, slots=True)
class _CodeGroup:
    """Encoder of several columns: reads their values, finds the row for the combination, and takes its codes."""

    values_of: Callable[[Customer], tuple[str, ...]]
    row_of: Callable[[tuple[str, ...]], int]
    table: Codes

    def codes(self, customers: Sequence[Customer]) -> Codes:
        rows = map(self.row_of, map(self.values_of, customers))
        return self.table[np.fromiter(rows, np.intp, len(customers))]


def _make_group(columns: Sequence[str]) -> _CodeGroup:
    rows = {values: row for row, values in enumerate(product(*(CATEGORIES[name] for name in columns)))}
    codes: Any = list(product(*(range(len(CATEGORIES[name])) for name in columns)))
    return _CodeGroup(attrgetter(*columns), rows.__getitem__, np.array(codes, np.int64))


_CATEGORY_COLUMNS = tuple(CATEGORIES)
_GROUPS = [
    _make_group(_CATEGORY_COLUMNS[start : start + _GROUP_SIZE])
    for start in range(0, len(_CATEGORY_COLUMNS), _GROUP_SIZE)
]
_numbers_of = attrgetter(*NUMBERS)
