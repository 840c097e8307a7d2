"""Windows of records in the order of time; the order in which partitions are read does not matter."""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise

import numpy as np

from telco_stream.model.drift.baseline import BinCounter, Counts, Floats
from telco_stream.model.drift.results import MIN_RECORDS
from telco_stream.model.features import Table

#: Records of a block. A window is a number of blocks, so that only their counts need to be kept.
BLOCK = 100


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
    """Window that grows until it has `size` records, or until it is `seconds` old and has enough to compare."""

    def __init__(self, size: int, seconds: float) -> None:
        self._size = max(size, MIN_RECORDS)
        self._seconds = seconds
        self._block: Block | None = None
        self._scores = array("d")

    def count(self, counter: BinCounter, table: Table, scores: Sequence[float], started: float) -> list[Block]:
        """Count the rows of the table, and the scores, in blocks of which each fills a window, except for the last."""
        room = self._size - (self._block.records if self._block else 0)
        bounds, values = [0, *range(room, len(table), self._size), len(table)], np.asarray(scores, np.float64)
        return [
            Block(started, end - start, counter.count(table[start:end], values[start:end]), values[start:end])
            for start, end in pairwise(bounds)
        ]

    def add(self, block: Block) -> Block | None:
        """Add a block; return the window if it is full."""
        self._scores.frombytes(block.scores.tobytes())
        if (before := self._block) is not None:
            block = Block(before.started, before.records + block.records, before.counts + block.counts)
        self._block = block
        return self.take() if block.records >= self._size else None

    def take_if_over(self, now: float) -> Block | None:
        """Return the window if it is old enough at this time, in seconds since 1970, and has enough records."""
        is_over = self._block is not None and now - self._block.started >= self._seconds
        return self.take() if is_over else None

    def take(self) -> Block | None:
        """Return the window and begin a new one, unless it has too few records."""
        block = self._block
        if block is None or block.records < MIN_RECORDS:
            return None
        scores, self._block, self._scores = np.array(self._scores), None, array("d")
        return replace(block, scores=scores)


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
