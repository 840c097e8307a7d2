"""`predictions show`: the newest predictions of one customer.

A topic has no index, so the records are read in blocks, from the end of each partition towards its beginning. The key
decides the partition of a prediction, but earlier ones can be in any: of a topic with fewer partitions, or from another
program. All partitions are therefore searched.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nlargest
from typing import Any, NamedTuple

from telco_stream.contract.document import builtin_contract
from telco_stream.contract.schema import Contract
from telco_stream.messages.headers import source_of
from telco_stream.messages.prediction import (
    APPROXIMATE,
    BASE,
    CONTROL,
    REASONS,
    Prediction,
    PredictionCodec,
    reasons_of,
)
from telco_stream.messages.record import Record
from telco_stream.model.reasons.sentences import Sentences
from telco_stream.report.predictions import decode_valid, time_of
from telco_stream.runtime.humanize import to_datetime

#: Records of the first block and of the largest, over all partitions; each block is twice as large as the one before.
_FIRST_BLOCK, _LARGEST_BLOCK = 20_000, 640_000


@dataclass(frozen=True, slots=True)
class LookupOptions:
    """Options of one run of `predictions show`; `on_read` is called with the number of records of each batch."""

    customer: str
    #: Number of predictions to find.
    limit: int = 10
    #: Number of records to read; 0 is unlimited.
    max_records: int = 1_000_000
    on_read: Callable[[int], None] = lambda _records: None
    contract: Contract = field(default_factory=builtin_contract)
    #: Sentences about the features of the model.
    sentences: Mapping[str, Sentences] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundPrediction:
    """One prediction, newest first: its position, the fields of the message, and the position of its input."""

    partition: int
    offset: int
    prediction: Prediction
    message: Mapping[str, Any]
    source: str | None


@dataclass(frozen=True, slots=True)
class Lookup:
    """Predictions of one key, newest first, and how far the search went."""

    predictions: tuple[FoundPrediction, ...]
    #: Records that were read.
    records: int
    #: Every prediction since this time was read; None if that is unknown or nothing was read.
    since: datetime | None
    #: Whether every record of the topic was read.
    is_complete: bool
    #: Whether there are, or may be, older predictions than the limit allows.
    is_limited: bool
    #: What the key identifies, such as `customer`.
    entity: str
    #: Values with the key that are not predictions of the contract.
    unreadable: int = 0
    #: Sentences about the features of the model.
    sentences: Mapping[str, Sentences] = field(default_factory=dict)


class _Match(NamedTuple):
    """Prediction with what it is sorted by: its time in seconds since 1970, and its position."""

    time: float
    partition: int
    offset: int
    record: Record
    prediction: Prediction


class Search:
    """Search that goes back through all partitions at the same pace.

    Until `next_block` is empty: read from its offsets up to `unread`, `add` the records, and call `end_block`.
    """

    def __init__(self, options: LookupOptions, starts: dict[int, int], ends: dict[int, int]) -> None:
        self._options, self._codec = options, PredictionCodec(options.contract, [CONTROL, BASE, REASONS, APPROXIMATE])
        self._key = options.customer.encode(errors="surrogateescape")
        self._starts = starts
        #: End of the part that is still unread, by partition.
        self.unread = dict(ends)
        #: Time of the oldest record that was read, by partition; newer records of the partition were read.
        self._oldest = dict.fromkeys(ends, math.inf)
        self._first: dict[int, Record] = {}
        self._newest: list[_Match] = []
        self._matches = self._records = self._unreadable = 0
        self._size = _FIRST_BLOCK

    def next_block(self) -> dict[int, int]:
        """Return the first offset of the next block by partition, for partitions that can hold a newer prediction."""
        size, self._size = self._size, min(2 * self._size, _LARGEST_BLOCK)
        options, newest = self._options, self._newest
        enough = newest[-1].time if len(newest) == options.limit else -math.inf
        partitions = [partition for partition in self._unfinished() if self._oldest[partition] > enough]
        if options.max_records:
            size = min(size, options.max_records - self._records)
            partitions = sorted(partitions, key=self._oldest.__getitem__, reverse=True)[:size]
        each = size // len(partitions) if partitions else 0
        return {
            partition: max(self._starts[partition], self.unread[partition] - max(1, each)) for partition in partitions
        }

    def add(self, records: Iterable[Record]) -> None:
        """Add records of the block, in offset order within each partition."""
        key, first, matches = self._key, self._first, self._newest
        for record in records:
            self._records += 1
            first.setdefault(record.partition(), record)
            if record.key() != key:
                continue
            prediction = decode_valid(record.value(), self._codec)
            if prediction is None:
                self._unreadable += 1
            else:
                self._matches += 1
                time = time_of(prediction, record)
                matches.append(_Match(time, record.partition(), record.offset(), record, prediction))
        self._newest = nlargest(self._options.limit, matches, key=lambda match: match[:3])

    def end_block(self, starts: dict[int, int]) -> None:
        """Continue before these offsets in the next block."""
        self.unread.update(starts)
        for partition, record in self._first.items():
            prediction = decode_valid(record.value(), self._codec)
            self._oldest[partition] = time_of(prediction, record) if prediction else record.timestamp()[1] / 1_000
        self._first.clear()

    def result(self) -> Lookup:
        """Return what was found."""
        unfinished = self._unfinished()
        times = [self._oldest[partition] for partition in unfinished]
        since = max(times) if times else min(self._oldest.values(), default=math.inf)
        return Lookup(
            predictions=tuple(map(self._found, self._newest)),
            records=self._records,
            since=to_datetime(since) if math.isfinite(since) else None,
            is_complete=not unfinished,
            is_limited=self._matches > self._options.limit
            or (bool(unfinished) and self._matches == self._options.limit),
            entity=self._options.contract.entity,
            unreadable=self._unreadable,
            sentences=self._options.sentences,
        )

    def _unfinished(self) -> list[int]:
        return [partition for partition, end in self.unread.items() if end > self._starts[partition]]

    def _found(self, match: _Match) -> FoundPrediction:
        source = source_of(match.record)[0].decode(errors="backslashreplace")
        attributes = self._codec.attributes
        message = {name: getattr(match.prediction, attributes[name]) for name in self._codec.names}
        if match.prediction.control is True:
            message[CONTROL] = True
        reasons = reasons_of(match.prediction)
        if reasons:
            message |= {BASE: match.prediction.base, REASONS: [reason.as_dict() for reason in reasons]}
        if match.prediction.reasons_approximate is True:
            message[APPROXIMATE] = True
        return FoundPrediction(match.partition, match.offset, match.prediction, message, source or None)
