"""Protocols of the observers of a run, and what the loops report to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from telco_stream.scoring import Outcome


@dataclass(frozen=True, slots=True)
class BatchTimings:
    """Seconds that a batch took: to decode, score and encode, and to send and commit."""

    processing: float
    delivery: float
    #: Seconds from time stamp to commit, of a few evenly spaced records: to ask each would cost as much as scoring.
    ages: Sequence[float] = ()


class BatchObserver(Protocol):
    """Observes the loop of `consume`."""

    def on_poll(self) -> None:
        """Take note that the loop has polled."""

    def on_committed(self, outcome: Outcome, seconds: BatchTimings) -> None:
        """Take note of a committed batch."""


class RowObserver(Protocol):
    """Observes the loop of `produce`."""

    def resumed(self, rows: int) -> None:
        """Take note of the rows of the file that earlier runs have sent."""

    def advance(self, rows: int) -> None:
        """Take note of rows that Kafka has confirmed."""
