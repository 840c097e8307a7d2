"""Windows of records in the order of time; the order in which partitions are read does not matter."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from telco_stream.model.drift.baseline import BinCounter, Counts, Floats
from telco_stream.model.drift.results import MIN_RECORDS
from telco_stream.model.features import Table

#: Records of a block. A window is a number of blocks, so that only their counts need to be kept.
BLOCK = 100
#: Rows of an open window that are kept before they are counted, and parts in which they came.
_MAX_ROWS, _MAX_TABLES = 20_000, 64


@dataclass(frozen=True, slots=True)
class Block:
    """Counts by bin of some records, and the time of the first one in seconds since 1970.

    `scores` are those of an `OpenWindow`.
    """

    started: float
    records: int
    counts: Counts
    scores: Floats = field(default_factory=lambda: np.empty(0))


class OpenWindow:
    """Window that grows until it has `size` records, or until it is `seconds` old and has enough to compare.

    Its rows are counted when it is full, or when there are many: the fewer calls, the less time for each row.
    """

    def __init__(self, counter: BinCounter, size: int, seconds: float) -> None:
        self._counter = counter
        self._size = max(size, MIN_RECORDS)
        self._seconds = seconds
        self._started, self._records = 0.0, 0
        #: Rows that were not counted yet, and the scores of all rows.
        self._tables: list[Table] = []
        self._scores: list[Floats] = []
        self._counts = self._no_counts()

    def add(self, table: Table, scores: Sequence[float] | Floats, now: float) -> Iterator[Block]:
        """Add rows and scores at this time, in seconds since 1970; yield each window that they fill."""
        values, position = np.asarray(scores, np.float64), 0
        while position < len(table):
            self._started = self._started if self._records else now
            rows = slice(position, position + self._size - self._records)
            self._tables.append(table[rows])
            self._scores.append(values[rows])
            self._records += len(self._tables[-1])
            position = rows.stop
            if self._records >= self._size:
                yield from self.take()
            elif len(self._tables) >= _MAX_TABLES or sum(map(len, self._tables)) >= _MAX_ROWS:
                self._count()

    def take_if_over(self, now: float) -> Iterator[Block]:
        """Yield the window if it is old enough at this time, in seconds since 1970, and has enough records."""
        if self._records and now - self._started >= self._seconds:
            yield from self.take()

    def take(self) -> Iterator[Block]:
        """Yield the window and begin a new one, unless it has too few records."""
        if self._records < MIN_RECORDS:
            return
        self._count()
        block = Block(self._started, self._records, self._counts, np.concatenate(self._scores))
        self._records, self._scores, self._counts = 0, [], self._no_counts()
        yield block

    def _count(self) -> None:
        if self._tables:
            scores = np.concatenate(self._scores[-len(self._tables) :])
            self._counts += self._counter.count(self._tables, scores)
            self._tables = []

    def _no_counts(self) -> Counts:
        return np.zeros(self._counter.bounds[-1], np.int64)


def windows(blocks: Iterable[Block], size: int) -> Iterator[Block]:
    """Yield windows of equal numbers of records, at most `size` each, but for a block more or less.

    There are at least two windows, unless one of them would have too few records to compare.
    """
    ordered = sorted(blocks, key=lambda block: block.started)
    total = sum(block.records for block in ordered)
    number = min(max(2, math.ceil(total / size)), max(1, total // (MIN_RECORDS + BLOCK)))
    middles = np.cumsum([block.records for block in ordered]) - [block.records / 2 for block in ordered]
    positions = (middles * number // max(1, total)).tolist()
    for _, pairs in groupby(zip(positions, ordered, strict=True), key=lambda pair: pair[0]):
        parts = [block for _, block in pairs]
        counts = np.sum([block.counts for block in parts], axis=0)
        yield Block(parts[0].started, sum(block.records for block in parts), counts)
