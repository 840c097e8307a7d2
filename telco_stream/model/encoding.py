"""Customers as the two arrays that the compiled pipeline reads: numbers, and categories as codes.

A code is the category's position in the contract. Columns are looked up in groups, by the combination of their values:
one look-up of a tuple costs less than five of its parts (`docs/performance.md`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, product
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from telco_stream.contract.customer import CATEGORIES, NUMBERS, Customer

#: The columns of both arrays, one after the other.
ORDER = (*NUMBERS, *CATEGORIES)
#: Columns in a group. Five make tables of at most 243 combinations; eight would save 50 ns a customer and need 3,240.
_GROUP_SIZE = 5

Floats: TypeAlias = NDArray[np.float32]
Codes: TypeAlias = NDArray[np.int64]


def number_columns(customers: Sequence[Customer]) -> Floats:
    """The numbers, [customers, 4], NaN for a blank TotalCharges."""
    flat = chain.from_iterable(map(_numbers_of, customers))
    return np.fromiter(flat, np.float32, len(customers) * len(NUMBERS)).reshape(-1, len(NUMBERS))


def code_columns(customers: Sequence[Customer]) -> Codes:
    """The categories' codes, [customers, 15]; raises KeyError for one that the contract doesn't know."""
    return np.hstack([group.codes(customers) for group in _GROUPS])


@dataclass(frozen=True, slots=True)
class _CodeGroup:
    """Some columns: how to read them, where a combination stands in the table, and the table of codes."""

    values_of: Callable[[Customer], tuple[str, ...]]
    position_of: Callable[[tuple[str, ...]], int]
    table: Codes

    def codes(self, customers: Sequence[Customer]) -> Codes:
        positions = map(self.position_of, map(self.values_of, customers))
        return self.table[np.fromiter(positions, np.intp, len(customers))]


def _make_group(columns: Sequence[str]) -> _CodeGroup:
    combinations = {values: i for i, values in enumerate(product(*(CATEGORIES[name] for name in columns)))}
    codes: Any = list(product(*(range(len(CATEGORIES[name])) for name in columns)))
    return _CodeGroup(attrgetter(*columns), combinations.__getitem__, np.array(codes, np.int64))


_TEXTS = tuple(CATEGORIES)
_GROUPS = [_make_group(_TEXTS[start : start + _GROUP_SIZE]) for start in range(0, len(_TEXTS), _GROUP_SIZE)]
_numbers_of = attrgetter(*NUMBERS)
