"""Windows of records in the order of time, in whatever order the partitions are read."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from telco_stream.model.drift.baseline import Counts
from telco_stream.model.drift.results import MIN_RECORDS

#: Records of a block. A window is a number of blocks, so that only their counts need to be kept.
BLOCK = 100


@dataclass(frozen=True, slots=True)
class Block:
    """Counts by bin of some records, and the time of the first one in seconds since 1970."""

    started: float
    records: int
    counts: Counts


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
