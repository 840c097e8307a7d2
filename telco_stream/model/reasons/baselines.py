"""Rows with which reasons compare a customer: all rows of the training data, or those of the negative label."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from telco_stream.model.features import Table
from telco_stream.runtime.choices import Baseline

#: Names of the baselines, in the order in which a model folder stores them.
BASELINES: tuple[Baseline, ...] = ("all", "stayers")


@dataclass(frozen=True, slots=True)
class Rows:
    """Features of the training data [rows, features], in the order of the inputs, and which rows are positive."""

    table: Table
    positive: NDArray[np.bool_]

    def by_baseline(self) -> tuple[Table, ...]:
        """Return the rows of each baseline, in the order of `BASELINES`."""
        return self.table, self.table[~self.positive]
