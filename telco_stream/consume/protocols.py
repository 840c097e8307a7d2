"""Protocols of the loop: its source (`kafka.source.KafkaSource`) and its delivery (`consume.delivery`)."""

from collections.abc import Mapping
from typing import Protocol

from telco_stream.kafka.source import Batch
from telco_stream.scoring import Outcome


class Source(Protocol):
    """Member of a consumer group that reads the raw topic in batches."""

    @property
    def ended(self) -> bool:
        """Return whether all assigned partitions have been read to the end that the topic had when the run began."""

    @property
    def is_reading(self) -> bool:
        """Return whether every assigned partition has been fetched from."""

    @property
    def refusal(self) -> str | None:
        """Return why the group refuses this member, or None."""

    def poll_batch(self, max_records: int, timeout: float, *, idle: float = 0) -> Batch:
        """Return the available records; wait up to `timeout` seconds for the first.

        With `idle`, wait for a full batch, the end of the topic or this many seconds without a record.
        """

    def is_current(self, batch: Batch) -> bool:
        """Return whether the source has not been rewound since it returned the batch."""

    def confirm_topic(self) -> None:
        """Raise `KafkaError` if the topic has been deleted or created again since the run began."""

    def consecutive_dead_letters(self) -> int | None:
        """Return and clear the number of consecutive dead letters before the newly assigned partitions."""

    def commit_answered(self, answered: Mapping[int, int], *, at_once: bool = False) -> None:
        """Commit these offsets after a while without a record, or at once."""


class PendingDelivery(Protocol):
    """Delivery of an outcome whose commit may still be running."""

    @property
    def ended(self) -> float:
        """Return the time (`time.perf_counter`) at which it ended; infinite while it runs."""

    def wait(self, seconds: float) -> None:
        """Wait for its end, at most this long."""

    def result(self) -> bool:
        """Wait for its end, and return whether the outcome was committed.

        If not, the source has been rewound to the committed offsets, and every batch polled before that is stale.
        """


class Delivery(Protocol):
    """Delivers outcomes, each completely or not at all."""

    def deliver(self, outcome: Outcome, batch: Batch) -> PendingDelivery:
        """Send the messages and begin to commit the offsets; call it after the previous delivery has ended."""
