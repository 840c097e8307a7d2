"""Rows with which reasons compare a customer: all rows of the training data, or those of the negative label."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from telco_stream.model.features import Table

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Rows:
    """Features of the training data [rows, features], in the order of the inputs, and which rows are positive."""

    table: Table
    positive: NDArray[np.bool_]

    def by_baseline(self) -> tuple[Table, ...]:
        """Return the rows of each baseline, in the order of `BASELINES`."""
        return by_baseline(self.table, self.positive)


def by_baseline(rows: NDArray[Number], positive: NDArray[np.bool_]) -> tuple[NDArray[Number], ...]:
    """Return those of the rows of the training data that belong to each baseline, in the order of `BASELINES`."""
    return rows, rows[~positive]
